//! Reads Rust sources as far as the rules need: which paths they name, and which code is only for
//! tests.
//!
//! Guarantees: a path is reported from the root of the crate, whether it was written with
//! `crate::`, `self::` or `super::`. It does not expand macros and does not resolve names that were
//! imported.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::{fs, io};

use crate::lex::{Token, lex};

/// A path that the code names, one for each leaf of a `use` tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub at: usize,
    /// From the root of the crate (`store`, `Kind`) or from an outside crate (`hyper`, `body`); a
    /// glob ends in `*`.
    pub path: Vec<String>,
    pub inside: bool,
    /// The offset of the `use` statement that this leaf belongs to.
    pub in_use: Option<usize>,
    pub is_super_glob: bool,
}

/// One source file.
pub struct Source {
    /// Relative to the directory of the crate, with `/`.
    pub file: String,
    pub text: String,
    /// `store/aws/sign` for `src/store/aws/sign.rs`; `lib` and `main` for the two roots.
    pub module: String,
    tests: Vec<Range<usize>>,
    all_tests: bool,
    pub named: Vec<Named>,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let (tokens, _) = lex(text);
        let module = module_of(file);
        let all_tests =
            !file.starts_with("src/") || file.ends_with("/tests.rs") || file.contains("/tests/");
        let tests = test_items(&tokens).into_iter().map(|item| item.span).collect();
        let named = names(&tokens, &module);
        Self { file: file.to_owned(), text: text.to_owned(), module, tests, all_tests, named }
    }

    pub fn is_test(&self, at: usize) -> bool {
        self.all_tests || self.tests.iter().any(|span| span.contains(&at))
    }

    pub fn line_of(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// Lines that are not part of an item under `#[cfg(test)]`.
    pub fn production_lines(&self) -> usize {
        let mut at = 0;
        let mut count = 0;
        for line in self.text.split_inclusive('\n') {
            count += usize::from(!self.is_test(at + line.len() - line.trim_start().len().max(1)));
            at += line.len();
        }
        count
    }

    pub fn tokens(&self) -> Vec<Token<'_>> {
        lex(&self.text).0
    }

    /// Comments, including their comment marks.
    pub fn comments(&self) -> Vec<Token<'_>> {
        lex(&self.text).1
    }
}

/// Every `.rs` file below `directory`, ordered by name. Files of a module under `#[cfg(test)]`
/// count as tests.
pub fn read_all(root: &Path, directory: &str) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut pending = vec![root.join(directory)];
    while let Some(next) = pending.pop() {
        if next.is_dir() {
            for entry in fs::read_dir(&next)? {
                pending.push(entry?.path());
            }
        } else if next.extension().is_some_and(|extension| extension == "rs") {
            let file =
                next.strip_prefix(root).unwrap_or(&next).to_string_lossy().replace('\\', "/");
            sources.push(Source::new(&file, &fs::read_to_string(&next)?));
        }
    }
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    mark_test_modules(&mut sources);
    Ok(sources)
}

fn mark_test_modules(sources: &mut [Source]) {
    let mut modules = BTreeSet::new();
    for source in &*sources {
        let parent =
            if source.module == "lib" { String::new() } else { format!("{}/", source.module) };
        for item in test_items(&source.tokens()) {
            modules.extend(item.module_file.map(|name| format!("{parent}{name}")));
        }
    }
    for source in sources {
        let within = |module: &String| {
            source.module == *module || source.module.starts_with(&format!("{module}/"))
        };
        source.all_tests |= modules.iter().any(within);
    }
}

fn module_of(file: &str) -> String {
    let inner = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    inner.strip_suffix("/mod").unwrap_or(inner).to_owned()
}

struct TestItem {
    span: Range<usize>,
    /// The `name` of `#[cfg(test)] mod name;`.
    module_file: Option<String>,
}

/// The items under `#[cfg(test)]`, including the attribute.
fn test_items(tokens: &[Token<'_>]) -> Vec<TestItem> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text);
    let mut items = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if !(text(index) == "#" && text(index + 1) == "[" && text(index + 2) == "cfg") {
            index += 1;
            continue;
        }
        let start = index;
        let mut end = closing(tokens, index + 1);
        let condition: Vec<&str> = tokens[start..end].iter().map(|token| token.text).collect();
        index = end;
        if !condition.contains(&"test") || condition.contains(&"not") {
            continue;
        }
        while text(end + 1) == "#" {
            end = closing(tokens, end + 2);
        }
        let body = end + 1;
        let name = tokens[body.min(tokens.len())..].iter().position(|token| token.text == "mod");
        index = item_end(tokens, body);
        let last =
            tokens.get(index).or(tokens.last()).map_or(0, |token| token.at + token.text.len());
        let module_file = name.filter(|_| text(index) == ";").filter(|at| body + at + 2 == index);
        items.push(TestItem {
            span: tokens[start].at..last,
            module_file: module_file.map(|at| text(body + at + 1).to_owned()),
        });
    }
    items
}

/// The index of the bracket that closes the one at `open`.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

/// The index of the `;` or `}` that ends the item which begins at `index`.
fn item_end(tokens: &[Token<'_>], mut index: usize) -> usize {
    while let Some(token) = tokens.get(index) {
        match token.text {
            ";" => return index,
            "{" => return closing(tokens, index),
            "(" | "[" => index = closing(tokens, index) + 1,
            _ => index += 1,
        }
    }
    index
}

fn names(tokens: &[Token<'_>], module: &str) -> Vec<Named> {
    let mut named = Vec::new();
    let children: BTreeSet<&str> =
        tokens.windows(2).filter(|pair| pair[0].text == "mod").map(|pair| pair[1].text).collect();
    // The inline modules around the current token, each with the index of its closing brace.
    let mut around: Vec<(String, usize)> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        around.retain(|(_, close)| *close > index);
        let mut here: Vec<String> = module.split('/').map(str::to_owned).collect();
        here.retain(|part| part != "lib" && part != "main");
        here.extend(around.iter().map(|(name, _)| name.clone()));
        let in_file = around.is_empty();
        let with_self = |path: &[String]| -> Vec<String> {
            let own = in_file && path.first().is_some_and(|head| children.contains(head.as_str()));
            own.then(|| "self".to_owned()).into_iter().chain(path.iter().cloned()).collect()
        };
        let token = tokens[index];
        let after = tokens.get(index + 2).map_or("", |token| token.text);
        if token.text == "mod" && after == "{" {
            around.push((tokens[index + 1].text.to_owned(), closing(tokens, index + 2)));
            index += 3;
        } else if token.text == "use"
            && tokens.get(index + 1).is_some_and(|next| next.is_word() || next.text == "::")
        {
            let mut tree = Tree { tokens, next: index + 1, leaves: Vec::new() };
            tree.read(&mut Vec::new());
            index = tree.next + 1;
            let leaf = |(at, leaf): &(usize, Vec<String>)| {
                resolve(*at, &with_self(leaf), &here, Some(token.at))
            };
            named.extend(tree.leaves.iter().map(leaf));
        } else if let Some((path, end)) = inline_path(tokens, index) {
            named.push(resolve(token.at, &with_self(&path), &here, None));
            index = end;
        } else {
            index += 1;
        }
    }
    named
}

/// The path `a::b::c` that begins at `index`, and the index after it.
fn inline_path(tokens: &[Token<'_>], index: usize) -> Option<(Vec<String>, usize)> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text);
    let before = index.checked_sub(1).map_or("", text);
    let follows = before == "." || before == "::" && index > 1 && tokens[index - 2].is_word();
    if !tokens[index].is_word() || follows || text(index + 1) != "::" {
        return None;
    }
    let mut path = vec![text(index).to_owned()];
    let mut end = index + 1;
    while text(end) == "::" && tokens.get(end + 1).is_some_and(Token::is_word) {
        path.push(text(end + 1).to_owned());
        end += 2;
    }
    Some((path, end))
}

/// A `use` tree while it is flattened.
struct Tree<'a> {
    tokens: &'a [Token<'a>],
    next: usize,
    leaves: Vec<(usize, Vec<String>)>,
}

impl Tree<'_> {
    fn read(&mut self, prefix: &mut Vec<String>) {
        let depth = prefix.len();
        let at = self.tokens.get(self.next).map_or(0, |token| token.at);
        while let Some(token) = self.tokens.get(self.next) {
            match token.text {
                "{" => return self.read_branches(prefix, depth),
                "," | "}" | ";" => break,
                "::" => self.next += 1,
                "as" => self.next += 2,
                part => {
                    prefix.push(part.to_owned());
                    self.next += 1;
                }
            }
        }
        self.leaves.push((at, prefix.clone()));
        prefix.truncate(depth);
    }

    fn read_branches(&mut self, prefix: &mut Vec<String>, depth: usize) {
        while self.tokens.get(self.next).is_some_and(|token| token.text != "}" && token.text != ";")
        {
            self.next += 1;
            if self.tokens.get(self.next).is_some_and(|token| token.text != "}") {
                self.read(prefix);
            }
        }
        self.next += 1;
        prefix.truncate(depth);
    }
}

fn resolve(at: usize, path: &[String], here: &[String], in_use: Option<usize>) -> Named {
    let is_super_glob = path == ["super", "*"];
    let supers = path.iter().take_while(|part| *part == "super" || *part == "self").count();
    let ups = path.iter().take(supers).filter(|part| *part == "super").count();
    let inside = supers > 0 || path[0] == "crate" || path[0] == "ratchet";
    let path = match supers {
        0 if inside => path[1..].to_vec(),
        0 => path.to_vec(),
        _ => [&here[..here.len().saturating_sub(ups)], &path[supers..]].concat(),
    };
    Named { at, path, inside, in_use, is_super_glob }
}
