//! What we wrote and read again is written in the same bytes, whatever prefixes content names.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use xml::{Bounds, Style, read, write};

const STYLE: Style<'static> = Style {
    default: "urn:d",
    prefixes: &[("urn:d", "dd"), ("urn:a", "a")],
};

/// Our own `ns1` among them, and one that is too long to be used for names.
const PREFIXES: [&str; 7] = [
    "",
    "a",
    "q",
    "ns1",
    "ns2",
    "dd",
    "a-prefix-that-nobody-would-write-again",
];

const NAMESPACES: [&str; 4] = ["urn:d", "urn:a", "urn:q", "urn:r"];

/// One element: what it binds, its own prefix, an attribute's, and the prefixes that a value and its text name.
#[derive(Clone, Debug)]
struct Made {
    bound: BTreeMap<&'static str, &'static str>,
    name: &'static str,
    attribute: Option<&'static str>,
    value: Option<&'static str>,
    text: Option<&'static str>,
    is_typed: bool,
}

impl Made {
    fn written(self, inside: &str) -> String {
        let colon = |prefix: &str| match prefix {
            "" => String::new(),
            prefix => format!("{prefix}:"),
        };
        let mut tag = format!("{}e", colon(self.name));
        let name = tag.clone();
        for (prefix, uri) in &self.bound {
            let bound = format!(":{prefix}");
            let bound = if prefix.is_empty() { "" } else { &bound };
            tag.push_str(&format!(" xmlns{bound}=\"{uri}\""));
        }
        if let Some(prefix) = self.attribute {
            tag.push_str(&format!(" {}k=\"1\"", colon(prefix)));
        }
        if let Some(prefix) = self.value {
            tag.push_str(&format!(" v=\"{}x\"", colon(prefix)));
        }
        if self.is_typed {
            tag.push_str(" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:type=\"t\"");
        }
        let text = self.text.map(|prefix| format!("{}y", colon(prefix)));
        format!("<{tag}>{}{inside}</{name}>", text.unwrap_or_default())
    }
}

fn made() -> impl Strategy<Value = Made> {
    let prefix = || prop::sample::select(PREFIXES.to_vec());
    let perhaps = || prop::option::of(prefix());
    let uri = prop::sample::select(NAMESPACES.to_vec());
    let bound = prop::collection::btree_map(prefix(), uri, 0..3);
    let typed = prop::bool::weighted(0.1);
    let all = (bound, prefix(), perhaps(), perhaps(), perhaps(), typed);
    all.prop_map(|(bound, name, attribute, value, text, is_typed)| Made {
        bound,
        name,
        attribute,
        value,
        text,
        is_typed,
    })
}

fn document() -> impl Strategy<Value = String> {
    let leaf = made().prop_map(|made| made.written(""));
    leaf.prop_recursive(3, 6, 3, move |inner| {
        let inside = prop::collection::vec(inner, 0..3);
        (made(), inside).prop_map(|(made, inside)| made.written(&inside.concat()))
    })
}

#[track_caller]
fn rests(source: &str) {
    let Ok(tree) = read(source.as_bytes(), &Bounds::TRUSTED) else {
        return;
    };
    let once = write(&tree, &STYLE);
    let twice = write(&read(&once, &Bounds::TRUSTED).unwrap(), &STYLE);
    assert_eq!(
        String::from_utf8_lossy(&once),
        String::from_utf8_lossy(&twice),
        "{source}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writing_rests(text in document()) {
        rests(&text);
        let mut bound = String::new();
        for (at, prefix) in PREFIXES.into_iter().skip(1).enumerate() {
            bound.push_str(&format!(" xmlns:{prefix}=\"{}\"", NAMESPACES[at % NAMESPACES.len()]));
        }
        rests(&format!("<r{bound}>{text}</r>"));
    }
}

#[test]
fn a_prefix_that_text_names_where_only_the_writer_declares_it_is_no_reason_to_prefer_it() {
    rests(
        "<dd:e xmlns:dd='urn:d'>q:y<q:e xmlns:ns1='urn:d' xmlns:q='urn:d' q:k='1'>q:y</q:e></dd:e>",
    );
    rests("<e xmlns:a='urn:d' a:k='1' v='dd:x'>a:y</e>");
    rests(
        "<e>q:y<b xmlns:r='urn:q' k='r:1'/><c xmlns:q='urn:q' k='q:2'/><x:d xmlns:x='urn:q'/></e>",
    );
}

#[test]
fn a_prefix_of_our_own_that_text_names_is_not_given_a_meaning_further_in() {
    rests(
        "<r><q:a xmlns:q='urn:q'>q:y</q:a><x:b xmlns:x='urn:q' xmlns:q='urn:r' k='q:y'>ns1:y</x:b></r>",
    );
}
