//! Ratchet: resumable, verified uploads to S3 storage.
//!
//! The rooms, from the ground up; each may name only those that its row in `tests/layers.rs`
//! allows.

pub mod api;
pub mod clock;
pub mod digest;
pub mod escape;
pub mod metric_names;
pub mod rate_limit;
pub mod retry;
pub mod sigv4;
pub mod store;
pub mod tcp;
pub mod upload;

pub mod accounts;
pub mod gc;
pub mod object;

pub mod front;
pub mod server;
pub mod web;

pub mod app;
pub mod cli;
pub mod client;
pub mod observe;
pub mod settings;
