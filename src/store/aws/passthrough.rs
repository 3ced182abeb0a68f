//! Sends operations that are passed through to the server.
//!
//! Guarantees: the query consists of the operation's own names; all values are encoded here.

use percent_encoding::utf8_percent_encode;

use super::super::{Body, Passthrough, PassthroughAnswer, Result};
use super::signed_client::{SignedClient, StoreRequest, incoming};
use crate::digest::Sha256;
use crate::sigv4::{Payload, URI_COMPONENT};

pub(super) async fn pass_through(
    client: &SignedClient,
    request: Passthrough,
) -> Result<PassthroughAnswer> {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| {
        (name.clone(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let store_request = StoreRequest {
        method: request.operation().method.clone(),
        bucket: request.bucket(),
        key: request.key(),
        query: query(&request),
        headers: headers.collect(),
        user: Vec::new(),
        payload: Payload::Sha256(Sha256::of(&request.body).0),
    };
    let (response, permit) =
        client.send_any_status(&store_request, Body::from(request.body.clone())).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(PassthroughAnswer { status, headers, body: incoming((response, permit), None) })
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
    fn a_value_cannot_add_a_parameter() {
        let versions = Operation::find(&Method::GET, Level::Bucket, "versions").unwrap();
        let mut request = Passthrough::new(versions, "b".into(), "".into(), Bytes::new());
        request.add_parameter("prefix", "a&acl=&x#/../é");
        assert_eq!(query(&request), "versions&prefix=a%26acl%3D%26x%23%2F..%2F%C3%A9");
    }
}
