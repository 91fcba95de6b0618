//! `docs/events.md` is the lists of what can happen, as the crates declare them.
//! `UPDATE_GOLDEN=1 cargo test -p shard --test listed` writes it anew.

#![allow(clippy::expect_used, reason = "a test says so by failing")]

use std::fmt::Write as _;
use std::path::Path;

use machine::happening::{Field, Kind};
use shard::Event;

const HEAD: &str = "\
# What can happen

Logs (`TIDINGS_LOG=sip=debug`), counters (`/metrics` of `admin.sock`), recorded ladders and the simulator's stories all read these
lists; each engine crate declares its own (`happened.rs`, `record.rs`). This page is written from them.

Everything bears a *cause*, `SHARD-NUMBER`: which input of which shard it came of, in this life of the process. A PUBLISH, the answer to
it and each NOTIFY that says what it changed have the same one, and `notify.accepted` has its NOTIFY's; so have a lapse and its NOTIFYs.
The answer to a NOTIFY is an input of its own. What a user's agent can tell (`agent.…`) is listed in `engine/agent/src/event.rs`.
";

fn text(lines: &[&str]) -> String {
    lines.concat().trim().to_owned()
}

fn row(out: &mut String, kind: &Kind) {
    let counted = kind.metric.map_or_else(String::new, |metric| {
        let by: Vec<String> = kind
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(", by {}", by.join(", "))
        };
        format!(" Counted: `{metric}`{by}.")
    });
    let _ = writeln!(
        out,
        "\n### `{}`\n\n{}{counted}\n",
        kind.name,
        text(kind.about)
    );
    for Field { name, about } in kind.fields {
        let _ = writeln!(out, "- `{name}`: {}", text(about));
    }
}

#[test]
fn the_page_of_what_can_happen_is_what_is_declared() {
    let mut page = HEAD.to_owned();
    for kind in Event::kinds() {
        row(&mut page, kind);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &page).expect("the page is written");
    }
    let written = std::fs::read_to_string(&file).expect("the page is there");
    assert!(
        written == page,
        "docs/events.md is not what the lists say; UPDATE_GOLDEN=1 writes it anew"
    );
}
