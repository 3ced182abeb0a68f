//! Preflights, and the headers by which a browser lets a page of another origin read a response.
//!
//! Guarantees: the first rule that allows the request decides: the bucket's own rules, then those
//! of the settings. Only where there is no rule at all is the bucket looked for, so that a refusal
//! says whether it is the bucket or its rules that are missing, as at S3. If the rules of a bucket
//! cannot be read in time, a preflight fails, and another response is sent with what the settings
//! allow. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html>.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http::{StatusCode, request};

use super::super::error::S3Error;
use super::super::route::{self, Target};
use super::super::{HandlerResult, S3Api, empty_reply, validate};
use super::CorsSettings;
use crate::front::envelope::OriginRequest;
use crate::names::Bucket;
use crate::object::{CORS_METHODS, CorsRule, CrossOrigin, StoreError, StoreKind};
use crate::web::Reply;

/// How long a preflight, or a response that is complete, waits for the rules of its bucket.
const RULES_TIMEOUT: Duration = Duration::from_secs(2);

/// On which headers of the request the response depends.
const DEPENDS_ON: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

/// A request by which a browser asks what a page may send.
#[derive(Debug)]
pub struct Preflight {
    pub target: Target,
}

impl S3Api {
    /// **Errors**: `BadRequest`, `AccessForbidden`, those of `require_bucket_without_rules`.
    pub(in super::super) async fn preflight(
        &self,
        preflight: Preflight,
        head: request::Parts,
    ) -> HandlerResult {
        let bad = |message: String| S3Error::new(StatusCode::BAD_REQUEST, "BadRequest", message);
        let origin = text(&head.headers, &ORIGIN).filter(|origin| !origin.is_empty());
        let origin = origin.ok_or_else(|| {
            bad("Insufficient information. Origin request header needed.".to_owned())
        })?;
        let method = text(&head.headers, &ACCESS_CONTROL_REQUEST_METHOD);
        let method = method.filter(|method| CORS_METHODS.contains(method)).ok_or_else(|| {
            bad(format!("Invalid Access-Control-Request-Method: {}", method.unwrap_or("null")))
        })?;
        let asked = head.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let lines: Vec<_> = asked.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let asked: Vec<String> = lines
            .iter()
            .flat_map(|line| line.split(','))
            .map(|name| match HeaderName::from_bytes(name.trim().as_bytes()) {
                Ok(known) => Ok(known.as_str().to_owned()),
                Err(_) if name.trim().is_empty() => Ok(String::new()),
                Err(_) => Err(bad(format!(
                    "Access-Control-Request-Headers \"{name}\" contains invalid character."
                ))),
            })
            .collect::<Result<_, _>>()?;
        let headers: Vec<&str> =
            asked.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let request = CrossOrigin { origin, method, headers: &headers };
        let rules = self.rules(&preflight.target.bucket).await?;
        let mut reply = empty_reply(StatusCode::OK);
        if !allow(&rules, request, &mut reply) {
            let message = if rules.is_empty() && !preflight.target.bucket.is_empty() {
                self.require_bucket_without_rules(&preflight.target.bucket).await?;
                "CORSResponse: CORS is not enabled for this bucket."
            } else {
                "CORSResponse: This CORS request is not allowed. This is usually because the \
                 evalution of Origin, request method / Access-Control-Request-Method or \
                 Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
            };
            let kind = if preflight.target.key.is_empty() { "BUCKET" } else { "OBJECT" };
            return Err(S3Error::new(StatusCode::FORBIDDEN, "AccessForbidden", message)
                .with_element("Method", method)
                .with_element("ResourceType", kind));
        }
        if !headers.is_empty() {
            put(&mut reply, ACCESS_CONTROL_ALLOW_HEADERS, &headers.join(", "));
        }
        Ok(reply)
    }

    /// Adds the headers to the response of a request that has an `Origin`.
    pub(in super::super) async fn share(&self, request: &OriginRequest, reply: &mut Reply) {
        reply.headers_mut().append(VARY, HeaderValue::from_static(DEPENDS_ON));
        if request.method == http::Method::OPTIONS {
            return;
        }
        let domain = self.shared.http.domain.as_deref();
        let target = route::target(request.uri.path(), &request.headers, domain);
        let bucket = target.map(|target| target.bucket).unwrap_or_default();
        let rules = self.rules(&bucket).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the CORS rules of {bucket:?} cannot be read");
            self.rules_of_settings(&bucket)
        });
        let Some(origin) = text(&request.headers, &ORIGIN) else { return };
        // S3 judges a request that names a method by this one.
        let named = text(&request.headers, &ACCESS_CONTROL_REQUEST_METHOD);
        let method = named.unwrap_or(request.method.as_str());
        allow(&rules, CrossOrigin { origin, method, headers: &[] }, reply);
    }

    /// All rules for a bucket, in the order in which they are tried. **Errors**: the store's;
    /// `Unavailable` if it takes too long.
    async fn rules(&self, bucket: &Bucket) -> Result<Vec<CorsRule>, StoreError> {
        let is_bucket = validate::bucket(bucket).is_ok() && !self.shared.objects.reserves(bucket);
        if !is_bucket {
            return Ok(self.rules_of_settings(bucket));
        }
        let own = self.in_time(self.shared.objects.cors_rules(bucket)).await?;
        Ok(own.iter().cloned().chain(self.rules_of_settings(bucket)).collect())
    }

    /// **Errors**: those of `require_bucket`, and `NoSuchBucket`.
    async fn require_bucket_without_rules(&self, bucket: &Bucket) -> Result<(), S3Error> {
        self.require_bucket(bucket)?;
        let exists = self.in_time(self.shared.objects.has_bucket_without_rules(bucket)).await?;
        if exists { Ok(()) } else { Err(S3Error::no_such_bucket(bucket)) }
    }

    /// **Errors**: the store's; `Unavailable` if it takes too long.
    async fn in_time<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            outcome = read => outcome,
            () = self.shared.clock.pause(RULES_TIMEOUT) => {
                let what = "the rules of the bucket were not read in time";
                Err(StoreError::new(StoreKind::Unavailable, what))
            }
        }
    }

    fn rules_of_settings(&self, bucket: &Bucket) -> Vec<CorsRule> {
        let rules = self.settings.cors.iter().filter(|rule| rule.is_for(bucket));
        rules.map(CorsSettings::rule).collect()
    }
}

/// Lets the page read the response if a rule allows its request; false if none does.
fn allow(rules: &[CorsRule], request: CrossOrigin<'_>, reply: &mut Reply) -> bool {
    let found = rules.iter().find_map(|rule| Some((rule, rule.allows(request)?)));
    let Some((rule, pattern)) = found else { return false };
    if pattern == "*" {
        put(reply, ACCESS_CONTROL_ALLOW_ORIGIN, pattern);
    } else {
        put(reply, ACCESS_CONTROL_ALLOW_ORIGIN, request.origin);
        put(reply, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    put(reply, ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
    let exposed = rule.exposed(reply.headers().keys().map(HeaderName::as_str)).join(", ");
    if !exposed.is_empty() {
        put(reply, ACCESS_CONTROL_EXPOSE_HEADERS, &exposed);
    }
    if let Some(seconds) = rule.max_age_s {
        put(reply, ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
    }
    true
}

/// Sets a header; what is no valid value is left out.
fn put(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
