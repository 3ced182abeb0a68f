//! Tools of the tests: gateways and stores to start, requests to sign and send, faults to inject.
//! No cases.

pub mod client;
pub mod fake_clock;
pub mod faults;
pub mod faulty_link;
pub mod fleet;
pub mod form;
pub mod gateway;
pub mod lab;
pub mod minio;
pub mod process;
pub mod request;
pub mod response;
pub mod scenes;
pub mod seaweedfs;
pub mod small_disk;
pub mod terminal;
pub mod wait;
