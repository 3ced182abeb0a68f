//! Rules for citations in sources and for links between documents: what they name exists.

use crate::documents::{Documents, prose};
use crate::lex::lex;
use crate::rules::Finding;

/// Directories whose texts cite documents by their path from the repository's root.
const CITING: &[&str] = &["src/", "tests/", "benches/", "fuzz/", "scripts/", "config/"];

/// Documents that are not in the repository; a section of theirs cannot be looked up.
const ELSEWHERE: &[&str] = &["BACKENDS", "CLIENTS", "DESIGN", "STYLE"];

fn finding(file: &str, text: &str, at: usize, rule: String) -> Finding {
    Finding { location: format!("{file}:{}", text[..at].matches('\n').count() + 1), rule }
}

/// Every mention of a Markdown file in a source names one that exists, with a heading that exists;
/// comments of Rust sources cite a page of `docs/` with the heading.
pub fn citations(documents: &Documents) -> Vec<Finding> {
    let mut found = Vec::new();
    let sources = documents.texts.iter().filter(|(file, _)| {
        CITING.iter().any(|directory| file.starts_with(directory)) && !file.ends_with(".md")
    });
    for (file, text) in sources {
        let comments = if file.ends_with(".rs") { lex(text).1 } else { Vec::new() };
        for mention in mentions(text) {
            let fault = documents.fault(mention.path, mention.anchor).or_else(|| {
                let in_comment = comments.iter().any(|comment| {
                    (comment.at..comment.at + comment.text.len()).contains(&mention.at)
                });
                (in_comment && mention.anchor.is_none() && is_page(mention.path))
                    .then(|| format!("`{}` needs a heading: `#…`", mention.path))
            });
            found.extend(fault.map(|fault| finding(file, text, mention.at, fault)));
        }
        for (at, name) in sections_elsewhere(text) {
            let rule = format!("`{name} §` is no document of the repository");
            found.push(finding(file, text, at, rule));
        }
    }
    found
}

/// A page of `docs/` has many subjects; a page of `docs/decisions/` has one.
fn is_page(path: &str) -> bool {
    path.strip_prefix("docs/").is_some_and(|page| !page.contains('/'))
}

struct Mention<'a> {
    at: usize,
    path: &'a str,
    anchor: Option<&'a str>,
}

/// Names that end in `.md`, with their anchors, except in addresses of the web and below `target/`,
/// where generated files are.
fn mentions(text: &str) -> Vec<Mention<'_>> {
    let mut mentions = Vec::new();
    for (dot, end) in text.match_indices(".md") {
        let after = &text[dot + end.len()..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let start = text[..dot].rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        // The byte before may be within a character of several bytes.
        let start = (start..=dot).find(|at| text.is_char_boundary(*at)).unwrap_or(dot);
        let longer = after.starts_with(|c: char| c.is_ascii_alphanumeric() || "_-/".contains(c));
        let token = text[..dot].rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let token = (token..=dot).find(|at| text.is_char_boundary(*at)).unwrap_or(dot);
        let generated = text[start..].starts_with("target/");
        if start == dot || longer || generated || text[token..dot].contains("://") {
            continue;
        }
        let anchor = after.strip_prefix('#').map(|rest| {
            let is_anchor = |c: char| c.is_alphanumeric() || "-_".contains(c);
            &rest[..rest.find(|c| !is_anchor(c)).unwrap_or(rest.len())]
        });
        mentions.push(Mention { at: start, path: &text[start..dot + end.len()], anchor });
    }
    mentions
}

/// Where a section (`§`) of a document is cited that is not in the repository. A line break with
/// comment marks may stand between the two.
fn sections_elsewhere(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('§') {
        let before = text[..at].trim_end_matches(|c: char| c.is_whitespace() || "/!#".contains(c));
        let before = before.strip_suffix(".md").unwrap_or(before);
        let name = ELSEWHERE.iter().find(|name| before.ends_with(**name));
        found.extend(name.map(|name| (before.len() - name.len(), *name)));
    }
    found
}

/// Every relative link of a Markdown file leads to a path that exists, and to a heading that exists
/// there.
pub fn links(documents: &Documents) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, text) in documents.texts.iter().filter(|(file, _)| file.ends_with(".md")) {
        for (at, line) in prose(text) {
            for target in targets(line) {
                let (path, anchor) = target
                    .split_once('#')
                    .map_or((target, None), |(path, anchor)| (path, Some(anchor)));
                let fault = resolve(file, path)
                    .map_or(Some(format!("`{target}` leads out of the repository")), |path| {
                        documents.fault(&path, anchor)
                    });
                found.extend(fault.map(|fault| finding(file, text, at, fault)));
            }
        }
    }
    found
}

/// The relative targets of `[text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<&str> {
    // Every second part is code.
    let code = |at: usize| line[..at].matches('`').count() % 2 == 1;
    let inline = line.match_indices("](").filter(|(at, _)| !code(*at)).map(|(at, mark)| {
        let rest = &line[at + mark.len()..];
        &rest[..rest.find(')').unwrap_or(rest.len())]
    });
    let reference = line.strip_prefix('[').and_then(|line| line.split_once("]: "));
    inline
        .chain(reference.map(|(_, target)| target.trim()))
        .map(|target| target.split(' ').next().unwrap_or_default())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// The path from the repository's root that a link in `file` leads to; `None` if it leads out.
fn resolve(file: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(file.to_owned());
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
