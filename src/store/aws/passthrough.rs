//! Operations that only the server does, on their way to it.
//!
//! Guarantees: the query is put together from the operation's own names, and the values are encoded
//! anew.

use percent_encoding::utf8_percent_encode;

use super::super::{Body, Passthrough, PassthroughAnswer, Result};
use super::signed_client::{SignedClient, StoreRequest, incoming};
use crate::digest::Sha256;
use crate::sigv4::{Payload, URI_COMPONENT};

pub(super) async fn pass_through(
    wire: &SignedClient,
    request: Passthrough,
) -> Result<PassthroughAnswer> {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| {
        (name.clone(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let call = StoreRequest {
        method: request.operation().method.clone(),
        bucket: request.bucket(),
        key: request.key(),
        query: query(&request),
        headers: headers.collect(),
        user: Vec::new(),
        payload: Payload::Sha256(Sha256::of(&request.body).0),
    };
    let (answer, room) = wire.send_any_status(&call, Body::from(request.body.clone())).await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(PassthroughAnswer { status, headers, body: incoming((answer, room), None) })
}

fn query(request: &Passthrough) -> String {
    let mut query = request.operation().subresource.to_owned();
    for (name, value) in request.parameters() {
        query.extend(["&", name, "="]);
        query.extend(utf8_percent_encode(value, URI_COMPONENT));
    }
    query
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Method;

    use super::super::super::{Level, Operation};
    use super::*;

    #[test]
    fn no_value_becomes_another_parameter() {
        let versions = Operation::find(&Method::GET, Level::Bucket, "versions").unwrap();
        let mut request = Passthrough::new(versions, "b".into(), "".into(), Bytes::new());
        request.add_parameter("prefix", "a&acl=&x#/../é");
        assert_eq!(query(&request), "versions&prefix=a%26acl%3D%26x%23%2F..%2F%C3%A9");
    }
}
