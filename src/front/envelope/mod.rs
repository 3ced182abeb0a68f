//! The envelope: what happens around every request, whatever its protocol.
//!
//! Guarantees: every response carries the request id, and every request is logged and counted once;
//! no operation that needs a signature runs before the signature is verified and the account has a
//! permit; a request head that could be read in two ways is refused. It knows no route, no
//! operation and no form of an error: those are a [`Front`]'s. Source:
//! docs/architecture.md#envelope.

mod endpoint;
mod front;

pub use endpoint::{Endpoint, Serve};
pub use front::{AuthedRequest, FailedRequest, Front, OriginRequest, Route};

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::object::Objects;
use crate::upload::Uploads;
use crate::web::{Admission, Metrics, Settings};

/// The parts of a gateway that all fronts share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shared {
    pub uploads: Uploads,
    pub objects: Objects,
    pub accounts: Accounts,
    pub clock: Clock,
    pub metrics: Metrics,
    pub http: Settings,
    pub admission: Admission,
}
