//! Requests that nobody sends by mistake, as raw bytes over a socket: each is refused with a clear
//! answer or a hang-up, by one answer at most; none changes the store, and the gateway serves the
//! next one.

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

/// A gateway under attack, and how often it was tried.
struct Attacked {
    address: SocketAddr,
    store: Arc<dyn Store>,
    what: &'static str,
    tried: usize,
    refused: usize,
    _shutdown: oneshot::Sender<()>,
}

impl Attacked {
    async fn new(what: &'static str) -> Self {
        Self::on(Arc::new(Memory::new(ratchet::clock::Clock::seeded(3))), what).await
    }

    /// With the object `bucket/k`.
    async fn on(store: Arc<dyn Store>, what: &'static str) -> Self {
        let mut settings = settings();
        settings.gc.enabled = false;
        let (address, shutdown) = serve(Arc::clone(&store), settings).await;
        let options = PutOptions::default();
        store.put(&"bucket".into(), &"k".into(), b"old".to_vec().into(), options).await.unwrap();
        Self { address, store, what, tried: 0, refused: 0, _shutdown: shutdown }
    }

    /// Keys and tags of everything, records included.
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

    /// Sends bytes that must be refused with this status and code, or, status 0, by a hang-up
    /// alone.
    async fn refuses(&mut self, what: &str, bytes: &[u8], (status, code): (u16, &str)) {
        let before = self.contents().await;
        let (responses, came) = send_raw(self.address, bytes).await;
        self.tried += 1;
        let response = responses
            .first()
            .map_or((0, String::new()), |response| (response.status, response.code()));
        assert_eq!(
            response,
            (status, code.to_owned()),
            "{what}: {}",
            String::from_utf8_lossy(&came)
        );
        assert!(
            responses.len() <= 1,
            "{what}: a second answer: {}",
            String::from_utf8_lossy(&came)
        );
        if !code.is_empty() {
            assert!(responses[0].header("x-amz-request-id").is_some(), "{what}: {responses:?}");
        }
        assert_eq!(self.contents().await, before, "{what} changed something");
        self.serves_on(what).await;
        self.refused += 1;
    }

    /// As `refuses`, of a request put together as usual.
    async fn refuses_request(&mut self, what: &str, request: Request, wanted: (u16, &str)) {
        let bytes = [request.head(self.address).as_bytes(), &request.body].concat();
        self.refuses(what, &closing(&bytes), wanted).await;
    }

    async fn serves_on(&self, what: &str) {
        let response = exchange_and_close(
            self.address,
            &chunk_api("GET", "/healthz").signed_by(None).head(self.address),
            b"",
        )
        .await;
        assert_eq!(response.status, 200, "after {what}");
    }

    /// What must go well, so that a refusal beside it means something.
    async fn takes(&self, what: &str, request: Request) -> Response {
        let response =
            exchange_and_close(self.address, &request.head(self.address), &request.body).await;
        assert!((200..300).contains(&response.status), "{what}: {response:?}");
        response
    }

    async fn holds(&self, key: &str, wanted: &[u8]) {
        let got = self
            .store
            .get(&"bucket".into(), &key.into(), GetRange::Whole, GetOptions::default())
            .await;
        let (_, body) = got.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(body.collect(1000).await.unwrap(), wanted, "{key:?}");
    }

    /// A multipart upload of `bucket/up`, begun.
    async fn upload(&self) -> String {
        let response = self.takes("an upload", s3("POST", "/bucket/up?uploads=")).await;
        let text = String::from_utf8(response.body).unwrap();
        text.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0.to_owned()
    }
}

/// The same request, whose connection is to end with it.
fn closing(request: &[u8]) -> Vec<u8> {
    let line = request.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    [&request[..line], b"connection: close\r\n", &request[line..]].concat()
}

impl Drop for Attacked {
    fn drop(&mut self) {
        if self.tried == 0 {
            return;
        }
        println!("hostile: {}: {} requests tried, {} refused", self.what, self.tried, self.refused);
    }
}
