//! The XML documents with which S3 responds, as trees.
//!
//! Guarantees: a document that is damaged, or nested deeper than S3's are, is refused. It knows no
//! element by its name. Pure.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

/// Deeper than any document of S3.
const MAX_DEPTH: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// The root element; None if this is no XML document.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(std::str::from_utf8(document).ok()?);
        let mut open = Vec::<Self>::new();
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) if open.len() < MAX_DEPTH => {
                    open.push(Self::named(tag.local_name().as_ref()));
                }
                Event::Empty(tag) => {
                    open.last_mut()?.children.push(Self::named(tag.local_name().as_ref()));
                }
                Event::End(_) => {
                    let closed = open.pop()?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(closed),
                        None => return Some(closed),
                    }
                }
                Event::Text(text) => append(&mut open, &text),
                Event::CData(text) => append(&mut open, &text),
                Event::GeneralRef(name) => {
                    append(&mut open, character(&name)?.encode_utf8(&mut [0; 4]))
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Start(_) | Event::DocType(_) | Event::Eof => return None,
            }
        }
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The children with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child with this name; empty if there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &child.text)
    }
}

/// White space before the root element belongs to nothing.
fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn character(name: &BytesRef<'_>) -> Option<char> {
    let predefined = || resolve_predefined_entity(name)?.chars().next();
    name.resolve_char_ref().ok()?.or_else(predefined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree() {
        let text =
            "<?xml version='1.0'?>\n<R xmlns='x'><A><K>a&amp;&#98;</K><E/></A><A/><T>1</T></R>";
        let root = Element::parse(text.as_bytes()).unwrap();
        assert_eq!((root.name(), root.text_of("T"), root.text_of("none")), ("R", "1", ""));
        let keys: Vec<&str> = root.all("A").map(|a| a.text_of("K")).collect();
        assert_eq!(keys, ["a&b", ""]);
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        for damaged in ["", "text", "<R><A></R>", "<R>", "<!DOCTYPE a><R/>", deep.as_str()] {
            assert!(Element::parse(damaged.as_bytes()).is_none(), "{damaged}");
        }
    }
}
