//! Behaviour through the door: one binary, so that it links once.

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
mod faults;
mod full_disk;
mod gateway;
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
mod room;
mod rotation;
mod s3_api;
mod serve;
mod shapes;
mod sweep;
mod wait;
