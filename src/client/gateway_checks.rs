//! Asks a gateway whether it can be used, for `ratchet doctor --endpoint`.
//!
//! Guarantees: nothing is changed at the gateway or its store.

use serde::Serialize;

use super::transport::ApiRequest;
use super::{Error, Result, Transport};

/// The most that is read of an answer.
const MAX_BYTES: usize = 1 << 20;

/// A question to the gateway, and its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct GatewayCheck {
    pub name: &'static str,
    pub passed: bool,
    /// Why it failed; empty otherwise.
    pub detail: String,
}

/// Runs all checks. **Errors**: `Unreachable`, `NotChunkApi` if something else answers.
pub async fn examine_gateway(transport: &Transport) -> Result<Vec<GatewayCheck>> {
    transport.send(&ApiRequest::get("/healthz".to_owned()), MAX_BYTES).await?;
    let mut checks =
        vec![GatewayCheck { name: "the gateway answers", passed: true, detail: String::new() }];
    let ready = transport.send(&ApiRequest::get("/readyz".to_owned()), MAX_BYTES).await;
    checks.push(outcome("its store answers", ready.map(drop))?);
    // Any bucket will do: a key without rights to it is a valid key.
    let listing = ApiRequest::get("/backups?bucket=doctor".to_owned());
    let listed = match transport.send(&listing, MAX_BYTES).await {
        Err(Error::Problem(problem)) if problem.status != 401 && problem.status < 500 => Ok(()),
        listed => listed.map(drop),
    };
    checks.push(outcome("it accepts the access key and the clock of this machine", listed)?);
    Ok(checks)
}

/// A problem fails the check; a gateway that cannot be reached is an error.
fn outcome(name: &'static str, answer: Result<()>) -> Result<GatewayCheck> {
    match answer {
        Ok(()) => Ok(GatewayCheck { name, passed: true, detail: String::new() }),
        Err(Error::Problem(problem)) => {
            let detail = format!("{}; {}", problem.detail, problem.action);
            Ok(GatewayCheck { name, passed: false, detail })
        }
        Err(error) => Err(error),
    }
}
