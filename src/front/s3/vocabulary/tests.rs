//! Tests that are generated from the rows.

use http::{HeaderMap, HeaderName};

use super::super::error::S3Error;
use super::super::route::S3Operation;
use super::{HEADERS, Meaning, PARAMETERS, Row, check, check_headers, meaning};
use crate::web::Query;

fn sample(meaning: Option<Meaning>) -> &'static str {
    match meaning {
        Some(Meaning::Only(values)) => values[0],
        _ => "1",
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

/// As `check`, for what a form says in its fields.
fn check_all(operation: S3Operation, query: &Query, headers: &HeaderMap) -> Result<(), S3Error> {
    check_headers(operation, headers)?;
    check(operation, query, &HeaderMap::new())
}

/// Whether a refusal, if it is one, names what it is about.
fn is_refused(operation: S3Operation, query: &Query, headers: &HeaderMap, name: &str) -> bool {
    match check_all(operation, query, headers) {
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
            let name = name(row);
            let means = meaning(HEADERS, &name, operation);
            let value = sample(means);
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
                // What a form asks for stands in its fields.
                let expected = expected || operation == S3Operation::PostObject;
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
            let value = sample(meaning(PARAMETERS, row.name, operation));
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

#[test]
fn the_head_of_a_form_asks_for_nothing() {
    let none = Query::default();
    let form = S3Operation::PostObject;
    for name in ["x-amz-acl", "x-amz-meta-a", "x-amz-storage-class", "x-amz-checksum-crc32"] {
        assert!(check(form, &none, &with_header(name, "1")).is_err(), "{name}");
        assert!(check_headers(form, &with_header(name, "1")).is_ok(), "{name}");
    }
    assert!(check(form, &none, &with_header("x-amz-user-agent", "1")).is_ok());
    assert!(check(form, &with_parameter("x-amz-acl", "private"), &HeaderMap::new()).is_err());
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/", "docs/s3-requests.md");

/// `RATCHET_TEST_BLESS=1 cargo test --lib vocabulary` writes the page.
#[test]
fn the_page_is_made_from_the_rows() {
    let page = page();
    if std::env::var_os("RATCHET_TEST_BLESS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap();
    assert!(written == page, "docs/s3-requests.md is out of date; see how it is made above");
}

fn page() -> String {
    let intro = [
        "# Headers and parameters of S3 requests\n",
        "Made from `src/front/s3/vocabulary`. A header that begins with `x-amz-`, or a query parameter,",
        "that stands in no row of its operation is refused with `NotImplemented`, which names it; so is",
        "one that stands here as refused. Reads pass over parameters that have a value and stand in no",
        "row, as S3 does. `x-amz-` headers may stand in the query of a presigned URL, and in the fields",
        "of a form. Operations that are passed to an S3 server take the parameters and headers of their",
        "own page at AWS.\n",
    ];
    let intro = intro.join("\n");
    let tables = [("Headers", HEADERS), ("Query parameters", PARAMETERS)].map(|(title, rows)| {
        let lines: String = rows.iter().enumerate().map(|(at, row)| line(rows, at, row)).collect();
        format!("\n## {title}\n\n| name | operations | what the gateway does |\n| --- | --- | --- |\n{lines}")
    });
    format!("{intro}{}", tables.concat())
}

/// The line of a row, with the operations for which no earlier row has the same name.
fn line(rows: &'static [Row], at: usize, row: &Row) -> String {
    let is_first = |operation: &&S3Operation| {
        let first = rows
            .iter()
            .position(|other| other.name == row.name && other.operations.has(**operation));
        first == Some(at)
    };
    let all = S3Operation::ALL.iter();
    let names: Vec<String> = all.filter(is_first).map(|operation| operation.s3_name()).collect();
    let operations = match names.len() {
        count if count == S3Operation::ALL.len() => "all".to_owned(),
        count if count > 12 => "all others".to_owned(),
        _ => names.join(", "),
    };
    let what = match row.meaning {
        Meaning::ActedOn => "acts on it".to_owned(),
        Meaning::Kept => "keeps it and gives it back".to_owned(),
        Meaning::Forwarded => "passes it to an S3 server that acts on it; else refused".to_owned(),
        Meaning::Nothing(reason) => format!("nothing: {reason}"),
        Meaning::Only(values) => format!("takes only `{}`", values.join("`, `")),
        Meaning::Refused => "refused".to_owned(),
    };
    format!("| `{}` | {operations} | {what} |\n", row.name)
}
