//! The files of the repository as far as citations need them: which exist, and which headings the
//! Markdown files have.
//!
//! Guarantees: headings have the anchors that GitHub gives them, and text in code blocks is neither
//! a heading nor a link. Setext headings and links across lines are not recognised.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

/// Directories with files that are not the repository's: generated, downloaded or local.
const NOT_OURS: &[&str] = &["target", "corpus", "artifacts", "coverage", "ratchet-data"];

/// Ends of the names of text files.
const TEXTS: &[&str] = &["json", "md", "py", "rs", "sh", "toml", "txt", "yml"];

/// Paths of the repository, and the texts among them.
#[derive(Default)]
pub struct Documents {
    /// Files and directories, relative to the repository's root, with `/`.
    paths: BTreeSet<String>,
    pub texts: BTreeMap<String, String>,
    anchors: BTreeMap<String, BTreeSet<String>>,
}

impl Documents {
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut documents = Self::default();
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with('.') && name != ".ci" || NOT_OURS.contains(&&*name) {
                    continue;
                }
                let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
                let relative = relative.replace('\\', "/");
                let is_text =
                    path.extension().is_some_and(|end| TEXTS.iter().any(|text| end == *text));
                if path.is_dir() {
                    directories.push(path);
                    documents.paths.insert(relative);
                } else if is_text {
                    documents.add(&relative, fs::read_to_string(&path)?);
                } else {
                    documents.paths.insert(relative);
                }
            }
        }
        Ok(documents)
    }

    pub fn add(&mut self, path: &str, text: String) {
        if path.ends_with(".md") {
            self.anchors.insert(path.to_owned(), anchors(&text));
        }
        self.paths.insert(path.to_owned());
        self.texts.insert(path.to_owned(), text);
    }

    /// Why `path` or `path#anchor` names nothing, if so.
    pub fn fault(&self, path: &str, anchor: Option<&str>) -> Option<String> {
        if !self.paths.contains(path) {
            return Some(format!("`{path}` does not exist"));
        }
        let anchor = anchor?;
        let has = self.anchors.get(path).is_some_and(|anchors| anchors.contains(anchor));
        (!has).then(|| format!("`{path}` has no heading `#{anchor}`"))
    }
}

/// The lines of a Markdown text outside its code blocks, each with its byte offset.
pub fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let (mut at, mut fence) = (0, None);
    for line in text.split_inclusive('\n') {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, None) => lines.push((at, line.trim_end())),
            (None, Some(_)) => fence = mark,
            (Some(_), _) if fence == mark => fence = None,
            (Some(_), _) => {}
        }
        at += line.len();
    }
    lines
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if !(1..=6).contains(&level) || !title.starts_with(' ') {
            continue;
        }
        let slug = slug(title.trim());
        let count = counts.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

/// The anchor of a heading: lower case, without punctuation, spaces as hyphens. Of a link only the
/// text counts.
fn slug(title: &str) -> String {
    let mut shown = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    let kept = shown.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}
