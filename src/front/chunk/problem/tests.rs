//! The golden file of problem types, and the headers of their responses.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;

const ALL: &[ProblemType] = &[
    ProblemType::BadRequest,
    ProblemType::Unauthorized,
    ProblemType::Forbidden,
    ProblemType::NotFound,
    ProblemType::MethodNotAllowed,
    ProblemType::NoSuchBackup,
    ProblemType::NoSuchChunk,
    ProblemType::NoSuchBucket,
    ProblemType::NoSuchObject,
    ProblemType::LengthRequired,
    ProblemType::ChunkSizeMismatch,
    ProblemType::ChecksumMismatch,
    ProblemType::DigestMismatch,
    ProblemType::DigestUnavailable,
    ProblemType::ChecksumConflict,
    ProblemType::BackupConflict,
    ProblemType::Incomplete,
    ProblemType::NotOpen,
    ProblemType::ObjectChanged,
    ProblemType::ConditionFailed,
    ProblemType::QuotaExceeded,
    ProblemType::RequestTimeout,
    ProblemType::SlowDown,
    ProblemType::StoreFull,
    ProblemType::StoreUnavailable,
    ProblemType::Internal,
];

const KINDS: &[upload::Kind] = &[
    upload::Kind::BadRequest,
    upload::Kind::NoSuchBackup,
    upload::Kind::NoSuchChunk,
    upload::Kind::NoSuchBucket,
    upload::Kind::ChunkSizeMismatch,
    upload::Kind::ChecksumMismatch,
    upload::Kind::DigestMismatch,
    upload::Kind::DigestUnavailable,
    upload::Kind::ChecksumConflict,
    upload::Kind::BackupConflict,
    upload::Kind::Incomplete,
    upload::Kind::NotOpen,
    upload::Kind::InvalidPart,
    upload::Kind::PartTooSmall,
    upload::Kind::ConditionFailed,
    upload::Kind::ObjectChanged,
    upload::Kind::QuotaExceeded,
    upload::Kind::BodyBroken,
    upload::Kind::SlowDown,
    upload::Kind::StoreFull,
    upload::Kind::StoreUnavailable,
    upload::Kind::Denied,
    upload::Kind::Internal,
];

const HTTP: &[web::Kind] = &[
    web::Kind::BadRequest,
    web::Kind::Unauthorized,
    web::Kind::MalformedUrlSignature,
    web::Kind::UnsupportedSignature,
    web::Kind::InvalidSignatureArgument,
    web::Kind::UnknownAccessKey,
    web::Kind::InvalidToken,
    web::Kind::LengthRequired,
    web::Kind::RequestTimeout,
    web::Kind::Expired,
    web::Kind::Skewed,
    web::Kind::SignatureMismatch,
    web::Kind::Unsigned,
    web::Kind::NotCovered,
    web::Kind::InvalidDigest,
    web::Kind::BadDigest,
    web::Kind::PayloadMismatch,
    web::Kind::IncompleteBody,
    web::Kind::WrongLength,
    web::Kind::MalformedTrailer,
];

#[test]
fn problem_types_are_those_of_the_golden_file() {
    let mut table = String::from("# problem type: status, title; action\n");
    for problem_type in ALL {
        let (status, title, action) = row(*problem_type);
        writeln!(table, "{}: {}, {title}; {action}", type_uri(*problem_type), status.as_u16())
            .unwrap();
    }
    table.push_str("\n# kind of failure: problem type\n");
    for kind in KINDS {
        writeln!(table, "upload {kind:?}: {}", type_uri(type_of_upload_error(*kind))).unwrap();
    }
    for kind in HTTP {
        writeln!(table, "http {kind:?}: {}", type_uri(type_of_web_error(*kind))).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chunk-problems.txt");
    if std::env::var_os("RATCHET_TEST_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        table,
        "RATCHET_TEST_BLESS=1 writes the file again"
    );
}

#[test]
fn the_openapi_document_has_these_types() {
    let document: serde_json::Value =
        serde_json::from_str(crate::front::chunk::public::OPENAPI).unwrap();
    let documented = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
        .as_array()
        .unwrap();
    let documented: BTreeSet<String> =
        documented.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(documented, ALL.iter().map(|problem_type| type_uri(*problem_type)).collect());
}

#[test]
fn only_a_503_has_retry_after() {
    for problem_type in ALL {
        let reply = Problem::new(*problem_type, "text").reply("id");
        let has_retry_after = reply.headers().contains_key(header::RETRY_AFTER);
        assert_eq!(
            has_retry_after,
            reply.status() == StatusCode::SERVICE_UNAVAILABLE,
            "{problem_type:?}"
        );
    }
}
