//! Finds the operation of a request from its method and path.
//!
//! Guarantees: `ROUTES` has all paths, and a test compares the OpenAPI document with it. For a
//! known path with a wrong method, the error lists the allowed methods.

use http::{Method, header, request};

use crate::api;
use crate::names::BackupId;
use crate::web;

use super::problem::Problem;

/// An operation that needs no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicOperation {
    OpenApi,
    Health,
    Ready,
    Metrics,
}

/// An operation, with the values in its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkOperation {
    Create,
    CreateAs(BackupId),
    List,
    Usage,
    Materialize,
    Get(BackupId),
    PutWhole(BackupId),
    PutChunk(BackupId, u64),
    GetChunk(BackupId, u64),
    Claim(BackupId),
    Finalize(BackupId),
    Abort(BackupId),
    Public(PublicOperation),
}

/// All paths under [`api::ROOT`] with their methods, as in the OpenAPI document.
const ROUTES: &[(&str, &[Method])] = &[
    ("/backups", &[Method::GET, Method::POST]),
    ("/backups/{backupId}", &[Method::GET, Method::PUT, Method::DELETE]),
    ("/backups/{backupId}/whole", &[Method::PUT]),
    ("/backups/{backupId}/chunks/{index}", &[Method::GET, Method::PUT]),
    ("/backups/{backupId}/claims", &[Method::POST]),
    ("/backups/{backupId}/finalize", &[Method::POST]),
    ("/usage", &[Method::GET]),
    ("/materialize", &[Method::POST]),
    ("/openapi.json", &[Method::GET]),
    ("/healthz", &[Method::GET]),
    ("/readyz", &[Method::GET]),
    ("/metrics", &[Method::GET]),
];

/// Where MinIO's clients ask whether the server works. Source:
/// <https://min.io/docs/minio/linux/operations/monitoring/healthcheck-probe.html>
const MINIO_PROBES: [(&str, PublicOperation); 4] = [
    ("/minio/health/live", PublicOperation::Health),
    ("/minio/health/ready", PublicOperation::Ready),
    ("/minio/health/cluster", PublicOperation::Ready),
    ("/minio/health/cluster/read", PublicOperation::Ready),
];

/// Whether this is a probe of a client of MinIO, and not a signed request for an object of a bucket
/// called `minio`.
pub fn is_minio_probe(head: &request::Parts) -> bool {
    let is_signed = || {
        let query = head.uri.query().unwrap_or_default().to_ascii_lowercase();
        head.headers.contains_key(header::AUTHORIZATION) || query.contains("signature=")
    };
    minio_probe(&head.method, head.uri.path()).is_some() && !is_signed()
}

fn minio_probe(method: &Method, path: &str) -> Option<PublicOperation> {
    let (_, probe) = MINIO_PROBES.iter().find(|(known, _)| *known == path)?;
    matches!(*method, Method::GET | Method::HEAD).then_some(*probe)
}

impl ChunkOperation {
    /// The name in metrics and log lines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create | Self::CreateAs(_) => "create",
            Self::List => "list",
            Self::Usage => "usage",
            Self::Materialize => "materialize",
            Self::Get(_) => "get",
            Self::PutWhole(_) => "put-whole",
            Self::PutChunk(..) => "put-chunk",
            Self::GetChunk(..) => "get-chunk",
            Self::Claim(_) => "claim-chunks",
            Self::Finalize(_) => "finalize",
            Self::Abort(_) => "abort",
            Self::Public(PublicOperation::OpenApi) => "openapi",
            Self::Public(PublicOperation::Health) => "healthz",
            Self::Public(PublicOperation::Ready) => "readyz",
            Self::Public(PublicOperation::Metrics) => "metrics",
        }
    }

    /// The query parameters that it has.
    pub fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::List => &["bucket", "prefix", "key", "fileId", "status", "after", "limit"],
            Self::Usage => &["bucket", "prefix", "after", "limit"],
            Self::Get(_) => &["view", "account"],
            Self::GetChunk(..) => &["account"],
            Self::PutWhole(_) => &["bucket", "key", "fileId", "chunkSize"],
            Self::Create
            | Self::CreateAs(_)
            | Self::PutChunk(..)
            | Self::Claim(_)
            | Self::Finalize(_)
            | Self::Abort(_)
            | Self::Materialize
            | Self::Public(_) => &[],
        }
    }
}

/// **Errors**: `NotFound`, `MethodNotAllowed`, `BadRequest`.
pub fn route(method: &Method, path: &str) -> Result<ChunkOperation, Problem> {
    if let Some(probe) = minio_probe(method, path) {
        return Ok(ChunkOperation::Public(probe));
    }
    // Probes are also at the root of the server, where orchestrators expect them.
    let inner = path.strip_prefix(api::ROOT).filter(|rest| rest.starts_with('/'));
    let segments = web::segments(inner.unwrap_or(path))?;
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    let at_root = matches!(names[..], ["healthz" | "readyz" | "metrics"]);
    let (_, methods) = ROUTES
        .iter()
        .find(|(pattern, _)| (inner.is_some() || at_root) && matches_pattern(pattern, &names))
        .ok_or_else(|| Problem::not_found(path))?;
    if !methods.contains(method) {
        return Err(Problem::method_not_allowed(method, methods));
    }
    let id = || BackupId::from(names[1]);
    Ok(match names[..] {
        ["backups"] if method == Method::POST => ChunkOperation::Create,
        ["backups"] => ChunkOperation::List,
        ["backups", _] if method == Method::PUT => ChunkOperation::CreateAs(id()),
        ["backups", _] if method == Method::DELETE => ChunkOperation::Abort(id()),
        ["backups", _] => ChunkOperation::Get(id()),
        ["backups", _, "claims"] => ChunkOperation::Claim(id()),
        ["backups", _, "finalize"] => ChunkOperation::Finalize(id()),
        ["backups", _, "whole"] => ChunkOperation::PutWhole(id()),
        ["backups", _, "chunks", index] if method == Method::PUT => {
            ChunkOperation::PutChunk(id(), chunk_index(index)?)
        }
        ["backups", _, "chunks", index] => ChunkOperation::GetChunk(id(), chunk_index(index)?),
        ["usage"] => ChunkOperation::Usage,
        ["materialize"] => ChunkOperation::Materialize,
        ["openapi.json"] => ChunkOperation::Public(PublicOperation::OpenApi),
        ["healthz"] => ChunkOperation::Public(PublicOperation::Health),
        ["readyz"] => ChunkOperation::Public(PublicOperation::Ready),
        ["metrics"] => ChunkOperation::Public(PublicOperation::Metrics),
        _ => return Err(Problem::not_found(path)),
    })
}

fn matches_pattern(pattern: &str, names: &[&str]) -> bool {
    let parts: Vec<&str> = pattern.split('/').skip(1).collect();
    parts.len() == names.len()
        && parts.iter().zip(names).all(|(part, name)| part.starts_with('{') || part == name)
}

/// Parses a number without sign, space or leading zero, so that each chunk has one URL.
fn chunk_index(text: &str) -> Result<u64, Problem> {
    let is_canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let index = if is_canonical { text.parse().ok() } else { None };
    index.ok_or_else(|| {
        Problem::bad(format!("{text:?} is not the index of a chunk: a whole number from 0"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn outcome(method: &str, path: &str) -> Result<ChunkOperation, u16> {
        route(&method.parse().unwrap(), path)
            .map_err(|problem| problem.reply("id").status().as_u16())
    }

    #[test]
    fn paths_map_to_operations() {
        let id = || "b".to_owned();
        let table = [
            ("POST", "/_ratchet/v1/backups", Ok(ChunkOperation::Create)),
            ("GET", "/_ratchet/v1/backups", Ok(ChunkOperation::List)),
            ("PUT", "/_ratchet/v1/backups/b", Ok(ChunkOperation::CreateAs(id().into()))),
            ("GET", "/_ratchet/v1/backups/b", Ok(ChunkOperation::Get(id().into()))),
            ("DELETE", "/_ratchet/v1/backups/b", Ok(ChunkOperation::Abort(id().into()))),
            (
                "PUT",
                "/_ratchet/v1/backups/b/chunks/0",
                Ok(ChunkOperation::PutChunk(id().into(), 0)),
            ),
            (
                "GET",
                "/_ratchet/v1/backups/b/chunks/17",
                Ok(ChunkOperation::GetChunk(id().into(), 17)),
            ),
            ("POST", "/_ratchet/v1/backups/b/claims", Ok(ChunkOperation::Claim(id().into()))),
            ("POST", "/_ratchet/v1/backups/b/finalize", Ok(ChunkOperation::Finalize(id().into()))),
            ("GET", "/_ratchet/v1/usage", Ok(ChunkOperation::Usage)),
            ("GET", "/usage", Err(404)),
            ("POST", "/_ratchet/v1/usage", Err(405)),
            ("GET", "/healthz", Ok(ChunkOperation::Public(PublicOperation::Health))),
            ("GET", "/_ratchet/v1/metrics", Ok(ChunkOperation::Public(PublicOperation::Metrics))),
            ("GET", "/minio/health/live", Ok(ChunkOperation::Public(PublicOperation::Health))),
            ("HEAD", "/minio/health/cluster", Ok(ChunkOperation::Public(PublicOperation::Ready))),
            ("PUT", "/minio/health/live", Err(404)),
            ("GET", "/minio/health/other", Err(404)),
            ("GET", "/backups", Err(404)),
            ("GET", "/_ratchet/v1", Err(404)),
            ("GET", "/_ratchet/v1x/backups", Err(404)),
            ("GET", "/_ratchet/v1/backups/b/", Err(404)),
            ("PATCH", "/_ratchet/v1/backups/b", Err(405)),
            ("PUT", "/_ratchet/v1/backups/b/chunks/01", Err(400)),
            ("PUT", "/_ratchet/v1/backups/b/chunks/-1", Err(400)),
            ("PUT", "/_ratchet/v1/backups/b/chunks/99999999999999999999", Err(400)),
            ("GET", "/_ratchet/v1/backups/%zz", Err(400)),
        ];
        for (method, path, expected) in table {
            assert_eq!(outcome(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn the_openapi_document_has_these_paths_and_methods() {
        let document: serde_json::Value =
            serde_json::from_str(super::super::public::OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let documented: BTreeMap<String, BTreeSet<String>> = paths
            .iter()
            .map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                (path.clone(), methods.map(|method| method.to_uppercase()).collect())
            })
            .collect();
        let routed = ROUTES.iter().map(|(path, methods)| {
            ((*path).to_owned(), methods.iter().map(|method| method.as_str().to_owned()).collect())
        });
        assert_eq!(documented, routed.collect());
        assert_eq!(document["servers"][0]["url"], api::ROOT);
    }
}
