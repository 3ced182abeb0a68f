//! Writes S3's XML documents, and reads single elements of them.

use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::objects::{Page, Part};

pub const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// The texts of all elements with a name. Sufficient for the documents that S3 clients send.
pub fn elements<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<{name}>");
    document.split(open.as_str()).skip(1).filter_map(|rest| rest.split('<').next()).collect()
}

pub fn buckets(names: &[String]) -> String {
    let bucket = |name: &String| {
        format!(
            "<Bucket><Name>{}</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>",
            escaped(name)
        )
    };
    let buckets: String = names.iter().map(bucket).collect();
    format!(
        "<ListAllMyBucketsResult {NAMESPACE}><Owner><ID>null</ID></Owner><Buckets>{buckets}</Buckets>\
         </ListAllMyBucketsResult>"
    )
}

pub fn listing(
    page: &Page,
    bucket: &str,
    (prefix, delimiter): (&str, &str),
    is_v2: bool,
    encoded: bool,
) -> String {
    let name = |text: &str| {
        if encoded {
            utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%2F", "/")
        } else {
            escaped(text)
        }
    };
    let mut out = format!(
        "<ListBucketResult {NAMESPACE}><Name>{bucket}</Name><Prefix>{}</Prefix>",
        name(prefix)
    );
    out.push_str(&format!(
        "<MaxKeys>1000</MaxKeys><IsTruncated>{}</IsTruncated>",
        page.next.is_some()
    ));
    if !delimiter.is_empty() {
        out.push_str(&format!("<Delimiter>{}</Delimiter>", name(delimiter)));
    }
    if encoded {
        out.push_str("<EncodingType>url</EncodingType>");
    }
    if is_v2 {
        out.push_str(&format!("<KeyCount>{}</KeyCount>", page.objects.len() + page.prefixes.len()));
    }
    if let Some(next) = &page.next {
        let element = if is_v2 { "NextContinuationToken" } else { "NextMarker" };
        out.push_str(&format!("<{element}>{}</{element}>", escaped(next)));
    }
    for (key, object) in &page.objects {
        let modified = aws_smithy_types::DateTime::from(object.modified);
        let modified =
            modified.fmt(aws_smithy_types::date_time::Format::DateTime).unwrap_or_default();
        out.push_str(&format!(
            "<Contents><Key>{}</Key><LastModified>{modified}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            name(key),
            object.etag,
            object.content.len_bytes()
        ));
    }
    for prefix in &page.prefixes {
        out.push_str(&format!(
            "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
            name(prefix)
        ));
    }
    out + "</ListBucketResult>"
}

pub fn parts(
    (bucket, key): (&str, &str),
    upload: &str,
    parts: &[Part],
    limit: usize,
    more: bool,
) -> String {
    let key = escaped(key);
    let mut out = format!(
        "<ListPartsResult {NAMESPACE}><Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId>"
    );
    out.push_str(&format!("<MaxParts>{limit}</MaxParts><IsTruncated>{more}</IsTruncated>"));
    if let (true, Some((last, ..))) = (more, parts.last()) {
        out.push_str(&format!("<NextPartNumberMarker>{last}</NextPartNumberMarker>"));
    }
    for (number, etag, len) in parts {
        out.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{len}</Size>\
             <LastModified>2026-01-01T00:00:00.000Z</LastModified></Part>"
        ));
    }
    out + "</ListPartsResult>"
}

/// Text escaped for XML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if u32::from(c) < 0x20 => {
                // Writing to a String cannot fail.
                write!(out, "&#{};", u32::from(c)).ok();
            }
            c => out.push(c),
        }
    }
    out
}
