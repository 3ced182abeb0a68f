//! Answers that no server of ours gives on demand, written by hand on a socket. What real servers
//! answer is shown by `conformance`.

use ratchet::clock::Clock;
use ratchet::store::{
    ChosenPart, GetOptions, GetRange, Kind, ListOptions, PartNumber, Store, UploadTarget,
    aws::{Addressing, Aws, Settings},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reads a request up to `end`, answers it, and hangs up.
async fn answer(mut socket: TcpStream, end: &str, answer: &str) {
    let mut request = Vec::new();
    while !String::from_utf8_lossy(&request).contains(end) {
        if socket.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    socket.write_all(answer.as_bytes()).await.unwrap();
}

/// A store that gives this answer whenever it read `end`. None, and says so: there are no
/// credentials to sign with.
async fn store(end: &'static str, said: String) -> Option<Aws> {
    if std::env::var("AWS_ACCESS_KEY_ID").is_err() {
        println!("SKIP answers: no credentials to sign with; scripts/test.sh sets them");
        return None;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let said = said.clone();
            tokio::spawn(async move { answer(socket, end, &said).await });
        }
    });
    let settings =
        Settings { endpoint, region: Some("us-east-1".to_owned()), addressing: Addressing::Path };
    Some(Aws::connect(&settings, Clock::system()).await.unwrap())
}

/// AWS fails so after it began to answer. Source:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>, *200 OK
/// response*.
#[tokio::test]
async fn a_complete_that_is_answered_200_with_an_error_is_no_success() {
    let error = error_document("InternalError");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n",
        error.len()
    );
    let Some(store) = store("</CompleteMultipartUpload>", head + &error).await else { return };
    let (bucket, key, upload) = ("bucket".into(), "key".into(), "upload".into());
    let target = UploadTarget { bucket: &bucket, key: &key, upload: &upload };
    let part = ChosenPart { number: PartNumber::new(1).unwrap(), etag: "tag".into(), sha256: None };
    let error = store.complete(target, &[part], 1).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}: whether it happened is for HEAD to say");
}

/// So AWS sends its documents: without a length.
#[tokio::test]
async fn documents_in_chunks_of_http_are_read() {
    let Some(store) =
        store("\r\n\r\n", chunked("400 Bad Request", &error_document("BadDigest"), "0\r\n\r\n"))
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
    let store = self::store("\r\n\r\n", chunked("200 OK", listing, "0\r\n\r\n")).await.unwrap();
    let page = store.list(&"bucket".into(), &ListOptions::default()).await.unwrap();
    assert_eq!((page.objects[0].key.as_str(), page.next), ("a", None));
}

/// Half an error would be another error, and half a listing a shorter one.
#[tokio::test]
async fn documents_that_break_off_are_no_answer() {
    let cut = "5\r\n";
    for (status, text) in [
        ("404 Not Found", "<Error>"),
        ("200 OK", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"),
        ("200 OK", "<ListBucketResult><Contents><Key>a</Key></Contents>"),
    ] {
        let Some(store) = store("\r\n\r\n", chunked(status, text, cut)).await else { return };
        let error = store.list(&"bucket".into(), &ListOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
}

/// An answer in two chunks of HTTP, and what comes behind them.
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
