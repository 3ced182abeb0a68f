//! Microbenchmarks of parsers, signatures, records and hashes.
//!
//! Guarantees: inputs are created once, outside of the measurement. The chunk sizes and counts are
//! those of real requests: bodies of 1 MiB in frames of 64 KiB, Complete with 10,000 parts, a full
//! segment of 256 chunks.
//!   scripts/bench.sh micro [FILTER]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use ratchet::clock::Clock;
use ratchet::digest::{
    Algorithm, ChecksumHasher, ChunkHasher, DigestSet, Hasher, Kind, Sha256, update_all,
};
use ratchet::front::s3::bench as documents;
use ratchet::sigv4::{self, Credentials, Payload, Secret};
use ratchet::store::ETag;
use ratchet::upload::{PartFacts, Record, Segment, bench as records};
use ratchet::web::bench as bodies;

const MIB: usize = 1 << 20;
const FRAME: usize = 64 << 10;
const KEY: (&str, &str) = ("bench-key", "bench-secret-bench-secret");

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .without_plots()
        .configure_from_args();
    parsers(&mut criterion);
    signatures(&mut criterion);
    segments(&mut criterion);
    hashes(&mut criterion);
    criterion.final_summary();
}

fn parsers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parsers");
    let mut framed = Vec::new();
    for _ in 0..MIB / FRAME {
        framed.extend_from_slice(format!("{FRAME:x}\r\n").as_bytes());
        framed.extend_from_slice(&[7; FRAME]);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
    let frames: Vec<Bytes> = framed.chunks(FRAME).map(Bytes::copy_from_slice).collect();
    assert_eq!(bodies::aws_chunked(&frames), Some(MIB));
    group.throughput(Throughput::Bytes(MIB as u64));
    group.bench_function("aws-chunked, 1 MiB", |bencher| {
        bencher.iter(|| bodies::aws_chunked(black_box(&frames)))
    });

    let part = |number| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{number:032x}\"</ETag></Part>")
    };
    let parts: String = (1..=10_000).map(part).collect();
    let complete = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    assert_eq!(documents::chosen_parts(complete.as_bytes()), Some(10_000));
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("Complete, 10,000 parts", |bencher| {
        bencher.iter(|| documents::chosen_parts(black_box(complete.as_bytes())));
    });
    let keys: String =
        (0..1000).map(|number| format!("<Object><Key>some/key/{number}</Key></Object>")).collect();
    let delete = format!("<Delete>{keys}</Delete>");
    assert_eq!(documents::deletions(delete.as_bytes()), Some(1000));
    group.throughput(Throughput::Elements(1000));
    group.bench_function("DeleteObjects, 1,000 keys", |bencher| {
        bencher.iter(|| documents::deletions(black_box(delete.as_bytes())));
    });
    group.finish();
}

fn signatures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signatures");
    let now = Clock::system().wall();
    let credentials = Credentials::new(KEY.0, KEY.1, None);
    let unsigned = || {
        let uri = "http://127.0.0.1:9010/bucket/some/key?partNumber=17&uploadId=0123456789abcdef0123456789abcdef";
        let request = http::Request::put(uri).header("content-length", "8388608").body(());
        request.expect("the URL and the header are well formed").into_parts().0
    };
    let payload = Payload::Sha256([7; 32]);
    let mut signed = unsigned();
    sigv4::sign(&mut signed, &credentials, "us-east-1", payload, now)
        .expect("the request names a host");
    group.bench_function("sign", |bencher| {
        bencher.iter_batched_ref(
            unsigned,
            |head| sigv4::sign(head, &credentials, "us-east-1", payload, now),
            criterion::BatchSize::SmallInput,
        );
    });
    let secret = Secret::new(KEY.1);
    let skew = Duration::from_secs(900);
    let check =
        || sigv4::parse(black_box(&signed))?.check(&signed, now, skew)?.verify(&signed, &secret);
    assert!(check().is_ok());
    group.bench_function("check", |bencher| bencher.iter(check));
    group.finish();
}

fn segments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("records");
    let mut chunks = BTreeMap::new();
    for index in 0..256_u32 {
        let mut hasher = ChunkHasher::new(Some(Kind::Blake3), u64::from(index) << 23);
        hasher.update(&index.to_le_bytes());
        let etags = vec![ETag(format!("{index:032x}"))];
        chunks.insert(
            index,
            Record {
                digests: hasher.finish(),
                etags,
                invalidated: false,
                unhashed: false,
                known: false,
                part: PartFacts::default(),
                replacing: Vec::new(),
            },
        );
    }
    let segment = Segment { chunks, ..Segment::default() };
    let bytes = records::encode(&segment);
    assert_eq!(records::decode(&bytes).as_ref(), Some(&segment));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode a segment of 256", |bencher| {
        bencher.iter(|| records::encode(black_box(&segment)))
    });
    group.bench_function("decode a segment of 256", |bencher| {
        bencher.iter(|| records::decode(black_box(&bytes)))
    });
    group.finish();
}

fn hashes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hashes of 1 MiB");
    let bytes = vec![7; MIB];
    group.throughput(Throughput::Bytes(MIB as u64));
    group.bench_function("SHA-256", |bencher| bencher.iter(|| Sha256::of(black_box(&bytes))));
    group.bench_function("MD5", |bencher| {
        bencher.iter(|| <md5::Md5 as md5::Digest>::digest(black_box(&bytes)))
    });
    for algorithm in Algorithm::ALL {
        group.bench_function(algorithm.header().as_str(), |bencher| {
            bencher.iter(|| {
                let mut hasher = ChecksumHasher::new(algorithm);
                hasher.update(black_box(&bytes));
                hasher.finish()
            });
        });
    }
    for (name, wanted) in [
        ("SHA-256", DigestSet { sha256: true, md5: false }),
        ("MD5", DigestSet { sha256: false, md5: true }),
    ] {
        for messages in [2, 4, 8] {
            group.throughput(Throughput::Bytes((messages * MIB) as u64));
            group.bench_function(format!("{name} of {messages} at once"), |bencher| {
                let mut all: Vec<(Hasher, &[u8])> = vec![(Hasher::new(wanted), &bytes); messages];
                bencher.iter(|| update_all(black_box(&mut all)));
            });
        }
    }
    group.throughput(Throughput::Bytes(MIB as u64));
    for kind in [Kind::Blake3, Kind::Crc64Nvme] {
        group.bench_function(format!("SHA-256 and {}", kind.name()), |bencher| {
            bencher.iter(|| {
                let mut hasher = ChunkHasher::new(Some(kind), 0);
                hasher.update(black_box(&bytes));
                hasher.finish()
            });
        });
    }
    group.finish();
}
