//! PostObject: a file from a browser's form, allowed by a policy that someone signed before.
//!
//! Guarantees: what the policy does not name must not be in the form, and a policy that names no
//! bucket allows none; the policy's conditions hold before a byte is stored; a field that cannot be
//! kept as it is is refused, not left out. Until the policy's signature holds nobody is known: so
//! few forms are read at once, each within [`FIELDS_WITHIN`]. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>.

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
use crate::object::{Body, NewObject, PutMode};
use crate::web::{self, RequestBody, authenticate_policy, full};

/// All fields before the file: browsers and tools send them at once.
const FIELDS_WITHIN: Duration = Duration::from_secs(10);

/// Fields that need no condition.
const FREE: &[&str] = &["x-amz-signature", "policy", "file", "x-amz-security-token", "submit"];

impl S3Api {
    /// Its own way in: it is the form that is signed, not the request.
    pub(super) async fn post_object(
        &self,
        head: http::request::Parts,
        bucket: String,
        body: RequestBody,
    ) -> HandlerResult {
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let boundary = text(header::CONTENT_TYPE).and_then(boundary);
        let boundary = boundary.ok_or_else(|| {
            S3Error::new(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
                "a POST to a bucket is a multipart/form-data form",
            )
        })?;
        let len_bytes = text(header::CONTENT_LENGTH).and_then(|len| len.parse().ok());
        let len_bytes = len_bytes.ok_or_else(S3Error::length_required)?;
        let mut form = self.fields_in_time(read(body, &boundary, len_bytes)).await?;
        let field = |name: &str| form.fields.get(name).map_or("", String::as_str);
        let fields =
            ["x-amz-algorithm", "x-amz-credential", "x-amz-signature", "policy"].map(field);
        let identity = authenticate_policy(&self.shared.accounts, fields)?;
        self.require_bucket(&bucket)?;
        let place = self.shared.admission.acquire(identity.account_name()).await?;
        form.file = form.file.paced(&place, &self.shared.clock);
        let policy = STANDARD
            .decode(field("policy"))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        let policy: Value = policy.ok_or_else(|| invalid("it is no JSON"))?;
        let key = field("key").replace("${filename}", &form.file_name);
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
        let written =
            self.shared.objects.put(&bucket.as_str().into(), &key.as_str().into(), new).await?;
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
    /// The fields of a form, read in one of the few places for those who are not known yet.
    /// **Errors**: `SlowDown`, `RequestTimeout`, and those of reading.
    async fn fields_in_time(
        &self,
        fields: impl Future<Output = Result<Form, S3Error>>,
    ) -> Result<Form, S3Error> {
        let _place = self.shared.admission.acquire_unauthenticated().await?;
        let late = || {
            web::Error::new(
                web::Kind::RequestTimeout,
                "the fields of the form did not come in time",
            )
        };
        tokio::select! {
            biased;
            form = fields => form,
            () = self.shared.clock.pause(FIELDS_WITHIN) => Err(late().into()),
        }
    }
}

/// Where the answer sends its reader. **Errors**: `InvalidArgument` for what is no URL of http or
/// https: a browser would run a `javascript:` one.
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
    Err(S3Error::invalid("success_action_redirect is no URL that begins with http:// or https://"))
}

fn invalid(what: &str) -> S3Error {
    S3Error::new(
        StatusCode::BAD_REQUEST,
        "InvalidPolicyDocument",
        format!("the policy is not usable: {what}"),
    )
}

fn refused(what: &str) -> S3Error {
    S3Error::new(
        StatusCode::FORBIDDEN,
        "AccessDenied",
        format!("the policy does not allow it: {what}"),
    )
}

/// The fields as the headers that they stand for. **Errors**: `InvalidArgument` for one that can be
/// none.
fn headers(fields: &BTreeMap<String, String>) -> Result<HeaderMap, S3Error> {
    // What the object does not keep may have any form.
    let kept = |name: &str| !matches!(name, "key" | "policy") && !name.starts_with("x-ignore-");
    let header = |(name, value): (&String, &String)| {
        let header = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        header.ok_or_else(|| {
            S3Error::invalid(format!("the field {name:?} cannot be kept with an object"))
        })
    };
    fields.iter().filter(|(name, _)| kept(name)).map(header).collect()
}

/// Whether a text is `YYYY-MM-DDTHH:MM:SS` in UTC, with or without fractions.
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

/// **Errors**: `AccessDenied`, `EntityTooLarge`, `EntityTooSmall`, `InvalidPolicyDocument`.
fn allow(policy: &Value, form: &Form, bucket: &str, now: &str) -> Result<(), S3Error> {
    let until = policy["expiration"].as_str().ok_or_else(|| invalid("it has no expiration"))?;
    // Both are `YYYY-MM-DDTHH:MM:SS…` in UTC, so the text decides.
    if !is_utc(until) {
        return Err(invalid("its expiration is no time in UTC"));
    }
    if until[..19] < now[..19] {
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
            for (name, wanted) in exact {
                let name = name.to_ascii_lowercase();
                if wanted.as_str() != Some(value(&name)) {
                    return Err(refused(&name));
                }
                named.push(name);
            }
            continue;
        }
        let parts: Vec<&Value> =
            condition.as_array().map(|parts| parts.iter().collect()).unwrap_or_default();
        let [kind, one, two] = parts[..] else {
            return Err(invalid("a condition has not three parts"));
        };
        if kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("content-length-range")) {
            let bounds =
                one.as_u64().zip(two.as_u64()).ok_or_else(|| invalid("a length is no number"))?;
            let told = |code| {
                S3Error::new(StatusCode::BAD_REQUEST, code, "the policy wants another length")
            };
            match form.len_bytes {
                len if len < bounds.0 => return Err(told("EntityTooSmall")),
                len if len > bounds.1 => return Err(told("EntityTooLarge")),
                _ => continue,
            }
        }
        let name =
            one.as_str().and_then(|name| name.strip_prefix('$')).map(str::to_ascii_lowercase);
        let (name, wanted) =
            name.zip(two.as_str()).ok_or_else(|| invalid("a condition names no field"))?;
        let holds = match kind.as_str() {
            Some("eq") => value(&name) == wanted,
            Some("starts-with") => value(&name).starts_with(wanted),
            _ => return Err(invalid("a condition is of no known kind")),
        };
        if !holds {
            return Err(refused(&name));
        }
        // S3 matches a bucket exactly; a beginning of its name may be that of every bucket.
        if name != "bucket" || kind == "eq" {
            named.push(name);
        }
    }
    // A policy is signed for a bucket: without one it would be good for every bucket of the
    // account.
    if !named.iter().any(|name| name == "bucket") {
        return Err(refused("it names no bucket"));
    }
    let free = |name: &str| {
        FREE.contains(&name)
            || name.starts_with("x-ignore-")
            || named.iter().any(|known| known == name)
    };
    form.fields.keys().find(|name| !free(name)).map_or(Ok(()), |name| Err(refused(name)))
}
