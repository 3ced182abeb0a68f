//! Splits Rust text into tokens and comments; strings are dropped.
//!
//! Guarantees: text in strings and comments is never taken for code, including nested comments and
//! raw strings. It does not parse. Source: <https://doc.rust-lang.org/reference/tokens.html>.

/// One word or punctuation mark, or a comment, with its byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub at: usize,
    pub text: &'a str,
}

impl Token<'_> {
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphanumeric() || first == '_')
    }
}

/// The tokens and the comments of a text. Strings and character literals yield nothing.
pub fn lex(text: &str) -> (Vec<Token<'_>>, Vec<Token<'_>>) {
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let mut length = first.len_utf8();
        if rest.starts_with("//") {
            length = rest.find('\n').unwrap_or(rest.len());
            comments.push(Token { at, text: &rest[..length] });
        } else if rest.starts_with("/*") {
            length = block_comment(rest);
            comments.push(Token { at, text: &rest[..length] });
        } else if let Some(quoted) = raw_string(rest) {
            length = quoted;
        } else if first == '"' {
            length = string(rest);
        } else if first == '\'' {
            length = character(rest);
        } else if first.is_alphanumeric() || first == '_' {
            length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token { at, text: &rest[..length] });
        } else if !first.is_whitespace() {
            length = if rest.starts_with("::") { 2 } else { length };
            tokens.push(Token { at, text: &rest[..length] });
        }
        at += length;
    }
    (tokens, comments)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a raw string (`r"…"`, `br#"…"#`) or a plain `b"…"` if `rest` begins with one.
fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).map(|after| after.trim_start_matches('#'));
        after.is_some_and(|after| after.starts_with('"'))
    })?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !prefix.contains('r') {
        return (hashes == 0).then(|| prefix.len() + string(after));
    }
    let open = prefix.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest[open..].find(&close).map_or(rest.len(), |found| open + found + close.len()))
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal, or of the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((after, _))) => {
            rest[after + 1..].find('\'').map_or(rest.len(), |close| after + 1 + close + 1)
        }
        (Some(_), Some((close, '\''))) => close + 1,
        _ => 1,
    }
}
