//! Ratchet: an S3-compatible multipart gateway, for resumable, verified uploads to S3 storage.
//!
//! A client sends a file in checksummed chunks. The gateway turns them into a multipart upload on
//! an S3 server, or into files of an embedded store, and records each verified chunk in JSON
//! documents that it changes by conditional writes. After any failure, any client continues at any
//! gateway from the last recorded chunk. The crate is a library and the program `ratchet`: the
//! gateway (`ratchet serve`), and the client and tools for it.
//!
//! # Rooms
//!
//! The top-level modules are called rooms. A room may name only those that its row in
//! `tests/layers/table.rs` allows. From the ground up:
//!
//! Leaves, which name no other room or only leaves:
//!
//! - [`clock`]: time and randomness; the only room that reads a clock or the system's entropy
//! - [`retry`]: back-off and its budget
//! - [`rate_limit`]: a shared limit of bytes per second
//! - [`names`]: buckets, keys, accounts and backups as types of their own
//! - [`hex`]: encodes and decodes hex digits
//! - [`digest`]: running hashes, checksums, whole-file digests that are combined from chunks
//! - [`sigv4`]: AWS request signatures: signing, presigning, verifying
//! - [`accounts`]: accounts, access keys, grants, and what an identity may do
//! - [`api`]: the JSON types of the chunk API, for `front::chunk` and `client`
//! - [`header_names`]: names of header fields that several rooms use
//! - [`escape`]: makes untrusted text safe for a terminal or a log
//! - [`tcp`]: listening sockets, and connections of HTTP clients
//!
//! Storage and the core, without HTTP:
//!
//! - [`store`]: one trait for objects and multipart uploads; S3, directory and memory implement it
//! - [`records`]: versioned JSON documents: compare-and-swap, leases, group commit
//! - [`content`]: objects that are kept in blobs, in front of an S3 server
//! - [`upload`]: upload sessions: plan, records, receiving chunks, finalize, adoption
//! - [`object`]: whole objects for the S3 front: ranges, copies, deletes, listings
//! - [`gc`]: ends abandoned sessions and removes what is left of them
//!
//! HTTP:
//!
//! - [`web`]: what all fronts need: authentication, admission, verification of bodies, metrics
//! - [`front`]: the two protocols, `front::s3` and `front::chunk`
//! - [`server`]: accepts connections: TLS, limits, timeouts, drain; it knows no routes
//!
//! The program:
//!
//! - [`settings`]: typed settings from flags, environment and file
//! - [`observe`]: log lines on stderr
//! - [`app`]: builds the parts and runs the gateway
//! - [`client`]: backs files up, restores and verifies them over the chunk API
//! - [`cli`]: arguments and exit codes
//!
//! # Where to start reading
//!
//! The path of a chunk begins in [`server`], goes through [`front`] (`front::chunk`, or `front::s3`
//! for a part) to [`upload`], which verifies the bytes while it passes them on to [`store`], and
//! then records the chunk. `docs/architecture.md#the-way-of-one-chunk` shows each step. Startup
//! begins in [`cli`] and [`app`].
//!
//! # Documents
//!
//! - `docs/architecture.md#words` and on: guarantees, layout of the state, rooms
//! - `docs/development.md#where-things-are` and on: checks, tests, style, and where a new thing
//!   goes
//! - `docs/api.md#calls` and on: the chunk API
//! - `docs/operations.md#the-command-line` and on: running a gateway
//! - `docs/decisions/`: what was measured, and what was tried and not kept

pub mod accounts;
pub mod api;
pub mod clock;
pub mod digest;
pub mod escape;
pub mod header_names;
pub mod hex;
pub mod measure;
pub mod names;
pub mod rate_limit;
pub mod records;
pub mod retry;
pub mod sigv4;
pub mod tcp;

pub mod content;
pub mod gc;
pub mod object;
pub mod store;
pub mod upload;

pub mod front;
pub mod server;
pub mod web;

pub mod app;
pub mod cli;
pub mod client;
pub mod observe;
pub mod settings;
