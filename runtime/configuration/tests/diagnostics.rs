//! Every diagnostic, letter for letter: `diagnostics.txt` holds one bad file a rule and what is said about it.
//! `UPDATE_GOLDEN=1 cargo test -p configuration` writes what is said now; the difference is for review.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use std::path::Path;

use configuration::{Overrides, Problems, read_text};

const GOLDEN: &str = include_str!("diagnostics.txt");

fn said(text: &str) -> String {
    let problems = match read_text(Path::new("tidings.toml"), text, &Overrides::default()) {
        Ok(reading) => reading.warnings,
        Err(problems) => problems,
    };
    lines(&problems)
}

fn lines(problems: &Problems) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// `=== rule`, the file, `---`, what is said.
fn cases(golden: &str) -> Vec<(&str, &str, &str)> {
    golden
        .split("=== ")
        .skip(1)
        .map(|case| {
            let (rule, rest) = case.split_once('\n').expect("a rule has a file");
            let (file, expected) = rest.split_once("---\n").expect("a file has a verdict");
            (rule, file, expected.trim_start_matches('\n'))
        })
        .collect()
}

#[test]
fn every_rule_says_what_is_wrong_where_and_what_would_be_right() {
    let mut written = String::new();
    let mut wrong = Vec::new();
    for (rule, file, expected) in cases(GOLDEN) {
        let said = said(file);
        if said.trim_end() != expected.trim_end() {
            wrong.push(format!("{rule}\nexpected:\n{expected}said:\n{said}"));
        }
        written.push_str(&format!("=== {rule}\n{file}---\n{said}\n"));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics.txt");
        std::fs::write(path, written).expect("the golden file is written");
        return;
    }
    assert!(cases(GOLDEN).len() > 80, "the golden file was cut short");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
