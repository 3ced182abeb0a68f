//! Maps requests to S3 operations, and executes them.
//!
//! It knows the operations that gateways and their probes use; any other is `NotImplemented`.

use std::sync::atomic::Ordering;

use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::body::{self, Content};
use super::documents::{self, NAMESPACE, escaped};
use super::objects::{Condition, Object};
use super::reply::{self, Reply};
use super::{Backend, STATE};

/// The names and values of a query, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: Option<&str>) -> Self {
        let decoded = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (decoded(n), decoded(v)))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
}

/// Answers one request.
pub async fn answer(backend: &Backend, request: Request<Incoming>) -> Result<Reply, hyper::Error> {
    let (head, body) = request.into_parts();
    let query = Query::of(head.uri.query());
    let path = percent_decode_str(head.uri.path().trim_start_matches('/'))
        .decode_utf8_lossy()
        .into_owned();
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    let target = (bucket, key);
    if bucket.is_empty() {
        return Ok(Reply::new(200).xml(&documents::buckets(&backend.objects.buckets())));
    }
    if key.is_empty() {
        return bucket_operation(backend, (&head.method, bucket), &query, body).await;
    }
    match (&head.method, query.get("uploadId")) {
        (&Method::PUT, upload) => {
            put(backend, target, upload.map(|id| (id, &query)), &head.headers, body).await
        }
        (&Method::GET | &Method::HEAD, None) => {
            Ok(get(backend, target, &head.headers, head.method == Method::HEAD))
        }
        (&Method::GET, Some(upload)) => Ok(list_parts(backend, target, upload, &query)),
        (&Method::POST, None) if query.get("uploads").is_some() => {
            Ok(create(backend, target, &head.headers))
        }
        (&Method::POST, Some(upload)) => complete(backend, target, upload, body).await,
        (&Method::DELETE, None) => {
            backend.objects.delete(bucket, key);
            Ok(Reply::new(204))
        }
        (&Method::DELETE, Some(upload)) => {
            backend.objects.abort(upload);
            Ok(Reply::new(204))
        }
        _ => Ok(Reply::refused((501, "NotImplemented"))),
    }
}

async fn bucket_operation(
    backend: &Backend,
    (method, bucket): (&Method, &str),
    query: &Query,
    body: Incoming,
) -> Result<Reply, hyper::Error> {
    let document = body.collect().await?.to_bytes();
    let exists = backend.objects.has_bucket(bucket);
    Ok(match *method {
        Method::PUT if query.0.is_empty() => {
            if backend.objects.create_bucket(bucket) {
                Reply::new(200).header("location", &format!("/{bucket}"))
            } else {
                Reply::refused((409, "BucketAlreadyOwnedByYou"))
            }
        }
        Method::HEAD if exists => Reply::new(200),
        Method::HEAD => Reply::new(404),
        _ if !exists => Reply::refused((404, "NoSuchBucket")),
        Method::DELETE => {
            backend.objects.delete_bucket(bucket);
            Reply::new(204)
        }
        Method::GET if query.get("location").is_some() => {
            Reply::new(200).xml(&format!("<LocationConstraint {NAMESPACE}>us-east-1</LocationConstraint>"))
        }
        Method::GET if query.get("versioning").is_some() => {
            Reply::new(200).xml(&format!("<VersioningConfiguration {NAMESPACE}></VersioningConfiguration>"))
        }
        Method::GET if query.get("uploads").is_some() => Reply::new(200).xml(&format!(
            "<ListMultipartUploadsResult {NAMESPACE}><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
        )),
        Method::GET => list(backend, bucket, query),
        Method::POST if query.get("delete").is_some() => {
            let document = String::from_utf8_lossy(&document).into_owned();
            for key in documents::elements(&document, "Key") {
                backend.objects.delete(bucket, key);
            }
            Reply::new(200).xml(&format!("<DeleteResult {NAMESPACE}></DeleteResult>"))
        }
        _ => Reply::refused((501, "NotImplemented")),
    })
}

fn list(backend: &Backend, bucket: &str, query: &Query) -> Reply {
    let is_v2 = query.get("list-type") == Some("2");
    let after = ["continuation-token", "start-after", "marker"]
        .into_iter()
        .find_map(|name| query.get(name));
    let limit = query.text("max-keys").parse().unwrap_or(1000_usize).min(1000);
    let (prefix, delimiter) = (query.text("prefix"), query.text("delimiter"));
    let page =
        match backend.objects.list(bucket, prefix, delimiter, after.unwrap_or_default(), limit) {
            Ok(page) => page,
            Err(refusal) => return Reply::refused(refusal),
        };
    let encoded = query.get("encoding-type") == Some("url");
    Reply::new(200).xml(&documents::listing(&page, bucket, (prefix, delimiter), is_v2, encoded))
}

/// The headers that a GET of the object returns.
fn stored_headers(headers: &HeaderMap) -> HeaderMap {
    let keep = |name: &str| name == "content-type" || name.starts_with("x-amz-meta-");
    headers
        .iter()
        .filter(|(name, _)| keep(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn put(
    backend: &Backend,
    (bucket, key): (&str, &str),
    part: Option<(&str, &Query)>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, hyper::Error> {
    let mut content = body::receive(headers, body).await?;
    if let Some((upload, query)) = part {
        backend.parts.fetch_add(1, Ordering::Relaxed);
        backend.part_bytes.fetch_add(content.len_bytes(), Ordering::Relaxed);
        let number = query.text("partNumber").parse().unwrap_or(0);
        return Ok(tagged(backend.objects.put_part(upload, number, content)));
    }
    let condition = match (header(headers, "if-none-match"), header(headers, "if-match")) {
        (Some(_), _) => Condition::Absent,
        (None, Some(tag)) => Condition::Tagged(tag.trim_matches('"').to_owned()),
        (None, None) => Condition::None,
    };
    if bucket == STATE && key.contains("/staged/") {
        backend.staged.fetch_add(1, Ordering::Relaxed);
    } else if bucket == STATE {
        backend.state_puts.fetch_add(1, Ordering::Relaxed);
        backend.state_bytes.fetch_add(content.len_bytes(), Ordering::Relaxed);
        let conditional = u64::from(!matches!(condition, Condition::None));
        backend.conditional_puts.fetch_add(conditional, Ordering::Relaxed);
    }
    if let Some(source) = header(headers, "x-amz-copy-source") {
        let source =
            percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy().into_owned();
        let (from, name) = source.split_once('/').unwrap_or((&source, ""));
        match backend.objects.get(from, name) {
            Ok(object) => content = object.content,
            Err(refusal) => return Ok(Reply::refused(refusal)),
        }
        let copied =
            backend.objects.put((bucket, key), content, stored_headers(headers), &condition);
        let document = |etag| {
            format!(
                "<CopyObjectResult {NAMESPACE}><ETag>&quot;{etag}&quot;</ETag></CopyObjectResult>"
            )
        };
        return Ok(copied.map_or_else(Reply::refused, |etag| Reply::new(200).xml(&document(etag))));
    }
    Ok(tagged(backend.objects.put((bucket, key), content, stored_headers(headers), &condition)))
}

fn tagged(outcome: Result<String, (u16, &'static str)>) -> Reply {
    outcome
        .map_or_else(Reply::refused, |etag| Reply::new(200).header("etag", &format!("\"{etag}\"")))
}

fn get(
    backend: &Backend,
    (bucket, key): (&str, &str),
    headers: &HeaderMap,
    head_only: bool,
) -> Reply {
    let object = match backend.objects.get(bucket, key) {
        Ok(object) => object,
        Err((status, _)) if head_only => {
            return Reply::new(status).content(reply::Content::Nothing);
        }
        Err(refusal) => return Reply::refused(refusal),
    };
    let matches = |tag: &str| tag.trim_matches('"') == object.etag;
    if header(headers, "if-match").is_some_and(|tag| !matches(tag)) {
        return Reply::refused((412, "PreconditionFailed"));
    }
    if header(headers, "if-none-match").is_some_and(matches) {
        return described(Reply::new(304), &object);
    }
    let size = object.content.len_bytes();
    let (reply, first, last) =
        match header(headers, "range").and_then(|range| range.strip_prefix("bytes=")) {
            None => (Reply::new(200), 0, size),
            Some(range) => {
                let (from, to) = range.split_once('-').unwrap_or((range, ""));
                let (first, end) = match (from.parse::<u64>(), to.parse::<u64>()) {
                    (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(size)),
                    (Ok(first), Err(_)) => (first, size),
                    (Err(_), last) => (size.saturating_sub(last.unwrap_or(0)), size),
                };
                if first >= end {
                    return Reply::refused((416, "InvalidRange"));
                }
                let content_range = format!("bytes {first}-{}/{size}", end - 1);
                (Reply::new(206).header("content-range", &content_range), first, end)
            }
        };
    let content = match &object.content {
        _ if head_only => reply::Content::Nothing,
        Content::Kept(bytes) => reply::Content::Bytes(bytes.slice(first as usize..last as usize)),
        Content::Dropped(_) => reply::Content::Pattern(last - first),
    };
    described(reply, &object).header("content-length", &(last - first).to_string()).content(content)
}

fn described(reply: Reply, object: &Object) -> Reply {
    reply
        .headers(&object.headers)
        .header("etag", &format!("\"{}\"", object.etag))
        .header("last-modified", &httpdate::fmt_http_date(object.modified))
        .header("accept-ranges", "bytes")
}

fn create(backend: &Backend, (bucket, key): (&str, &str), headers: &HeaderMap) -> Reply {
    let document = |id| {
        format!(
            "<InitiateMultipartUploadResult {NAMESPACE}><Bucket>{bucket}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escaped(key)
        )
    };
    let created = backend.objects.create_upload(bucket, key, stored_headers(headers));
    created.map_or_else(Reply::refused, |id| Reply::new(200).xml(&document(id)))
}

fn list_parts(
    backend: &Backend,
    (bucket, key): (&str, &str),
    upload: &str,
    query: &Query,
) -> Reply {
    let after = query.text("part-number-marker").parse().unwrap_or(0);
    let limit = query.text("max-parts").parse().unwrap_or(1000_usize).min(1000);
    let (parts, more) = match backend.objects.parts(upload, after, limit) {
        Ok(found) => found,
        Err(refusal) => return Reply::refused(refusal),
    };
    Reply::new(200).xml(&documents::parts((bucket, key), upload, &parts, limit, more))
}

async fn complete(
    backend: &Backend,
    (bucket, key): (&str, &str),
    upload: &str,
    body: Incoming,
) -> Result<Reply, hyper::Error> {
    let document = body.collect().await?.to_bytes();
    let document = String::from_utf8_lossy(&document)
        .replace("&quot;", "")
        .replace("&#34;", "")
        .replace('"', "");
    let numbers = documents::elements(&document, "PartNumber")
        .into_iter()
        .map(|text| text.trim().parse().unwrap_or(0));
    let tags = documents::elements(&document, "ETag").into_iter().map(str::to_owned);
    let named: Vec<(u32, String)> = numbers.zip(tags).collect();
    let document = |etag| {
        format!(
            "<CompleteMultipartUploadResult {NAMESPACE}><Location>/{bucket}</Location><Bucket>{bucket}</Bucket><Key>{}</Key>\
             <ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>",
            escaped(key)
        )
    };
    let completed = backend.objects.complete(upload, &named);
    Ok(completed.map_or_else(Reply::refused, |etag| Reply::new(200).xml(&document(etag))))
}
