//! Browser uploads: a POST form with a signed policy.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::gateway::ROOT;
use super::request::{NOW, Request, s3, scope, sign_text};

/// A form that uploads a file to this key in `bucket`, with more fields. Its policy allows all of
/// them.
pub fn form(key: &str, more: &[(&str, &str)]) -> Request {
    form_until("2023-11-14T23:00:00Z", key, more)
}

/// As `form`, with a policy that expires at this time.
pub fn form_until(expiration: &str, key: &str, more: &[(&str, &str)]) -> Request {
    let credential = format!("{}/{}", ROOT.0, scope(NOW));
    let mut conditions: Vec<_> =
        more.iter().map(|(name, _)| json!(["starts-with", format!("${name}"), ""])).collect();
    conditions.push(json!({"bucket": "bucket"}));
    conditions.extend(
        ["key", "x-amz-credential", "x-amz-algorithm"]
            .map(|name| json!(["starts-with", format!("${name}"), ""])),
    );
    let policy =
        STANDARD.encode(json!({"expiration": expiration, "conditions": conditions}).to_string());
    let signature = sign_text(ROOT.1, NOW, &policy);
    let fields = [
        ("key", key),
        ("x-amz-credential", &credential),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("policy", &policy),
        ("x-amz-signature", &signature),
    ];
    let part = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts: String = fields.iter().chain(more).chain([&("file", "new")]).map(part).collect();
    let request =
        s3("POST", "/bucket").signed_by(None).body(format!("{parts}--b--\r\n").as_bytes());
    request.header("content-type", "multipart/form-data; boundary=b")
}
