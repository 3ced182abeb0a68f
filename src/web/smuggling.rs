//! Protection against request smuggling.
//!
//! Guarantees: a head that a proxy in front of the gateway could read in another way is refused:
//! there must be one host, which is that of an absolute target if there is one, and no transfer
//! coding but `chunked`. What is worse (two lengths, a length and a transfer coding, a folded line)
//! hyper has refused before, or it closes the connection after the response. Source: RFC 9112 §3.2,
//! §6.1, §11.2.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{Method, Version, request};

use super::error::Error;

/// **Errors**: `BadRequest`.
pub fn refuse_smuggling(head: &request::Parts) -> Result<(), Error> {
    let hosts: Vec<_> = head.headers.get_all(HOST).iter().map(|value| value.as_bytes()).collect();
    match (head.version, &hosts[..]) {
        (_, [_]) | (Version::HTTP_10, []) => {}
        _ => return Err(Error::bad("a request must have exactly one Host header")),
    }
    // The target of CONNECT is the address of another server.
    let authority = head.uri.authority().filter(|_| head.method != Method::CONNECT);
    if authority.is_some_and(|named| {
        hosts.iter().any(|host| !host.eq_ignore_ascii_case(named.as_str().as_bytes()))
    }) {
        return Err(Error::bad("the request target and the Host header name different hosts"));
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings
        .next()
        .is_none_or(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    if is_chunked && codings.next().is_none() {
        return Ok(());
    }
    Err(Error::bad("the only supported transfer coding is chunked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn is_accepted(uri: &str, version: Version, headers: Fields<'_>) -> bool {
        let mut request = http::Request::get(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        refuse_smuggling(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn an_ambiguous_head_is_refused() {
        let h = ("host", "h");
        let table: [(&str, Fields<'_>, bool); 9] = [
            ("/b", &[h], true),
            ("/b", &[], false),
            ("/b", &[h, h], false),
            ("http://H/b", &[h], true),
            ("http://h/b", &[("host", "other")], false),
            ("/b", &[h, ("transfer-encoding", "Chunked")], true),
            ("/b", &[h, ("transfer-encoding", "gzip, chunked")], false),
            ("/b", &[h, ("transfer-encoding", "xchunked")], false),
            ("/b", &[h, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
        ];
        assert!(is_accepted("/b", Version::HTTP_10, &[]));
        for (uri, headers, expected) in table {
            assert_eq!(is_accepted(uri, Version::HTTP_11, headers), expected, "{uri} {headers:?}");
        }
    }
}
