//! Holds the sources to the house rules: who may name whom, and what every file looks like.
//!
//! The tables stand in `layers/table.rs`, the rules in `layers/rules.rs`. A finding names file,
//! line and rule.

#[path = "layers/lex.rs"]
mod lex;
#[path = "layers/rules.rs"]
mod rules;
#[path = "layers/rules_fire.rs"]
mod rules_fire;
#[path = "layers/scan.rs"]
mod scan;
#[path = "layers/table.rs"]
mod table;

use std::path::Path;

use rules::Finding;
use scan::Source;

fn sources(directories: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |directory: &&str| scan::read_all(root, directory).expect("the sources can be read");
    directories.iter().flat_map(read).collect()
}

fn hold(directories: &[&str], rule: impl Fn(&Source) -> Vec<Finding>) {
    let sources = sources(directories);
    assert!(!sources.is_empty(), "no sources in {directories:?}");
    let found: Vec<String> =
        sources.iter().flat_map(rule).map(|finding| finding.to_string()).collect();
    assert!(found.is_empty(), "{} broken:\n{}", found.len(), found.join("\n"));
}

#[test]
fn rooms_name_only_the_rooms_of_their_row() {
    hold(&["src"], rules::rooms);
}

#[test]
fn outside_crates_are_named_by_their_owners_only() {
    hold(&["src"], rules::owners);
}

#[test]
fn imports_have_one_line_for_each_room_and_no_globs() {
    hold(&["src", "tests"], rules::imports);
}

#[test]
fn time_and_randomness_come_from_the_clock_and_no_test_sleeps() {
    hold(&["src", "tests"], rules::time);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    hold(&["src", "tests"], rules::shape);
}

#[test]
fn comments_hold_no_code_no_banners_and_no_loose_tasks() {
    hold(&["src", "tests"], rules::comments);
}

#[test]
fn every_row_of_the_table_names_rooms_of_the_table() {
    let rooms: Vec<&str> = table::ROOMS.iter().map(|(room, _)| *room).collect();
    for (room, may) in table::ROOMS {
        for named in *may {
            assert!(rooms.contains(named), "the row of {room} names {named}, which has no row");
        }
    }
}
