//! Checks the sources and documents against the house rules: which room may name which, what every
//! file looks like, and that citations and links lead somewhere.
//!
//! The tables are in `layers/table.rs`, the rules for sources in `layers/rules.rs`, the rules for
//! the tables themselves in `layers/stale.rs`, the rules for citations and links in
//! `layers/citations.rs`. A finding names file, line and rule.

#[path = "layers/citations.rs"]
mod citations;
#[path = "layers/citations_fire.rs"]
mod citations_fire;
#[path = "layers/documents.rs"]
mod documents;
#[path = "layers/lex.rs"]
mod lex;
#[path = "layers/rules.rs"]
mod rules;
#[path = "layers/rules_fire.rs"]
mod rules_fire;
#[path = "layers/scan.rs"]
mod scan;
#[path = "layers/stale.rs"]
mod stale;
#[path = "layers/table.rs"]
mod table;

use std::fs;
use std::path::Path;

use documents::Documents;
use rules::Finding;
use scan::Source;

fn sources(directories: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |directory: &&str| scan::read_all(root, directory).expect("the sources can be read");
    directories.iter().flat_map(read).collect()
}

fn documents() -> Documents {
    Documents::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the documents can be read")
}

fn check(directories: &[&str], rule: impl Fn(&Source) -> Vec<Finding>) {
    let sources = sources(directories);
    assert!(!sources.is_empty(), "no sources in {directories:?}");
    assert_none(sources.iter().flat_map(rule));
}

fn assert_none(findings: impl IntoIterator<Item = Finding>) {
    let findings: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn rooms_name_only_the_rooms_of_their_row() {
    check(&["src"], rules::rooms);
}

#[test]
fn outside_crates_are_named_by_their_owners_only() {
    check(&["src"], rules::owners);
}

#[test]
fn imports_have_one_line_for_each_room_and_no_globs() {
    check(&["src", "tests"], rules::imports);
}

#[test]
fn time_and_randomness_come_from_the_clock_and_no_test_sleeps() {
    check(&["src", "tests"], rules::time);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    check(&["src", "tests"], rules::shape);
}

#[test]
fn comments_hold_no_code_no_banners_and_no_tasks_without_an_issue() {
    check(&["src", "tests"], rules::comments);
}

#[test]
fn rows_allow_only_what_their_files_use() {
    assert_none(stale::rooms(table::ROOMS, &sources(&["src"])));
}

#[test]
fn entries_of_the_tables_exist_and_owners_name_their_crates() {
    let sources = sources(&["src"]);
    let lists =
        [("SETTINGS", table::SETTINGS), ("IN_TESTS", table::IN_TESTS), ("PURE", table::PURE)];
    let missing = lists.iter().flat_map(|(list, names)| stale::entries(list, names, &sources));
    assert_none(missing.chain(stale::owners(table::OWNERS, &sources)));
}

#[test]
fn documents_list_the_rooms_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_none(["README.md", "docs/architecture.md"].into_iter().flat_map(|file| {
        let text = fs::read_to_string(root.join(file)).expect("the document can be read");
        stale::room_map(table::ROOMS, file, &text)
    }));
}

#[test]
fn citations_name_documents_and_headings_that_exist() {
    assert_none(citations::citations(&documents()));
}

#[test]
fn links_between_documents_lead_to_files_and_headings_that_exist() {
    assert_none(citations::links(&documents()));
}
