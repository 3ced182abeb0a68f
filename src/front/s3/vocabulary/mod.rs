//! The vocabulary of S3 requests: for every operation, the headers and query parameters that S3
//! documents, and what the gateway does with each.
//!
//! Guarantees: a request with an `x-amz-` header, or with a query parameter, that is in no row of
//! its operation is refused with `NotImplemented`, which names it; so nothing that a client asks
//! for is passed over. Reads pass over parameters that S3 passes over: those with a value that no
//! operation has. The rows are data, and the tests are generated from them. To add a header, add a
//! row, and the code that acts on it. Pure. Source: the operation's page below
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>.

mod headers;
pub mod hoist;
mod operations;
mod parameters;
#[cfg(any(test, feature = "testing"))]
pub mod table;
#[cfg(test)]
mod tests;

use http::header::{
    CONTENT_RANGE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::S3Error;
use super::route::S3Operation;
use crate::header_names::{CHECKSUM_PREFIX, METADATA_PREFIX};
use crate::web::Query;

pub use headers::HEADERS;
pub use operations::Operations;
pub use parameters::PARAMETERS;

/// What the gateway does with a header or a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The operation acts on it, and refuses values that it does not know.
    ActedOn,
    /// Stored with the object, and given back.
    Kept,
    /// Passed to an S3 server that acts on it; refused where there is none.
    Forwarded,
    /// It changes nothing here, and S3's own answer would be the same. The reason is for readers.
    Nothing(&'static str),
    /// Taken with one of these values, which ask for what is the case anyway; any other is refused.
    Only(&'static [&'static str]),
    /// S3 has it, the gateway does not.
    Refused,
}

/// A header or a query parameter of some operations.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// In lower case, for a header. [`METADATA`] stands for all user metadata.
    pub name: &'static str,
    pub operations: Operations,
    pub meaning: Meaning,
}

/// The row of headers with user metadata.
const METADATA: &str = "x-amz-meta-*";

const fn row(name: &'static str, operations: Operations, meaning: Meaning) -> Row {
    Row { name, operations, meaning }
}

/// Headers without `x-amz-` that could change what an operation does. HTTP has many more that could
/// not, which are of no concern here.
const CONDITIONAL: [HeaderName; 7] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    RANGE,
    CONTENT_RANGE,
];

/// Refuses what the operation does not have. **Errors**: `NotImplemented`, which names the header
/// or the parameter.
pub fn check(operation: S3Operation, query: &Query, headers: &HeaderMap) -> Result<(), S3Error> {
    check_headers(operation, headers)?;
    if operation == S3Operation::PostObject {
        require_plain_head(headers)?;
    }
    query.pairs().try_for_each(|(name, value)| {
        if operation == S3Operation::PostObject && is_header_in_query(name) {
            return Err(refusal("query parameter", name, operation));
        }
        check_parameter(operation, name, value)
    })
}

/// As [`check`], for the fields of a form.
pub fn check_headers(operation: S3Operation, headers: &HeaderMap) -> Result<(), S3Error> {
    let of_s3 = |name: &HeaderName| name.as_str().starts_with("x-amz-") || is_conditional(name);
    headers
        .iter()
        .filter(|(name, _)| of_s3(name))
        .try_for_each(|(name, value)| check_header(operation, name, value))
}

/// What a form asks for stands in its fields, so the head that it is sent with must ask for
/// nothing.
fn require_plain_head(headers: &HeaderMap) -> Result<(), S3Error> {
    let operation = S3Operation::PostObject;
    let asks = |name: &&HeaderName| {
        matches!(
            meaning(HEADERS, name.as_str(), operation),
            Some(Meaning::ActedOn | Meaning::Kept | Meaning::Forwarded)
        )
    };
    let mut of_s3 = headers.keys().filter(|name| name.as_str().starts_with("x-amz-"));
    of_s3.find(asks).map_or(Ok(()), |name| Err(refusal("header", name.as_str(), operation)))
}

fn is_conditional(name: &HeaderName) -> bool {
    CONDITIONAL.contains(name)
}

fn check_header(
    operation: S3Operation,
    name: &HeaderName,
    value: &HeaderValue,
) -> Result<(), S3Error> {
    if let S3Operation::PassThrough(passed) = operation
        && passed.has_header(name.as_str())
    {
        return Ok(());
    }
    match meaning(HEADERS, name.as_str(), operation) {
        Some(Meaning::Only(values)) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            let refused = || format!("the value {value:?} of the header {name}");
            let is_taken = values.contains(&value.trim());
            if is_taken { Ok(()) } else { Err(S3Error::not_implemented(&refused())) }
        }
        Some(meaning) if meaning != Meaning::Refused => Ok(()),
        Some(_) | None => Err(refusal("header", name.as_str(), operation)),
    }
}

fn check_parameter(operation: S3Operation, name: &str, value: &str) -> Result<(), S3Error> {
    if is_header_in_query(name) {
        let header = HeaderName::from_bytes(name.as_bytes());
        let header = header.map_err(|_| refusal("query parameter", name, operation))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| S3Error::invalid(format!("{name} is not a valid header value")))?;
        return check_header(operation, &header, &value);
    }
    if let S3Operation::PassThrough(passed) = operation
        && passed.has_parameter(name)
    {
        return Ok(());
    }
    match meaning(PARAMETERS, name, operation) {
        Some(Meaning::Only(values)) if !values.contains(&value) => Err(S3Error::not_implemented(
            &format!("the value {value:?} of the query parameter {name}"),
        )),
        Some(Meaning::Refused) => Err(refusal("query parameter", name, operation)),
        Some(_) => Ok(()),
        // S3 passes over it, as it does for `?v=2`. Without a value it could be a subresource.
        None if Operations::READS.has(operation) && !value.is_empty() => Ok(()),
        None => Err(refusal("query parameter", name, operation)),
    }
}

/// Whether a parameter is a header of a presigned request that stands in its query, and not one of
/// the signature's own parameters.
fn is_header_in_query(name: &str) -> bool {
    let is_amz = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
    is_amz && !parameters::SIGNATURE.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn refusal(kind: &str, name: &str, operation: S3Operation) -> S3Error {
    let is_known = HEADERS.iter().any(|row| row.name == name);
    if name.starts_with(CHECKSUM_PREFIX) && !is_known {
        return S3Error::invalid_request(
            "The algorithm type you specified in x-amz-checksum- header is invalid.",
        )
        .with_element("Detail", format!("the {kind} {name:?} names no algorithm"));
    }
    S3Error::not_implemented(&format!("the {kind} {name:?} with {}", operation.s3_name()))
}

/// The meaning of a name for an operation; None if it is in no row.
pub fn meaning(rows: &'static [Row], name: &str, operation: S3Operation) -> Option<Meaning> {
    let name = if name.starts_with(METADATA_PREFIX) { METADATA } else { name };
    let from = rows.partition_point(|row| row.name < name);
    rows[from..]
        .iter()
        .take_while(|row| row.name == name)
        .find(|row| row.operations.has(operation))
        .map(|row| row.meaning)
}
