//! Answers that no server of ours gives on demand, written by hand on a socket. What real servers answer is shown by
//! `conformance`.

use ratchet::clock::Clock;
use ratchet::store::{
    ChosenPart, Kind, PartNumber, Store, UploadTarget,
    aws::{Addressing, Aws, Settings},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ERROR: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code><Message>We encountered an \
                     internal error. Please try again.</Message><RequestId>1</RequestId></Error>";

/// Reads one Complete and answers it as AWS does when it fails after it began to answer.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>, *200 OK response*.
async fn fail_late(mut socket: TcpStream) {
    let mut request = Vec::new();
    while !String::from_utf8_lossy(&request).contains("</CompleteMultipartUpload>") {
        if socket.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    let len = ERROR.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {len}\r\n\r\n");
    socket.write_all(format!("{head}{ERROR}").as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_complete_that_is_answered_200_with_an_error_is_no_success() {
    if std::env::var("AWS_ACCESS_KEY_ID").is_err() {
        println!("SKIP answers: no credentials to sign with; scripts/test.sh sets them");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(fail_late(socket));
        }
    });
    let settings = Settings { endpoint, region: Some("us-east-1".to_owned()), addressing: Addressing::Path };
    let store = Aws::connect(&settings, Clock::system()).await.unwrap();
    let (bucket, key, upload) = ("bucket".into(), "key".into(), "upload".into());
    let target = UploadTarget { bucket: &bucket, key: &key, upload: &upload };
    let part = ChosenPart { number: PartNumber::new(1).unwrap(), etag: "tag".into(), sha256: None };
    let error = store.complete(target, &[part], 1).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}: whether it happened is for HEAD to say");
}
