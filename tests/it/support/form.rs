//! Browser uploads: a POST form with a signed policy.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
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
    let policy =
        policy(expiration, more, &["key", "x-amz-credential", "x-amz-algorithm", "x-amz-date"]);
    let signature = sign_text(ROOT.1, NOW, &policy);
    let fields = [
        ("key", key),
        ("x-amz-credential", &credential),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-date", NOW),
        ("policy", &policy),
        ("x-amz-signature", &signature),
    ];
    request(&fields, more)
}

/// As `form`, with a signature of version 2, as boto3 makes it by default.
pub fn form_v2(key: &str, more: &[(&str, &str)]) -> Request {
    let policy = policy("2023-11-14T23:00:00Z", more, &["key"]);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(ROOT.1.as_bytes()).unwrap();
    mac.update(policy.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let fields =
        [("key", key), ("AWSAccessKeyId", ROOT.0), ("policy", &policy), ("signature", &signature)];
    request(&fields, more)
}

/// A policy that allows these fields with any value.
fn policy(expiration: &str, more: &[(&str, &str)], names: &[&str]) -> String {
    let any = |name: &str| json!(["starts-with", format!("${name}"), ""]);
    let mut conditions: Vec<_> = more.iter().map(|(name, _)| any(name)).collect();
    conditions.push(json!({"bucket": "bucket"}));
    conditions.extend(names.iter().map(|name| any(name)));
    STANDARD.encode(json!({"expiration": expiration, "conditions": conditions}).to_string())
}

fn request(fields: &[(&str, &str)], more: &[(&str, &str)]) -> Request {
    let part = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts: String = fields.iter().chain(more).chain([&("file", "new")]).map(part).collect();
    let request =
        s3("POST", "/bucket").signed_by(None).body(format!("{parts}--b--\r\n").as_bytes());
    request.header("content-type", "multipart/form-data; boundary=b")
}

/// The same form with another end: from the head of the file on.
pub fn with_file(mut form: Request, end: &[u8]) -> Request {
    let text = String::from_utf8_lossy(&form.body).into_owned();
    let (fields, _) =
        text.split_once("--b\r\nContent-Disposition: form-data; name=\"file\"").unwrap();
    form.body = [fields.as_bytes(), b"--b\r\n", end].concat();
    form
}
