//! Every operation passes through the hook.

use std::collections::BTreeSet;

use super::super::memory::Memory;
use super::super::passthrough::{Level, Operation};
use super::super::{ETag, PutMode};
use super::*;

type Calls = Arc<Mutex<Vec<Op>>>;

/// A store behind a hook that notes each call and injects `fault` into it.
fn noting(inner: Arc<dyn Store>, fault: Option<Fault>) -> (Arc<Faulty>, Calls) {
    let calls = Calls::default();
    let noted = Arc::clone(&calls);
    let hook = move |call: Call<'_>| {
        noted.lock().unwrap().push(call.op);
        (Duration::ZERO, fault)
    };
    (Arc::new(Faulty::new(inner, Clock::seeded(1), Box::new(hook))), calls)
}

fn memory() -> Arc<dyn Store> {
    Arc::new(Memory::new(Clock::seeded(2)))
}

/// Calls the method of an operation; its arguments name nothing that exists.
async fn call(store: &dyn Store, op: Op) -> Result<()> {
    let (bucket, key) = (&Bucket::from("b"), &Key::from("k"));
    let upload = UploadTarget { bucket, key, upload: &UploadId::from("u") };
    let number = PartNumber::new(1).unwrap();
    let source = CopySource { bucket, key, version: None, etag: &ETag::from("e"), part_etag: None };
    let body = || Body::from(vec![1, 2, 3]);
    match op {
        Op::CreateBucket => store.create_bucket(bucket).await,
        Op::CreateBucketWithLock => store.create_bucket_with_lock(bucket).await,
        Op::DeleteBucket => store.delete_bucket(bucket).await,
        Op::ListBuckets => store.list_buckets().await.map(drop),
        Op::Put => store.put(bucket, key, body(), PutOptions::default()).await.map(drop),
        Op::Get => store.get(bucket, key, GetRange::Whole, GetOptions::default()).await.map(drop),
        Op::Delete => store.delete(bucket, key, &DeleteOptions::default()).await.map(drop),
        Op::List => store.list(bucket, &ListOptions::default()).await.map(drop),
        Op::Extents => store.extents(bucket, &ListOptions::default()).await.map(drop),
        Op::CreateUpload => {
            store.create_upload(bucket, key, &Attributes::default()).await.map(drop)
        }
        Op::CreateContentUpload => {
            let account = AccountName::from("home");
            let attributes = Attributes::default();
            store.create_content_upload(bucket, key, &attributes, &account).await.map(drop)
        }
        Op::MakePlain => store.make_plain(bucket, key).await.map(drop),
        Op::PutPart => {
            let part = PartTarget { upload, number };
            store.put_part(part, body(), PartOptions::default()).await.map(drop)
        }
        Op::ListParts => store.list_parts(upload, None).await.map(drop),
        Op::Complete => store.complete(upload, &[], &Completion::of(0)).await.map(drop),
        Op::Abort => store.abort(upload).await,
        Op::ReadParts => store.read_parts(upload, &[]).await.map(drop),
        Op::Copy => {
            let options = CopyOptions {
                mode: PutMode::Overwrite,
                attributes: Attributes::default(),
                account: None,
            };
            store.copy(source, bucket, key, options).await.map(drop)
        }
        Op::CopyPart => {
            let part = PartTarget { upload, number };
            store.copy_part(source, None, part).await.map(drop)
        }
        Op::Tags => store.tags(bucket, key, None).await.map(drop),
        Op::SetTags => store.set_tags(bucket, key, &Tags::default()).await,
        Op::PassThrough => {
            let operation = Operation::find(&http::Method::GET, Level::Bucket, "acl").unwrap();
            let (bucket, key) = (bucket.clone(), Key::from(""));
            let request = Passthrough::new(operation, bucket, key, bytes::Bytes::new());
            store.pass_through(request).await.map(drop)
        }
        Op::InspectServer => {
            store.inspect_server().await;
            Ok(())
        }
        Op::KeepsVersions => store.keeps_versions(bucket).await.map(drop),
        Op::Head => store.head(bucket, key).await.map(drop),
    }
}

#[tokio::test]
async fn each_operation_asks_the_hook_once_and_reaches_the_store_as_itself() {
    for op in Op::ALL {
        let (inner, inner_calls) = noting(memory(), None);
        let (outer, outer_calls) = noting(inner, None);
        call(&*outer, *op).await.ok();
        assert_eq!(*outer_calls.lock().unwrap(), [*op], "the hook");
        assert_eq!(*inner_calls.lock().unwrap(), [*op], "the store behind it");
    }
}

#[tokio::test]
async fn a_fault_before_an_operation_keeps_it_from_the_store_and_a_fault_after_does_not() {
    for op in Op::ALL {
        for (fault, reached) in [(Fault::Before(Kind::SlowDown), 0), (Fault::After, 1)] {
            let (inner, inner_calls) = noting(memory(), None);
            let (outer, _) = noting(inner, Some(fault));
            let result = call(&*outer, *op).await;
            assert_eq!(inner_calls.lock().unwrap().len(), reached, "{op:?}, {fault:?}");
            // `inspect_server` has no error.
            let kind = if reached == 0 { Kind::SlowDown } else { Kind::Unavailable };
            let expected = (*op != Op::InspectServer).then_some(kind);
            assert_eq!(result.err().map(|error| error.kind()), expected, "{op:?}, {fault:?}");
        }
    }
}

/// A method with a default body needs no code in `Faulty` to compile; it would bypass the hook.
#[test]
fn every_method_of_the_trait_is_an_operation() {
    let source = include_str!("../mod.rs");
    let (_, rest) = source.split_once("pub trait Store").unwrap();
    let (methods, _) = rest.split_once("\n}\n").unwrap();
    let methods: BTreeSet<String> = methods
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("async ").strip_prefix("fn "))
        .map(|rest| rest.split('(').next().unwrap().replace('_', ""))
        .collect();
    let neither_wait_nor_fail =
        ["disk", "limits", "isserver", "reserves", "storeschecksum"].map(str::to_owned);
    let operations = Op::ALL.iter().map(|op| format!("{op:?}").to_lowercase());
    assert_eq!(methods, operations.chain(neither_wait_nor_fail).collect());
}
