//! The rules for sources. Each is a function from one source to its findings.

use std::collections::BTreeSet;
use std::fmt;

use crate::scan::{Named, Source};
use crate::table::{
    CLOCK_ONLY, IN_TESTS, MAX_PRODUCTION_LINES, MAX_WIDTH, OWNERS, PURE, ROOMS, Rows, SETTINGS,
    VAGUE_NAMES,
};

/// A rule that is broken, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub location: String,
    pub rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.rule)
    }
}

fn finding(source: &Source, at: usize, rule: impl Into<String>) -> Finding {
    Finding { location: format!("{}:{}", source.file, source.line_of(at)), rule: rule.into() }
}

/// Whether `module` is the room or file `room` or lies in it.
pub fn lies_in(module: &str, room: &str) -> bool {
    module.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The row of the room that a module or path lies in; the longest name wins.
pub fn row(rows: Rows, module: &str) -> Option<(&'static str, &'static [&'static str])> {
    rows.iter()
        .filter(|(room, _)| lies_in(module, room))
        .max_by_key(|(room, _)| room.len())
        .copied()
}

/// Whether `name` of a row of [`OWNERS`] stands for the outside crate `head`.
pub fn is_crate(name: &str, head: &str) -> bool {
    name.strip_suffix('*').map_or(head == name, |prefix| head.starts_with(prefix))
}

/// Whether a file of `room` may name a path into `target` without a row: a test may name what
/// [`IN_TESTS`] lists, the rooms of [`SETTINGS`] may name the settings of every room.
pub fn is_exempt(source: &Source, named: &Named, room: &str, target: &str) -> bool {
    source.is_test(named.at) && IN_TESTS.contains(&target)
        || SETTINGS.contains(&room) && named.path.iter().any(|item| item.ends_with("Settings"))
}

/// A room names only the rooms in its row.
pub fn rooms(source: &Source) -> Vec<Finding> {
    if source.module == "lib" {
        return Vec::new();
    }
    let Some((room, may)) = row(ROOMS, &source.module) else {
        return vec![finding(
            source,
            0,
            format!("room `{}` has no row in tests/layers/table.rs", source.module),
        )];
    };
    let mut found = Vec::new();
    for named in source.named.iter().filter(|named| named.inside) {
        let path = named.path.join("/");
        let Some((target, _)) = row(ROOMS, &path) else {
            let what =
                format!("`crate::{}` has no row in tests/layers/table.rs", named.path.join("::"));
            found.push(finding(source, named.at, what));
            continue;
        };
        if target != room && !may.contains(&target) && !is_exempt(source, named, room, target) {
            let allowed = if may.is_empty() { "nothing".to_owned() } else { may.join(", ") };
            found.push(finding(
                source,
                named.at,
                format!("`{room}` may name {allowed}; not `{target}`"),
            ));
        }
    }
    found
}

/// An outside crate is named by its owners only.
pub fn owners(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for named in source.named.iter().filter(|named| !named.inside) {
        let head = named.path[0].as_str();
        let Some((_, owners)) = OWNERS.iter().find(|(name, _)| is_crate(name, head)) else {
            continue;
        };
        if !owners.iter().any(|owner| lies_in(&source.module, owner)) {
            found.push(finding(
                source,
                named.at,
                format!("`{head}` belongs to {}", owners.join(", ")),
            ));
        }
    }
    found
}

/// There is one `use crate::room` line for each room; the only glob is `use super::*` in tests.
pub fn imports(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut last = None;
    for named in source.named.iter().filter(|named| named.in_use.is_some()) {
        if named.path.last().is_some_and(|leaf| leaf == "*")
            && !(named.is_super_glob && source.is_test(named.at))
        {
            found.push(finding(source, named.at, "no glob imports except `use super::*` in tests"));
        }
        let written = &source.text[named.in_use.unwrap_or_default()..];
        let rooms = written.starts_with("use crate::") || written.starts_with("use ratchet::");
        if !rooms || room_of(named).is_empty() {
            continue;
        }
        let (statement, room) = (named.in_use, room_of(named));
        let before = last.replace((statement, room));
        if before == Some((statement, room)) {
            continue;
        }
        if before.is_some_and(|(before, _)| before == statement) {
            found.push(finding(source, named.at, "one room for each `use` line"));
        } else if !seen.insert((scope(source, named), room)) {
            found.push(finding(
                source,
                named.at,
                format!("one `use` line for each room: a second for `{room}`"),
            ));
        }
    }
    found
}

fn room_of(named: &Named) -> &'static str {
    row(ROOMS, &named.path.join("/")).map_or("", |(room, _)| room)
}

/// Re-exports and tests have import lists of their own, so each scope is checked alone.
fn scope(source: &Source, named: &Named) -> (bool, bool) {
    let before = source.text[..named.in_use.unwrap_or_default()].trim_end();
    (source.is_test(named.at), before.ends_with("pub") || before.ends_with(')'))
}

/// Time and randomness come from `clock`; tests do not sleep; pure files have no side effects.
pub fn time(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    if !lies_in(&source.module, "clock") {
        for named in source.named.iter().filter(|named| is_clock_only(&named.path)) {
            found.push(finding(
                source,
                named.at,
                format!("`{}` is only for src/clock.rs", named.path.join("::")),
            ));
        }
    }
    let tokens = source.tokens();
    for pair in tokens.windows(2).filter(|pair| pair[0].text == "sleep" && pair[1].text == "(") {
        if source.is_test(pair[0].at) {
            found.push(finding(
                source,
                pair[0].at,
                "no `sleep(` in a test: pause the clock or wait on a condition",
            ));
        }
    }
    if PURE.iter().any(|room| lies_in(&source.module, room)) {
        let effects = tokens.iter().filter(|token| ["async", "await"].contains(&token.text));
        found
            .extend(effects.map(|token| {
                finding(source, token.at, format!("`{}` in a pure file", token.text))
            }));
        let clocks = source
            .named
            .iter()
            .filter(|named| named.inside && named.path.first().is_some_and(|room| room == "clock"));
        found.extend(clocks.map(|named| {
            finding(source, named.at, "a clock in a pure file: pass the value instead")
        }));
    }
    found
}

fn is_clock_only(path: &[String]) -> bool {
    CLOCK_ONLY.iter().any(|end| path.len() >= end.len() && path[path.len() - end.len()..] == **end)
}

/// Files are short, have a telling name, and begin with a header that says what they are for.
pub fn shape(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    if source.file.split(['/', '.']).any(|part| VAGUE_NAMES.contains(&part)) {
        found.push(finding(source, 0, "a file is named for the noun it holds or the verb it does"));
    }
    if source.file.starts_with("src/") && !source.text.starts_with("//!") {
        found.push(finding(source, 0, "the file has no `//!` header that says what it is for"));
    }
    let mut at = 0;
    for line in source.text.split('\n') {
        if line.chars().count() > MAX_WIDTH && !cannot_be_wrapped(line) {
            found.push(finding(source, at, format!("a line of more than {MAX_WIDTH} characters")));
        }
        at += line.len() + 1;
    }
    let lines = source.production_lines();
    if lines > MAX_PRODUCTION_LINES {
        found.push(finding(
            source,
            0,
            format!("{lines} production lines; {MAX_PRODUCTION_LINES} at most"),
        ));
    }
    found
}

/// Comments contain no code, no banners, and no task without an issue.
pub fn comments(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for comment in source.comments() {
        let doc = ["///", "//!", "/**", "/*!"].iter().any(|mark| comment.text.starts_with(mark));
        let text = comment.text.trim_start_matches(['/', '*', '!']).trim();
        if !doc && text.lines().any(looks_like_code) {
            found.push(finding(source, comment.at, "commented-out code"));
        }
        if text.len() > 2 && text.chars().all(|c| "-=*#~_/".contains(c)) {
            found.push(finding(source, comment.at, "a banner"));
        }
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
        if words.iter().any(|word| ["FIXME", "XXX", "HACK"].contains(word))
            || text.contains("TODO") && !has_issue(text)
        {
            found.push(finding(source, comment.at, "a task needs an issue: `TODO(#123): …`"));
        }
    }
    found
}

fn has_issue(text: &str) -> bool {
    let after = text.split_once("TODO(#").map_or("", |(_, after)| after);
    after
        .split_once(')')
        .is_some_and(|(number, _)| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

fn looks_like_code(line: &str) -> bool {
    let line = line.trim();
    let ends = line.ends_with(';') || line.ends_with('{');
    let words = [
        "let ", "use ", "pub ", "fn ", "if ", "for ", "match ", "return", "impl ", "mod ", "while ",
    ];
    let begins = words.iter().any(|word| line.starts_with(word));
    line == "}"
        || line.starts_with("#[")
        || ends && (begins || line.contains("::") || line.contains(");") || line.contains(" = "))
}

/// Strings, addresses and rows of tables may exceed the width.
fn cannot_be_wrapped(line: &str) -> bool {
    let comment = line.trim_start().trim_start_matches(['/', '!']).trim_start();
    line.contains('"') || comment.starts_with("<http") || comment.starts_with("| ")
}
