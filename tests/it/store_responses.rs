//! Responses of S3 servers that no test server sends on demand, written by hand to a socket.
//! `conformance` tests the responses of real servers.

use ratchet::clock::Clock;
use ratchet::store::{
    Attributes, Body, ChosenPart, Completion, GetOptions, GetRange, Kind, ListOptions, PartNumber,
    PutOptions, Store, UploadTarget,
    aws::{Addressing, Aws, Settings},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reads a request up to `request_end`, sends the response and closes the connection.
async fn respond(mut socket: TcpStream, request_end: &str, response: &str) {
    let mut request = Vec::new();
    while !String::from_utf8_lossy(&request).contains(request_end) {
        if socket.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    socket.write_all(response.as_bytes()).await.unwrap();
}

/// A store whose server sends this response once it has read `request_end`. `None`, with a message,
/// if there are no credentials to sign with.
async fn store_with_response(request_end: &'static str, response: String) -> Option<Aws> {
    if std::env::var("AWS_ACCESS_KEY_ID").is_err() {
        println!("SKIP store_responses: no credentials to sign with; scripts/test.sh sets them");
        return None;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let response = response.clone();
            tokio::spawn(async move { respond(socket, request_end, &response).await });
        }
    });
    let settings =
        Settings { endpoint, region: Some("us-east-1".to_owned()), addressing: Addressing::Path };
    Some(Aws::connect(&settings, Clock::system()).await.unwrap())
}

/// AWS reports errors so that occur after it began its response. Source:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>, *200 OK
/// response*.
#[tokio::test]
async fn a_complete_with_status_200_and_an_error_document_fails() {
    let error = error_document("InternalError");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n",
        error.len()
    );
    let Some(store) = store_with_response("</CompleteMultipartUpload>", head + &error).await else {
        return;
    };
    let (bucket, key, upload) = ("bucket".into(), "key".into(), "upload".into());
    let target = UploadTarget { bucket: &bucket, key: &key, upload: &upload };
    let part = ChosenPart { number: PartNumber::new(1).unwrap(), etag: "tag".into(), sha256: None };
    let error = store.complete(target, &[part], &Completion::of(1)).await.unwrap_err();
    assert_eq!(
        error.kind(),
        Kind::Unavailable,
        "{error}: only HEAD can tell whether the object exists"
    );
}

/// AWS sends documents without a length.
#[tokio::test]
async fn documents_with_chunked_encoding_are_read() {
    let Some(store) = store_with_response(
        "\r\n\r\n",
        chunked("400 Bad Request", &error_document("BadDigest"), "0\r\n\r\n"),
    )
    .await
    else {
        return;
    };
    let error = store
        .get(&"bucket".into(), &"key".into(), GetRange::Whole, GetOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Checksum, "{error}");
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>";
    let store = self::store_with_response("\r\n\r\n", chunked("200 OK", listing, "0\r\n\r\n"))
        .await
        .unwrap();
    let page = store.list(&"bucket".into(), &ListOptions::default()).await.unwrap();
    assert_eq!((page.objects[0].key.as_str(), page.next), ("a", None));
}

/// The client is told so, and does not try again as it would after a 500.
#[tokio::test]
async fn what_the_store_refuses_is_denied_to_the_client() {
    let error = error_document("AccessDenied");
    let head = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n",
        error.len()
    );
    let Some(store) = store_with_response("\r\n\r\n", head + &error).await else { return };
    let put =
        store.put(&"bucket".into(), &"key".into(), Body::empty(), PutOptions::default()).await;
    assert_eq!(put.unwrap_err().kind(), Kind::Denied);
    let begun = store.create_upload(&"bucket".into(), &"key".into(), &Attributes::default()).await;
    assert_eq!(begun.unwrap_err().kind(), Kind::Denied);
}

/// A truncated error could be read as another error, a truncated listing as a shorter one.
#[tokio::test]
async fn truncated_documents_are_errors() {
    let cut = "5\r\n";
    for (status, text) in [
        ("404 Not Found", "<Error>"),
        ("200 OK", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"),
        ("200 OK", "<ListBucketResult><Contents><Key>a</Key></Contents>"),
    ] {
        let Some(store) = store_with_response("\r\n\r\n", chunked(status, text, cut)).await else {
            return;
        };
        let error = store.list(&"bucket".into(), &ListOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
}

/// A response with its body in two chunks, followed by `rest`.
fn chunked(status: &str, text: &str, rest: &str) -> String {
    let (one, other) = text.split_at(text.len() / 2);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    format!("{head}{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n{rest}", one.len(), other.len())
}

fn error_document(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>We encountered an internal \
         error. Please try again.</Message><RequestId>1</RequestId></Error>"
    )
}
