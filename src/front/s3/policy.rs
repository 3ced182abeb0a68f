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
    if base64.is_empty() {
        return Err(invalid("Expecting '{' but found End-of-Input"));
    }
    let json = STANDARD.decode(base64).map_err(|_| invalid("invalid Base64 encoding."))?;
    serde_json::from_slice(&json).map_err(|_| invalid_json())
}

fn invalid_json() -> S3Error {
    invalid("Invalid JSON.")
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
    /// Whether a field passes a test. The bucket is that of the URL, and a field with its name must
    /// not claim another.
    fn passes(&self, name: &str, test: &Test) -> bool {
        let field = self.fields.get(name).map(String::as_str);
        match name {
            "bucket" => [Some(self.bucket.as_str()), field]
                .into_iter()
                .flatten()
                .all(|bucket| test.holds(name, bucket)),
            name => test.holds(name, field.unwrap_or_default()),
        }
    }
}

/// Checks that the policy allows the fields; returns the lengths that it allows for the file.
/// **Errors**: `AccessDenied`, `InvalidPolicyDocument`.
pub(super) fn allow(policy: &Value, posted: Posted<'_>) -> Result<RangeInclusive<u64>, S3Error> {
    let members = policy.as_object().ok_or_else(invalid_json)?;
    let other = members.keys().find(|name| !["expiration", "conditions"].contains(&name.as_str()));
    if let Some(other) = other {
        return Err(invalid(&format!("Unexpected: \"{other}\"")));
    }
    let member = |name: &str, missing| members.get(name).ok_or_else(|| invalid(missing));
    let expiration = member("expiration", "Policy missing expiration.")?;
    let expiration = expiration.as_str().ok_or_else(invalid_json)?;
    if !is_utc(expiration) {
        return Err(invalid(&format!("Invalid 'expiration' value: '{expiration}'")));
    }
    // Both are `YYYY-MM-DDTHH:MM:SS…` in UTC, so texts compare like times.
    if expiration[..19] < posted.now[..19] {
        return Err(refused("Policy expired."));
    }
    let conditions = member("conditions", "Policy missing conditions.")?;
    let conditions = conditions
        .as_array()
        .ok_or_else(|| invalid("Invalid 'conditions' value: must be a List."))?;
    let (mut named, mut lengths) = (Vec::new(), 0..=u64::MAX);
    for condition in conditions {
        match Condition::parse(condition)? {
            Condition::Length(range) => {
                lengths = *lengths.start().max(range.start())..=*lengths.end().min(range.end());
            }
            Condition::Field { name, test } => {
                if !posted.passes(&name, &test) {
                    return Err(failed(condition));
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
        return Err(refused("Extra input fields: bucket"));
    }
    let is_allowed = |name: &str| {
        UNCONDITIONAL_FIELDS.contains(&name)
            || name.starts_with("x-ignore-")
            || named.iter().any(|known| known == name)
    };
    let extra = posted.fields.keys().find(|name| !is_allowed(name));
    extra.map_or(Ok(lengths), |name| Err(refused(&format!("Extra input fields: {name}"))))
}

/// S3 shows a simple condition as the list that it stands for.
fn failed(condition: &Value) -> S3Error {
    let simple = condition.as_object().and_then(|exact| exact.iter().next());
    let shown = match simple {
        Some((name, value)) => format!("[\"eq\", \"${name}\", {value}]"),
        None => condition.to_string(),
    };
    refused(&format!("Policy Condition failed: {shown}"))
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
    /// **Errors**: `InvalidPolicyDocument`; `AccessDenied` for a condition of no field.
    fn parse(condition: &Value) -> Result<Self, S3Error> {
        if let Some(exact) = condition.as_object() {
            let mut pairs = exact.iter();
            let (Some((name, value)), None) = (pairs.next(), pairs.next()) else {
                return Err(invalid(
                    "Invalid Simple-Condition: Simple-Conditions must have exactly one property \
                     specified.",
                ));
            };
            let value = value
                .as_str()
                .ok_or_else(|| invalid("Invalid Simple-Condition: value must be a string."))?;
            let test = Test::Equals(value.to_owned());
            return Ok(Self::Field { name: name.to_ascii_lowercase(), test });
        }
        let Some(parts) = condition.as_array() else {
            return Err(invalid("Invalid condition test: must be a List or Object."));
        };
        let Some((kind, operands)) = parts.split_first() else {
            return Err(invalid("Invalid Condition: missing operation identifier."));
        };
        let given = kind.as_str().ok_or_else(invalid_json)?;
        let kind = given.to_ascii_lowercase();
        if !["eq", "starts-with", "content-length-range"].contains(&&*kind) {
            return Err(invalid(&format!("Invalid Condition: unknown operation '{given}'.")));
        }
        let [one, two] = operands else {
            return Err(invalid(&format!("Invalid {given}: wrong number of arguments.")));
        };
        if kind == "content-length-range" {
            let (least, most) = number(one).zip(number(two)).ok_or_else(invalid_json)?;
            return Ok(Self::Length(least..=most));
        }
        let (field, operand) = one.as_str().zip(two.as_str()).ok_or_else(invalid_json)?;
        // What names no field holds for no form.
        let name = field.strip_prefix('$').ok_or_else(|| failed(condition))?.to_ascii_lowercase();
        let test = match &*kind {
            "eq" => Test::Equals(operand.to_owned()),
            _ => Test::StartsWith(operand.to_owned()),
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
        let table: [(Value, &[(&str, &str)], _); 18] = [
            (json!([]), &[("key", "a")], Ok(())),
            (json!([]), &[("bucket", "bucket")], Ok(())),
            (json!([]), &[("bucket", "other")], denied),
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
    fn a_document_is_refused_in_the_words_of_s3() {
        let message = |policy: &str| {
            let posted = Posted {
                fields: &BTreeMap::new(),
                bucket: &Bucket::from("b"),
                now: "2023-11-14T22:13:20",
            };
            let outcome = parse(&STANDARD.encode(policy)).and_then(|policy| allow(&policy, posted));
            outcome.unwrap_err().message().to_owned()
        };
        let with = |conditions: &str| {
            message(&format!(
                "{{\"expiration\": \"2023-11-14T23:00:00Z\", \"conditions\": {conditions}}}"
            ))
        };
        for (policy, expected) in [
            ("", "Expecting '{' but found End-of-Input"),
            ("x", "Invalid JSON."),
            ("[]", "Invalid JSON."),
            ("{\"conditions\": []}", "Policy missing expiration."),
            ("{\"expiration\": 1, \"conditions\": []}", "Invalid JSON."),
            ("{\"expiration\": \"x\"}", "Invalid 'expiration' value: 'x'"),
            ("{\"expiration\": \"2099-01-01T00:00:00Z\"}", "Policy missing conditions."),
            ("{\"other\": 1}", "Unexpected: \"other\""),
        ] {
            assert_eq!(message(policy), format!("Invalid Policy: {expected}"), "{policy}");
        }
        for (conditions, expected) in [
            ("1", "Invalid Policy: Invalid 'conditions' value: must be a List."),
            ("[1]", "Invalid Policy: Invalid condition test: must be a List or Object."),
            ("[[]]", "Invalid Policy: Invalid Condition: missing operation identifier."),
            ("[[\"in\", 1, 2]]", "Invalid Policy: Invalid Condition: unknown operation 'in'."),
            ("[[\"eq\", 1]]", "Invalid Policy: Invalid eq: wrong number of arguments."),
            ("[[\"eq\", \"$key\", 1]]", "Invalid Policy: Invalid JSON."),
            (
                "[[\"eq\", \"key\", \"\"]]",
                "Invalid according to Policy: Policy Condition failed: [\"eq\",\"key\",\"\"]",
            ),
            (
                "[{\"acl\": \"a\"}]",
                "Invalid according to Policy: Policy Condition failed: [\"eq\", \"$acl\", \"a\"]",
            ),
            ("[]", "Invalid according to Policy: Extra input fields: bucket"),
        ] {
            assert_eq!(with(conditions), expected, "{conditions}");
        }
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
