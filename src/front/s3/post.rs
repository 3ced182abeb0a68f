//! PostObject: uploads a file from an HTML form, allowed by a signed policy in the form.
//!
//! Guarantees: the policy is checked before a byte is stored; a field that stands for a header of
//! PutObject does what that header does, or is refused as it is. The sender is unknown until the
//! policy is verified, so few forms are read at the same time, each within [`FIELDS_TIMEOUT`].
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request};
use http_body::Frame;
use http_body_util::StreamBody;
use percent_encoding::utf8_percent_encode;

use super::error::S3Error;
use super::form::{Form, boundary, is_form, malformed, read};
use super::form_file::{MAX_TAIL_BYTES, require_possible_length};
use super::policy::{self, Posted};
use super::put::{MAX_BYTES, write_checksum, written_reply};
use super::route::S3Operation;
use super::xml::{Xml, iso_seconds};
use super::{
    HandlerResult, S3Api, attributes, checksums, conditions, location, payload_error,
    require_owner, tagging, validate, vocabulary,
};
use crate::accounts::{Access, Identity};
use crate::front::envelope::Shared;
use crate::names::{Bucket, Key};
use crate::object::{Body, NewObject, StoreKind};
use crate::sigv4::{PolicySignature, PolicyVersion, URI_COMPONENT};
use crate::web::{
    self, AccessLog, Declared, Payload, PayloadSignature, RequestBody, authenticate_policy, full,
};

/// How long all fields before the file may take: browsers and tools send them at once.
const FIELDS_TIMEOUT: Duration = Duration::from_secs(10);

impl S3Api {
    /// Authenticates and admits the sender itself: the form is signed, not the request.
    pub(super) async fn post_object(
        &self,
        head: request::Parts,
        bucket: Bucket,
        body: RequestBody,
        log: &mut AccessLog,
    ) -> HandlerResult {
        let form = self.form_of(&head, body).await?;
        let identity = self.sender(&form.fields)?;
        log.account = Some(identity.account_name().clone());
        self.require_bucket(&bucket)?;
        let permit = self.shared.admission.acquire(identity.account_name()).await?;
        let (key, lengths) = self.require_allowed(&form, &bucket, &identity)?;
        let headers = headers_of(&form.fields)?;
        vocabulary::check_headers(S3Operation::PostObject, &headers)?;
        require_owner(&headers, "x-amz-expected-bucket-owner", &identity)?;
        let mode = conditions::write_mode(&headers)?;
        let attributes = attributes::read(&headers)?;
        self.shared.objects.require_server_side(&bucket, &attributes).await?;
        let success = Success::read(&form.fields)?;
        let (file, refusal) = form.file.limited(lengths);
        let declared = declared(&headers)?;
        let made = checksums::to_be_made(&headers, &declared)?;
        self.require_made(made)?;
        let (sha256, checksum) = (declared.sha256, declared.checksum.clone());
        let Shared { clock, http, .. } = &self.shared;
        let file = StreamBody::new(file.map_ok(Frame::data));
        // The limit of the rate is out here: the file is then not polled while it waits for that,
        // and its client does not time out.
        let file = RequestBody::new(file, clock.clone(), http).throttled(&permit, clock);
        log.permit = Some(permit);
        let (payload, outcome) = Payload::new(declared, &PayloadSignature::unsigned(), file);
        let (least, most) = form.len_bytes.into_inner();
        let body = Body::verified(most, payload).with_slack(most - least);
        let new = NewObject { body, mode, attributes, sha256, checksum, made };
        let written = match self.shared.objects.put(&bucket, &key, new).await {
            Ok(written) => written,
            Err(error) => {
                let refused = refusal.get().or_else(|| outcome.refusal().map(S3Error::from));
                return Err(match (refused, error.kind()) {
                    (Some(refused), _) => refused,
                    (None, StoreKind::Body) => payload_error(&outcome),
                    (None, _) => error.into(),
                });
            }
        };
        let mut reply = written_reply(&written);
        write_checksum(&outcome, &written, &mut reply);
        let url = location::of_object(&head, &bucket, &key, &self.shared.http);
        success.write(&mut reply, &url, (&bucket, &key), &written.etag.0);
        Ok(reply)
    }

    /// The form up to its file. **Errors**: `PreconditionFailed` where it is none;
    /// `MalformedPOSTRequest`, `MissingContentLength`, `EntityTooLarge`, and those of
    /// `fields_within_timeout`.
    async fn form_of(&self, head: &request::Parts, body: RequestBody) -> Result<Form, S3Error> {
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
        if !is_form(content_type) {
            let what = "Bucket POST must be of the enclosure-type multipart/form-data";
            return Err(S3Error::precondition().with_element("Condition", what));
        }
        let boundary =
            boundary(content_type).ok_or_else(|| malformed("its boundary is missing"))?;
        let len_bytes = text(header::CONTENT_LENGTH).and_then(|len| len.parse().ok());
        let len_bytes = len_bytes.ok_or_else(S3Error::length_required)?;
        let form = self.fields_within_timeout(read(body, &boundary, len_bytes)).await?;
        require_possible_length(&form.len_bytes, &(0..=MAX_BYTES))?;
        Ok(form)
    }

    /// The account that signed the policy. **Errors**: `AccessDenied` without any signature;
    /// `InvalidArgument` where one of its fields is missing; those of `authenticate_policy`.
    fn sender(&self, fields: &BTreeMap<String, String>) -> Result<Identity, S3Error> {
        let has = |name: &str| fields.contains_key(name);
        let field =
            |name: &'static str| fields.get(name).map(String::as_str).ok_or_else(|| missing(name));
        let v4 = ["x-amz-algorithm", "x-amz-credential", "x-amz-signature", "x-amz-date"];
        let version = if v4.into_iter().any(has) {
            let (algorithm, credential) = (field("x-amz-algorithm")?, field("x-amz-credential")?);
            PolicyVersion::V4 { algorithm, credential, date: field("x-amz-date")? }
        } else if ["awsaccesskeyid", "signature", "policy"].into_iter().any(has) {
            PolicyVersion::V2 { access_key_id: field("awsaccesskeyid")? }
        } else {
            return Err(web::Error::new(web::Kind::Unsigned, "the form is not signed").into());
        };
        let signature = match version {
            PolicyVersion::V4 { .. } => field("x-amz-signature")?,
            PolicyVersion::V2 { .. } => field("signature")?,
        };
        let claim = PolicySignature { version, signature, policy: field("policy")? };
        let token = fields.get("x-amz-security-token").map(String::as_str);
        Ok(authenticate_policy(&self.shared.accounts, claim, token, &self.shared.http)?)
    }

    /// The key, and the lengths that the file may have. **Errors**: those of the policy;
    /// `InvalidArgument` without a key; `EntityTooSmall`, `EntityTooLarge`; `AccessDenied`.
    fn require_allowed(
        &self,
        form: &Form,
        bucket: &Bucket,
        identity: &Identity,
    ) -> Result<(Key, RangeInclusive<u64>), S3Error> {
        let field = |name: &str| form.fields.get(name).map(String::as_str).unwrap_or_default();
        let policy = policy::parse(field("policy"))?;
        let key = Key::from(field("key"));
        validate::key(&key)?;
        if key.is_empty() {
            return Err(missing("key"));
        }
        let now = iso_seconds(self.shared.clock.wall());
        let posted = Posted { fields: &form.fields, bucket, now: &now };
        let lengths = policy::allow(&policy, posted)?;
        // What no length of the file can mend is refused before a byte of it is read. A short file
        // costs nothing: at its end, the refusal tells its length.
        if *form.len_bytes.end() > MAX_TAIL_BYTES {
            require_possible_length(&form.len_bytes, &lengths)?;
        }
        if !identity.allows(Access::Write, bucket, &key) {
            return Err(S3Error::denied());
        }
        Ok((key, *lengths.start()..=(*lengths.end()).min(MAX_BYTES)))
    }

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

/// With two spaces between its sentences, as in S3.
fn missing(name: &'static str) -> S3Error {
    let failure = S3Error::invalid(format!(
        "Bucket POST must contain a field named '{name}'.  If it is specified, please check the \
         order of the fields."
    ));
    failure.with_argument(name, None)
}

/// The header of PutObject that a field stands for. None: it stands for none, because it is of the
/// form itself, or because the framing of a request is no matter of a form.
fn header_name(field: &str) -> Option<&str> {
    match field {
        "acl" => Some("x-amz-acl"),
        "tagging" => Some("x-amz-tagging"),
        "key"
        | "policy"
        | "signature"
        | "awsaccesskeyid"
        | "bucket"
        | "file"
        | "submit"
        | "redirect"
        | "success_action_redirect"
        | "success_action_status"
        | "content-length"
        | "transfer-encoding"
        | "x-amz-signature"
        | "x-amz-credential"
        | "x-amz-algorithm"
        | "x-amz-date"
        | "x-amz-security-token"
        | "x-amz-content-sha256"
        | "x-amz-decoded-content-length" => None,
        name if name.starts_with("x-ignore-") => None,
        name => Some(name),
    }
}

/// The fields as the headers that they stand for. **Errors**: `InvalidArgument` for a field that is
/// no valid header; `NotImplemented` for one that makes a PutObject another operation.
fn headers_of(fields: &BTreeMap<String, String>) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::new();
    for (field, value) in fields {
        let Some(name) = header_name(field) else { continue };
        if matches!(name, "x-amz-copy-source" | "x-amz-trailer") {
            return Err(S3Error::not_implemented(&format!("the field {field:?} of a form")));
        }
        let value = if field == "tagging" {
            let tags = tagging::of_document(value.as_bytes(), tagging::Tagged::Object)?;
            HeaderValue::from_str(&tags.to_query())
        } else {
            HeaderValue::from_str(value)
        };
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(value.ok());
        let (name, value) = header.ok_or_else(|| {
            S3Error::invalid(format!("the field {field:?} cannot be stored with an object"))
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What the fields declare of the file. **Errors**: those of `Declared::read`.
fn declared(headers: &HeaderMap) -> Result<Declared, S3Error> {
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.headers.clone_from(headers);
    Ok(Declared::read(&head, &PayloadSignature::unsigned())?)
}

/// How success is answered.
struct Success {
    status: StatusCode,
    redirect: Option<String>,
}

impl Success {
    /// **Errors**: `InvalidArgument` unless a redirect goes to an http or https URL: a browser
    /// would run a `javascript:` URL.
    fn read(fields: &BTreeMap<String, String>) -> Result<Self, S3Error> {
        let field = |name: &str| fields.get(name).filter(|value| !value.is_empty());
        let redirect = field("success_action_redirect").or_else(|| field("redirect"));
        let fits = |text: &String| {
            text.parse::<http::Uri>().is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
            })
        };
        if !redirect.is_none_or(fits) {
            return Err(S3Error::invalid(
                "success_action_redirect must be a URL that begins with http:// or https://",
            ));
        }
        let status = match field("success_action_status").map(String::as_str) {
            _ if redirect.is_some() => StatusCode::SEE_OTHER,
            Some("200") => StatusCode::OK,
            Some("201") => StatusCode::CREATED,
            _ => StatusCode::NO_CONTENT,
        };
        Ok(Self { status, redirect: redirect.cloned() })
    }

    /// `url` is that of the object.
    fn write(&self, reply: &mut web::Reply, url: &str, (bucket, key): (&Bucket, &Key), etag: &str) {
        *reply.status_mut() = self.status;
        let location = match &self.redirect {
            Some(redirect) => with_object(redirect, bucket, key, etag),
            None => url.to_owned(),
        };
        if let Ok(location) = HeaderValue::from_str(&location) {
            reply.headers_mut().insert(header::LOCATION, location);
        }
        if self.status == StatusCode::CREATED {
            let mut xml = Xml::new("PostResponse");
            xml.element("Location", url).element("Bucket", bucket).element("Key", key);
            xml.element("ETag", format!("\"{etag}\""));
            *reply.body_mut() = full(xml.finish());
            let kind = HeaderValue::from_static("application/xml");
            reply.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
    }
}

/// The URL to which a form redirects, with the object in its query.
fn with_object(redirect: &str, bucket: &Bucket, key: &Key, etag: &str) -> String {
    let (url, fragment) = match redirect.split_once('#') {
        Some((url, fragment)) => (url, format!("#{fragment}")),
        None => (redirect, String::new()),
    };
    let separator = if url.contains('?') { '&' } else { '?' };
    let key = utf8_percent_encode(key.as_str(), URI_COMPONENT);
    format!("{url}{separator}bucket={bucket}&key={key}&etag=%22{etag}%22{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_names_the_object_in_its_query() {
        let (bucket, key) = (Bucket::from("b"), Key::from("a/ä&"));
        for (redirect, expected) in [
            ("http://h/done", "http://h/done?bucket=b&key=a%2F%C3%A4%26&etag=%22e%22"),
            ("http://h/?x=y#z", "http://h/?x=y&bucket=b&key=a%2F%C3%A4%26&etag=%22e%22#z"),
        ] {
            assert_eq!(with_object(redirect, &bucket, &key, "e"), expected);
        }
    }
}
