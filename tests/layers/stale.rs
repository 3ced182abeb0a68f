//! Rules for the tables themselves: they allow nothing that no file needs, and the documents list
//! the same rooms.

use crate::rules::{Finding, is_crate, is_exempt, lies_in, row};
use crate::scan::Source;
use crate::table::Rows;

const TABLE: &str = "tests/layers/table.rs";

/// The header of a document's table of rooms.
const ROOM_MAP: &str = "| room | what it is for |";

fn finding(rule: String) -> Finding {
    Finding { location: TABLE.to_owned(), rule }
}

/// Every row has files, and they use every room that the row allows.
pub fn rooms(rows: Rows, sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (room, may) in rows {
        let of_room =
            |source: &&Source| row(rows, &source.module).is_some_and(|(owner, _)| owner == *room);
        let files: Vec<&Source> = sources.iter().filter(of_room).collect();
        if files.is_empty() {
            found.push(finding(format!("no file lies in the room `{room}`")));
            continue;
        }
        for target in *may {
            if row(rows, target).is_none_or(|(owner, _)| owner != *target) {
                found.push(finding(format!("`{room}` may name `{target}`, which has no row")));
            } else if !files.iter().any(|source| needs(rows, source, room, target)) {
                found.push(finding(format!("`{room}` may name `{target}`, but no file does")));
            }
        }
    }
    found
}

/// Whether the file names `target` where only a row of the table allows that.
fn needs(rows: Rows, source: &Source, room: &str, target: &str) -> bool {
    source.named.iter().filter(|named| named.inside).any(|named| {
        row(rows, &named.path.join("/")).is_some_and(|(owner, _)| owner == target)
            && !is_exempt(source, named, room, target)
    })
}

/// Every entry of a list is a room or file that exists.
pub fn entries(list: &str, entries: &[&str], sources: &[Source]) -> Vec<Finding> {
    let missing = |entry: &&&str| !sources.iter().any(|source| lies_in(&source.module, entry));
    entries
        .iter()
        .filter(missing)
        .map(|entry| finding(format!("`{entry}` in {list} is neither a room nor a file")))
        .collect()
}

/// Every owner of an outside crate exists and names the crate.
pub fn owners(rows: Rows, sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, owners) in rows {
        found.extend(entries("OWNERS", owners, sources));
        for owner in *owners {
            let mut files =
                sources.iter().filter(|source| lies_in(&source.module, owner)).peekable();
            if files.peek().is_some() && !files.any(|source| names_crate(source, name)) {
                found.push(finding(format!("`{owner}` owns `{name}`, but no file names it")));
            }
        }
    }
    found
}

fn names_crate(source: &Source, name: &str) -> bool {
    source.named.iter().any(|named| !named.inside && is_crate(name, &named.path[0]))
}

/// A document's table of rooms names each room of [`crate::table::ROOMS`] once, and no other.
pub fn room_map(rows: Rows, file: &str, text: &str) -> Vec<Finding> {
    let location = |line: usize| format!("{file}:{}", line + 1);
    let lines: Vec<&str> = text.lines().collect();
    let Some(head) = lines.iter().position(|line| *line == ROOM_MAP) else {
        return vec![Finding { location: location(0), rule: format!("no table `{ROOM_MAP}`") }];
    };
    let mut found = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (at, line) in lines.iter().enumerate().skip(head + 2) {
        let Some(cells) = line.strip_prefix('|') else { break };
        let first = cells.split('|').next().unwrap_or_default();
        for room in first.split('`').skip(1).step_by(2) {
            if !rows.iter().any(|(known, _)| *known == room) {
                found.push(Finding {
                    location: location(at),
                    rule: format!("`{room}` is not a room"),
                });
            }
            if seen.contains(&room) {
                found.push(Finding {
                    location: location(at),
                    rule: format!("`{room}` is listed twice"),
                });
            }
            seen.push(room);
        }
    }
    let missing = rows.iter().filter(|(room, _)| !seen.contains(room));
    found.extend(missing.map(|(room, _)| Finding {
        location: location(head),
        rule: format!("the room `{room}` is missing"),
    }));
    found
}
