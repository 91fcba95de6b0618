//! The rules for one file of Rust.

use super::Finding;
use super::source::{functions, line_of, mask, next_word, words};

/// A file that is longer no longer has one subject.
const FILE_LINES_MAX: usize = 800;
/// A function that is longer does not fit a screen, even a tall one.
const FUNCTION_LINES_MAX: usize = 70;

/// Where `Instant::now` and `SystemTime::now` may stand: the one place that reads the clock, the programs, and what
/// stands beside the floors.
const CLOCK_PLACES: &[&str] = &[
    "runtime/node/",
    "runtime/client/src/clock.rs",
    "apps/",
    "lab/",
    "xtask/",
];
/// The one module that talks to the kernel's socket calls.
const UNSAFE_PLACE: &str = "runtime/transport/src/socket";

pub(crate) fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut report = Report {
        file,
        findings: Vec::new(),
    };
    let masked = mask(text);
    names_of_files(&mut report);
    room_label(&mut report, text);
    sizes(&mut report, text, &masked);
    unfinished(&mut report, text, &masked);
    names_of_modules(&mut report, &masked);
    places(&mut report, &masked);
    maps(&mut report, &masked);
    report.findings
}

struct Report<'f> {
    file: &'f str,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, line: usize, what: impl Into<String>) {
        self.findings.push(Finding {
            file: self.file.to_owned(),
            line,
            what: what.into(),
        });
    }
}

/// `common_policy` is a format's name; `policy_common` and `common` say nothing.
fn says_nothing(name: &str) -> bool {
    let last = name.rsplit('_').next().unwrap_or(name);
    matches!(
        last,
        "common" | "util" | "utils" | "helper" | "helpers" | "manager" | "managers"
    )
}

fn names_of_files(report: &mut Report<'_>) {
    for part in report.file.split('/') {
        let name = part.strip_suffix(".rs").unwrap_or(part);
        if says_nothing(name) {
            report.add(
                1,
                format!(
                    "the name `{name}` says nothing; the name of what is inside would be right"
                ),
            );
        }
    }
}

fn names_of_modules(report: &mut Report<'_>, masked: &[u8]) {
    for at in words(masked, "mod") {
        let name = String::from_utf8_lossy(next_word(masked, at + 3)).into_owned();
        if says_nothing(&name) {
            report.add(
                line_of(masked, at),
                format!(
                    "the module `{name}` says nothing; the name of what is inside would be right"
                ),
            );
        }
    }
}

/// A crate opens with what it owns, takes, gives and never touches.
fn room_label(report: &mut Report<'_>, text: &str) {
    if !report.file.ends_with("src/lib.rs") {
        return;
    }
    let label: Vec<&str> = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    let lacks = |word: &&str| !label.iter().any(|line| line.contains(word));
    let lacking: Vec<&str> = ["Owns:", "Takes:", "Gives:", "Never:"]
        .into_iter()
        .filter(lacks)
        .collect();
    if !lacking.is_empty() {
        let lacking = lacking.join(", ");
        report.add(1, format!("the room label lacks {lacking}; `//!` lines with Owns:, Takes:, Gives: and Never: at the top would be right"));
    }
}

fn sizes(report: &mut Report<'_>, text: &str, masked: &[u8]) {
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        report.add(FILE_LINES_MAX + 1, format!("{lines} lines; at most {FILE_LINES_MAX} in a file would be right: long tests go to a file of their own"));
    }
    for function in functions(masked) {
        if function.lines > FUNCTION_LINES_MAX {
            report.add(
                function.line,
                format!(
                    "function `{}` has {} lines; at most {FUNCTION_LINES_MAX} would be right",
                    function.name, function.lines
                ),
            );
        }
    }
}

fn unfinished(report: &mut Report<'_>, text: &str, masked: &[u8]) {
    for word in ["dbg", "todo", "unimplemented"] {
        for at in words(masked, word) {
            if masked.get(at + word.len()) == Some(&b'!') {
                report.add(line_of(masked, at), format!("`{word}!` is unfinished work; finished work, or an answer as a value, would be right"));
            }
        }
    }
    // Spelled in two, so that this file may pass its own rule.
    let mark = concat!("FIX", "ME");
    for (index, line) in text.lines().enumerate() {
        if line.contains(mark) {
            report.add(
                index + 1,
                format!("`{mark}` is unfinished work; mending it would be right"),
            );
        }
    }
}

fn places(report: &mut Report<'_>, masked: &[u8]) {
    if !report.file.starts_with(UNSAFE_PLACE) {
        for at in words(masked, "unsafe") {
            report.add(
                line_of(masked, at),
                format!("`unsafe` stands only in {UNSAFE_PLACE}*; a safe way would be right"),
            );
        }
    }
    let file = report.file;
    // A test of sockets or disks waits on real time; nothing that it tests does.
    let is_runtime_test =
        file.starts_with("runtime/") && (file.contains("/tests/") || file.ends_with("/tests.rs"));
    if is_runtime_test || CLOCK_PLACES.iter().any(|place| file.starts_with(place)) {
        return;
    }
    for clock in ["Instant", "SystemTime"] {
        for at in words(masked, clock) {
            if masked[at + clock.len()..].starts_with(b"::now") {
                report.add(line_of(masked, at), format!("`{clock}::now` reads the clock; time as an argument would be right (only runtime/node and the programs read it)"));
            }
        }
    }
}

/// The standard library's maps draw a new order in each process.
fn maps(report: &mut Report<'_>, masked: &[u8]) {
    for at in words(masked, "collections") {
        if !masked[..at].ends_with(b"std::") {
            continue;
        }
        let rest = &masked[at..];
        // One path, or all of a `use` with braces: up to what ends either.
        let has_braces = rest[b"collections".len()..].starts_with(b"::{");
        let ends: &[u8] = if has_braces { b";}" } else { b";,()<> \n" };
        let end = rest
            .iter()
            .position(|byte| ends.contains(byte))
            .unwrap_or(rest.len());
        for (map, instead) in [("HashMap", "BTreeMap"), ("HashSet", "BTreeSet")] {
            if words(&rest[..end], map).next().is_some() {
                report.add(line_of(masked, at), format!("std's {map} has another order in each process; hashbrown's, or {instead} where order can be seen, would be right"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &str = "//! A room.\n//! Owns: a.   Takes: b.\n//! Gives: c.\n//! Never: d.\n";

    fn found(file: &str, text: &str) -> Vec<(usize, String)> {
        check(file, text)
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    fn lines(file: &str, text: &str) -> Vec<usize> {
        found(file, text)
            .into_iter()
            .map(|(line, _)| line)
            .collect()
    }

    #[test]
    fn a_room_label_is_whole_and_first() {
        assert!(found("engine/a/src/lib.rs", LABEL).is_empty());
        assert_eq!(
            found("engine/a/src/lib.rs", "//! Owns: a. Takes: b. Gives: c.\n")[0].0,
            1
        );
        assert_eq!(found("engine/a/src/lib.rs", &format!("\n{LABEL}")).len(), 1);
        assert!(found("engine/a/src/other.rs", "").is_empty());
    }

    #[test]
    fn long_files_and_long_functions_are_named() {
        let just = "\n".repeat(FILE_LINES_MAX);
        assert!(found("engine/a/src/b.rs", &just).is_empty());
        assert_eq!(lines("engine/a/src/b.rs", &format!("{just}\n")), [801]);
        let function = |blank: usize| format!("\nfn long() {{\n{}}}\n", "\n".repeat(blank));
        assert!(found("engine/a/src/b.rs", &function(68)).is_empty());
        assert_eq!(lines("engine/a/src/b.rs", &function(69)), [2]);
    }

    #[test]
    fn names_that_say_nothing_are_refused_and_formats_keep_theirs() {
        assert_eq!(found("engine/a/src/util.rs", "").len(), 1);
        assert_eq!(found("engine/a/src/helpers/x.rs", "").len(), 1);
        assert_eq!(found("engine/a/tests/session_manager.rs", "").len(), 1);
        assert!(found("protocol/documents/src/common_policy.rs", "").is_empty());
        assert_eq!(
            lines("engine/a/src/b.rs", "\nmod common;\nmod policy { }\n"),
            [2]
        );
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_the_mark_anywhere() {
        let text = format!(
            "fn a() {{\n    {}!();\n    let x = \"todo!\"; // dbg! is a macro\n}}\n// {}: later\n",
            "todo",
            concat!("FIX", "ME")
        );
        assert_eq!(lines("engine/a/src/b.rs", &text), [2, 5]);
    }

    #[test]
    fn unsafe_stands_in_one_module() {
        let text = "#![allow(unsafe_code)]\nfn a() { unsafe { b() } }\n";
        assert_eq!(lines("runtime/node/src/a.rs", text), [2]);
        assert!(found("runtime/transport/src/socket.rs", text).is_empty());
        assert!(found("runtime/transport/src/socket/batch.rs", text).is_empty());
    }

    #[test]
    fn clocks_are_read_in_their_places() {
        let text = "use std::time::Instant;\nfn a() -> Instant { Instant::now() }\nfn b() { std::time::SystemTime::now(); } // Instant::now\n";
        assert_eq!(lines("engine/a/src/b.rs", text), [2, 3]);
        assert_eq!(lines("runtime/store/src/b.rs", text), [2, 3]);
        assert!(found("runtime/node/src/clock.rs", text).is_empty());
        assert!(found("runtime/store/tests/journal.rs", text).is_empty());
    }

    #[test]
    fn maps_of_the_standard_library_are_refused() {
        assert_eq!(
            lines("engine/a/src/b.rs", "use std::collections::HashMap;\n"),
            [1]
        );
        assert_eq!(
            lines(
                "engine/a/src/b.rs",
                "use std::collections::{\n  BTreeMap, HashSet,\n};\n"
            ),
            [1]
        );
        assert_eq!(
            lines(
                "engine/a/src/b.rs",
                "\nfn a() -> std::collections::HashMap<u8, u8> {}\n"
            ),
            [2]
        );
        assert!(
            found(
                "engine/a/src/b.rs",
                "use hashbrown::HashMap;\nuse std::collections::{BTreeMap, VecDeque};\n"
            )
            .is_empty()
        );
        assert!(
            found(
                "engine/a/src/b.rs",
                "use std::collections::BTreeMap;\nuse hashbrown::HashMap;\n"
            )
            .is_empty()
        );
    }
}
