//! The document of RestoreObject.
//!
//! Guarantees: the document for the store is built here from a number of days and a tier. A restore
//! that writes elsewhere (`OutputLocation`) or runs a query (`SelectParameters`) is refused, and so
//! is every unknown element: no grant was checked for the place that it would write to. Pure.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>.

use super::document::elements;
use super::error::S3Error;
use super::xml::Xml;

const TIERS: [&str; 3] = ["Standard", "Bulk", "Expedited"];

/// A new document with the known elements. **Errors**: `MalformedXML`, `NotImplemented`.
pub fn rebuild(bytes: &[u8]) -> Result<String, S3Error> {
    let (mut days, mut tier) = (None, None);
    for (path, text) in elements(bytes, "RestoreRequest")? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path[..] {
            ["Days"] if days.is_none() => {
                days = Some(text.trim().parse::<u32>().map_err(|_| S3Error::malformed_xml())?)
            }
            ["Tier"] | ["GlacierJobParameters", "Tier"] if tier.is_none() => {
                let known = TIERS.into_iter().find(|known| *known == text.trim());
                tier = Some(known.ok_or_else(S3Error::malformed_xml)?);
            }
            ["GlacierJobParameters"] if text.trim().is_empty() => {}
            _ => {
                return Err(S3Error::not_implemented(&format!(
                    "{:?} in a restore",
                    path.join("/")
                )));
            }
        }
    }
    let mut xml = Xml::new("RestoreRequest");
    xml.maybe("Days", days);
    if let Some(tier) = tier {
        xml.open("GlacierJobParameters").element("Tier", tier).close();
    }
    Ok(xml.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(inner: &str) -> Result<String, &'static str> {
        rebuild(format!("<RestoreRequest>{inner}</RestoreRequest>").as_bytes())
            .map_err(|error| error.code)
    }

    #[test]
    fn days_and_tier_are_kept() {
        let text = outcome(
            "<Days>3</Days><GlacierJobParameters>\n<Tier>Bulk</Tier></GlacierJobParameters>",
        )
        .unwrap();
        let expected = "<Days>3</Days><GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters></RestoreRequest>";
        assert!(text.ends_with(expected), "{text}");
        assert!(outcome("").unwrap().ends_with("RestoreRequest>"));
    }

    #[test]
    fn other_elements_are_refused() {
        let output = "<OutputLocation><S3><BucketName>theirs</BucketName><Prefix>x</Prefix></S3></OutputLocation>";
        for refused in [
            output,
            "<Days>1</Days><Type>SELECT</Type>",
            "<SelectParameters/>",
            "<SelectParameters></SelectParameters>",
            "<x:OutputLocation xmlns:x=\"y\"><S3/></x:OutputLocation>",
            "<OutputLocation/>",
            "<Days>1</Days><Days>2</Days>",
        ] {
            assert_eq!(outcome(refused), Err("NotImplemented"), "{refused}");
        }
        for malformed in
            ["<Days>x</Days>", "<Tier>Fast</Tier>", "<Days>1", "<!DOCTYPE x><Days>1</Days>"]
        {
            assert_eq!(outcome(malformed), Err("MalformedXML"), "{malformed}");
        }
    }
}
