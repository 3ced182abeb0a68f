//! Tests of behaviour from outside. They are one binary, so that the library is linked only once.

#![allow(clippy::unwrap_used, clippy::panic)]

mod attacks;
mod authorization;
mod chaos;
mod chunk_api;
mod commands;
mod conformance;
mod copies;
mod crowd;
mod dir_kill;
mod disk_use;
mod empty;
mod forms;
mod full_disk;
mod hostile;
mod interactions;
mod logs;
mod model;
mod model_uploads;
mod open_uploads;
mod permissions;
mod quota;
mod readback;
mod resume;
mod rotation;
mod s3_api;
mod s3_conditions;
mod s3_listings;
mod serve;
mod shapes;
mod signatures;
mod store_responses;
mod support;
mod sweep;
mod vocabulary;
