//! Hostile requests as raw bytes over a socket. Each is refused with one clear response or by
//! closing the connection; none changes the store, and the gateway serves the next request.

mod framing;
mod injection;
mod names;
mod signatures;
mod sizes;

use std::net::SocketAddr;
use std::sync::Arc;

use ratchet::store::{GetOptions, GetRange, ListOptions, PutOptions, Store, memory::Memory};
use tokio::sync::oneshot;

use crate::support::gateway::{serve, settings};
use crate::support::request::{Request, chunk_api, s3};
use crate::support::response::{Response, exchange_and_close, send_raw};

/// A gateway under attack, and how many requests were sent to it.
struct Target {
    address: SocketAddr,
    store: Arc<dyn Store>,
    what: &'static str,
    sent: usize,
    refused: usize,
    _shutdown: oneshot::Sender<()>,
}

impl Target {
    async fn new(what: &'static str) -> Self {
        Self::on(Arc::new(Memory::new(ratchet::clock::Clock::seeded(3))), what).await
    }

    /// A gateway on this store, with the object `bucket/k`.
    async fn on(store: Arc<dyn Store>, what: &'static str) -> Self {
        let mut settings = settings();
        settings.gc.enabled = false;
        let (address, shutdown) = serve(Arc::clone(&store), settings).await;
        let options = PutOptions::default();
        store.put(&"bucket".into(), &"k".into(), b"old".to_vec().into(), options).await.unwrap();
        Self { address, store, what, sent: 0, refused: 0, _shutdown: shutdown }
    }

    /// Keys and ETags of all objects, including the records.
    async fn contents(&self) -> Vec<String> {
        let mut found = Vec::new();
        for info in self.store.list_buckets().await.unwrap() {
            let options = ListOptions { limit: 1000, ..ListOptions::default() };
            let page = self.store.list(&info.bucket, &options).await.unwrap();
            found.push(info.bucket.to_string());
            found.extend(
                page.objects.iter().map(|object| format!("{} {}", object.key, object.etag)),
            );
        }
        found
    }

    /// Sends bytes that must be refused with this status and code. Status 0: the gateway must close
    /// the connection without a response.
    async fn refuses(&mut self, what: &str, bytes: &[u8], (status, code): (u16, &str)) {
        let before = self.contents().await;
        let (responses, received) = send_raw(self.address, bytes).await;
        self.sent += 1;
        let response = responses
            .first()
            .map_or((0, String::new()), |response| (response.status, response.code()));
        assert_eq!(
            response,
            (status, code.to_owned()),
            "{what}: {}",
            String::from_utf8_lossy(&received)
        );
        assert!(
            responses.len() <= 1,
            "{what}: a second response: {}",
            String::from_utf8_lossy(&received)
        );
        if !code.is_empty() {
            assert!(responses[0].header("x-amz-request-id").is_some(), "{what}: {responses:?}");
        }
        assert_eq!(self.contents().await, before, "{what} changed the store");
        self.assert_still_serves(what).await;
        self.refused += 1;
    }

    /// As `refuses`, for a request that is built field by field.
    async fn refuses_request(&mut self, what: &str, request: Request, expected: (u16, &str)) {
        let bytes = [request.head(self.address).as_bytes(), &request.body].concat();
        self.refuses(what, &closing(&bytes), expected).await;
    }

    async fn assert_still_serves(&self, what: &str) {
        let response = exchange_and_close(
            self.address,
            &chunk_api("GET", "/healthz").signed_by(None).head(self.address),
            b"",
        )
        .await;
        assert_eq!(response.status, 200, "after {what}");
    }

    /// Sends a request that must succeed, so that the refusals of similar requests prove something.
    async fn accepts(&self, what: &str, request: Request) -> Response {
        let response =
            exchange_and_close(self.address, &request.head(self.address), &request.body).await;
        assert!((200..300).contains(&response.status), "{what}: {response:?}");
        response
    }

    async fn assert_object_is(&self, key: &str, expected: &[u8]) {
        let got = self
            .store
            .get(&"bucket".into(), &key.into(), GetRange::Whole, GetOptions::default())
            .await;
        let (_, body) = got.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(body.collect(1000).await.unwrap(), expected, "{key:?}");
    }

    /// Begins a multipart upload of `bucket/up` and returns its id.
    async fn begin_upload(&self) -> String {
        let response = self.accepts("an upload", s3("POST", "/bucket/up?uploads=")).await;
        let text = String::from_utf8(response.body).unwrap();
        text.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0.to_owned()
    }
}

/// The same request with `Connection: close`.
fn closing(request: &[u8]) -> Vec<u8> {
    let line = request.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    [&request[..line], b"connection: close\r\n", &request[line..]].concat()
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.sent == 0 {
            return;
        }
        println!("hostile: {}: {} requests sent, {} refused", self.what, self.sent, self.refused);
    }
}
