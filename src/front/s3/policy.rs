//! The policy of a form: which fields and which lengths of the file it allows.
//!
//! Guarantees: a field that the policy does not name must not be in the form, and a policy that
//! names no bucket allows none; what the document says in another way than S3 is refused, not
//! passed over. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::Value;

use super::error::S3Error;
use crate::names::Bucket;

/// Fields that need no condition in the policy.
const UNCONDITIONAL_FIELDS: &[&str] = &[
    "x-amz-signature",
    "signature",
    "awsaccesskeyid",
    "policy",
    "file",
    "x-amz-security-token",
    "submit",
];

/// The decoded policy. **Errors**: `InvalidPolicyDocument`.
pub(super) fn parse(base64: &str) -> Result<Value, S3Error> {
    let json = STANDARD.decode(base64).map_err(|_| invalid("it is not Base64"))?;
    serde_json::from_slice(&json).map_err(|_| invalid("it is not JSON"))
}

fn invalid(what: &str) -> S3Error {
    let message = format!("Invalid Policy: {what}");
    S3Error::new(StatusCode::BAD_REQUEST, "InvalidPolicyDocument", message)
}

fn refused(what: &str) -> S3Error {
    let message = format!("Invalid according to Policy: {what}");
    S3Error::new(StatusCode::FORBIDDEN, "AccessDenied", message)
}

/// What a policy is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posted<'a> {
    /// By lower-case name.
    pub fields: &'a BTreeMap<String, String>,
    pub bucket: &'a Bucket,
    /// `YYYY-MM-DDTHH:MM:SS`.
    pub now: &'a str,
}

impl Posted<'_> {
    /// The value of a field. A field `bucket` does not count: the request says which bucket it is.
    fn value(&self, name: &str) -> &str {
        match name {
            "bucket" => self.bucket,
            name => self.fields.get(name).map_or("", String::as_str),
        }
    }
}

/// Checks that the policy allows the fields; returns the lengths that it allows for the file.
/// **Errors**: `AccessDenied`, `InvalidPolicyDocument`.
pub(super) fn allow(policy: &Value, posted: Posted<'_>) -> Result<RangeInclusive<u64>, S3Error> {
    let expiration = policy["expiration"]
        .as_str()
        .filter(|text| is_utc(text))
        .ok_or_else(|| invalid("Invalid 'expiration' value"))?;
    // Both are `YYYY-MM-DDTHH:MM:SS…` in UTC, so texts compare like times.
    if expiration[..19] < posted.now[..19] {
        return Err(refused("Policy expired."));
    }
    let conditions =
        policy["conditions"].as_array().ok_or_else(|| invalid("Invalid 'conditions' value"))?;
    let (mut named, mut lengths) = (Vec::new(), 0..=u64::MAX);
    for condition in conditions {
        match Condition::parse(condition)? {
            Condition::Length(range) => {
                lengths = *lengths.start().max(range.start())..=*lengths.end().min(range.end());
            }
            Condition::Field { name, test } => {
                if !test.holds(&name, posted.value(&name)) {
                    return Err(refused(&format!("Policy Condition failed: {condition}")));
                }
                // A bucket must be matched exactly, as S3 does: a prefix could be that of every
                // bucket.
                if name != "bucket" || matches!(test, Test::Equals(_)) {
                    named.push(name);
                }
            }
        }
    }
    // Without a bucket, the policy would allow uploads to every bucket of the account.
    if !named.iter().any(|name| name == "bucket") {
        return Err(refused("it names no bucket"));
    }
    let is_allowed = |name: &str| {
        UNCONDITIONAL_FIELDS.contains(&name)
            || name.starts_with("x-ignore-")
            || named.iter().any(|known| known == name)
    };
    let extra = posted.fields.keys().find(|name| !is_allowed(name));
    extra.map_or(Ok(lengths), |name| Err(refused(&format!("Extra input fields: {name}"))))
}

enum Condition {
    Length(RangeInclusive<u64>),
    Field { name: String, test: Test },
}

enum Test {
    Equals(String),
    StartsWith(String),
}

impl Test {
    fn holds(&self, name: &str, value: &str) -> bool {
        match self {
            Self::Equals(expected) => value == expected,
            // A list of types: each must begin so.
            Self::StartsWith(prefix) if name == "content-type" => {
                value.split(',').all(|one| one.trim_start().starts_with(prefix.as_str()))
            }
            Self::StartsWith(prefix) => value.starts_with(prefix.as_str()),
        }
    }
}

impl Condition {
    /// **Errors**: `InvalidPolicyDocument`.
    fn parse(condition: &Value) -> Result<Self, S3Error> {
        if let Some(exact) = condition.as_object() {
            let mut pairs = exact.iter();
            let (Some((name, value)), None) = (pairs.next(), pairs.next()) else {
                return Err(invalid("a simple condition must have exactly one property"));
            };
            let value = value
                .as_str()
                .ok_or_else(|| invalid("the value of a simple condition must be a string"))?;
            let test = Test::Equals(value.to_owned());
            return Ok(Self::Field { name: name.to_ascii_lowercase(), test });
        }
        let parts: Vec<&Value> =
            condition.as_array().map(|parts| parts.iter().collect()).unwrap_or_default();
        let [kind, one, two] = parts[..] else {
            return Err(invalid("a condition does not have three parts"));
        };
        let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
        if kind == "content-length-range" {
            let bounds = number(one).zip(number(two));
            let (least, most) = bounds.ok_or_else(|| invalid("a length is not a number"))?;
            return Ok(Self::Length(least..=most));
        }
        let name =
            one.as_str().and_then(|name| name.strip_prefix('$')).map(str::to_ascii_lowercase);
        let (name, operand) =
            name.zip(two.as_str()).ok_or_else(|| invalid("a condition names no field"))?;
        let test = match &*kind {
            "eq" => Test::Equals(operand.to_owned()),
            "starts-with" => Test::StartsWith(operand.to_owned()),
            _ => return Err(invalid("a condition is of an unknown kind")),
        };
        Ok(Self::Field { name, test })
    }
}

/// A length, as a number or in a string.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a text is `YYYY-MM-DDTHH:MM:SSZ`, with or without a fraction of the second.
fn is_utc(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        19 => byte == b'.' || byte == b'Z',
        _ => byte.is_ascii_digit() || (at > 20 && byte == b'Z'),
    };
    let well_formed = text.len() >= 20 && text.ends_with('Z') && text.bytes().enumerate().all(fits);
    let within = |range: std::ops::Range<usize>, most: u8| {
        text.get(range).and_then(|digits| digits.parse().ok()).is_some_and(|part: u8| part <= most)
    };
    let date = || within(5..7, 12) && within(8..10, 31) && within(11..13, 23);
    well_formed && date() && within(14..16, 59) && within(17..19, 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(
        conditions: Value,
        fields: &[(&str, &str)],
    ) -> Result<RangeInclusive<u64>, &'static str> {
        let fields =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let bucket = Bucket::from("bucket");
        let posted = Posted { fields: &fields, bucket: &bucket, now: "2023-11-14T22:13:20" };
        let policy = json!({"expiration": "2023-11-14T23:00:00.000Z", "conditions": conditions});
        allow(&policy, posted).map_err(|error| error.code)
    }

    #[test]
    fn conditions_decide_as_in_s3() {
        let (denied, invalid) = (Err("AccessDenied"), Err("InvalidPolicyDocument"));
        let table: [(Value, &[(&str, &str)], _); 16] = [
            (json!([]), &[("key", "a")], Ok(())),
            (json!([["STARTS-WITH", "$KEY", "a"]]), &[("key", "abc")], Ok(())),
            (json!([["starts-with", "$key", "b"]]), &[("key", "abc")], denied),
            (
                json!([["starts-with", "$Content-Type", "image/"]]),
                &[("content-type", "image/a, image/b")],
                Ok(()),
            ),
            (
                json!([["starts-with", "$Content-Type", "image/"]]),
                &[("content-type", "image/a,text/b")],
                denied,
            ),
            (json!([{"ACL": "private"}]), &[("acl", "private")], Ok(())),
            (json!([{"acl": "private"}]), &[("acl", "public-read")], denied),
            (json!([{"acl": "private"}]), &[], denied),
            (
                json!([]),
                &[("x-ignore-a", "b"), ("signature", "s"), ("awsaccesskeyid", "k")],
                Ok(()),
            ),
            (json!([]), &[("x-amz-meta-a", "b")], denied),
            (json!([{}]), &[], invalid),
            (json!([{"acl": "a", "key": "b"}]), &[], invalid),
            (json!([{"success_action_status": 201}]), &[], invalid),
            (json!([["in", "$key", "a"]]), &[], invalid),
            (json!([["content-length-range", 0]]), &[], invalid),
            (json!([["content-length-range", -1, 0]]), &[], invalid),
        ];
        for (conditions, fields, expected) in table {
            let mut all = conditions.as_array().unwrap().clone();
            all.extend([json!({"bucket": "bucket"}), json!(["starts-with", "$key", ""])]);
            let found = code(Value::Array(all), fields).map(drop);
            assert_eq!(found, expected, "{conditions} {fields:?}");
        }
        assert_eq!(code(json!([["starts-with", "$bucket", "b"]]), &[]), denied.map(|()| 0..=0));
        let ranges = json!([{"bucket": "bucket"}, ["content-length-range", 1, 9], ["content-length-range", "3", "99"]]);
        assert_eq!(code(ranges, &[]), Ok(3..=9));
    }

    #[test]
    fn an_expiration_is_a_time_in_utc() {
        for (text, expected) in [
            ("2023-11-14T22:13:20Z", true),
            ("2023-11-14T22:13:20.000Z", true),
            ("2023-11-14 22:13:20", false),
            ("2023-11-14T22:13:20+00:00", false),
            ("2023-13-14T22:13:20Z", false),
            ("2023-11-14T22:13:20ZZ", false),
            ("", false),
        ] {
            assert_eq!(is_utc(text), expected, "{text}");
        }
    }
}
