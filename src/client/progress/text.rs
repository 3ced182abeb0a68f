//! The words and rows in which progress is shown. Pure.
//!
//! Guarantees: no row is wider than asked for, whatever the names are: a character that some
//! terminal shows two columns wide counts as two.

use std::time::Duration;

use crate::escape::escaped;

use super::human::{bytes, rough_time};
use super::tally::Tally;

/// What is shown at one moment.
pub(super) struct View {
    pub tally: Tally,
    /// Bytes per second.
    pub rate: Option<u64>,
    /// The file at work.
    pub file: Option<String>,
    pub away: Option<Away>,
}

/// What is wrong with the gateway, and for how long it will be tried again.
pub(super) struct Away {
    pub what: String,
    pub rest: Duration,
}

/// From so many columns on there is a bar.
const COLUMNS_FOR_BAR: usize = 60;
const BAR_COLUMNS: usize = 20;
/// The least that a row is cut to: narrower terminals than this are not used.
const MIN_COLUMNS: usize = 10;

/// The rows of a terminal, each of at most so many columns.
pub(super) fn rows(view: &View, columns: usize) -> Vec<String> {
    let mut rows = match &view.away {
        Some(gateway) => wrap(&escaped(away(gateway)), columns),
        None => view.file.iter().map(|name| end_of(&escaped(name), columns)).collect(),
    };
    let mut items = items(view);
    if let Some(first) = items.first_mut().filter(|_| columns >= COLUMNS_FOR_BAR)
        && let Some(part) = part_done(&view.tally)
    {
        *first = format!("[{}] {first}", bar(part));
    }
    rows.extend(pack(&items, columns));
    rows
}

/// The same in one line.
pub(super) fn line(view: &View) -> String {
    let mut parts: Vec<String> = view.away.iter().map(away).collect();
    parts.push(items(view).join(", "));
    parts.extend(view.file.clone().filter(|_| view.away.is_none()));
    parts.join("; ")
}

pub(super) fn away(Away { what, rest }: &Away) -> String {
    format!("{what}, trying again for {}", rough_time(*rest))
}

/// The share of all bytes that is done, in thousandths.
fn part_done(tally: &Tally) -> Option<u64> {
    if tally.counting || tally.open_ended {
        return None;
    }
    let (done, total) = (tally.done_bytes(), tally.total_bytes.max(tally.done_bytes()));
    match total {
        // Nothing but empty files and directories.
        0 => (tally.done_files * 1000).checked_div(tally.total_files),
        total => u64::try_from(u128::from(done) * 1000 / u128::from(total)).ok(),
    }
}

/// The numbers, each with its unit.
fn items(view: &View) -> Vec<String> {
    let View { tally, rate, .. } = view;
    if tally.counting {
        let (files, total) = (tally.total_files, bytes(tally.total_bytes));
        return vec![format!("counting: {files} files"), total];
    }
    let mut items = vec![match part_done(tally) {
        Some(part) => {
            let total = tally.total_bytes.max(tally.done_bytes());
            format!("{}% of {}", part / 10, bytes(total))
        }
        None => format!("{} done", bytes(tally.done_bytes())),
    }];
    let rate = rate.filter(|_| view.away.is_none());
    items.extend(rate.map(|rate| format!("{}/s", bytes(rate))));
    if !tally.open_ended
        && let Some(seconds) = rate.and_then(|rate| tally.remaining_bytes().checked_div(rate))
    {
        items.push(format!("{} left", rough_time(Duration::from_secs(seconds))));
    }
    if tally.total_files > 1 {
        items.push(format!("{} of {} files", tally.done_files, tally.total_files));
    }
    for (count, what) in [(tally.known_bytes, "known"), (tally.resumed_bytes, "resumed")] {
        if count > 0 {
            items.push(format!("{} {what}", bytes(count)));
        }
    }
    items
}

fn bar(part: u64) -> String {
    let full = usize::try_from(part).unwrap_or(0) * BAR_COLUMNS / 1000;
    format!("{}{}", "=".repeat(full), " ".repeat(BAR_COLUMNS - full))
}

/// The items with commas, in as many rows as they need.
fn pack(items: &[String], columns: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let comma = if at + 1 < items.len() { "," } else { "" };
        let item = format!("{item}{comma}");
        match rows.last_mut().filter(|row| width(row) + 1 + width(&item) <= columns) {
            Some(row) => *row = format!("{row} {item}"),
            None => rows.push(end_of(&item, columns)),
        }
    }
    rows
}

/// The text in rows of at most so many columns, broken at spaces where there are any.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(MIN_COLUMNS);
    let mut rows: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let row = rows.last_mut().expect("there is a first row");
        if row.is_empty() {
            row.push_str(word);
        } else if width(row) + 1 + width(word) <= columns {
            row.push(' ');
            row.push_str(word);
        } else {
            rows.push(word.to_owned());
        }
        while let Some(rest) = rows.last_mut().and_then(|row| split_off(row, columns)) {
            rows.push(rest);
        }
    }
    rows
}

/// Cuts a row to so many columns. Returns the rest, if there is one.
fn split_off(row: &mut String, columns: usize) -> Option<String> {
    let mut used = 0;
    let end = row.char_indices().find(|(_, character)| {
        used += columns_of(*character);
        used > columns
    });
    end.map(|(at, _)| row.split_off(at))
}

/// The end of a text that is too wide, since names differ there.
fn end_of(text: &str, columns: usize) -> String {
    let columns = columns.max(MIN_COLUMNS);
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut used = columns_of('…');
    let kept = text.char_indices().rev().take_while(|(_, character)| {
        used += columns_of(*character);
        used <= columns
    });
    let start = kept.last().map_or(text.len(), |(at, _)| at);
    format!("…{}", &text[start..])
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// At least as many columns as a terminal takes. Below U+1100 no character is wide; U+2026 is the
/// mark of this file. Source: Unicode Standard Annex 11, *East Asian Width*.
fn columns_of(character: char) -> usize {
    if character < '\u{1100}' || character == '…' { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        View {
            tally: Tally {
                total_files: 120,
                total_bytes: 4 << 30,
                done_files: 3,
                moved_bytes: 800 << 20,
                known_bytes: 400 << 20,
                resumed_bytes: 8 << 20,
                ..Tally::default()
            },
            rate: Some(10 << 20),
            file: Some("photos/2026/summer/on the beach/image 0001.jpg".to_owned()),
            away: None,
        }
    }

    #[test]
    fn everything_is_shown_at_80_and_at_40_columns() {
        assert_eq!(
            rows(&view(), 79),
            [
                "photos/2026/summer/on the beach/image 0001.jpg",
                "[=====               ] 29% of 4.0 GiB, 10.0 MiB/s, 4 min left, 3 of 120 files,",
                "400.0 MiB known, 8.0 MiB resumed",
            ]
        );
        assert_eq!(
            rows(&view(), 39),
            [
                "…026/summer/on the beach/image 0001.jpg",
                "29% of 4.0 GiB, 10.0 MiB/s, 4 min left,",
                "3 of 120 files, 400.0 MiB known,",
                "8.0 MiB resumed",
            ]
        );
    }

    #[test]
    fn a_gateway_that_is_away_takes_the_place_of_file_and_rate() {
        let what = "cannot reach https://gateway.example.com:9010".to_owned();
        let away = Some(Away { what, rest: Duration::from_secs(599) });
        let view = View { away, ..view() };
        assert_eq!(
            rows(&view, 39)[..2],
            ["cannot reach", "https://gateway.example.com:9010,"].map(str::to_owned)
        );
        assert!(line(&view).starts_with(
            "cannot reach https://gateway.example.com:9010, trying again for 9 min; 29% of 4.0 GiB, \
             3 of 120 files"
        ));
    }

    #[test]
    fn no_row_is_too_wide_whatever_the_name_is() {
        for name in ["日本語".repeat(30), "🦀".repeat(40), "e\u{301}".repeat(60), "x".repeat(300)]
        {
            for columns in [10, 11, 20, 39, 40, 79, 200] {
                let view = View { file: Some(name.clone()), ..view() };
                for row in rows(&view, columns).iter().chain(&wrap(&name, columns)) {
                    assert!(width(row) <= columns, "{columns}: {row}");
                }
            }
        }
    }

    #[test]
    fn totals_are_said_while_they_are_counted_and_when_there_is_none() {
        let mut view = view();
        view.tally.counting = true;
        assert_eq!(rows(&view, 39)[1..], ["counting: 120 files, 4.0 GiB"]);
        view.tally = Tally { open_ended: true, moved_bytes: 5 << 20, ..Tally::default() };
        assert_eq!(rows(&view, 39)[1..], ["5.0 MiB done, 10.0 MiB/s"]);
    }

    #[test]
    fn wrapping_keeps_every_word() {
        let text = "ratchet: one two three";
        assert_eq!(wrap(text, 12), ["ratchet: one", "two three"]);
        assert_eq!(wrap("0123456789abc d", 10), ["0123456789", "abc d"]);
    }
}
