//! Settings that nobody set: what S3 answers to a read, to a value that applies anyway, and to a
//! removal; on a store that has no such settings.

use crate::support::gateway::{Gateway, READER, settings, start};
use crate::support::request::{Request, s3};

async fn outcome(gateway: &Gateway, request: Request) -> (u16, String, String) {
    let response = request.send(gateway).await;
    let code = response.code();
    (response.status, code, String::from_utf8(response.body).unwrap())
}

/// Subresources, and the code of a 404 or a text of the document.
const READS: &[(&str, Result<&str, &str>)] = &[
    ("acl", Ok("<Permission>FULL_CONTROL</Permission>")),
    ("policy", Err("NoSuchBucketPolicy")),
    ("policyStatus", Err("NoSuchBucketPolicy")),
    ("lifecycle", Err("NoSuchLifecycleConfiguration")),
    ("tagging", Err("NoSuchTagSet")),
    ("cors", Err("NoSuchCORSConfiguration")),
    ("website", Err("NoSuchWebsiteConfiguration")),
    ("encryption", Err("ServerSideEncryptionConfigurationNotFoundError")),
    ("object-lock", Err("ObjectLockConfigurationNotFoundError")),
    ("ownershipControls", Ok("<ObjectOwnership>BucketOwnerEnforced<")),
    ("publicAccessBlock", Err("NoSuchPublicAccessBlockConfiguration")),
    ("logging", Ok("<BucketLoggingStatus ")),
    ("notification", Ok("<NotificationConfiguration ")),
    ("replication", Err("ReplicationConfigurationNotFoundError")),
    ("requestPayment", Ok("<Payer>BucketOwner</Payer>")),
    ("accelerate", Ok("<AccelerateConfiguration ")),
    ("versioning", Ok("<VersioningConfiguration ")),
    ("location", Ok("<LocationConstraint ")),
    ("analytics", Ok("<ListBucketAnalyticsConfigurationResult ")),
    ("analytics&id=a", Err("NoSuchConfiguration")),
    ("intelligent-tiering", Ok("<ListBucketIntelligentTieringConfigurationsOutput ")),
    ("inventory", Ok("<ListInventoryConfigurationsResult ")),
    ("inventory&id=a", Err("NoSuchConfiguration")),
    ("metrics", Ok("<ListMetricsConfigurationsResult ")),
];

#[tokio::test]
async fn a_read_of_what_nobody_set_has_the_answer_of_s3() {
    let gateway = start(settings()).await;
    s3("PUT", "/bucket/k").body(b"x").send(&gateway).await;
    for (name, expected) in READS {
        let (status, code, text) = outcome(&gateway, s3("GET", &format!("/bucket?{name}"))).await;
        match expected {
            Ok(part) => assert!(status == 200 && text.contains(part), "{name}: {status} {text}"),
            Err(expected) => assert_eq!((status, code.as_str()), (404, *expected), "{name}"),
        }
        let (status, code, _) = outcome(&gateway, s3("GET", &format!("/missing?{name}"))).await;
        assert_eq!((status, code.as_str()), (404, "NoSuchBucket"), "{name}");
        let unseen = s3("GET", &format!("/missing?{name}")).signed_by(Some(READER));
        if !["location", "versioning"].contains(name) {
            assert_eq!(outcome(&gateway, unseen).await.0, 403, "{name}");
        }
    }
    for (name, status, expected) in [
        ("acl", 200, "<Owner><ID>root</ID>"),
        ("tagging", 200, "<TagSet></TagSet>"),
        ("retention", 400, "<Code>InvalidRequest</Code>"),
        ("legal-hold", 400, "<Code>InvalidRequest</Code>"),
        ("torrent", 501, "<Code>NotImplemented</Code>"),
        ("acl&versionId=null", 200, "<Owner>"),
        ("acl&versionId=v", 404, "<Code>NoSuchVersion</Code>"),
    ] {
        let (found, _, text) = outcome(&gateway, s3("GET", &format!("/bucket/k?{name}"))).await;
        assert!(found == status && text.contains(expected), "{name}: {found} {text}");
        if !name.contains('v') && name != "torrent" {
            let (_, code, _) = outcome(&gateway, s3("GET", &format!("/bucket/no?{name}"))).await;
            assert_eq!(code, "NoSuchKey", "{name}");
        }
    }
}

#[tokio::test]
async fn a_value_that_applies_is_accepted_and_any_other_is_refused_by_name() {
    let gateway = start(settings()).await;
    s3("PUT", "/bucket/k").body(b"x").send(&gateway).await;
    let private = "<AccessControlPolicy><Owner><ID>root</ID></Owner><AccessControlList><Grant>\
                   <Grantee><ID>root</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>\
                   </AccessControlList></AccessControlPolicy>";
    let public = private.replace("<ID>root</ID></Grantee>", "<URI>all</URI></Grantee>");
    let ownership = |kind: &str| {
        format!(
            "<OwnershipControls><Rule><ObjectOwnership>{kind}</ObjectOwnership></Rule></OwnershipControls>"
        )
    };
    let payer = |who: &str| {
        format!("<RequestPaymentConfiguration><Payer>{who}</Payer></RequestPaymentConfiguration>")
    };
    let versioning = |status: &str| {
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>")
    };
    let lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
                </ObjectLockConfiguration>";
    let table: Vec<(&str, String, u16, &str)> = vec![
        ("/bucket?acl", private.to_owned(), 200, ""),
        ("/bucket/k?acl", private.to_owned(), 200, ""),
        ("/bucket/k?acl", public, 400, "AccessControlListNotSupported"),
        ("/bucket/k?acl", "<x/>".to_owned(), 400, "MalformedACLError"),
        ("/bucket/k?acl", String::new(), 400, "MissingSecurityHeader"),
        ("/bucket?requestPayment", payer("BucketOwner"), 200, ""),
        ("/bucket?requestPayment", payer("Requester"), 501, "NotImplemented"),
        ("/bucket?requestPayment", payer("x"), 400, "MalformedXML"),
        ("/bucket?logging", "<BucketLoggingStatus/>".to_owned(), 200, ""),
        (
            "/bucket?logging",
            "<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>".to_owned(),
            501,
            "NotImplemented",
        ),
        ("/bucket?notification", "<NotificationConfiguration/>".to_owned(), 200, ""),
        ("/bucket?ownershipControls", ownership("BucketOwnerEnforced"), 200, ""),
        ("/bucket?ownershipControls", ownership("ObjectWriter"), 501, "NotImplemented"),
        ("/bucket?policy", "{}".to_owned(), 501, "NotImplemented"),
        ("/bucket?lifecycle", "<LifecycleConfiguration/>".to_owned(), 501, "NotImplemented"),
        ("/bucket?ownershipControls", ownership("x"), 400, "MalformedXML"),
        ("/bucket?object-lock", "<ObjectLockConfiguration/>".to_owned(), 400, "MalformedXML"),
        ("/bucket?object-lock", String::new(), 400, "MissingRequestBodyError"),
        ("/bucket?object-lock", lock.to_owned(), 409, "InvalidBucketState"),
        ("/missing?object-lock", lock.to_owned(), 404, "NoSuchBucket"),
        ("/bucket?versioning", versioning("Enabled"), 501, "NotImplemented"),
        ("/bucket?versioning", versioning("Suspended"), 501, "NotImplemented"),
        ("/bucket?versioning", versioning("x"), 400, "MalformedXML"),
        ("/missing?versioning", versioning("Enabled"), 404, "NoSuchBucket"),
        ("/bucket?tagging", "x".repeat((1 << 20) + 1), 400, "MaxMessageLengthExceeded"),
        ("/bucket/k?retention", "<Retention/>".to_owned(), 400, "InvalidRequest"),
        ("/bucket/k?legal-hold", "<LegalHold/>".to_owned(), 400, "InvalidRequest"),
        ("/missing?requestPayment", payer("BucketOwner"), 404, "NoSuchBucket"),
    ];
    for (target, document, status, expected) in table {
        let request = s3("PUT", target).body(document.as_bytes());
        let (found, code, text) = outcome(&gateway, request).await;
        assert_eq!((found, code.as_str()), (status, expected), "{target} {text}");
    }
    for (acl, status) in [("private", 200), ("public-read", 400), ("bogus", 400)] {
        let request = s3("PUT", "/bucket/k?acl").header("x-amz-acl", acl);
        assert_eq!(outcome(&gateway, request).await.0, status, "{acl}");
    }
    let grant = s3("PUT", "/bucket/k?acl").header("x-amz-grant-read", "id=x");
    assert!(outcome(&gateway, grant.clone()).await.2.contains("x-amz-grant-read"));
    let both = grant.header("x-amz-acl", "private");
    assert_eq!(outcome(&gateway, both).await.1, "InvalidRequest");
    let twice = s3("PUT", "/bucket?acl").header("x-amz-acl", "private").body(private.as_bytes());
    assert_eq!(outcome(&gateway, twice).await.1, "UnexpectedContent");
}

#[tokio::test]
async fn kept_settings_are_given_back_and_removed() {
    let gateway = start(settings()).await;
    let ownership = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced\
                     </ObjectOwnership></Rule></OwnershipControls>";
    let block = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
                 <IgnorePublicAcls>FALSE</IgnorePublicAcls></PublicAccessBlockConfiguration>";
    for (name, document, part) in [
        ("ownershipControls", ownership, "<ObjectOwnership>BucketOwnerEnforced<"),
        (
            "publicAccessBlock",
            block,
            "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls>",
        ),
    ] {
        let target = format!("/bucket?{name}");
        let put = s3("PUT", &target).body(document.as_bytes());
        assert_eq!(outcome(&gateway, put).await.0, 200, "{name}");
        let (status, _, text) = outcome(&gateway, s3("GET", &target)).await;
        assert!(status == 200 && text.contains(part), "{name}: {text}");
        assert_eq!(outcome(&gateway, s3("DELETE", &target)).await.0, 204, "{name}");
        assert_eq!(outcome(&gateway, s3("GET", &target)).await.0, 404, "{name}");
    }
    let bad = s3("PUT", "/bucket?publicAccessBlock")
        .body(b"<PublicAccessBlockConfiguration><X>true</X></PublicAccessBlockConfiguration>");
    assert_eq!(outcome(&gateway, bad).await.1, "MalformedXML");
    for name in ["policy", "lifecycle", "encryption", "website", "replication", "tagging", "cors"] {
        let delete = s3("DELETE", &format!("/bucket?{name}"));
        assert_eq!(outcome(&gateway, delete).await.0, 204, "{name}");
        let delete = s3("DELETE", &format!("/missing?{name}"));
        assert_eq!(outcome(&gateway, delete).await.1, "NoSuchBucket", "{name}");
    }
    let delete = s3("DELETE", "/bucket?analytics&id=a");
    assert_eq!(outcome(&gateway, delete).await.1, "NoSuchConfiguration");
}
