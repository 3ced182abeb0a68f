//! Tests of behaviour from outside. They are one binary, so that the library is linked only once.

#![allow(clippy::unwrap_used, clippy::panic)]

mod answers;
mod attacks;
mod authorization;
mod chaos;
mod chunk_api;
mod commands;
mod conformance;
mod crowd;
mod dir_kill;
mod empty;
mod full_disk;
mod held;
mod hostile;
mod interactions;
mod logs;
mod model;
mod model_uploads;
mod open_uploads;
mod permissions;
mod process;
mod quota;
mod readback;
mod resume;
mod rotation;
mod s3_api;
mod serve;
mod shapes;
mod support;
mod sweep;
mod wait;
