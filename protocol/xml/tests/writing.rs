//! Where prefixes are declared, and that content which depends on one keeps it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use xml::{Bounds, Element, Name, Namespace, Style, read, write};

const STYLE: Style<'static> = Style {
    default: "urn:d",
    prefixes: &[("urn:d", "dd"), ("urn:a", "a")],
};

#[track_caller]
fn rewritten(source: &str, expected: &str) {
    let written = write(&read(source.as_bytes(), &Bounds::TRUSTED).unwrap(), &STYLE);
    let written = String::from_utf8(written).unwrap();
    assert_eq!(
        written.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"),
        Some(format!("{expected}\n").as_str())
    );
}

#[test]
fn namespaces_are_declared_once_on_the_root() {
    rewritten(
        "<x:r xmlns:x='urn:d'><y:c xmlns:y='urn:a'/><y:c xmlns:y='urn:b'><z xmlns='urn:c'/></y:c></x:r>",
        "<r xmlns=\"urn:d\" xmlns:a=\"urn:a\" xmlns:ns1=\"urn:c\" xmlns:y=\"urn:b\"><a:c/><y:c><ns1:z/></y:c></r>",
    );
}

#[test]
fn a_conventional_prefix_goes_to_its_owner() {
    rewritten(
        "<r xmlns='urn:d' xmlns:a='urn:z' a:k='1'><b xmlns='urn:a'/></r>",
        "<r xmlns=\"urn:d\" xmlns:a=\"urn:a\" xmlns:ns1=\"urn:z\" ns1:k=\"1\"><a:b/></r>",
    );
}

#[test]
fn an_attribute_in_the_default_namespace_has_a_prefix() {
    rewritten(
        "<r xmlns='urn:d' xmlns:q='urn:d' q:k='1'/>",
        "<r xmlns=\"urn:d\" xmlns:dd=\"urn:d\" dd:k=\"1\"/>",
    );
}

#[test]
fn elements_in_no_namespace_stay_there() {
    rewritten(
        "<r xmlns='urn:d'><b xmlns=''><c xmlns='urn:d'/></b></r>",
        "<r xmlns=\"urn:d\"><b xmlns=\"\"><c xmlns=\"urn:d\"/></b></r>",
    );
    rewritten("<r><c xmlns='urn:d'/></r>", "<r><c xmlns=\"urn:d\"/></r>");
}

#[test]
fn names_in_content_keep_their_meaning() {
    const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
    // A prefix that only content uses; the same prefix for something else elsewhere.
    rewritten(
        "<r xmlns='urn:d'><b xmlns:q='urn:q' path='/q:x/q:y'/><b xmlns:q='urn:other'>q:z</b></r>",
        "<r xmlns=\"urn:d\" xmlns:q=\"urn:q\"><b path=\"/q:x/q:y\"/><b xmlns:q=\"urn:other\">q:z</b></r>",
    );
    // A type without prefix is in the default namespace of its place.
    rewritten(
        &format!("<r xmlns='urn:d'><b xmlns='urn:b' xmlns:i='{XSI}' i:type='t'><c/></b></r>"),
        &format!(
            "<r xmlns=\"urn:d\" xmlns:i=\"{XSI}\"><b xmlns=\"urn:b\" i:type=\"t\"><c/></b></r>"
        ),
    );
    // Or in none, where there is no default namespace.
    rewritten(
        &format!("<p:r xmlns:p='urn:d' xmlns:i='{XSI}' i:type='t'/>"),
        &format!("<ns1:r xmlns:i=\"{XSI}\" xmlns:ns1=\"urn:d\" i:type=\"t\"/>"),
    );
    // Content that wants a prefix which convention gives to another namespace.
    rewritten(
        "<r xmlns='urn:d'><x:b xmlns:x='urn:a' xmlns:a='urn:z' k='a:v'/></r>",
        "<r xmlns=\"urn:d\" xmlns:a=\"urn:a\"><ns1:b xmlns:a=\"urn:z\" xmlns:ns1=\"urn:a\" k=\"a:v\"/></r>",
    );
}

#[test]
fn text_before_a_child_is_not_read_by_what_the_child_declares() {
    rewritten(
        "<r xmlns='urn:d' xmlns:q='urn:q'><b>q:x<c xmlns:q='urn:other'/></b></r>",
        "<r xmlns=\"urn:d\" xmlns:q=\"urn:q\"><b>q:x<c/></b></r>",
    );
    rewritten(
        "<r xmlns='urn:d'>q:x<c xmlns:q='urn:other'/></r>",
        "<r xmlns=\"urn:d\">q:x<c/></r>",
    );
}

#[test]
fn what_would_read_back_differently_is_escaped() {
    rewritten(
        "<r k='&#9;&#10;&#13;&quot;&lt;&amp;>'>&lt;&amp;&gt;&#13;\n\t</r>",
        "<r k=\"&#9;&#10;&#13;&quot;&lt;&amp;>\">&lt;&amp;&gt;&#13;\n\t</r>",
    );
}

#[test]
fn trees_made_by_hand_are_written() {
    let mut root = Element::new(Name::new(Namespace::fixed("urn:d"), "r"));
    root.push(Element::with_text(
        Name::new(Namespace::fixed("urn:x"), "b"),
        "text",
    ));
    root.set_attribute("k", "v");
    assert_eq!(
        String::from_utf8(write(&root, &STYLE))
            .unwrap()
            .lines()
            .nth(1),
        Some("<r xmlns=\"urn:d\" xmlns:ns1=\"urn:x\" k=\"v\"><ns1:b>text</ns1:b></r>")
    );
}
