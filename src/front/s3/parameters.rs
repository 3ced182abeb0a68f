//! Parameters of header fields: `Content-Disposition` of a form's parts, and its `Content-Type`.
//!
//! Guarantees: a quoted string is one value, whatever is in it; the forms in which browsers and
//! libraries write a file name are read alike. Pure. Source: RFC 7578 §4.2, RFC 6266 §4.1,
//! RFC 8187;
//! <https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data>.

use percent_encoding::percent_decode_str;

/// The value of a parameter of a header field. `name` is in lower case; an extended parameter
/// (`name*=UTF-8''…`) wins over a plain one.
pub(super) fn parameter(field: &str, name: &str) -> Option<String> {
    let (_, mut rest) = field.split_once(';')?;
    let mut plain = None;
    while let Some((found, value, after)) = next(rest) {
        rest = after;
        let extended = found.strip_suffix('*');
        if extended.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            if let Some(value) = decoded(&value) {
                return Some(value);
            }
        } else if found.eq_ignore_ascii_case(name) && plain.is_none() {
            plain = Some(value);
        }
    }
    plain
}

/// The next parameter: its name, its value, and what follows.
fn next(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([';', ' ', '\t']);
    if text.is_empty() {
        return None;
    }
    let end = text.find([';', '=']).unwrap_or(text.len());
    let name = text[..end].trim();
    let Some(value) = text[end..].strip_prefix('=') else {
        return Some((name, String::new(), &text[end..]));
    };
    let value = value.trim_start();
    if let Some(quoted) = value.strip_prefix('"') {
        let (value, rest) = unquoted(quoted);
        return Some((name, value, rest));
    }
    let end = value.find(';').unwrap_or(value.len());
    Some((name, value[..end].trim().to_owned(), &value[end..]))
}

/// A quoted string without its first quote: its value, and what follows its last quote. A backslash
/// escapes a quote or a backslash, and is itself otherwise, as in `C:\dir\x.txt`; before the last
/// quote of all it is itself too. Browsers write a quote and a line end as `%22`, `%0D` and `%0A`.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, char)) = chars.next() {
        let rest = &text[at + char.len_utf8()..];
        match char {
            '"' => {
                end = at + 1;
                break;
            }
            '\\' if rest.starts_with('\\')
                || (rest.starts_with('"') && rest[1..].contains('"')) =>
            {
                value.extend(chars.next().map(|(_, escaped)| escaped));
            }
            char => value.push(char),
        }
    }
    let value = value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
    (value, &text[end..])
}

/// The text of an extended value. None: it is not UTF-8.
fn decoded(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, text) = rest.split_once('\'')?;
    let is_utf8 = charset.eq_ignore_ascii_case("utf-8");
    is_utf8.then(|| percent_decode_str(text).decode_utf8().ok().map(String::from)).flatten()
}

/// The last segment of a file's path, on any system.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_browsers_and_libraries_write_them() {
        let table = [
            (r#"form-data; name="file"; filename="a;b.txt""#, Some("a;b.txt")),
            (r#"form-data; filename="C:\dir\x.txt"; name=file"#, Some("C:\\dir\\x.txt")),
            (r#"form-data; filename="a\"b\\c""#, Some("a\"b\\c")),
            (r#"form-data; filename="a%22b%0D%0Ac%25""#, Some("a\"b\r\nc%25")),
            (r#"form-data; filename="dir\""#, Some("dir\\")),
            (r#"form-data; filename="name=x; filename=y""#, Some("name=x; filename=y")),
            ("form-data; FileName = plain.txt ; name=file", Some("plain.txt")),
            (r#"form-data; filename="a"; filename*=UTF-8''%C3%A4.txt"#, Some("ä.txt")),
            (r#"form-data; filename="a"; filename*=KOI8''%C3"#, Some("a")),
            (r#"form-data; filename="open"#, Some("open")),
            ("form-data; filename=", Some("")),
            ("form-data; name=filename", None),
            ("form-data", None),
        ];
        for (field, expected) in table {
            assert_eq!(parameter(field, "filename").as_deref(), expected, "{field}");
        }
        for (path, expected) in [("a/b", "b"), ("C:\\dir\\x.txt", "x.txt"), ("x", "x"), ("a/", "")]
        {
            assert_eq!(base_name(path), expected);
        }
    }
}
