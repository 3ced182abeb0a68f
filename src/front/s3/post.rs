//! PostObject: uploads a file from an HTML form, allowed by a signed policy in the form.
//!
//! Guarantees: a field that the policy does not name must not be in the form, and a policy that
//! names no bucket allows none; the conditions of the policy are checked before a byte is stored; a
//! field that cannot be stored as it is is refused, not left out. The sender is unknown until the
//! policy is verified, so few forms are read at the same time, each within [`FIELDS_TIMEOUT`].
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::error::S3Error;
use super::form::{Form, boundary, read};
use super::put::written_reply;
use super::xml::{Xml, iso_seconds};
use super::{HandlerResult, S3Api, attributes, validate};
use crate::accounts::Access;
use crate::names::{Bucket, Key};
use crate::object::{Body, NewObject, PutMode};
use crate::web::{self, RequestBody, authenticate_policy, full};

/// How long all fields before the file may take: browsers and tools send them at once.
const FIELDS_TIMEOUT: Duration = Duration::from_secs(10);

/// Fields that need no condition in the policy.
const UNCONDITIONAL_FIELDS: &[&str] =
    &["x-amz-signature", "policy", "file", "x-amz-security-token", "submit"];

impl S3Api {
    /// Authenticates and admits the sender itself: the form is signed, not the request.
    pub(super) async fn post_object(
        &self,
        head: http::request::Parts,
        bucket: Bucket,
        body: RequestBody,
    ) -> HandlerResult {
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let boundary = text(header::CONTENT_TYPE).and_then(boundary);
        let boundary = boundary.ok_or_else(|| {
            S3Error::new(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
                "a POST to a bucket must be a multipart/form-data form",
            )
        })?;
        let len_bytes = text(header::CONTENT_LENGTH).and_then(|len| len.parse().ok());
        let len_bytes = len_bytes.ok_or_else(S3Error::length_required)?;
        let mut form = self.fields_within_timeout(read(body, &boundary, len_bytes)).await?;
        let field = |name: &str| form.fields.get(name).map_or("", String::as_str);
        let fields =
            ["x-amz-algorithm", "x-amz-credential", "x-amz-signature", "policy"].map(field);
        let identity = authenticate_policy(&self.shared.accounts, fields)?;
        self.require_bucket(&bucket)?;
        let permit = self.shared.admission.acquire(identity.account_name()).await?;
        form.file = form.file.throttled(&permit, &self.shared.clock);
        let policy = STANDARD
            .decode(field("policy"))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        let policy: Value = policy.ok_or_else(|| invalid("it is not JSON"))?;
        let key = Key::from(field("key").replace("${filename}", &form.file_name));
        validate::key(&key)?;
        if key.is_empty() {
            return Err(S3Error::invalid("the form has no key"));
        }
        let now = iso_seconds(self.shared.clock.wall());
        allow(&policy, &form, &bucket, &now)?;
        if !identity.allows(Access::Write, &bucket, &key) {
            return Err(S3Error::denied());
        }
        let headers = headers(&form.fields)?;
        let attributes = attributes::read(&headers)?;
        let (status, redirect) = (field("success_action_status").to_owned(), redirect(&headers)?);
        let body = Body::new(form.len_bytes, form.file);
        let new = NewObject {
            body,
            mode: PutMode::Overwrite,
            attributes,
            sha256: None,
            checksum: None,
            trailer: None,
        };
        let written = self.shared.objects.put(&bucket, &key, new).await?;
        let mut reply = written_reply(&written);
        *reply.status_mut() = match (&redirect, status.as_str()) {
            (Some(_), _) => StatusCode::SEE_OTHER,
            (None, "200") => StatusCode::OK,
            (None, "201") => StatusCode::CREATED,
            (None, _) => StatusCode::NO_CONTENT,
        };
        if let Some(redirect) = redirect {
            reply.headers_mut().insert(header::LOCATION, redirect);
        }
        if reply.status() == StatusCode::CREATED {
            let mut xml = Xml::new("PostResponse");
            xml.element("Location", format!("/{bucket}/{key}"))
                .element("Bucket", &bucket)
                .element("Key", &key);
            xml.element("ETag", format!("\"{}\"", written.etag));
            *reply.body_mut() = full(xml.finish());
            reply
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        Ok(reply)
    }
}

impl S3Api {
    /// Reads the fields of a form with a permit for unauthenticated requests. **Errors**:
    /// `SlowDown`, `RequestTimeout`, and those of `fields`.
    async fn fields_within_timeout(
        &self,
        fields: impl Future<Output = Result<Form, S3Error>>,
    ) -> Result<Form, S3Error> {
        let _permit = self.shared.admission.acquire_unauthenticated().await?;
        let timeout = || {
            web::Error::new(
                web::Kind::RequestTimeout,
                "the fields of the form did not arrive in time",
            )
        };
        tokio::select! {
            biased;
            form = fields => form,
            () = self.shared.clock.pause(FIELDS_TIMEOUT) => Err(timeout().into()),
        }
    }
}

/// The URL that the response redirects to. **Errors**: `InvalidArgument` unless it is an http or
/// https URL: a browser would run a `javascript:` URL.
fn redirect(headers: &HeaderMap) -> Result<Option<HeaderValue>, S3Error> {
    let Some(value) = headers.get("success_action_redirect").filter(|value| !value.is_empty())
    else {
        return Ok(None);
    };
    let uri = value.to_str().ok().and_then(|text| text.parse::<http::Uri>().ok());
    let fits =
        |uri: http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    if uri.is_some_and(fits) {
        return Ok(Some(value.clone()));
    }
    Err(S3Error::invalid(
        "success_action_redirect must be a URL that begins with http:// or https://",
    ))
}

fn invalid(what: &str) -> S3Error {
    S3Error::new(
        StatusCode::BAD_REQUEST,
        "InvalidPolicyDocument",
        format!("the policy is invalid: {what}"),
    )
}

fn refused(what: &str) -> S3Error {
    S3Error::new(
        StatusCode::FORBIDDEN,
        "AccessDenied",
        format!("the policy does not allow it: {what}"),
    )
}

/// The fields as the headers that they stand for. **Errors**: `InvalidArgument` for a field that is
/// no valid header.
fn headers(fields: &BTreeMap<String, String>) -> Result<HeaderMap, S3Error> {
    // Fields that are not stored with the object may have any form.
    let is_stored =
        |name: &str| !matches!(name, "key" | "policy") && !name.starts_with("x-ignore-");
    let header = |(name, value): (&String, &String)| {
        let header = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        header.ok_or_else(|| {
            S3Error::invalid(format!("the field {name:?} cannot be stored with an object"))
        })
    };
    fields.iter().filter(|(name, _)| is_stored(name)).map(header).collect()
}

/// Whether a text is `YYYY-MM-DDTHH:MM:SSZ`, with or without a fraction of the second.
fn is_utc(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        0..=18 => byte.is_ascii_digit(),
        _ => byte.is_ascii_digit() || byte == b'.' || byte == b'Z',
    };
    text.len() >= 20 && text.ends_with('Z') && text.bytes().enumerate().all(fits)
}

/// Checks that the policy allows the form. **Errors**: `AccessDenied`, `EntityTooLarge`,
/// `EntityTooSmall`, `InvalidPolicyDocument`.
fn allow(policy: &Value, form: &Form, bucket: &Bucket, now: &str) -> Result<(), S3Error> {
    let expiration =
        policy["expiration"].as_str().ok_or_else(|| invalid("it has no expiration"))?;
    // Both are `YYYY-MM-DDTHH:MM:SS…` in UTC, so texts compare like times.
    if !is_utc(expiration) {
        return Err(invalid("its expiration is not a time in UTC"));
    }
    if expiration[..19] < now[..19] {
        return Err(refused("it is expired"));
    }
    let mut named: Vec<String> = Vec::new();
    let value = |name: &str| {
        if name == "bucket" { bucket } else { form.fields.get(name).map_or("", String::as_str) }
    };
    for condition in
        policy["conditions"].as_array().ok_or_else(|| invalid("it has no conditions"))?
    {
        if let Some(exact) = condition.as_object() {
            for (name, expected) in exact {
                let name = name.to_ascii_lowercase();
                if expected.as_str() != Some(value(&name)) {
                    return Err(refused(&name));
                }
                named.push(name);
            }
            continue;
        }
        let parts: Vec<&Value> =
            condition.as_array().map(|parts| parts.iter().collect()).unwrap_or_default();
        let [kind, one, two] = parts[..] else {
            return Err(invalid("a condition does not have three parts"));
        };
        if kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("content-length-range")) {
            let bounds = one
                .as_u64()
                .zip(two.as_u64())
                .ok_or_else(|| invalid("a length is not a number"))?;
            let wrong_length = |code| {
                let message = "the policy does not allow a file of this length";
                S3Error::new(StatusCode::BAD_REQUEST, code, message)
            };
            match form.len_bytes {
                len if len < bounds.0 => return Err(wrong_length("EntityTooSmall")),
                len if len > bounds.1 => return Err(wrong_length("EntityTooLarge")),
                _ => continue,
            }
        }
        let name =
            one.as_str().and_then(|name| name.strip_prefix('$')).map(str::to_ascii_lowercase);
        let (name, operand) =
            name.zip(two.as_str()).ok_or_else(|| invalid("a condition names no field"))?;
        let holds = match kind.as_str() {
            Some("eq") => value(&name) == operand,
            Some("starts-with") => value(&name).starts_with(operand),
            _ => return Err(invalid("a condition is of an unknown kind")),
        };
        if !holds {
            return Err(refused(&name));
        }
        // A bucket must be matched exactly, as S3 does: a prefix could be that of every bucket.
        if name != "bucket" || kind == "eq" {
            named.push(name);
        }
    }
    // Without a bucket, the policy would allow uploads to every bucket of the account.
    if !named.iter().any(|name| name == "bucket") {
        return Err(refused("it names no bucket"));
    }
    let is_allowed = |name: &str| {
        UNCONDITIONAL_FIELDS.contains(&name)
            || name.starts_with("x-ignore-")
            || named.iter().any(|known| known == name)
    };
    form.fields.keys().find(|name| !is_allowed(name)).map_or(Ok(()), |name| Err(refused(name)))
}
