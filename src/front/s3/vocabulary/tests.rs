//! Tests that are generated from the rows.

use http::{HeaderMap, HeaderName};

use super::super::route::S3Operation;
use super::{HEADERS, Meaning, PARAMETERS, Row, check, meaning};
use crate::web::Query;

fn sample(row: &Row) -> &'static str {
    match row.meaning {
        Meaning::Only(values) => values[0],
        Meaning::ActedOn
        | Meaning::Kept
        | Meaning::Forwarded
        | Meaning::Nothing(_)
        | Meaning::Refused => "1",
    }
}

/// A name that the row stands for.
fn name(row: &Row) -> String {
    row.name.replace('*', "any")
}

fn with_header(name: &str, value: &str) -> HeaderMap {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    HeaderMap::from_iter([(name, value.parse().unwrap())])
}

fn with_parameter(name: &str, value: &str) -> Query {
    Query::parse(Some(&format!("{name}={value}"))).unwrap()
}

/// Whether a refusal, if it is one, names what it is about.
fn is_refused(operation: S3Operation, query: &Query, headers: &HeaderMap, name: &str) -> bool {
    match check(operation, query, headers) {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error.code, "NotImplemented", "{operation:?} {name}");
            assert!(error.message().contains(name), "{} does not name {name}", error.message());
            true
        }
    }
}

#[test]
fn rows_are_sorted_and_none_is_in_the_shadow_of_another() {
    for rows in [HEADERS, PARAMETERS] {
        assert!(rows.is_sorted_by_key(|row| row.name));
        for (at, row) in rows.iter().enumerate() {
            let is_used = S3Operation::ALL.iter().any(|operation| {
                let first = rows
                    .iter()
                    .position(|other| other.name == row.name && other.operations.has(*operation));
                first == Some(at)
            });
            assert!(is_used, "no operation uses {row:?}");
        }
    }
}

#[test]
fn every_header_of_every_operation_has_its_meaning() {
    let none = Query::default();
    for operation in S3Operation::ALL {
        for row in HEADERS {
            let (name, value) = (name(row), sample(row));
            let means = meaning(HEADERS, &name, operation);
            let may_be_missing = !name.starts_with("x-amz-") && !name.contains("range");
            let expected = matches!(means, None | Some(Meaning::Refused))
                && !(means.is_none() && may_be_missing && !name.starts_with("if-"));
            let headers = with_header(&name, value);
            assert_eq!(
                is_refused(operation, &none, &headers, &name),
                expected,
                "{operation:?} {name}"
            );
            if name.starts_with("x-amz-")
                && name != "x-amz-date"
                && name != "x-amz-content-sha256"
                && name != "x-amz-security-token"
            {
                let query = with_parameter(&name, value);
                let found = is_refused(operation, &query, &HeaderMap::new(), &name);
                assert_eq!(found, expected, "{operation:?} {name} in the query");
            }
            if matches!(means, Some(Meaning::Only(_))) {
                let other = with_header(&name, "another-value");
                assert!(is_refused(operation, &none, &other, &name), "{operation:?} {name}");
            }
        }
        let unknown = with_header("x-amz-unheard-of", "1");
        assert!(is_refused(operation, &none, &unknown, "x-amz-unheard-of"), "{operation:?}");
        assert!(!is_refused(operation, &none, &with_header("x-other", "1"), ""), "{operation:?}");
    }
}

#[test]
fn every_parameter_of_every_operation_has_its_meaning() {
    let none = HeaderMap::new();
    for operation in S3Operation::ALL {
        let is_read = super::Operations::READS.has(operation);
        for row in PARAMETERS {
            let value = sample(row);
            let query = with_parameter(row.name, value);
            let expected = match meaning(PARAMETERS, row.name, operation) {
                Some(meaning) => meaning == Meaning::Refused,
                None => !is_read,
            };
            let found = is_refused(operation, &query, &none, row.name);
            assert_eq!(found, expected, "{operation:?} {}", row.name);
        }
        let found = is_refused(operation, &with_parameter("v", "2"), &none, "v");
        assert_eq!(found, !is_read, "{operation:?}");
        let bare = Query::parse(Some("unheardOf")).unwrap();
        assert!(is_refused(operation, &bare, &none, "unheardOf"), "{operation:?}");
    }
}
