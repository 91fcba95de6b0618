//! Nodes of documents over HTTP, by kind of selector and kind of mistake (RFC 4825 §6, §7.4 to §8.2, §11): a served process, real sockets,
//! every byte compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod running;

use running::xcap::{ALICE, ATTRIBUTE, DOCUMENT, ELEMENT, LISTS, World, X, node};

/// What a DELETE does.
enum Deleted {
    /// The node is gone, and just this.
    Gone(&'static str),
    Refused(&'static str),
}
use Deleted::{Gone, Refused};

/// A node that is there: what selects it, its type, the words around it and the node's own among them, other ones for it, what becomes
/// of it when it is deleted.
type Node = (
    &'static str,
    &'static str,
    (&'static str, &'static str),
    &'static str,
    Deleted,
);

const BOB: &str =
    "<rl:entry uri=\"sip:bob@a.net\"><rl:display-name>Bob</rl:display-name></rl:entry>";
const CAROL: &str = "<rl:entry uri='sip:carol@a.net'/>";
const CLOSE: &str = "<rl:list name=\"close\"><rl:entry uri=\"sip:dave@a.net\"/></rl:list>";
const DAVE: &str = "<rl:entry uri=\"sip:dave@a.net\"/>";
const FAMILY: &str = "<rl:list name=\"family\"/>";
const COLOUR: &str = "<x:colour x:k=\"1\"><![CDATA[<red>]]></x:colour>";
const ANNE: &str = "<rl:entry uri=\"sip:anne@a.net\"/>";

const NODES: &[Node] = &[
    // By name.
    (
        "resource-lists/list[1]/list",
        ELEMENT,
        (CLOSE, CLOSE),
        "<rl:list name=\"close\"/>",
        Gone(CLOSE),
    ),
    (
        "resource-lists/list/list/entry",
        ELEMENT,
        (DAVE, DAVE),
        ANNE,
        Gone(DAVE),
    ),
    // By position.
    (
        "resource-lists/list[2]",
        ELEMENT,
        (FAMILY, FAMILY),
        "<rl:list name=\"kin\"><!-- new --></rl:list>",
        Gone(FAMILY),
    ),
    (
        "resource-lists/list[1]/entry[2]",
        ELEMENT,
        (CAROL, CAROL),
        ANNE,
        Gone(CAROL),
    ),
    // What follows would be the first.
    (
        "resource-lists/list[1]/entry[1]",
        ELEMENT,
        (BOB, BOB),
        ANNE,
        Refused("cannot-delete"),
    ),
    // By *.
    (
        "*/list[1]/*[2]",
        ELEMENT,
        (BOB, BOB),
        ANNE,
        Refused("cannot-delete"),
    ),
    (
        "*/list[1]/*[5]",
        ELEMENT,
        (COLOUR, COLOUR),
        "<x:colour/>",
        Gone(COLOUR),
    ),
    ("*/*[2]", ELEMENT, (FAMILY, FAMILY), FAMILY, Gone(FAMILY)),
    // By attribute and value.
    (
        "resource-lists/list[@name=\"friends\"]/entry[@uri=\"sip:bob@a.net\"]",
        ELEMENT,
        (BOB, BOB),
        "<rl:entry uri=\"sip:bob@a.net\"/>",
        Gone(BOB),
    ),
    (
        "resource-lists/*[@name='friends']/*[@uri='sip:carol@a.net']",
        ELEMENT,
        (CAROL, CAROL),
        "<rl:entry   uri='sip:carol@a.net'></rl:entry>",
        Gone(CAROL),
    ),
    (
        "resource-lists/list[@x:mood=\"good\"]/list",
        ELEMENT,
        (CLOSE, CLOSE),
        "<rl:list/>",
        Gone(CLOSE),
    ),
    // By both.
    (
        "resource-lists/list[1][@name=\"friends\"]/entry[1][@uri=\"sip:bob@a.net\"]",
        ELEMENT,
        (BOB, BOB),
        "<rl:entry uri=\"sip:bob@a.net\"/>",
        Gone(BOB),
    ),
    (
        "resource-lists/list[1]/*[3][@uri=\"sip:carol@a.net\"]",
        ELEMENT,
        (CAROL, CAROL),
        "<rl:entry uri=\"sip:carol@a.net\"/>",
        Gone(CAROL),
    ),
    // Of another namespace.
    (
        "resource-lists/list[1]/x:colour",
        ELEMENT,
        (COLOUR, COLOUR),
        "<x:colour>blue</x:colour>",
        Gone(COLOUR),
    ),
    // Attributes.
    (
        "resource-lists/list[1]/@name",
        ATTRIBUTE,
        ("name=\"friends\"", "friends"),
        "fr&#105;ends &amp; c\u{f6}",
        Gone(" name=\"friends\""),
    ),
    (
        "resource-lists/list[1]/@x:mood",
        ATTRIBUTE,
        ("x:mood = 'good'", "good"),
        "bad \"mood\"",
        Gone("   x:mood = 'good'"),
    ),
    (
        "resource-lists/list[2]/@name",
        ATTRIBUTE,
        ("name=\"family\"", "family"),
        "",
        Gone(" name=\"family\""),
    ),
    (
        "resource-lists/list[1]/x:colour/@x:k",
        ATTRIBUTE,
        ("x:k=\"1\"", "1"),
        "2",
        Gone(" x:k=\"1\""),
    ),
    (
        "resource-lists/list[1]/entry[2]/@uri",
        ATTRIBUTE,
        ("uri='sip:carol@a.net'", "sip:carol@a.net"),
        "sip:anne@a.net",
        Refused("schema-validation-error"),
    ),
    (
        "resource-lists/list[1]/display-name/@xml:lang",
        ATTRIBUTE,
        ("xml:lang=\"en\"", "en"),
        "de",
        Gone(" xml:lang=\"en\""),
    ),
];

#[test]
fn a_node_that_is_there_is_read_replaced_and_deleted_by_every_kind_of_selector() {
    let world = World::with_lists();
    for (selector, kind, (around, text), other, deleted) in NODES {
        let tag = world.reset();
        let path = format!("{}?{X}", node(selector));
        let read = world.get(&path);
        assert_eq!(
            (read.status, read.body.as_str(), read.field("Content-Type")),
            (200, *text, *kind),
            "{selector}"
        );
        assert_eq!(read.tag(), tag, "one entity-tag for all: {selector}");
        let head = world.ask("HEAD", &path, &[], b"");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{selector}");
        for name in ["Content-Type", "Content-Length", "ETag"] {
            assert_eq!(head.field(name), read.field(name), "{selector}: {name}");
        }
        // The same again changes nothing.
        let same = world.put(&path, kind, text);
        assert_eq!((same.status, same.body.as_str()), (200, ""), "{selector}");
        assert_eq!(world.is(DOCUMENT, selector), same.tag());
        let put = world.put(&path, kind, other);
        assert_eq!(put.status, 200, "{selector}: {put:?}");
        let expected = DOCUMENT.replacen(around, &around.replacen(text, other, 1), 1);
        assert!(expected != DOCUMENT || text == other, "{selector}");
        assert_eq!(world.is(&expected, selector), put.tag());
        assert!(put.tag() != tag || text == other, "{selector}");
        let read = world.get(&path);
        assert_eq!(
            (read.status, read.body.as_str()),
            (200, *other),
            "{selector}"
        );
        world.reset();
        let gone = world.delete(&path);
        match deleted {
            Gone(what) => {
                assert_eq!((gone.status, gone.body.as_str()), (200, ""), "{selector}");
                assert_eq!(
                    world.is(&DOCUMENT.replacen(what, "", 1), selector),
                    gone.tag()
                );
                assert_eq!(world.get(&path).status, 404, "{selector}");
                assert_eq!(world.delete(&path).status, 404, "{selector}");
            }
            Refused(why) => {
                assert_eq!(gone.conflict(), *why, "{selector}");
                world.is(DOCUMENT, selector);
            }
        }
    }
}

/// What is not there yet: selector, type, what is put, before what it comes to stand, and what stands there in between.
const NEW: &[(&str, &str, &str, &str, &str)] = &[
    // By name: after its like, else last, else where the schema wants it.
    (
        "resource-lists/list[2]/entry",
        ELEMENT,
        ANNE,
        "<rl:list name=\"family\"",
        "/>",
    ),
    (
        "resource-lists/list[1]/list/display-name",
        ELEMENT,
        "<rl:display-name>Close</rl:display-name>",
        "<rl:list name=\"close\">",
        "",
    ),
    // By position: the next after the last.
    ("resource-lists/list[1]/entry[3]", ELEMENT, ANNE, CAROL, ""),
    (
        "resource-lists/list[3]",
        ELEMENT,
        "<rl:list name=\"new\"/>",
        FAMILY,
        "",
    ),
    (
        "resource-lists/list[1]/*[6]",
        ELEMENT,
        "<x:shape/>",
        COLOUR,
        "",
    ),
    // By attribute: after its like.
    (
        "resource-lists/list[1]/entry[@uri=\"sip:anne@a.net\"]",
        ELEMENT,
        ANNE,
        CAROL,
        "",
    ),
    (
        "resource-lists/list[@name=\"friends\"]/list[@name=\"close\"]/entry[@uri=\"sip:anne@a.net\"]",
        ELEMENT,
        ANNE,
        DAVE,
        "",
    ),
    (
        "*/*[@name=\"new\"]",
        ELEMENT,
        "<rl:list name=\"new\"/>",
        FAMILY,
        "",
    ),
    // By both: at that place, and what was there follows.
    (
        "resource-lists/list[1]/entry[1][@uri=\"sip:anne@a.net\"]",
        ELEMENT,
        ANNE,
        "<!-- one --><?keep this?>\n    ",
        "",
    ),
    (
        "resource-lists/list[1]/entry[2][@uri=\"sip:anne@a.net\"]",
        ELEMENT,
        ANNE,
        "</rl:display-name></rl:entry>\n    ",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3][@uri=\"sip:anne@a.net\"]",
        ELEMENT,
        ANNE,
        CAROL,
        "",
    ),
    // Attributes, in the namespace that the query names.
    (
        "resource-lists/list[2]/@x:mood",
        ATTRIBUTE,
        "so so",
        "<rl:list",
        " name=\"family\"",
    ),
];

#[test]
fn what_is_put_where_nothing_is_comes_to_stand_where_the_standard_says() {
    let world = World::with_lists();
    for (selector, kind, body, after, between) in NEW {
        let tag = world.reset();
        let path = format!("{}?{X}", node(selector));
        assert_eq!(world.get(&path).status, 404, "{selector}");
        assert_eq!(world.delete(&path).status, 404, "{selector}");
        let put = world.put(&path, kind, body);
        assert_eq!(put.status, 201, "{selector}: {put:?}");
        assert_ne!(put.tag(), tag, "{selector}");
        let expected = match (*kind, *between) {
            (_, "/>") => DOCUMENT.replacen(
                &format!("{after}/>"),
                &format!("{after}>{body}</rl:list>"),
                1,
            ),
            (ATTRIBUTE, own) => DOCUMENT.replacen(
                &format!("{after}{own}"),
                &format!("{after} x:mood=\"{body}\"{own}"),
                1,
            ),
            _ => DOCUMENT.replacen(after, &format!("{after}{body}"), 1),
        };
        assert_eq!(world.is(&expected, selector), put.tag());
        let read = world.get(&path);
        assert_eq!(
            (read.status, read.body.as_str(), read.tag()),
            (200, *body, put.tag()),
            "{selector}"
        );
        // RFC 4825 §8.2.3: the same once more is no second one.
        let again = world.put(&path, kind, body);
        assert_eq!(again.status, 200, "{selector}");
        world.is(&expected, selector);
        let gone = world.delete(&path);
        assert_eq!(gone.status, 200, "{selector}");
        assert_eq!(world.get(&path).status, 404, "{selector}");
    }
}

/// What is put, and why it is not: selector, type, body, status, the conflict, the ancestor that is there.
const REFUSED: &[(&str, &str, &str, u16, &str, &str)] = &[
    (
        "resource-lists/list[1]/entry[4]",
        ELEMENT,
        ANNE,
        409,
        "cannot-insert",
        "",
    ),
    (
        "resource-lists/list[1]/entry[@uri=\"sip:anne@a.net\"]",
        ELEMENT,
        "<rl:entry uri=\"sip:eve@a.net\"/>",
        409,
        "cannot-insert",
        "",
    ),
    (
        "resource-lists/list[1]/entry[1]",
        ELEMENT,
        "<rl:list/>",
        409,
        "cannot-insert",
        "",
    ),
    (
        "resource-lists/list[1]/entry",
        ELEMENT,
        ANNE,
        409,
        "cannot-insert",
        "",
    ),
    (
        "resource-lists",
        ELEMENT,
        "<rl:list xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\"/>",
        409,
        "cannot-insert",
        "",
    ),
    (
        "resource-lists/list[1]/@xmlns",
        ATTRIBUTE,
        "urn:example:x",
        409,
        "cannot-insert",
        "",
    ),
    (
        "resource-lists/list[@name=\"friends\"]/@name",
        ATTRIBUTE,
        "foes",
        409,
        "cannot-insert",
        "",
    ),
    // RFC 4825 §11.2: the nearest ancestor that is there.
    (
        "resource-lists/list[9]/entry[1]",
        ELEMENT,
        ANNE,
        409,
        "no-parent",
        "/~~/resource-lists",
    ),
    (
        "resource-lists/list[1]/list[@name=\"x\"]/list/entry",
        ELEMENT,
        ANNE,
        409,
        "no-parent",
        "/~~/resource-lists/list%5b1%5D",
    ),
    (
        "resource-lists/list[1]/entry[3]/@uri",
        ATTRIBUTE,
        "sip:x",
        409,
        "no-parent",
        "/~~/resource-lists/list%5b1%5D",
    ),
    ("elsewhere/list", ELEMENT, ANNE, 409, "no-parent", ""),
    // Two could be its parent.
    (
        "resource-lists/list/entry[@uri=\"sip:anne@a.net\"]",
        ELEMENT,
        ANNE,
        409,
        "no-parent",
        "/~~/resource-lists",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<rl:entry uri=\"sip:a\"/><rl:entry uri=\"sip:b\"/>",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "sip:anne@a.net",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<rl:entry uri=\"sip:a\">",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<?xml version=\"1.0\"?><rl:entry uri=\"sip:a\"/>",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<!DOCTYPE a [<!ENTITY b \"sip:a\">]><rl:entry uri=\"&b;\"/>",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<rl:entry uri=\"&b;\"/>",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<nobody:entry uri=\"sip:a\"/>",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<rl:entry uri=\"sip:a\" uri=\"sip:b\"/>",
        409,
        "not-xml-frag",
        "",
    ),
    (
        "resource-lists/list[1]/@name",
        ATTRIBUTE,
        "a<b",
        409,
        "not-xml-att-value",
        "",
    ),
    (
        "resource-lists/list[1]/@name",
        ATTRIBUTE,
        "a 'b' \"c\"",
        409,
        "not-xml-att-value",
        "",
    ),
    (
        "resource-lists/list[1]/@name",
        ATTRIBUTE,
        "a & b",
        409,
        "not-xml-att-value",
        "",
    ),
    (
        "resource-lists/list[1]/@name",
        ATTRIBUTE,
        "&b;",
        409,
        "not-xml-att-value",
        "",
    ),
    (
        "resource-lists/list[1]/@name",
        ATTRIBUTE,
        "\u{1}",
        409,
        "not-xml-att-value",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<rl:entry/>",
        409,
        "schema-validation-error",
        "",
    ),
    (
        "resource-lists/x:colour",
        ELEMENT,
        "<x:colour/>",
        409,
        "schema-validation-error",
        "",
    ),
    (
        "resource-lists/list[1]/@priority",
        ATTRIBUTE,
        "1",
        409,
        "schema-validation-error",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ELEMENT,
        "<rl:entry uri=\"sip:bob@a.net\"/>",
        409,
        "uniqueness-failure",
        "",
    ),
    (
        "resource-lists/list[2]/@name",
        ATTRIBUTE,
        "friends",
        409,
        "uniqueness-failure",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        ATTRIBUTE,
        ANNE,
        415,
        "",
        "",
    ),
    (
        "resource-lists/list[1]/entry[3]",
        "application/xml",
        ANNE,
        415,
        "",
        "",
    ),
    ("resource-lists/list[1]/@name", ELEMENT, "x", 415, "", ""),
];

#[test]
fn what_can_not_be_put_is_refused_in_the_words_of_the_standard() {
    let world = World::with_lists();
    let tag = world.reset();
    for (selector, kind, body, status, conflict, ancestor) in REFUSED {
        let path = format!("{}?{X}", node(selector));
        let refused = world.put(&path, kind, body);
        assert_eq!(
            refused.status, *status,
            "{selector} {body}: {}",
            refused.body
        );
        if *status == 409 {
            assert_eq!(refused.conflict(), *conflict, "{selector} {body}");
        }
        if *conflict == "no-parent" {
            let query = match *ancestor {
                "" => String::new(),
                _ => format!("?{X}"),
            };
            let said = format!("<ancestor>/xcap-root/{ALICE}{ancestor}{query}</ancestor>");
            assert!(refused.body.contains(&said), "{selector}: {}", refused.body);
        }
        assert_eq!(world.is(DOCUMENT, selector), tag);
    }
    // RFC 4825 §8.2.2: what is not in UTF-8.
    let entry = node("resource-lists/list[1]/entry[3]");
    let name = node("resource-lists/list[1]/@name");
    for (path, kind, body) in [
        (
            entry.as_str(),
            ELEMENT,
            &b"<rl:entry uri=\"sip:\xfc\"/>"[..],
        ),
        (name.as_str(), ATTRIBUTE, b"\xc3"),
        (ALICE, LISTS, b"<a>\xff</a>"),
    ] {
        let refused = world.ask("PUT", path, &[("Content-Type", kind)], body);
        assert_eq!(refused.conflict(), "not-utf-8");
    }
    // Of which type it is has to be said.
    assert_eq!(world.ask("PUT", &entry, &[], ANNE.as_bytes()).status, 415);
    // With a parameter, and in any case, it is the same type.
    let kind = "Application/XCAP-el+xml; charset=utf-8";
    assert_eq!(world.put(&entry, kind, ANNE).status, 201);
}

/// It was refused, though XML has another quote for it.
#[test]
fn a_value_that_holds_the_quote_around_it_stands_between_the_other() {
    let world = World::with_lists();
    let name = node("resource-lists/list[1]/@name");
    assert_eq!(world.put(&name, ATTRIBUTE, "\"close\" ones").status, 200);
    assert_eq!(world.get(&name).body, "\"close\" ones");
    let expected = DOCUMENT.replacen("\"friends\"", "'\"close\" ones'", 1);
    world.is(&expected, "the other quotes");
    assert_eq!(world.put(&name, ATTRIBUTE, "friends'").status, 200);
    let expected = DOCUMENT.replacen("\"friends\"", "\"friends'\"", 1);
    world.is(&expected, "the first again");
}
