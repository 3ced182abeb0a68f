//! New buckets: their document, their headers and the answer.

use crate::support::gateway::{Gateway, settings, start};
use crate::support::request::{Request, s3};

/// Status, code and text of the answer.
async fn outcome(gateway: &Gateway, request: Request) -> (u16, String, String) {
    let response = request.send(gateway).await;
    let code = response.code();
    (response.status, code, String::from_utf8(response.body).unwrap())
}

fn create(bucket: &str, inner: &str) -> Request {
    let document = format!("<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>");
    s3("PUT", &format!("/{bucket}")).body(document.as_bytes())
}

#[tokio::test]
async fn a_bucket_is_created_with_its_tags_and_named_by_its_arn() {
    let gateway = start(settings()).await;
    let tags =
        "<Tags><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value/></Tag></Tags>";
    let response = create("tagged", tags).send(&gateway).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-amz-bucket-arn"), Some("arn:aws:s3:::tagged"));
    let (status, _, text) = outcome(&gateway, s3("GET", "/tagged?tagging")).await;
    assert_eq!(status, 200);
    assert!(
        text.contains("<Key>a</Key><Value>1</Value>") && text.contains("<Key>b</Key>"),
        "{text}"
    );
    assert_eq!(outcome(&gateway, s3("DELETE", "/tagged")).await.0, 204);
    assert_eq!(outcome(&gateway, create("tagged", "")).await.0, 200);
    let (_, code, _) = outcome(&gateway, s3("GET", "/tagged?tagging")).await;
    assert_eq!(code, "NoSuchTagSet", "the tags of the removed bucket");
}

#[tokio::test]
async fn what_a_new_bucket_cannot_have_is_refused_and_creates_nothing() {
    let gateway = start(settings()).await;
    let tag = |name: &str| format!("<Tag><Key>{name}</Key><Value>v</Value></Tag>");
    let tags = |inner: &str| format!("<Tags>{inner}</Tags>");
    let location = |name: &str| format!("<LocationConstraint>{name}</LocationConstraint>");
    let many: String = (0..51).map(|at| tag(&at.to_string())).collect();
    let documents = [
        (tags(&tag("!")), 400, "InvalidTag"),
        (tags(&tag("a").repeat(2)), 400, "InvalidTag"),
        (tags(&many), 400, "BadRequest"),
        (tags("<Tag><Key>a</Key></Tag>"), 400, "MalformedXML"),
        (location(""), 400, "InvalidLocationConstraint"),
        (location("a b"), 400, "InvalidLocationConstraint"),
        (location(&"a".repeat(65)), 400, "InvalidLocationConstraint"),
        ("<Bucket><Type>Directory</Type></Bucket>".to_owned(), 501, "NotImplemented"),
    ];
    for (inner, status, code) in documents {
        let found = outcome(&gateway, create("fresh", &inner)).await;
        assert_eq!((found.0, found.1.as_str()), (status, code), "{inner} {}", found.2);
    }
    let ownership = "x-amz-object-ownership";
    for (name, value, status, code) in [
        (ownership, "x", 400, "InvalidArgument"),
        (ownership, "ObjectWriter", 501, "NotImplemented"),
        (ownership, "BucketOwnerPreferred", 501, "NotImplemented"),
        ("x-amz-acl", "public-read", 400, "InvalidBucketAclWithObjectOwnership"),
        ("x-amz-acl", "x", 400, "InvalidArgument"),
        ("x-amz-bucket-object-lock-enabled", "true", 501, "NotImplemented"),
    ] {
        let found = outcome(&gateway, s3("PUT", "/fresh").header(name, value)).await;
        assert_eq!((found.0, found.1.as_str()), (status, code), "{name}: {value} {}", found.2);
    }
    for name in ["fresh.-label", "fresh-.label", "fr..esh", "Fresh"] {
        let found = outcome(&gateway, create(name, "")).await;
        assert_eq!((found.0, found.1.as_str()), (400, "InvalidBucketName"), "{name}");
    }
    assert_eq!(outcome(&gateway, s3("GET", "/fresh")).await.1, "NoSuchBucket");
    let enforced = s3("PUT", "/fresh").header(ownership, "BucketOwnerEnforced");
    assert_eq!(outcome(&gateway, enforced).await.0, 200);
}

#[tokio::test]
async fn a_location_must_be_the_region_that_a_setting_names() {
    let location = |name: &str| format!("<LocationConstraint>{name}</LocationConstraint>");
    for (region, asked, expected) in [
        (None, "eu-west-1", ""),
        (None, "us-east-1", ""),
        (Some("us-east-1"), "us-east-1", ""),
        (Some("us-east-1"), "eu-west-1", "IllegalLocationConstraintException"),
    ] {
        let mut settings = settings();
        settings.web.region = region.map(str::to_owned);
        let gateway = start(settings).await;
        let (_, code, text) = outcome(&gateway, create("placed", &location(asked))).await;
        assert_eq!(code, expected, "{region:?} {asked} {text}");
        if expected.is_empty() {
            let (_, _, text) = outcome(&gateway, s3("GET", "/")).await;
            assert!(text.contains("<BucketRegion>us-east-1</BucketRegion>"), "{text}");
        }
    }
}
