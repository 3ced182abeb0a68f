//! A grant, and with it the store key that the gateway signs with, reaches no further than buckets
//! and keys.

use serde_json::json;

use super::{NARROW, ROOT, Setup, WIDE, setups};

/// A tar of one file, `theirs/planted`, as `tar` makes it.
fn tar() -> Vec<u8> {
    let mut block = [0_u8; 512];
    block[..14].copy_from_slice(b"theirs/planted");
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(b"00000000007\0");
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = block.to_vec();
    let mut content = [0_u8; 512];
    content[..7].copy_from_slice(b"planted");
    tar.extend_from_slice(&content);
    tar.extend_from_slice(&[0; 1024]);
    tar
}

/// The refusal of a bucket name that S3 servers reserve. On a directory the name is not reserved,
/// and the bucket does not exist.
pub fn refusal_of_reserved_name(setup: &Setup) -> (u16, &'static str) {
    if setup.store == "dir" { (404, "NoSuchBucket") } else { (400, "InvalidBucketName") }
}

#[tokio::test]
async fn no_account_reaches_the_administration_api_of_the_store() {
    let home = tempfile::tempdir().unwrap();
    let mut requests = 0;
    for setup in setups(home.path()).await {
        let expected = refusal_of_reserved_name(&setup);
        let targets = [
            ("GET", "/minio/admin/v3/export-iam"),
            ("GET", "/minio/admin/v3/info"),
            ("PUT", "/minio/admin/v3/add-user?accessKey=evil"),
            ("POST", "/minio/admin/v3/service?action=stop&type=2"),
            ("GET", "/minio/v2/metrics/cluster"),
            ("GET", "/minio/health/live"),
            ("GET", "/minio?list-type=2"),
            ("GET", "/minio"),
            ("POST", "/minio?delete"),
            ("DELETE", "/minio"),
            ("PUT", "/minio/admin/v3/k?tagging"),
            ("GET", "/admin/user?uid=evil"),
            ("PUT", "/admin/user?uid=evil"),
            ("GET", "/admin"),
            ("GET", "/minio%2Fadmin%2Fv3%2Finfo"),
            ("GET", "/%6Dinio/admin/v3/info"),
        ];
        for key in [WIDE, ROOT] {
            for (method, target) in targets {
                // Parameters that belong to no operation; how a read treats them does not matter
                // here.
                let response = setup.request(key, method, target, &[], b"").await;
                let is_refused = response.status >= 400 && response.status != 503;
                assert!(is_refused, "{}: {method} {target}: {response:?}", setup.store);
                assert_eq!(
                    response.header("x-amz-request-id").map(str::len),
                    Some(32),
                    "{response:?}"
                );
                if setup.store != "dir" && !target.contains("%2F") && response.status != 405 {
                    assert_eq!(
                        (response.status, response.code().as_str()),
                        expected,
                        "{method} {target}"
                    );
                }
                requests += 1;
            }
            if setup.store != "dir" {
                setup.refuses(key, ("PUT", "/minio"), &[], b"", expected).await;
            }
            for host in ["minio.s3.test", "MINIO.s3.test", "admin.s3.test"] {
                let response =
                    setup.request(key, "GET", "/admin/v3/info", &[("host", host)], b"").await;
                assert_eq!(
                    (response.status, response.code().as_str()),
                    expected,
                    "{}: {host}",
                    setup.store
                );
            }
            let target = format!("/{}/mine/copy", setup.bucket);
            for source in ["/minio/admin/v3/export-iam", "minio/admin%2Fv3%2Finfo", "/admin/user"] {
                setup
                    .refuses(key, ("PUT", &target), &[("x-amz-copy-source", source)], b"", expected)
                    .await;
            }
            let create =
                json!({"bucket": "minio", "key": "admin/v3/add-user", "chunkSize": 5 << 20})
                    .to_string();
            let response =
                setup.request(key, "POST", "/_ratchet/v1/backups", &[], create.as_bytes()).await;
            let expected = if setup.store == "dir" { [404, 201] } else { [400, 400] };
            assert!(expected.contains(&response.status), "{}: {response:?}", setup.store);
            requests += 8;
        }
        assert!(setup.keys().await.is_empty(), "{}", setup.store);
    }
    println!("attacks: {requests} requests for a store's administration, all refused");
}

#[tokio::test]
async fn no_header_or_metadata_reaches_beyond_a_prefix() {
    let home = tempfile::tempdir().unwrap();
    let tar = tar();
    for setup in setups(home.path()).await {
        let (object, bucket) = (format!("/{}/mine/k", setup.bucket), &setup.bucket);
        let argument = (400, "InvalidArgument");
        let names_with_effects = [
            "snowball-auto-extract",
            "minio-snowball-prefix",
            "snowball-prefix",
            "acme-snowball-prefix",
            "x-minio-internal-a",
            "scal-location-constraint",
            "mdonly",
            "ratchet-checksum",
            "ratchet-upload",
            "ratchet-anything",
        ];
        setup.request(NARROW, "PUT", &object, &[], b"there").await;
        for name in names_with_effects {
            let header = format!("x-amz-meta-{name}");
            let headers = [(header.as_str(), "true")];
            setup.refuses(NARROW, ("PUT", &object), &headers, &tar, argument).await;
            setup
                .refuses(NARROW, ("POST", &format!("{object}?uploads")), &headers, b"", argument)
                .await;
            let source = format!("/{bucket}/mine/k");
            let copy = [
                headers[0],
                ("x-amz-copy-source", &*source),
                ("x-amz-metadata-directive", "REPLACE"),
            ];
            setup.refuses(NARROW, ("PUT", &object), &copy, b"", argument).await;
            let create = json!({"bucket": bucket, "key": "mine/k", "chunkSize": 5 << 20, "metadata": {name: "true"}});
            let api = ("POST", "/_ratchet/v1/backups");
            setup
                .refuses(NARROW, api, &[], create.to_string().as_bytes(), (400, "bad-request"))
                .await;
            let upper = json!({"bucket": bucket, "key": "mine/k", "chunkSize": 5 << 20, "metadata": {name.to_uppercase(): ""}});
            setup
                .refuses(NARROW, api, &[], upper.to_string().as_bytes(), (400, "bad-request"))
                .await;
            for subresource in ["website", "acl", "tagging", "retention"] {
                let response = setup
                    .request(NARROW, "PUT", &format!("{object}?{subresource}"), &headers, &tar)
                    .await;
                assert!(
                    [405, 501].contains(&response.status),
                    "{}: ?{subresource}: {response:?}",
                    setup.store
                );
            }
        }
        assert_eq!(setup.keys().await, ["mine/k"], "{}", setup.store);
        let kept = setup.request(NARROW, "GET", &object, &[], b"").await;
        assert_eq!(kept.body, b"there", "{}", setup.store);
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of requests")]
async fn no_header_or_document_reaches_beyond_the_grants() {
    let home = tempfile::tempdir().unwrap();
    for setup in setups(home.path()).await {
        let object = format!("/{}/mine/k", setup.bucket);
        let theirs = format!("/{}/theirs/k", setup.bucket);
        assert_eq!(setup.request(ROOT, "PUT", &theirs, &[], b"theirs").await.status, 200);
        assert_eq!(setup.request(NARROW, "PUT", &object, &[], b"mine").await.status, 200);
        let not_implemented = (501, "NotImplemented");
        let rename = [("x-amz-rename-source", &*theirs)];
        setup.refuses(NARROW, ("PUT", &object), &rename, b"", not_implemented).await;
        let renaming = format!("{object}?renameObject");
        setup.refuses(NARROW, ("PUT", &renaming), &rename, b"", not_implemented).await;
        setup
            .refuses(
                NARROW,
                ("PUT", &object),
                &[("x-amz-write-offset-bytes", "4")],
                b"tail",
                not_implemented,
            )
            .await;
        let denied = (403, "AccessDenied");
        let bypass = [("x-amz-bypass-governance-retention", "true")];
        setup.refuses(NARROW, ("DELETE", &object), &bypass, b"", denied).await;
        let many = format!("/{}?delete", setup.bucket);
        let document = b"<Delete><Object><Key>mine/k</Key></Object></Delete>";
        let result = setup.request(NARROW, "POST", &many, &bypass, document).await;
        let result = String::from_utf8_lossy(&result.body).into_owned();
        assert!(result.contains("<Code>AccessDenied</Code>"), "{result}");
        let retention =
            b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate></Retention>";
        setup
            .refuses(NARROW, ("PUT", &format!("{object}?retention")), &bypass, retention, denied)
            .await;
        let restore =
            |inner: &str| format!("<RestoreRequest>{inner}</RestoreRequest>").into_bytes();
        let output = restore(&format!(
            "<Type>SELECT</Type><OutputLocation><S3><BucketName>{}</BucketName><Prefix>theirs/</Prefix></S3></OutputLocation>",
            setup.bucket
        ));
        setup
            .refuses(NARROW, ("POST", &format!("{object}?restore")), &[], &output, not_implemented)
            .await;
        // A document that names another bucket, sent by an account that administers only one.
        for subresource in
            ["logging", "replication", "inventory&id=a", "analytics&id=a", "notification"]
        {
            let target = format!("/{}?{subresource}", setup.bucket);
            setup.refuses(WIDE, ("PUT", &target), &[], b"<X/>", denied).await;
        }
        for header in [
            "if-match",
            "content-range",
            "x-amz-acl",
            "x-amz-meta-a",
            "x-amz-copy-source",
            "x-amz-unknown",
        ] {
            let target = format!("{object}?tagging");
            setup
                .refuses(NARROW, ("PUT", &target), &[(header, "a")], b"<Tagging/>", not_implemented)
                .await;
        }
        for parameter in ["uploadIdentity=a", "x-amz-acl=public-read", "lambdaArn=a"] {
            let target = format!("{object}?tagging&{parameter}");
            setup.refuses(NARROW, ("PUT", &target), &[], b"<Tagging/>", not_implemented).await;
        }
        assert_eq!(
            setup.request(NARROW, "GET", &object, &[], b"").await.body,
            b"mine",
            "{}",
            setup.store
        );
        assert_eq!(
            setup.request(ROOT, "GET", &theirs, &[], b"").await.body,
            b"theirs",
            "{}",
            setup.store
        );
    }
}

#[tokio::test]
async fn pass_through_still_works() {
    let home = tempfile::tempdir().unwrap();
    for setup in setups(home.path()).await.iter().filter(|setup| setup.store != "dir") {
        let object = format!("/{}/mine/k", setup.bucket);
        assert_eq!(setup.request(NARROW, "PUT", &object, &[], b"mine").await.status, 200);
        let tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
        let put = setup.request(NARROW, "PUT", &format!("{object}?tagging"), &[], tags).await;
        assert!((200..300).contains(&put.status), "{}: {put:?}", setup.store);
        let got = setup.request(NARROW, "GET", &format!("{object}?tagging"), &[], b"").await;
        let text = String::from_utf8_lossy(&got.body).into_owned();
        assert!(got.status == 200 && text.contains("<Value>b</Value>"), "{}: {text}", setup.store);
        let gone = setup.request(NARROW, "DELETE", &format!("{object}?tagging"), &[], b"").await;
        assert!((200..300).contains(&gone.status), "{}: {gone:?}", setup.store);
        let versions = setup
            .request(ROOT, "GET", &format!("/{}?versions&prefix=mine%2F", setup.bucket), &[], b"")
            .await;
        assert_eq!(versions.status, 200, "{}: {versions:?}", setup.store);
    }
}
