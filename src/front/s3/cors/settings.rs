//! CORS rules that the operator sets, for one bucket or for all.
//!
//! Guarantees: a rule that passes [`CorsSettings::check`] is well formed. By default a page may
//! send every header and read every header that S3 clients need.

use super::configuration::check_patterns;
use crate::names::Bucket;
use crate::object::{CORS_METHODS, CorsRule};
use crate::web::bucket_name_fits;

/// Every bucket, and requests without one.
const EVERY_BUCKET: &str = "*";

/// One rule of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsSettings {
    /// A bucket, or `*` for every bucket.
    pub bucket: String,
    /// Patterns with at most one `*`.
    pub origins: Vec<String>,
    pub methods: Vec<String>,
    /// Patterns with at most one `*`.
    pub headers: Vec<String>,
    /// Patterns with at most one `*`.
    pub expose: Vec<String>,
    pub max_age_s: u32,
}

impl Default for CorsSettings {
    fn default() -> Self {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Self {
            bucket: EVERY_BUCKET.to_owned(),
            origins: Vec::new(),
            methods: texts(&CORS_METHODS),
            headers: texts(&["*"]),
            expose: texts(&[
                "ETag",
                "x-amz-*",
                "Accept-Ranges",
                "Content-Disposition",
                "Content-Encoding",
                "Content-Range",
                "Location",
                "Retry-After",
            ]),
            max_age_s: 3600,
        }
    }
}

impl CorsSettings {
    /// **Errors**: what is wrong, for a person.
    pub fn check(&self) -> Result<(), String> {
        if self.bucket != EVERY_BUCKET && !bucket_name_fits(&self.bucket) {
            return Err("cors.bucket must be the name of a bucket, or \"*\"".to_owned());
        }
        if self.origins.is_empty() || self.methods.is_empty() {
            return Err("a rule of cors needs origins and methods".to_owned());
        }
        if let Some(name) = self.expose.iter().find(|name| name.matches('*').count() > 1) {
            return Err(format!("{name:?} has more than one *"));
        }
        check_patterns(&self.rule())
    }

    pub(super) fn rule(&self) -> CorsRule {
        CorsRule {
            id: None,
            origins: self.origins.clone(),
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            expose: self.expose.clone(),
            max_age_s: Some(self.max_age_s.into()),
        }
    }

    pub(super) fn is_for(&self, bucket: &Bucket) -> bool {
        self.bucket == EVERY_BUCKET || self.bucket == bucket.as_str()
    }
}
