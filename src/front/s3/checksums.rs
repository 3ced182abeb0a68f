//! What requests state of the checksums of uploads, parts and objects, and how responses show them.
//!
//! Guarantees: names of algorithms and kinds are read in any case; what S3 refuses is refused with
//! its code and words. The bytes themselves are compared by `web` and `upload`. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>.

use http::{HeaderMap, HeaderName, StatusCode};

use super::error::S3Error;
use super::xml::Xml;
use crate::digest::{Algorithm, Checksum};
use crate::header_names::CHECKSUM_ALGORITHM;
use crate::object::Listed;
use crate::upload::{ChecksumKind, ObjectChecksum, ObjectClaim, PartEntry, Root};
use crate::web::{Declared, checksum_header, named_algorithm};

const TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
const OBJECT_SIZE: HeaderName = HeaderName::from_static("x-amz-mp-object-size");

/// The checksum that CreateMultipartUpload names. **Errors**: `InvalidRequest`.
pub fn of_upload(headers: &HeaderMap) -> Result<Option<(Algorithm, ChecksumKind)>, S3Error> {
    let kind = kind(headers)?;
    let Some(algorithm) = named_algorithm(headers, &CHECKSUM_ALGORITHM)? else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(S3Error::invalid_request(
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header.",
            )),
        };
    };
    let usual = if ChecksumKind::Composite.exists_in(algorithm) {
        ChecksumKind::Composite
    } else {
        ChecksumKind::FullObject
    };
    let kind = kind.unwrap_or(usual);
    if kind.exists_in(algorithm) {
        return Ok(Some((algorithm, kind)));
    }
    Err(S3Error::invalid_request(format!(
        "The {} checksum type cannot be used with the {} checksum algorithm.",
        kind.name(),
        algorithm.name().to_lowercase()
    )))
}

/// The algorithm of the checksum that the store makes of an object's bytes: that of the trailer, or
/// the one that `x-amz-checksum-algorithm` names where no checksum is stated (minio-go over http).
/// **Errors**: `InvalidRequest` where one of another algorithm is stated.
pub fn to_be_made(headers: &HeaderMap, declared: &Declared) -> Result<Option<Algorithm>, S3Error> {
    match (named_algorithm(headers, &CHECKSUM_ALGORITHM)?, declared.algorithm()) {
        (Some(named), Some(stated)) if named != stated => Err(S3Error::invalid_request(format!(
            "{CHECKSUM_ALGORITHM} is {named}, but the checksum of the request is a {stated}"
        ))),
        (Some(named), None) => Ok(Some(named)),
        (Some(_) | None, _) => Ok(declared.trailer),
    }
}

/// Checks that a part comes with the checksum that its upload needs: in the algorithm that was
/// named at create, and for a composite checksum of the client itself. **Errors**:
/// `InvalidRequest`.
pub fn require_of_upload(declared: &Declared, root: &Root) -> Result<(), S3Error> {
    let Some((named, kind)) = root.s3.as_ref().and_then(|s3| s3.checksum) else { return Ok(()) };
    let sent = match declared.algorithm() {
        Some(sent) if sent == named => return Ok(()),
        Some(sent) => sent.name(),
        None if kind == ChecksumKind::FullObject => return Ok(()),
        None => "null",
    };
    Err(S3Error::invalid_request(format!(
        "Checksum Type mismatch occurred, expected checksum Type: {named}, actual checksum Type: \
         {sent}"
    )))
}

/// What CompleteMultipartUpload states of the object. **Errors**: `InvalidRequest`, `BadDigest`.
pub fn of_object(headers: &HeaderMap) -> Result<ObjectClaim, S3Error> {
    let checksum = checksum_header(headers)?
        .map(|(algorithm, text)| object_checksum(algorithm, text))
        .transpose()?;
    Ok(ObjectClaim { checksum, kind: kind(headers)?, size_bytes: object_size(headers)? })
}

/// A checksum, and the number of parts that may stand behind it: `<Base64>-<parts>`.
fn object_checksum(algorithm: Algorithm, text: &str) -> Result<(Checksum, Option<usize>), S3Error> {
    let invalid = || invalid_value(&algorithm.header());
    let (base64, parts) = match text.split_once('-') {
        Some((base64, parts)) if ChecksumKind::Composite.exists_in(algorithm) => {
            (base64, Some(parts.parse().map_err(|_| invalid())?))
        }
        Some(_) => return Err(invalid()),
        None => (text, None),
    };
    if let Some(checksum) = Checksum::from_base64(algorithm, base64) {
        return Ok((checksum, parts));
    }
    // As at S3, a checksum of another length is a wrong one.
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    if base64.is_empty() || !base64.bytes().all(is_base64) {
        return Err(invalid());
    }
    let what = format!("The {algorithm} you specified did not match the calculated checksum.");
    Err(S3Error::new(StatusCode::BAD_REQUEST, "BadDigest", what))
}

fn object_size(headers: &HeaderMap) -> Result<Option<u64>, S3Error> {
    let Some(value) = headers.get(&OBJECT_SIZE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.starts_with('-') && text[1..].parse::<u64>().is_ok() {
        return Err(S3Error::invalid_request(format!(
            "Value for x-amz-mp-object-size header is less than zero: '{text}'"
        )));
    }
    text.parse().map(Some).map_err(|_| invalid_value(&OBJECT_SIZE))
}

fn kind(headers: &HeaderMap) -> Result<Option<ChecksumKind>, S3Error> {
    let Some(value) = headers.get(&TYPE) else { return Ok(None) };
    let kind = value.to_str().ok().and_then(|text| ChecksumKind::from_name(text.trim()));
    kind.map(Some).ok_or_else(|| invalid_value(&TYPE))
}

fn invalid_value(name: &HeaderName) -> S3Error {
    S3Error::invalid_request(format!("Value for {name} header is invalid."))
}

/// The checksum of a part that responses show: in the algorithm that was named at create; else the
/// one that the client sent, or the CRC64NVME that every upload gets.
pub fn of_part(entry: &PartEntry, named: Option<(Algorithm, ChecksumKind)>) -> Option<Checksum> {
    match named {
        Some((algorithm, _)) => entry.record.checksum(algorithm),
        None => entry.record.part.checksums.first().cloned(),
    }
}

/// Writes the checksum of an object and its type.
pub fn write(xml: &mut Xml, checksum: &ObjectChecksum) {
    write_value(xml, checksum, &checksum.value);
}

/// As [`write`], without the number of parts behind a composite checksum: GetObjectAttributes has
/// it in an element of its own.
pub fn write_without_count(xml: &mut Xml, checksum: &ObjectChecksum) {
    let value = checksum.value.split_once('-').map_or(&*checksum.value, |(digest, _)| digest);
    write_value(xml, checksum, value);
}

fn write_value(xml: &mut Xml, checksum: &ObjectChecksum, value: &str) {
    xml.element(&format!("Checksum{}", checksum.algorithm), value);
    xml.element("ChecksumType", checksum.kind.name());
}

/// Writes which checksum a listed object has, where the store knows it.
pub fn write_listed(xml: &mut Xml, object: &Listed) {
    if let Some(algorithm) = object.checksum {
        xml.element("ChecksumAlgorithm", algorithm);
        xml.element("ChecksumType", ChecksumKind::FullObject.name());
    }
}

/// Writes the checksum of a part.
pub fn write_part(xml: &mut Xml, checksum: &Checksum) {
    xml.element(&format!("Checksum{}", checksum.algorithm()), checksum.base64());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(header).collect()
    }

    /// Each algorithm with each type, in any case: what S3 takes, and what it makes of no type.
    #[test]
    fn an_upload_gets_the_checksum_that_it_names() {
        use Algorithm as A;
        let full = [A::Crc32, A::Crc32c, A::Crc64Nvme];
        for algorithm in Algorithm::ALL {
            let of = |kind: Option<&str>| {
                let lower = algorithm.name().to_lowercase();
                let mut pairs = vec![("x-amz-checksum-algorithm", lower.as_str())];
                pairs.extend(kind.map(|kind| ("x-amz-checksum-type", kind)));
                of_upload(&headers(&pairs)).map_err(|error| error.code)
            };
            let expected = |kind: ChecksumKind, exists: bool| {
                if exists { Ok(Some((algorithm, kind))) } else { Err("InvalidRequest") }
            };
            let (is_full, is_composite) = (full.contains(&algorithm), algorithm != A::Crc64Nvme);
            assert_eq!(of(Some("full_object")), expected(ChecksumKind::FullObject, is_full));
            assert_eq!(of(Some("Composite")), expected(ChecksumKind::Composite, is_composite));
            let usual =
                if is_composite { ChecksumKind::Composite } else { ChecksumKind::FullObject };
            assert_eq!(of(None), expected(usual, true), "{algorithm}");
        }
        for bad in [
            &[("x-amz-checksum-type", "COMPOSITE")][..],
            &[("x-amz-checksum-type", "x"), ("x-amz-checksum-algorithm", "CRC32")],
            &[("x-amz-checksum-algorithm", "CRC16")],
        ] {
            assert_eq!(of_upload(&headers(bad)).unwrap_err().code, "InvalidRequest", "{bad:?}");
        }
    }

    #[test]
    fn what_complete_states_of_the_object_is_read() {
        let claim = of_object(&headers(&[
            ("x-amz-checksum-crc32", "AAAAAA==-3"),
            ("x-amz-checksum-type", "composite"),
            ("x-amz-mp-object-size", "12"),
        ]))
        .unwrap();
        let checksum = Checksum::from_base64(Algorithm::Crc32, "AAAAAA==").unwrap();
        let expected = ObjectClaim {
            checksum: Some((checksum, Some(3))),
            kind: Some(ChecksumKind::Composite),
            size_bytes: Some(12),
        };
        assert_eq!(claim, expected);
        let table = [
            ("x-amz-checksum-crc32", "invalid_checksum", "InvalidRequest"),
            ("x-amz-checksum-crc32", "AAAAAA==-3-4", "InvalidRequest"),
            ("x-amz-checksum-crc32", "AAAAAA==-x", "InvalidRequest"),
            ("x-amz-checksum-crc32", "", "InvalidRequest"),
            ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=-3", "InvalidRequest"),
            ("x-amz-checksum-crc32", "bad", "BadDigest"),
            ("x-amz-checksum-crc16", "AAAA", "InvalidRequest"),
            ("x-amz-mp-object-size", "-1", "InvalidRequest"),
            ("x-amz-mp-object-size", "x", "InvalidRequest"),
            ("x-amz-checksum-type", "x", "InvalidRequest"),
        ];
        for (name, value, code) in table {
            let refused = of_object(&headers(&[(name, value)])).unwrap_err();
            assert_eq!(refused.code, code, "{name}: {value}");
        }
    }
}
