//! Each rule finds the samples that break it, and accepts those that only look like it.

use super::rules::{self, Finding};
use super::scan::Source;
use super::stale;
use super::table::Rows;

fn found(rule: fn(&Source) -> Vec<Finding>, file: &str, text: &str) -> Vec<String> {
    rule(&Source::new(file, text)).iter().map(ToString::to_string).collect()
}

fn count(rule: fn(&Source) -> Vec<Finding>, file: &str, text: &str) -> usize {
    found(rule, file, text).len()
}

#[test]
fn a_room_outside_the_row_is_found_however_it_is_written() {
    let line = [
        "src/client/mod.rs:1: `client` may name api, digest, digest/batch, escape, retry, clock, rate_limit, sigv4, tcp; not `store`",
    ];
    for text in [
        "use crate::store::ETag;",
        "use crate::{store::ETag};",
        "fn f() -> crate::store::ETag {}",
        "use super::store::ETag;",
        "mod a { use super::super::store; }",
        "impl crate::store::Store for A {}",
    ] {
        assert_eq!(found(rules::rooms, "src/client/mod.rs", text), line, "{text}");
    }
}

#[test]
fn strings_comments_and_the_room_itself_are_accepted() {
    let text = "// crate::store::X\n/* crate::store /* */ */ fn f<'a>(x: &'a str) -> char { '\"' }\n\
                const A: &str = \"crate::store::X\"; const B: &str = r#\"\"crate::store\"#; use crate::client::C; \
                use super::C; use self::transport::T;";
    assert_eq!(count(rules::rooms, "src/client/restore.rs", text), 0);
}

#[test]
fn fronts_are_rooms_of_their_own() {
    assert_eq!(count(rules::rooms, "src/front/s3/ops.rs", "use crate::api::Backup;"), 1);
    assert_eq!(count(rules::rooms, "src/front/chunk/ops.rs", "use crate::api::Backup;"), 0);
    assert_eq!(count(rules::rooms, "src/front/s3/ops.rs", "use super::super::chunk::problem;"), 1);
    assert_eq!(count(rules::rooms, "src/app/mod.rs", "use crate::front::{chunk::A, s3::B};"), 2);
    assert_eq!(count(rules::rooms, "src/front/mod.rs", "use crate::front::{chunk::A, s3::B};"), 0);
}

#[test]
fn a_child_module_is_a_path_into_its_room() {
    let own = "mod batch; use batch::A; fn f() { batch::run() }";
    assert_eq!(count(rules::rooms, "src/digest/mod.rs", own), 2);
    let other = "use batch::A; mod tests { fn f() { batch::run() } }";
    assert_eq!(count(rules::rooms, "src/digest/mod.rs", other), 0);
}

#[test]
fn tests_may_also_name_a_store_and_a_clock_but_nothing_else() {
    let inside = "#[cfg(test)]\nmod tests {\n use crate::store::Memory; use crate::clock::Clock;\n use crate::gc::Gc; }";
    assert_eq!(
        found(rules::rooms, "src/api.rs", inside),
        ["src/api.rs:4: `api` may name nothing; not `gc`"]
    );
    assert_eq!(
        count(rules::rooms, "src/api.rs", "#[cfg(test)] fn f() {} use crate::store::Memory;"),
        1
    );
    assert_eq!(count(rules::rooms, "src/api/tests.rs", "use crate::store::Memory;"), 0);
    assert_eq!(
        count(rules::rooms, "src/api.rs", "#[cfg(not(test))] mod a { use crate::store::Memory; }"),
        1
    );
}

#[test]
fn the_room_settings_may_name_only_settings() {
    assert_eq!(
        count(
            rules::rooms,
            "src/settings/mod.rs",
            "use crate::store::{aws::Settings, dir::DirSettings}; fn f() { crate::store::aws::Settings::default() }"
        ),
        0
    );
    assert_eq!(
        count(rules::rooms, "src/settings/mod.rs", "use crate::store::{aws::Settings, ETag};"),
        1
    );
}

#[test]
fn a_room_without_a_row_is_found() {
    assert_eq!(count(rules::rooms, "src/cellar.rs", ""), 1);
    assert_eq!(count(rules::rooms, "src/upload/plan.rs", "use crate::cellar::Wine;"), 1);
}

#[test]
fn an_outside_crate_is_found_outside_its_owners() {
    assert_eq!(
        count(rules::owners, "src/upload/mod.rs", "use aws_smithy_types::body::SdkBody;"),
        1
    );
    assert_eq!(
        count(rules::owners, "src/store/aws/body.rs", "use aws_smithy_types::body::SdkBody;"),
        0
    );
    assert_eq!(count(rules::owners, "src/store/awsome.rs", "fn f(x: ::aws_sdk_s3::Client) {}"), 1);
    assert_eq!(count(rules::owners, "src/client/mod.rs", "let n = fastrand::u64(..);"), 1);
    assert_eq!(
        count(
            rules::owners,
            "src/client/mod.rs",
            "use hyper_rustls::Connector; let x = self.toml::<u8>();"
        ),
        0
    );
}

#[test]
fn a_second_import_line_for_a_room_is_found() {
    let file = "src/app/mod.rs";
    assert_eq!(
        count(
            rules::imports,
            file,
            "use crate::store::{ETag, values::{A, B}};\nuse crate::upload::C;"
        ),
        0
    );
    assert_eq!(count(rules::imports, file, "use crate::store::A;\nuse crate::store::B;"), 1);
    assert_eq!(count(rules::imports, file, "use crate::{store::A, upload::B};"), 1);
    assert_eq!(
        count(
            rules::imports,
            file,
            "use crate::store::A;\n#[cfg(test)] mod t { use crate::store::B; }"
        ),
        0
    );
    assert_eq!(count(rules::imports, file, "pub use crate::store::A;\nuse crate::store::B;"), 0);
}

#[test]
fn globs_outside_tests_are_found() {
    let file = "src/app/mod.rs";
    assert_eq!(count(rules::imports, file, "use std::io::*;"), 1);
    assert_eq!(count(rules::imports, file, "use super::*;"), 1);
    assert_eq!(count(rules::imports, file, "#[cfg(test)] mod tests { use super::*; }"), 0);
    assert_eq!(
        count(rules::imports, file, "#[cfg(test)] mod tests { use super::{super::*, A}; }"),
        1
    );
}

#[test]
fn time_that_does_not_come_from_the_clock_is_found() {
    let text = "fn f() { std::time::SystemTime::now(); tokio::time::Instant::now(); tokio::time::sleep(x); }";
    assert_eq!(count(rules::time, "src/server/mod.rs", text), 3);
    assert_eq!(count(rules::time, "src/clock.rs", text), 0);
    assert_eq!(count(rules::time, "src/server/mod.rs", "fn f() { clock.sleep(x); }"), 0);
    assert_eq!(
        count(
            rules::time,
            "src/server/mod.rs",
            "#[cfg(test)] mod tests { fn f() { clock.sleep(x); } }"
        ),
        1
    );
    assert_eq!(
        count(rules::time, "src/upload/plan.rs", "async fn f() {} use crate::clock::Clock;"),
        2
    );
}

#[test]
fn files_without_header_with_vague_names_or_too_long_are_found() {
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(450));
    assert_eq!(
        found(rules::shape, "src/a.rs", &long),
        ["src/a.rs:1: 451 production lines; 450 at most"]
    );
    let tested =
        format!("//! Long.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(450));
    assert_eq!(count(rules::shape, "src/a.rs", &tested), 0);
    assert_eq!(count(rules::shape, "src/a.rs", "fn f() {}"), 1);
    let wide = "a".repeat(100);
    assert_eq!(count(rules::shape, "src/a.rs", &format!("//! A.\n// {wide}\n")), 1);
    assert_eq!(count(rules::shape, "src/a.rs", &format!("//! A.\n//! | {wide} |\n")), 0);
    assert_eq!(count(rules::shape, "src/web/util.rs", "//! Things."), 1);
    assert_eq!(count(rules::shape, "src/common/mod.rs", "//! Things."), 1);
}

#[test]
fn comments_with_code_banners_or_tasks_are_found() {
    let file = "src/a.rs";
    for text in [
        "// let x = 3;",
        "// store.put(key);",
        "// if x {",
        "// ------",
        "// TODO: later",
        "/* FIXME */",
        "// #[test]",
    ] {
        assert_eq!(count(rules::comments, file, text), 1, "{text}");
    }
    for text in [
        "// A crash here leaves garbage;",
        "// TODO(#12): later",
        "/// let x = 3;",
        "// so x = 3",
        "let a = \"// TODO\";",
    ] {
        assert_eq!(count(rules::comments, file, text), 0, "{text}");
    }
}

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(file, text)| Source::new(file, text)).collect()
}

fn texts(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn a_row_that_allows_more_than_its_files_use_is_found() {
    let rows: Rows = &[("upload", &["gc", "store"]), ("gc", &["store"]), ("store", &[])];
    let store = ("src/store/mod.rs", "");
    let gc = ("src/gc/mod.rs", "use crate::store::ETag;");
    let both = ("src/upload/plan.rs", "use crate::gc::Mode; fn f(x: crate::store::ETag) {}");
    assert_eq!(texts(stale::rooms(rows, &sources(&[store, gc, both]))), [""; 0]);

    let one = ("src/upload/plan.rs", "use crate::gc::Mode;");
    let unused = ["`upload` may name `store`, but no file does"];
    assert_eq!(texts(stale::rooms(rows, &sources(&[store, gc, one]))), unused);
    let in_test =
        ("src/upload/plan.rs", "use crate::gc::Mode; #[cfg(test)] mod t { use crate::store::A; }");
    assert_eq!(texts(stale::rooms(rows, &sources(&[store, gc, in_test]))), unused);

    assert_eq!(
        texts(stale::rooms(rows, &sources(&[store, both]))),
        ["no file lies in the room `gc`"]
    );
    let unknown: Rows = &[("store", &["cellar"])];
    assert_eq!(
        texts(stale::rooms(unknown, &sources(&[store]))),
        ["`store` may name `cellar`, which has no row"]
    );
}

#[test]
fn an_entry_without_a_room_or_file_is_found() {
    let files = sources(&[("src/digest/whole.rs", ""), ("src/retry.rs", "")]);
    assert_eq!(
        texts(stale::entries("PURE", &["digest/whole", "retry", "digest"], &files)),
        [""; 0]
    );
    assert_eq!(
        texts(stale::entries("PURE", &["digest/sha256", "ret"], &files)),
        [
            "`digest/sha256` in PURE is neither a room nor a file",
            "`ret` in PURE is neither a room nor a file"
        ]
    );
}

#[test]
fn an_owner_that_does_not_name_its_crate_is_found() {
    let files = sources(&[
        ("src/store/aws/body.rs", "use aws_smithy_types::body::SdkBody;"),
        ("src/server/mod.rs", "fn f(x: self::hyper) {}"),
    ]);
    assert_eq!(texts(stale::owners(&[("aws_smithy*", &["store/aws"])], &files)), [""; 0]);
    assert_eq!(
        texts(stale::owners(&[("hyper", &["server", "front"])], &files)),
        [
            "`front` in OWNERS is neither a room nor a file",
            "`server` owns `hyper`, but no file names it"
        ]
    );
}

#[test]
fn a_room_map_that_differs_from_the_table_is_found() {
    let rows: Rows = &[("clock", &[]), ("front", &[]), ("front/s3", &[])];
    let map = |rows: &str| format!("# A\n\n| room | what it is for |\n| --- | --- |\n{rows}\n");
    let found = |text: &str| -> Vec<String> {
        stale::room_map(rows, "README.md", text).iter().map(ToString::to_string).collect()
    };
    let good =
        map("| `clock` | time, see `retry` |\n| `front` `front/s3` | doors |\n\n| `other` |");
    assert_eq!(found(&good), [""; 0]);
    assert_eq!(found("# A\n"), ["README.md:1: no table `| room | what it is for |`"]);
    assert_eq!(
        found(&map("| `clock` | a |\n| `clock`, `cellar` | b |\n| `front` | c |")),
        [
            "README.md:6: `clock` is listed twice",
            "README.md:6: `cellar` is not a room",
            "README.md:3: the room `front/s3` is missing"
        ]
    );
}
