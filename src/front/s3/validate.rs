//! Validation of the names in a request.
//!
//! Guarantees: an invalid name is refused with S3's code for it. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>,
//! `object-keys.html`.

use http::StatusCode;

use super::error::S3Error;
use crate::web::{bucket_name_fits, key_fits};

const MAX_KEY_BYTES: usize = 1024;
const MAX_VERSION_BYTES: usize = 1024;

/// **Errors**: `InvalidBucketName`.
pub fn bucket(name: &str) -> Result<(), S3Error> {
    if bucket_name_fits(name) {
        return Ok(());
    }
    let message = format!(
        "{name:?} is not a valid bucket name: 3 to 63 of a-z, 0-9, . and -, not like an IP address"
    );
    Err(S3Error::new(StatusCode::BAD_REQUEST, "InvalidBucketName", message))
}

/// The name of a bucket that is to be created: each label is one of a host name too, so that the
/// bucket can be reached by it. Buckets that a store has under other names are served.
/// **Errors**: `InvalidBucketName`.
pub fn new_bucket(name: &str) -> Result<(), S3Error> {
    if name.split('.').all(|label| !label.starts_with('-') && !label.ends_with('-')) {
        return Ok(());
    }
    let message = format!("{name:?} has a label that begins or ends with -");
    Err(S3Error::new(StatusCode::BAD_REQUEST, "InvalidBucketName", message))
}

/// The id of a version that a request names. **Errors**: `InvalidArgument` for what no store has as
/// an id; whether there is such a version, the store says.
pub fn version(id: Option<&str>) -> Result<Option<&str>, S3Error> {
    let invalid = |message: &str, id: &str| {
        let error = S3Error::invalid(message).with_element("ArgumentName", "versionId");
        Err(error.with_element("ArgumentValue", id))
    };
    match id {
        Some("") => invalid("Version id cannot be the empty string", ""),
        Some(id) if id.len() > MAX_VERSION_BYTES || !id.bytes().all(|b| b.is_ascii_graphic()) => {
            invalid("Invalid version id specified", id)
        }
        id => Ok(id),
    }
}

/// **Errors**: `KeyTooLongError`, `InvalidArgument`.
pub fn key(key: &str) -> Result<(), S3Error> {
    if key.len() > MAX_KEY_BYTES {
        let message = format!("a key has at most {MAX_KEY_BYTES} bytes");
        return Err(S3Error::new(StatusCode::BAD_REQUEST, "KeyTooLongError", message));
    }
    if key_fits(key) {
        Ok(())
    } else {
        Err(S3Error::invalid("a key must not contain a zero byte or a segment `..`"))
    }
}
