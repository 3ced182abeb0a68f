//! Request smuggling: a second, signed request that deletes an object is hidden where another
//! reader of the same bytes might see it. Source: RFC 9112 §6, §11.2;
//! <https://portswigger.net/research/http-desync-attacks-request-smuggling-reborn>.

use super::Target;
use crate::support::request::s3;
use crate::support::response::send_raw;

/// Status and error code.
type Refusal = (u16, &'static str);

/// An unsigned request from its lines and the bytes after its head; `{len}` in `fields` stands for
/// the length of those.
fn raw(line: &str, fields: &str, after_head: &str) -> Vec<u8> {
    let fields = fields.replace("{len}", &after_head.len().to_string());
    format!("{line}\r\n{fields}\r\n{after_head}").into_bytes()
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_hides_no_request() {
    let mut gateway = Target::new("heads that can be read in two ways").await;
    let hidden = s3("DELETE", "/bucket/k").head(gateway.address);
    let put = "PUT /bucket/x HTTP/1.1";
    let bad = (400, "");
    let table: [(&str, &str, &str, Refusal); 31] = [
        ("two lengths", put, "host: h\r\ncontent-length: 0\r\ncontent-length: {len}\r\n", bad),
        ("a list of lengths", put, "host: h\r\ncontent-length: 0, {len}\r\n", bad),
        ("a length with a sign", put, "host: h\r\ncontent-length: +0\r\n", bad),
        ("a negative length", put, "host: h\r\ncontent-length: -1\r\n", bad),
        ("a hexadecimal length", put, "host: h\r\ncontent-length: 0x10\r\n", bad),
        ("an empty length", put, "host: h\r\ncontent-length: \r\n", bad),
        ("a length past 64 bits", put, "host: h\r\ncontent-length: 99999999999999999999\r\n", bad),
        ("another coding", put, "host: h\r\ntransfer-encoding: xchunked\r\n", bad),
        (
            "a coding behind chunked",
            put,
            "host: h\r\ntransfer-encoding: chunked, identity\r\n",
            bad,
        ),
        (
            "a coding before chunked",
            put,
            "host: h\r\ntransfer-encoding: gzip, chunked\r\n",
            (400, "InvalidRequest"),
        ),
        (
            "chunked twice",
            put,
            "host: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            (400, "InvalidRequest"),
        ),
        ("chunked in quotes", put, "host: h\r\ntransfer-encoding: \"chunked\"\r\n", bad),
        ("chunked and vertical tab", put, "host: h\r\ntransfer-encoding: \x0bchunked\r\n", bad),
        ("a blank before the colon", put, "host: h\r\ncontent-length : {len}\r\n", bad),
        ("a tab before the colon", put, "host: h\r\ntransfer-encoding\t: chunked\r\n", bad),
        ("a folded line", put, "host: h\r\nx-a: b\r\n content-length: {len}\r\n", bad),
        ("a folded first line", put, " content-length: {len}\r\nhost: h\r\n", bad),
        ("a field without a name", put, "host: h\r\n: x\r\n", bad),
        ("a field without a colon", put, "host: h\r\nno colon here\r\n", bad),
        ("a bare CR in a value", put, "host: h\r\nx-a: b\rcontent-length: {len}\r\n", bad),
        ("a NUL in a value", put, "host: h\r\nx-a: b\0c\r\n", bad),
        ("no host", put, "x-a: b\r\n", (400, "InvalidRequest")),
        ("two hosts", put, "host: h\r\nhost: h\r\n", (400, "InvalidRequest")),
        (
            "another host in the target",
            "PUT http://other/bucket/x HTTP/1.1",
            "host: h\r\n",
            (400, "InvalidRequest"),
        ),
        (
            "chunked in HTTP/1.0",
            "PUT /bucket/x HTTP/1.0",
            "host: h\r\ntransfer-encoding: chunked\r\n",
            bad,
        ),
        ("HTTP/1.2", "PUT /bucket/x HTTP/1.2", "host: h\r\n", bad),
        ("HTTP/2", "PRI * HTTP/2.0", "", bad),
        ("no version", "GET /bucket/k", "host: h\r\n", bad),
        ("a blank in the target", "GET /bucket/a b HTTP/1.1", "host: h\r\n", bad),
        ("a control character in the target", "GET /bucket/\x01 HTTP/1.1", "host: h\r\n", bad),
        ("an invalid method", "G@T@/ /bucket/k HTTP/1.1", "host: h\r\n", bad),
    ];
    for (what, line, fields, expected) in table {
        gateway.refuses(what, &raw(line, fields, &hidden), expected).await;
    }
    gateway.assert_object_is("k", b"old").await;
}

#[tokio::test]
async fn a_body_that_is_refused_hides_no_request() {
    let mut gateway = Target::new("requests in bodies").await;
    let hidden = s3("DELETE", "/bucket/k").head(gateway.address);
    let chunked = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let denied = (403, "AccessDenied");
    let lengths = "host: h\r\ncontent-length: {len}\r\n";
    let both = "host: h\r\ncontent-length: {len}\r\ntransfer-encoding: chunked\r\n";
    let table: [(&str, &str, &str, &str, Refusal); 11] = [
        ("in a put", "PUT /bucket/x HTTP/1.1", lengths, &hidden, denied),
        ("in a get", "GET /bucket/k HTTP/1.1", lengths, &hidden, denied),
        ("in a form", "POST /bucket HTTP/1.1", lengths, &hidden, (412, "PreconditionFailed")),
        (
            "in a chunk",
            "PUT /_ratchet/v1/backups/a/chunks/0 HTTP/1.1",
            lengths,
            &hidden,
            (401, "unauthorized"),
        ),
        (
            "in a path that leads nowhere",
            "PUT /_ratchet/v1/x HTTP/1.1",
            lengths,
            &hidden,
            (404, "not-found"),
        ),
        (
            "in a method that is not allowed",
            "PATCH /bucket/k HTTP/1.1",
            lengths,
            &hidden,
            (405, "MethodNotAllowed"),
        ),
        ("in a trace", "TRACE /bucket/k HTTP/1.1", lengths, &hidden, (405, "MethodNotAllowed")),
        (
            "in a tunnel",
            "CONNECT h:80 HTTP/1.1",
            "host: h:80\r\ncontent-length: {len}\r\n",
            &hidden,
            (405, "MethodNotAllowed"),
        ),
        (
            "behind the chunks, with a length",
            "PUT /bucket/x HTTP/1.1",
            both,
            &format!("0\r\n\r\n{hidden}"),
            denied,
        ),
        ("in the chunks, with a length", "PUT /bucket/x HTTP/1.1", both, &chunked, denied),
        (
            "for a client that waits",
            "PUT /bucket/x HTTP/1.1",
            "host: h\r\nexpect: 100-continue\r\ncontent-length: {len}\r\n",
            &hidden,
            denied,
        ),
    ];
    for (what, line, fields, after_head, expected) in table {
        gateway.refuses(what, &raw(line, fields, after_head), expected).await;
    }
    // A line may end with a line feed alone (RFC 9112 §2.2); all readers of the gateway agree on
    // that.
    let bare =
        format!("PUT /bucket/x HTTP/1.1\nhost: h\ncontent-length: {}\n\n{hidden}", hidden.len());
    gateway.refuses("only line feeds", bare.as_bytes(), denied).await;
    // An accepted request hides nothing either: the gateway does not read the body of a GET.
    let len = hidden.len().to_string();
    let get = s3("GET", "/bucket/k").header("content-length", &len).head(gateway.address);
    let (responses, _) =
        send_raw(gateway.address, &[get.as_bytes(), hidden.as_bytes()].concat()).await;
    assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [200]);
    assert_eq!(responses[0].header("connection"), Some("close"));
    gateway.assert_object_is("k", b"old").await;
}

#[tokio::test]
async fn chunks_with_a_wrong_length_store_nothing() {
    let mut gateway = Target::new("chunks with a wrong length").await;
    let head = s3("PUT", "/bucket/x")
        .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("x-amz-decoded-content-length", "5")
        .header("transfer-encoding", "chunked")
        .head(gateway.address);
    let framed = "5\r\nhello\r\n0\r\n\r\n";
    let hidden = s3("DELETE", "/bucket/k").head(gateway.address);
    let incomplete = (400, "IncompleteBody");
    let table = [
        ("a size past 64 bits", "fffffffffffffffff1\r\nhello".to_owned()),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with a prefix", format!("0x{:x}\r\n{framed}\r\n0\r\n\r\n", framed.len())),
        ("no size", format!("\r\n{framed}\r\n0\r\n\r\n")),
        ("more bytes than the size", format!("{:x}\r\n{framed}more\r\n0\r\n\r\n", framed.len())),
        (
            "a line of 20,000 bytes",
            format!("{:x};{}\r\n{framed}\r\n0\r\n\r\n", framed.len(), "e".repeat(20_000)),
        ),
        ("a request in the trailer", format!("{:x}\r\n{framed}\r\n0\r\n{hidden}", framed.len())),
    ];
    for (what, body) in table {
        gateway.refuses(what, &[head.as_bytes(), body.as_bytes()].concat(), incomplete).await;
    }
    gateway.assert_object_is("k", b"old").await;
}
