//! The XML of a bucket's CORS configuration.
//!
//! Guarantees: what is accepted is within S3's limits, and what is written can be read again. Pure.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html>.

use http::HeaderName;

use super::super::document::elements;
use super::super::error::S3Error;
use super::super::xml::Xml;
use crate::object::{CORS_METHODS, CorsRule};

const MAX_RULES: usize = 100;
const MAX_ID_CHARS: usize = 255;

/// The rules of a document. **Errors**: `MalformedXML`, `InvalidRequest`.
pub fn read(bytes: &[u8]) -> Result<Vec<CorsRule>, S3Error> {
    let mut rules = Vec::new();
    let mut rule = CorsRule::default();
    for (path, text) in elements(bytes, "CORSConfiguration")? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = text.trim();
        match path[..] {
            ["CORSRule", "ID"] if rule.id.is_none() => rule.id = Some(text.to_owned()),
            ["CORSRule", "AllowedOrigin"] => rule.origins.push(text.to_owned()),
            ["CORSRule", "AllowedMethod"] => rule.methods.push(text.to_owned()),
            ["CORSRule", "AllowedHeader"] => rule.headers.push(text.to_owned()),
            ["CORSRule", "ExposeHeader"] => rule.expose.push(text.to_owned()),
            ["CORSRule", "MaxAgeSeconds"] if rule.max_age_s.is_none() => {
                let seconds = text.parse::<i32>().map_err(|_| S3Error::malformed_xml())?;
                rule.max_age_s = Some(seconds.into());
            }
            ["CORSRule"] => {
                let complete = std::mem::take(&mut rule);
                check(&complete)?;
                rules.push(complete);
            }
            _ => return Err(S3Error::malformed_xml()),
        }
    }
    match rules.len() {
        0 => Err(S3Error::malformed_xml()),
        1..=MAX_RULES => Ok(rules),
        _ => Err(S3Error::invalid_request(format!(
            "The number of CORS rules should not exceed allowed limit of {MAX_RULES} rules."
        ))),
    }
}

/// **Errors**: `MalformedXML` for a rule without origins or methods; `InvalidRequest`.
fn check(rule: &CorsRule) -> Result<(), S3Error> {
    if rule.origins.is_empty() || rule.methods.is_empty() {
        return Err(S3Error::malformed_xml());
    }
    if rule.id.as_ref().is_some_and(|id| id.chars().count() > MAX_ID_CHARS) {
        return Err(S3Error::invalid_request(format!(
            "The ID of a CORS rule has at most {MAX_ID_CHARS} characters."
        )));
    }
    check_patterns(rule).map_err(S3Error::invalid_request)?;
    let expose = rule.expose.iter().find(|name| name.contains('*'));
    expose.map_or(Ok(()), |name| {
        Err(S3Error::invalid_request(format!(
            "ExposeHeader \"{name}\" contains wildcard. We currently do not support wildcard for \
             ExposeHeader."
        )))
    })
}

/// Checks methods, patterns and names of a rule. **Errors**: what is wrong, for a person.
pub(super) fn check_patterns(rule: &CorsRule) -> Result<(), String> {
    let stars = |text: &str| text.matches('*').count();
    if let Some(method) =
        rule.methods.iter().find(|method| !CORS_METHODS.contains(&method.as_str()))
    {
        return Err(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        ));
    }
    if let Some(origin) = rule.origins.iter().find(|origin| stars(origin) > 1) {
        return Err(format!("AllowedOrigin \"{origin}\" can not have more than one wildcard."));
    }
    if let Some(origin) = rule.origins.iter().find(|origin| !is_visible(origin)) {
        return Err(format!("AllowedOrigin {origin:?} is not an origin."));
    }
    if let Some(name) = rule.headers.iter().find(|name| stars(name) > 1) {
        return Err(format!("AllowedHeader \"{name}\" contains more than one wildcard."));
    }
    // A `*` is a character that a name may have.
    for (element, names) in [("AllowedHeader", &rule.headers), ("ExposeHeader", &rule.expose)] {
        let invalid = names.iter().find(|name| HeaderName::from_bytes(name.as_bytes()).is_err());
        if let Some(name) = invalid {
            return Err(format!("{element} \"{name}\" contains invalid character."));
        }
    }
    Ok(())
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The document of these rules.
pub fn write(rules: &[CorsRule]) -> String {
    let mut xml = Xml::new("CORSConfiguration");
    for rule in rules {
        xml.open("CORSRule").maybe("ID", rule.id.as_ref());
        let lists = [
            ("AllowedHeader", &rule.headers),
            ("AllowedMethod", &rule.methods),
            ("AllowedOrigin", &rule.origins),
            ("ExposeHeader", &rule.expose),
        ];
        for (name, texts) in lists {
            for text in texts {
                xml.element(name, text);
            }
        }
        xml.maybe("MaxAgeSeconds", rule.max_age_s).close();
    }
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "<AllowedOrigin>https://a</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>";

    fn outcome(rules: &str) -> Result<Vec<CorsRule>, &'static str> {
        let text = format!("<CORSConfiguration>{rules}</CORSConfiguration>");
        read(text.as_bytes()).map_err(|error| error.code)
    }

    #[test]
    fn a_configuration_that_is_written_reads_as_the_same() {
        let more = "<ID>one</ID><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>\
                    <MaxAgeSeconds>30</MaxAgeSeconds>";
        let second = format!("<CORSRule>{RULE}<AllowedMethod>GET</AllowedMethod></CORSRule>");
        let rules = outcome(&format!("<CORSRule>{RULE}{more}</CORSRule>\n{second}")).unwrap();
        assert_eq!((rules.len(), rules[1].methods.len(), rules[0].max_age_s), (2, 2, Some(30)));
        assert_eq!(read(write(&rules).as_bytes()).unwrap(), rules);
    }

    #[test]
    fn what_is_outside_the_limits_is_refused() {
        let rule = |more: &str| format!("<CORSRule>{RULE}{more}</CORSRule>");
        let table = [
            (String::new(), Err("MalformedXML")),
            (rule("").repeat(100), Ok(100)),
            (rule("").repeat(101), Err("InvalidRequest")),
            ("<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>".into(), Err("MalformedXML")),
            ("<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>".into(), Err("MalformedXML")),
            ("<CORSRule/>".into(), Err("MalformedXML")),
            (rule("<AllowedMethod>PATCH</AllowedMethod>"), Err("InvalidRequest")),
            (rule("<AllowedMethod>get</AllowedMethod>"), Err("InvalidRequest")),
            (rule("<AllowedOrigin>*.*</AllowedOrigin>"), Err("InvalidRequest")),
            (rule("<AllowedOrigin/>"), Err("InvalidRequest")),
            (rule("<AllowedHeader>*-*</AllowedHeader>"), Err("InvalidRequest")),
            (rule("<AllowedHeader>a b</AllowedHeader>"), Err("InvalidRequest")),
            (rule("<ExposeHeader>x-*</ExposeHeader>"), Err("InvalidRequest")),
            (rule("<ExposeHeader>a: b\nc</ExposeHeader>"), Err("InvalidRequest")),
            (rule("<MaxAgeSeconds>-1</MaxAgeSeconds>"), Ok(1)),
            (rule("<MaxAgeSeconds>x</MaxAgeSeconds>"), Err("MalformedXML")),
            (rule(&format!("<ID>{}</ID>", "i".repeat(256))), Err("InvalidRequest")),
            (rule("<Other>x</Other>"), Err("MalformedXML")),
        ];
        for (rules, expected) in table {
            assert_eq!(outcome(&rules).map(|rules| rules.len()), expected, "{rules}");
        }
    }
}
