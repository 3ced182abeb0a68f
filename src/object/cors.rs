//! Rules for requests of pages from other origins (CORS), and which requests they allow.
//!
//! Guarantees: a pattern has at most one `*`, which stands for any text; names of headers are
//! compared without regard to case, origins and methods exactly. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html>.

use serde::{Deserialize, Serialize};

/// The methods that a rule can allow.
pub const CORS_METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// What pages of some origins may send and see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorsRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Patterns.
    pub origins: Vec<String>,
    pub methods: Vec<String>,
    /// Patterns for the headers that a preflight asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Headers of a response that the page may read. Patterns in the settings of the gateway,
    /// names in the configuration of a bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// A negative one lets nothing be kept, as zero does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<i64>,
}

/// A request of a page, as far as rules are about it.
#[derive(Clone, Copy, Debug)]
pub struct CrossOrigin<'a> {
    pub origin: &'a str,
    pub method: &'a str,
    /// The names that a preflight asks for; empty for any other request.
    pub headers: &'a [&'a str],
}

impl CorsRule {
    /// The pattern of the origin by which the rule allows the request.
    pub fn allows(&self, request: CrossOrigin<'_>) -> Option<&str> {
        let origin = self.origins.iter().find(|pattern| fits(pattern, request.origin))?;
        let allows_header = |name: &&str| {
            let name = name.to_ascii_lowercase();
            self.headers.iter().any(|pattern| fits(&pattern.to_ascii_lowercase(), &name))
        };
        let allowed = self.methods.iter().any(|method| method == request.method)
            && request.headers.iter().all(allows_header);
        allowed.then_some(origin)
    }

    /// The names to expose for a response with these headers.
    pub fn exposed<'a>(&'a self, present: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let (patterns, names): (Vec<&str>, Vec<&str>) =
            self.expose.iter().map(String::as_str).partition(|name| name.contains('*'));
        let mut exposed = names;
        let matching = present.filter(|name| {
            patterns.iter().any(|pattern| fits(&pattern.to_ascii_lowercase(), name))
        });
        for name in matching {
            if !exposed.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                exposed.push(name);
            }
        }
        exposed
    }
}

/// Whether a pattern with at most one `*` matches the text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let table = [
            ("*", "https://a", true),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("*suffix", "foo.suffix", true),
            ("prefix*", "prefix", true),
            ("https://a", "https://a", true),
            ("https://a", "https://ab", false),
            ("https://a", "http://a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rule_allows_its_origins_methods_and_headers_together() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        let rule = CorsRule {
            origins: texts(&["https://a", "http://*.b"]),
            methods: texts(&["GET", "PUT"]),
            headers: texts(&["X-Amz-*", "content-type"]),
            ..CorsRule::default()
        };
        let table: [(&str, &str, &[&str], bool); 6] = [
            ("https://a", "GET", &[], true),
            ("http://x.b", "PUT", &["x-amz-date", "Content-Type"], true),
            ("http://x.b", "PUT", &["x-amz-date", "range"], false),
            ("http://x.b", "DELETE", &[], false),
            ("https://x", "GET", &[], false),
            ("https://a", "get", &[], false),
        ];
        for (origin, method, headers, expected) in table {
            let allowed = rule.allows(CrossOrigin { origin, method, headers }).is_some();
            assert_eq!(allowed, expected, "{origin} {method} {headers:?}");
        }
    }

    #[test]
    fn patterns_of_exposed_names_become_the_names_of_the_response() {
        let expose = ["ETag", "x-amz-*"].map(str::to_owned).to_vec();
        let rule = CorsRule { expose, ..CorsRule::default() };
        let present = ["date", "etag", "x-amz-request-id"];
        assert_eq!(rule.exposed(present.into_iter()), ["ETag", "x-amz-request-id"]);
        assert_eq!(rule.exposed(std::iter::empty()), ["ETag"]);
    }
}
