//! The conformance suite: what the trait `Store` promises, checked on memory, on a directory, on a
//! real S3 server, and in front of memory and of the server with all uploads in blobs.
//!
//! Each case has a bucket of its own, so that all cases run in parallel on one server. What a
//! server cannot do is declared in `Lab`, with its source in
//! docs/backends.md#seaweedfs-in-the-conformance-suite, and is not skipped silently.

mod copies;
mod objects;
mod races;
mod reopen;
mod tags;
mod uploads;

/// Makes one test of each case on each store.
macro_rules! on_every_store {
    ($module:ident: $($case:ident),* $(,)?) => {
        mod memory { $( $crate::conformance::case!($module, $case, memory); )* }
        mod dir { $( $crate::conformance::case!($module, $case, dir); )* }
        mod s3 { $( $crate::conformance::case!($module, $case, s3); )* }
        mod content { $( $crate::conformance::case!($module, $case, content); )* }
        mod content_on_s3 { $( $crate::conformance::case!($module, $case, content_on_s3); )* }
    };
}

macro_rules! case {
    ($module:ident, $case:ident, $store:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            if let Some(lab) = $crate::support::lab::$store().await {
                $crate::conformance::$module::$case(lab).await;
            }
        }
    };
}

pub(crate) use {case, on_every_store};
