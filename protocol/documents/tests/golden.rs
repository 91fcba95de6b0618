//! Each `golden/NAME.in.xml` is read, mended and written as `NAME.out.xml`. `UPDATE_GOLDEN=1` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::path::Path;

use documents::pidf::Presence;
use xml::Bounds;

#[test]
fn documents_are_mended_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = entry.unwrap().path();
        let Some(stem) = input.to_str().unwrap().strip_suffix(".in.xml") else {
            continue;
        };
        let mended = Presence::read(&std::fs::read(&input).unwrap(), &Bounds::TRUSTED)
            .unwrap()
            .write();
        let mended = broken_into_lines(&String::from_utf8(mended).unwrap());
        let output = format!("{stem}.out.xml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&output, &mended).unwrap();
        }
        assert_eq!(
            mended,
            std::fs::read_to_string(&output).unwrap(),
            "{output}"
        );
        let again = Presence::read(mended.as_bytes(), &Bounds::TRUSTED)
            .unwrap()
            .write();
        assert_eq!(
            broken_into_lines(&String::from_utf8(again).unwrap()),
            mended,
            "{output} again"
        );
        seen += 1;
    }
    assert!(seen >= 3, "golden files are missing");
}

/// So that people can read the record; only between elements whose white space means nothing.
fn broken_into_lines(document: &str) -> String {
    document
        .replace("><tuple", ">\n<tuple")
        .replace("><dm:", ">\n<dm:")
        .replace("><note", ">\n<note")
        .replace("></presence", ">\n</presence")
}
