//! Checks the document of `PUT ?object-lock`.
//!
//! Guarantees: what is no configuration is refused with S3's code for it, whether the bucket can
//! have one or not. It keeps nothing. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLockConfiguration.html>.

use http::StatusCode;

use super::document::elements;
use super::error::S3Error;

const MODES: [&str; 2] = ["COMPLIANCE", "GOVERNANCE"];
/// S3's longest default retention, in days and in years.
const LIMITS: [(&str, i64); 2] = [("Days", 36_500), ("Years", 100)];

/// **Errors**: `MissingRequestBodyError`, `MalformedXML`, `InvalidArgument`.
pub fn check(document: &[u8]) -> Result<(), S3Error> {
    if document.is_empty() {
        let message = "Request Body is empty";
        return Err(S3Error::new(StatusCode::BAD_REQUEST, "MissingRequestBodyError", message));
    }
    let (mut is_enabled, mut has_rule, mut has_mode, mut periods) = (false, false, false, 0);
    for (path, text) in elements(document, "ObjectLockConfiguration")? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = text.trim();
        match path[..] {
            ["ObjectLockEnabled"] if text == "Enabled" && !is_enabled => is_enabled = true,
            ["Rule", "DefaultRetention", "Mode"] if MODES.contains(&text) => has_mode = true,
            ["Rule", "DefaultRetention", name @ ("Days" | "Years")] => {
                periods += 1;
                check_period(name, text)?;
            }
            ["Rule", "DefaultRetention"] => {}
            ["Rule"] if !has_rule => has_rule = true,
            _ => return Err(S3Error::malformed_xml()),
        }
    }
    if is_enabled && (!has_rule || has_mode && periods == 1) {
        Ok(())
    } else {
        Err(S3Error::malformed_xml())
    }
}

/// **Errors**: `MalformedXML`, `InvalidArgument`.
fn check_period(name: &str, text: &str) -> Result<(), S3Error> {
    let period: i64 = text.parse().map_err(|_| S3Error::malformed_xml())?;
    let limit = LIMITS.iter().find(|(known, _)| *known == name);
    let (name, most) = limit.copied().ok_or_else(S3Error::malformed_xml)?;
    let message = match period {
        ..1 => "Default retention period must be a positive integer value.",
        period if period > most => "Default retention period too large.",
        _ => return Ok(()),
    };
    Err(S3Error::invalid(message).with_argument(name, Some(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_configuration_is_refused() {
        let rule =
            |inner: &str| format!("<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>");
        let (on, mode) =
            ("<ObjectLockEnabled>Enabled</ObjectLockEnabled>", "<Mode>GOVERNANCE</Mode>");
        let table = [
            (on.to_owned(), None),
            (format!("{on}{}", rule(&format!("{mode}<Days>1</Days>"))), None),
            (format!("{on}{}", rule(&format!("<Years>100</Years>{mode}"))), None),
            (String::new(), Some("MalformedXML")),
            (rule(&format!("{mode}<Days>1</Days>")), Some("MalformedXML")),
            (on.replace(">Enabled", ">On"), Some("MalformedXML")),
            (format!("{on}{}", rule("<Days>1</Days>")), Some("MalformedXML")),
            (format!("{on}{}", rule("<Mode>x</Mode><Days>1</Days>")), Some("MalformedXML")),
            (format!("{on}{}", rule(mode)), Some("MalformedXML")),
            (
                format!("{on}{}", rule(&format!("{mode}<Days>1</Days><Years>1</Years>"))),
                Some("MalformedXML"),
            ),
            (format!("{on}{}", rule(&format!("{mode}<Days>-1</Days>"))), Some("InvalidArgument")),
            (format!("{on}{}", rule(&format!("{mode}<Years>0</Years>"))), Some("InvalidArgument")),
            (
                format!("{on}{}", rule(&format!("{mode}<Years>101</Years>"))),
                Some("InvalidArgument"),
            ),
            (format!("{on}<Other/>"), Some("MalformedXML")),
        ];
        for (inner, expected) in table {
            let document = format!("<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>");
            let found = check(document.as_bytes()).err().map(|error| error.code);
            assert_eq!(found, expected, "{inner}");
        }
        assert_eq!(check(b"").unwrap_err().code, "MissingRequestBodyError");
        assert_eq!(check(b"x").unwrap_err().code, "MalformedXML");
    }
}
