//! Operations on buckets: list, create, head, delete, location, versioning.
//!
//! Guarantees: a sender sees only buckets in which they have a grant.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, StatusCode};

use super::error::S3Error;
use super::xml::{Xml, timestamp};
use super::{
    AuthedRequest, HandlerResult, S3Api, acl, document, empty_reply, location, validate, xml_reply,
};
use crate::accounts::Access;
use crate::names::Bucket;
use crate::web::RequestBody;

const MAX_DOCUMENT: usize = 64 << 10;
const MAX_REGION_BYTES: usize = 64;
const BUCKET_ARN: HeaderName = HeaderName::from_static("x-amz-bucket-arn");
/// The region of all buckets where no setting names another.
const REGION: &str = "us-east-1";

/// The largest page of buckets, and the default.
const MAX_BUCKETS: usize = 10_000;

/// Which buckets are asked for.
struct BucketsQuery<'a> {
    prefix: Option<&'a str>,
    region: Option<&'a str>,
    /// The last bucket of the page before.
    after: Option<String>,
    limit: usize,
}

impl<'a> BucketsQuery<'a> {
    /// **Errors**: `InvalidArgument`.
    fn read(request: &'a AuthedRequest) -> Result<Self, S3Error> {
        let text = |name: &str| request.query.get(name).filter(|text| !text.is_empty());
        let token = text("continuation-token");
        let after = token.map(|token| {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok();
            let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            name.filter(|name| validate::bucket(name).is_ok())
                .ok_or_else(|| S3Error::invalid("The continuation token provided is incorrect"))
        });
        let limit = match text("max-buckets") {
            None => MAX_BUCKETS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_BUCKETS).contains(limit))
                .ok_or_else(|| {
                    let message = "Argument max-buckets must be an integer between 1 and 10000.";
                    S3Error::invalid(message).with_argument("max-buckets", Some(text))
                })?,
        };
        let (prefix, region) = (text("prefix"), text("bucket-region"));
        Ok(Self { prefix, region, after: after.transpose()?, limit })
    }

    fn wants(&self, bucket: &Bucket) -> bool {
        self.prefix.is_none_or(|prefix| bucket.as_str().starts_with(prefix))
            && self.after.as_deref().is_none_or(|after| bucket.as_str() > after)
    }
}

impl S3Api {
    pub(super) async fn list_buckets(&self, request: AuthedRequest) -> HandlerResult {
        let identity = &request.identity;
        let query = BucketsQuery::read(&request)?;
        let mut buckets = self.shared.objects.buckets().await?;
        let region = self.region();
        let in_region = query.region.is_none_or(|asked| asked == region);
        buckets
            .retain(|info| in_region && identity.sees(&info.bucket) && query.wants(&info.bucket));
        let more = buckets.len() > query.limit;
        buckets.truncate(query.limit);
        let mut xml = Xml::new("ListAllMyBucketsResult");
        xml.account("Owner", identity.account_name());
        xml.open("Buckets");
        for info in &buckets {
            xml.open("Bucket").element("Name", &info.bucket);
            xml.element("CreationDate", timestamp(info.created));
            xml.element("BucketRegion", region).close();
        }
        xml.close();
        let last = buckets.last().filter(|_| more);
        xml.maybe(
            "ContinuationToken",
            last.map(|last| URL_SAFE_NO_PAD.encode(last.bucket.as_str())),
        );
        xml.maybe("Prefix", query.prefix);
        Ok(xml_reply(xml.finish()))
    }

    pub(super) async fn create_bucket(
        &self,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        let (identity, bucket) = (request.identity.clone(), request.target.bucket.clone());
        if !identity.allows(Access::Admin, &bucket, "") {
            // Some tools start with CreateBucket whatever their rights are, and only need to know
            // that the bucket exists.
            let exists =
                identity.sees(&bucket) && self.shared.objects.find_bucket(&bucket).await.is_ok();
            return Err(if exists { already_exists(&bucket) } else { S3Error::denied() });
        }
        validate::new_bucket(&bucket)?;
        acl::check_bucket(&request.head.headers)?;
        let with_lock = request.flag("x-amz-bucket-object-lock-enabled")?;
        let document = request.read_document(body, MAX_DOCUMENT).await?;
        let asked = document::bucket_configuration(&document)?;
        asked.location.map_or(Ok(()), |location| self.require_location(&location))?;
        self.shared.objects.create_bucket(&bucket, with_lock, asked.tags).await?;
        let mut reply = empty_reply(StatusCode::OK);
        if let Ok(arn) = HeaderValue::from_str(&format!("arn:aws:s3:::{bucket}")) {
            reply.headers_mut().insert(BUCKET_ARN, arn);
        }
        reply.headers_mut().insert(http::header::LOCATION, location::of_bucket(&bucket));
        Ok(reply)
    }

    /// Checks where a new bucket is to be. Without a setting the gateway is in every region, and
    /// SDKs send the one that they are set to. **Errors**: `InvalidLocationConstraint`,
    /// `IllegalLocationConstraintException`.
    fn require_location(&self, location: &str) -> Result<(), S3Error> {
        let refused = |code, message: String| {
            let error = S3Error::new(StatusCode::BAD_REQUEST, code, message);
            Err(error.with_element("LocationConstraint", location))
        };
        let is_region = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if location.is_empty()
            || location.len() > MAX_REGION_BYTES
            || !location.bytes().all(is_region)
        {
            return refused("InvalidLocationConstraint", "it names no region".to_owned());
        }
        match &self.shared.http.region {
            // Old names of two regions: `EU` is eu-west-1, and `US` is us-east-1.
            Some(region) if region != location && !is_old_name(location, region) => refused(
                "IllegalLocationConstraintException",
                format!(
                    "The {location} location constraint is incompatible for the region specific \
                     endpoint this request was sent to."
                ),
            ),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn head_bucket(&self, request: AuthedRequest) -> HandlerResult {
        self.require_bucket_seen(&request).await?;
        let mut reply = empty_reply(StatusCode::OK);
        let region = HeaderValue::from_str(self.region());
        let region = region.expect("a region is made of letters, digits, dashes and underscores");
        reply.headers_mut().insert("x-amz-bucket-region", region);
        Ok(reply)
    }

    pub(super) async fn delete_bucket(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Admin)?;
        self.shared.objects.delete_bucket(&request.target.bucket).await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    pub(super) async fn bucket_location(&self, request: AuthedRequest) -> HandlerResult {
        self.require_bucket_seen(&request).await?;
        let region = self.region();
        // Empty means us-east-1.
        let constraint = if region == REGION { "" } else { region };
        Ok(xml_reply(Xml::with_text("LocationConstraint", constraint)))
    }

    fn region(&self) -> &str {
        self.shared.http.region.as_deref().unwrap_or(REGION)
    }

    pub(super) async fn bucket_versioning(&self, request: AuthedRequest) -> HandlerResult {
        self.require_bucket_seen(&request).await?;
        let mut xml = Xml::new("VersioningConfiguration");
        if self.shared.objects.keeps_versions(&request.target.bucket).await? {
            xml.element("Status", "Enabled");
        }
        Ok(xml_reply(xml.finish()))
    }

    /// **Errors**: `AccessDenied`, `NoSuchBucket`.
    async fn require_bucket_seen(&self, request: &AuthedRequest) -> Result<(), S3Error> {
        if !request.identity.sees(&request.target.bucket) {
            return Err(S3Error::denied());
        }
        Ok(self.shared.objects.find_bucket(&request.target.bucket).await?)
    }
}

/// Whether a location is the name by which the first clients of S3 knew this region.
fn is_old_name(location: &str, region: &str) -> bool {
    matches!((location, region), ("EU", "eu-west-1") | ("US", "us-east-1"))
}

fn already_exists(bucket: &Bucket) -> S3Error {
    S3Error::new(
        StatusCode::CONFLICT,
        "BucketAlreadyOwnedByYou",
        format!("the bucket {bucket} already exists"),
    )
}
