//! How far a grant reaches, and with it the key that the gateway signs with: no further than
//! buckets and keys.

use serde_json::json;

use super::{NARROW, Place, ROOT, WIDE, places};

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

/// What is said of a bucket's name that servers keep for themselves: on a directory it is a bucket
/// like any other, and absent.
pub fn of_reserved(place: &Place) -> (u16, &'static str) {
    if place.store == "dir" { (404, "NoSuchBucket") } else { (400, "InvalidBucketName") }
}

#[tokio::test]
async fn no_account_reaches_the_administration_of_the_store() {
    let home = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for place in places(home.path()).await {
        let wanted = of_reserved(&place);
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
                // Parameters that are no operation's: what a read does with them is no matter here.
                let told = place.ask(key, method, target, &[], b"").await;
                let refused = told.status >= 400 && told.status != 503;
                assert!(refused, "{}: {method} {target}: {told:?}", place.store);
                assert_eq!(told.header("x-amz-request-id").map(str::len), Some(32), "{told:?}");
                if place.store != "dir" && !target.contains("%2F") && told.status != 405 {
                    assert_eq!((told.status, told.code().as_str()), wanted, "{method} {target}");
                }
                tried += 1;
            }
            if place.store != "dir" {
                place.refuses(key, ("PUT", "/minio"), &[], b"", wanted).await;
            }
            for host in ["minio.s3.test", "MINIO.s3.test", "admin.s3.test"] {
                let told = place.ask(key, "GET", "/admin/v3/info", &[("host", host)], b"").await;
                assert_eq!((told.status, told.code().as_str()), wanted, "{}: {host}", place.store);
            }
            let target = format!("/{}/mine/copy", place.bucket);
            for source in ["/minio/admin/v3/export-iam", "minio/admin%2Fv3%2Finfo", "/admin/user"] {
                place
                    .refuses(key, ("PUT", &target), &[("x-amz-copy-source", source)], b"", wanted)
                    .await;
            }
            let create =
                json!({"bucket": "minio", "key": "admin/v3/add-user", "chunkSize": 5 << 20})
                    .to_string();
            let told = place.ask(key, "POST", "/_ratchet/v1/backups", &[], create.as_bytes()).await;
            let wanted = if place.store == "dir" { [404, 201] } else { [400, 400] };
            assert!(wanted.contains(&told.status), "{}: {told:?}", place.store);
            tried += 8;
        }
        assert!(place.keys().await.is_empty(), "{}", place.store);
    }
    println!("attacks: {tried} requests for a store's administration, all refused");
}

#[tokio::test]
async fn no_header_or_metadata_steps_over_a_prefix() {
    let home = tempfile::tempdir().unwrap();
    let tar = tar();
    for place in places(home.path()).await {
        let (object, bucket) = (format!("/{}/mine/k", place.bucket), &place.bucket);
        let argument = (400, "InvalidArgument");
        let acted_on = [
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
        place.ask(NARROW, "PUT", &object, &[], b"there").await;
        for name in acted_on {
            let header = format!("x-amz-meta-{name}");
            let headers = [(header.as_str(), "true")];
            place.refuses(NARROW, ("PUT", &object), &headers, &tar, argument).await;
            place
                .refuses(NARROW, ("POST", &format!("{object}?uploads")), &headers, b"", argument)
                .await;
            let source = format!("/{bucket}/mine/k");
            let copy = [
                headers[0],
                ("x-amz-copy-source", &*source),
                ("x-amz-metadata-directive", "REPLACE"),
            ];
            place.refuses(NARROW, ("PUT", &object), &copy, b"", argument).await;
            let create = json!({"bucket": bucket, "key": "mine/k", "chunkSize": 5 << 20, "metadata": {name: "true"}});
            let api = ("POST", "/_ratchet/v1/backups");
            place
                .refuses(NARROW, api, &[], create.to_string().as_bytes(), (400, "bad-request"))
                .await;
            let upper = json!({"bucket": bucket, "key": "mine/k", "chunkSize": 5 << 20, "metadata": {name.to_uppercase(): ""}});
            place
                .refuses(NARROW, api, &[], upper.to_string().as_bytes(), (400, "bad-request"))
                .await;
            for subresource in ["website", "acl", "tagging", "retention"] {
                let told = place
                    .ask(NARROW, "PUT", &format!("{object}?{subresource}"), &headers, &tar)
                    .await;
                assert!(
                    [405, 501].contains(&told.status),
                    "{}: ?{subresource}: {told:?}",
                    place.store
                );
            }
        }
        assert_eq!(place.keys().await, ["mine/k"], "{}", place.store);
        let kept = place.ask(NARROW, "GET", &object, &[], b"").await;
        assert_eq!(kept.body, b"there", "{}", place.store);
    }
}

#[tokio::test]
async fn no_header_or_document_touches_what_no_grant_covers() {
    let home = tempfile::tempdir().unwrap();
    for place in places(home.path()).await {
        let object = format!("/{}/mine/k", place.bucket);
        let theirs = format!("/{}/theirs/k", place.bucket);
        assert_eq!(place.ask(ROOT, "PUT", &theirs, &[], b"theirs").await.status, 200);
        assert_eq!(place.ask(NARROW, "PUT", &object, &[], b"mine").await.status, 200);
        let not_here = (501, "NotImplemented");
        let rename = [("x-amz-rename-source", &*theirs)];
        place.refuses(NARROW, ("PUT", &object), &rename, b"", not_here).await;
        let renaming = format!("{object}?renameObject");
        place.refuses(NARROW, ("PUT", &renaming), &rename, b"", (405, "MethodNotAllowed")).await;
        place
            .refuses(
                NARROW,
                ("PUT", &object),
                &[("x-amz-write-offset-bytes", "4")],
                b"tail",
                not_here,
            )
            .await;
        let bypass = [("x-amz-bypass-governance-retention", "true")];
        place.refuses(NARROW, ("DELETE", &object), &bypass, b"", not_here).await;
        let many = format!("/{}?delete", place.bucket);
        let document = b"<Delete><Object><Key>mine/k</Key></Object></Delete>";
        place.refuses(NARROW, ("POST", &many), &bypass, document, not_here).await;
        let retention =
            b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate></Retention>";
        let denied = (403, "AccessDenied");
        place
            .refuses(NARROW, ("PUT", &format!("{object}?retention")), &bypass, retention, denied)
            .await;
        let restore =
            |inner: &str| format!("<RestoreRequest>{inner}</RestoreRequest>").into_bytes();
        let output = restore(&format!(
            "<Type>SELECT</Type><OutputLocation><S3><BucketName>{}</BucketName><Prefix>theirs/</Prefix></S3></OutputLocation>",
            place.bucket
        ));
        place.refuses(NARROW, ("POST", &format!("{object}?restore")), &[], &output, not_here).await;
        // A document that names another place, by who administers one bucket only.
        for subresource in
            ["logging", "replication", "inventory&id=a", "analytics&id=a", "notification"]
        {
            let target = format!("/{}?{subresource}", place.bucket);
            place.refuses(WIDE, ("PUT", &target), &[], b"<X/>", denied).await;
        }
        for header in
            ["if-match", "range", "x-amz-acl", "x-amz-meta-a", "x-amz-copy-source", "x-amz-unknown"]
        {
            let target = format!("{object}?tagging");
            place
                .refuses(NARROW, ("PUT", &target), &[(header, "a")], b"<Tagging/>", not_here)
                .await;
        }
        for parameter in ["uploadIdentity=a", "x-amz-acl=public-read", "lambdaArn=a"] {
            let target = format!("{object}?tagging&{parameter}");
            place.refuses(NARROW, ("PUT", &target), &[], b"<Tagging/>", not_here).await;
        }
        assert_eq!(
            place.ask(NARROW, "GET", &object, &[], b"").await.body,
            b"mine",
            "{}",
            place.store
        );
        assert_eq!(
            place.ask(ROOT, "GET", &theirs, &[], b"").await.body,
            b"theirs",
            "{}",
            place.store
        );
    }
}

#[tokio::test]
async fn what_is_passed_through_still_works() {
    let home = tempfile::tempdir().unwrap();
    for place in places(home.path()).await.iter().filter(|place| place.store != "dir") {
        let object = format!("/{}/mine/k", place.bucket);
        assert_eq!(place.ask(NARROW, "PUT", &object, &[], b"mine").await.status, 200);
        let tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
        let put = place.ask(NARROW, "PUT", &format!("{object}?tagging"), &[], tags).await;
        assert!((200..300).contains(&put.status), "{}: {put:?}", place.store);
        let got = place.ask(NARROW, "GET", &format!("{object}?tagging"), &[], b"").await;
        let text = String::from_utf8_lossy(&got.body).into_owned();
        assert!(got.status == 200 && text.contains("<Value>b</Value>"), "{}: {text}", place.store);
        let gone = place.ask(NARROW, "DELETE", &format!("{object}?tagging"), &[], b"").await;
        assert!((200..300).contains(&gone.status), "{}: {gone:?}", place.store);
        let versions = place
            .ask(ROOT, "GET", &format!("/{}?versions&prefix=mine%2F", place.bucket), &[], b"")
            .await;
        assert_eq!(versions.status, 200, "{}: {versions:?}", place.store);
    }
}
