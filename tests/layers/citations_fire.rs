//! The rules for citations and links find what leads nowhere, and accept what exists.
//!
//! The samples write `@md` for the end of a Markdown file's name and `@s` for the section sign, so
//! that this file cites nothing itself.

use super::citations;
use super::documents::Documents;
use super::rules::Finding;

const PAGE: &str = "# Page\n\n## One `thing`\n\n```sh\n# no heading\n```\n\n## What's *new*, and why\n\n\
                    ## Twice\n\n## Twice\n\n## [Link](page@md), HTTP/1.1 only\n\n####### Seven\n";

fn found(rule: fn(&Documents) -> Vec<Finding>, file: &str, text: &str) -> Vec<String> {
    let mut documents = Documents::default();
    let name = |name: &str| name.replace("@md", ".md");
    documents.add(&name("docs/page@md"), name(PAGE));
    documents.add(&name("docs/decisions/0001-a@md"), "# A\n".to_owned());
    documents.add("README.md", "# Ratchet\n".to_owned());
    documents.add("config/ratchet.toml", String::new());
    documents.add(&name(file), name(text).replace("@s", "§"));
    rule(&documents).iter().map(|finding| finding.to_string().replace(".md", "@md")).collect()
}

#[test]
fn a_citation_of_a_file_or_heading_that_does_not_exist_is_found() {
    for (text, fault) in [
        ("// See docs/nowhere@md#one.", "`docs/nowhere@md` does not exist"),
        ("// See page@md#twice.", "`page@md` does not exist"),
        ("fn f() { panic!(\"docs/page@md#three\") }", "`docs/page@md` has no heading `#three`"),
        ("//! (docs/page@md#no-heading)", "`docs/page@md` has no heading `#no-heading`"),
        ("//! „docs/page@md#seven“", "`docs/page@md` has no heading `#seven`"),
        ("/// `docs/page@md#twice-2`", "`docs/page@md` has no heading `#twice-2`"),
        ("// docs/page@md", "`docs/page@md` needs a heading: `#…`"),
        ("// DESIGN@md", "`DESIGN@md` does not exist"),
    ] {
        assert_eq!(found(citations::citations, "src/a.rs", text), [format!("src/a.rs:1: {fault}")]);
    }
    let second_line = found(citations::citations, "scripts/a.sh", "set -e\n# docs/gone@md\n");
    assert_eq!(second_line, ["scripts/a.sh:2: `docs/gone@md` does not exist"]);
}

#[test]
fn a_citation_of_a_heading_that_exists_is_accepted() {
    for text in [
        "// docs/page@md#page, docs/page@md#one-thing, docs/page@md#whats-new-and-why.",
        "// docs/page@md#twice and (docs/page@md#twice-1)",
        "// docs/page@md#link-http11-only",
        "fn f() { panic!(\"docs/page@md\") } // target/page@md",
        "// docs/decisions/0001-a@md, README@md, `README@md#ratchet`",
        "// <https://example.org/docs/gone@md#nothing> and f.mdx, a.md5",
        "//! RFC 9110 @s8.3, and FIPS\n//! @s4",
    ] {
        assert_eq!(found(citations::citations, "src/a.rs", text), [""; 0], "{text}");
    }
    assert_eq!(found(citations::citations, "scripts/a.sh", "# docs/page@md"), [""; 0]);
    assert_eq!(found(citations::citations, "docs/other@md", "docs/gone@md"), [""; 0]);
}

#[test]
fn a_section_of_a_document_that_is_not_here_is_found() {
    for text in
        ["// DESIGN @s9", "//! (DESIGN\n//! @s9.1)", "# STYLE @s1", "/// CLIENTS\n    /// @s2"]
    {
        let found = found(citations::citations, "tests/a.rs", text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].ends_with("is no document of the repository"), "{found:?}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    for (text, fault) in [
        ("[a](gone@md)", "`docs/gone@md` does not exist"),
        ("[a](page@md#three)", "`docs/page@md` has no heading `#three`"),
        ("[a](#b)", "`docs/x@md` has no heading `#b`"),
        ("[a](../src/gone.rs)", "`src/gone.rs` does not exist"),
        ("[a](../config/ratchet.toml#store)", "`config/ratchet.toml` has no heading `#store`"),
        ("[a](../../etc)", "`../../etc` leads out of the repository"),
        ("[a]: gone@md", "`docs/gone@md` does not exist"),
        ("`x` [`a`](gone@md) [b](page@md)", "`docs/gone@md` does not exist"),
    ] {
        let text = format!("# X\n\n{text}\n");
        let fault = [format!("docs/x@md:3: {fault}")];
        assert_eq!(found(citations::links, "docs/x@md", &text), fault, "{text}");
    }
}

#[test]
fn a_link_to_what_exists_is_accepted() {
    for text in [
        "[a](page@md) [b](page@md#twice-1 \"title\") [c](#x) [d](decisions/0001-a@md)",
        "[a](../README@md#ratchet), [b](./page@md), [c](../config/ratchet.toml)",
        "[a](https://example.org/gone@md#x) <mailto:a@b> [b](mailto:a@b)",
        "`[a](gone@md)`",
        "```\n[a](gone@md)\n```",
    ] {
        let text = format!("# X\n\n{text}\n");
        assert_eq!(found(citations::links, "docs/x@md", &text), [""; 0], "{text}");
    }
}
