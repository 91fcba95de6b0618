//! What is refused, where, and in which words.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use xml::{Bounds, Element, Malformed, read};

const BOUNDS: Bounds = Bounds {
    depth_max: 4,
    nodes_max: 20,
};

fn parse(text: impl AsRef<[u8]>) -> Result<Element, Malformed> {
    read(text.as_ref(), &BOUNDS)
}

const FAULTS: &[(&str, &str)] = &[
    ("", "line 1, column 1: no root element"),
    ("  <!-- only -->", "line 1, column 16: no root element"),
    (
        "<a>\n  <b>\n</a>",
        "line 3, column 3: an end tag that matches no start tag",
    ),
    (
        "<a>",
        "line 1, column 4: the document ends inside an element",
    ),
    ("<a/><b/>", "line 1, column 6: a second root element"),
    (
        "<a/>junk",
        "line 1, column 5: content outside the root element",
    ),
    (
        "junk<a/>",
        "line 1, column 1: content outside the root element",
    ),
    (
        "<a/>&amp;",
        "line 1, column 6: content outside the root element",
    ),
    (
        "<![CDATA[]]><a/>",
        "line 1, column 10: content outside the root element",
    ),
    (
        "\u{feff}\u{feff}<a/>",
        "line 1, column 1: content outside the root element",
    ),
    (
        "<!DOCTYPE a><a/>",
        "line 1, column 11: document type declarations are refused",
    ),
    (
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "line 1, column 11: document type declarations are refused",
    ),
    ("<a>&b;</a>", "line 1, column 5: an undeclared entity"),
    ("<a b='&c;'/>", "line 1, column 7: an undeclared entity"),
    ("<a>&#0;</a>", "line 1, column 5: a malformed reference"),
    ("<a>&#xD800;</a>", "line 1, column 5: a malformed reference"),
    ("<a>&#+65;</a>", "line 1, column 5: a malformed reference"),
    ("<a>& b</a>", "line 1, column 4: a malformed reference"),
    (
        "<a>\u{1}</a>",
        "line 1, column 4: a character that XML forbids",
    ),
    (
        "<a>é\u{fffe}</a>",
        "line 1, column 5: a character that XML forbids",
    ),
    ("<p:a/>", "line 1, column 2: the prefix p is not declared"),
    (
        "<a p:b=''/>",
        "line 1, column 4: the prefix p is not declared",
    ),
    ("<a b='' b=''/>", "line 1, column 2: a second attribute b"),
    (
        "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>",
        "line 1, column 2: a second attribute b",
    ),
    (
        "<a xmlns='u' xmlns='u'/>",
        "line 1, column 14: a second attribute xmlns",
    ),
    (
        "<a xmlns:xml='u'/>",
        "line 1, column 4: a forbidden namespace declaration",
    ),
    (
        "<a xmlns:xmlns='u'/>",
        "line 1, column 4: a forbidden namespace declaration",
    ),
    (
        "<a xmlns:p=''/>",
        "line 1, column 4: a forbidden namespace declaration",
    ),
    (
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
        "line 1, column 4: a forbidden namespace declaration",
    ),
    (
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "line 1, column 4: a forbidden namespace declaration",
    ),
    ("<a b='<'/>", "line 1, column 7: '<' in an attribute value"),
    ("<a b=c/>", "line 1, column 6: a malformed attribute"),
    ("<a b/>", "line 1, column 4: a malformed attribute"),
    ("<a b='c'd='e'/>", "line 1, column 9: a malformed attribute"),
    ("<a b='c/>", "line 1, column 1: malformed markup"),
    ("<1a/>", "line 1, column 2: not a name"),
    ("<a:b:c/>", "line 1, column 2: not a name"),
    ("< a/>", "line 1, column 2: not a name"),
    ("<a>]]></a>", "line 1, column 4: ']]>' in text"),
    (
        "<a><!-- - -- --></a>",
        "line 1, column 8: '--' inside a comment",
    ),
    ("<a><!-- --></a", "line 1, column 12: malformed markup"),
    (
        "<a><?xml version='1.0'?></a>",
        "line 1, column 6: a misplaced or malformed XML declaration",
    ),
    (
        " <?xml version='1.0'?><a/>",
        "line 1, column 4: a misplaced or malformed XML declaration",
    ),
    (
        "<?xml encoding='utf-8'?><a/>",
        "line 1, column 7: a misplaced or malformed XML declaration",
    ),
    (
        "<?xml version='2.0'?><a/>",
        "line 1, column 7: a misplaced or malformed XML declaration",
    ),
    (
        "<?xml version='1.0' encoding='iso-8859-1'?><a/>",
        "line 1, column 31: only UTF-8 is understood",
    ),
    (
        "<?XML x?><a/>",
        "line 1, column 3: a malformed processing instruction",
    ),
];

#[test]
fn every_fault_has_its_place_and_its_words() {
    let deep = "<a>".repeat(5);
    let wide = format!("<a>{}</a>", "<b/>".repeat(20));
    let attributes = format!(
        "<a{}/>",
        (0..20).map(|n| format!(" a{n}=''")).collect::<String>()
    );
    let computed = [
        (
            deep.as_str(),
            "line 1, column 14: elements nested deeper than 4",
        ),
        (
            wide.as_str(),
            "line 1, column 81: more than 20 elements and attributes",
        ),
        (
            attributes.as_str(),
            "line 1, column 127: more than 20 elements and attributes",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in FAULTS.iter().chain(&computed) {
        let said =
            parse(text).map_or_else(|malformed| malformed.to_string(), |_| "read".to_owned());
        if said != *expected {
            wrong.push(format!("{text:?}: {said}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bytes_that_are_not_utf8_are_placed() {
    assert_eq!(
        parse(b"<a>\r\n\xff</a>").unwrap_err().to_string(),
        "line 2, column 1: not UTF-8"
    );
    // UTF-16, with and without its mark.
    assert!(parse(b"\xfe\xff\x00<\x00a\x00/\x00>").is_err());
    assert!(parse(b"<\x00a\x00/\x00>\x00").is_err());
}

#[test]
fn declarations_in_scope_are_bounded() {
    let many: String = (0..300).map(|n| format!(" xmlns:p{n}='u'")).collect();
    let bounds = Bounds {
        depth_max: 4,
        nodes_max: 10_000,
    };
    let error = read(format!("<a{many}/>").as_bytes(), &bounds)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "line 1, column 3734: more than 256 namespace declarations in scope"
    );
}

#[test]
fn namespace_names_are_bounded() {
    assert!(parse(format!("<a xmlns='{}'/>", "u".repeat(512))).is_ok());
    let error = parse(format!("<a xmlns='{}'/>", "u".repeat(513))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 4: a namespace name of more than 512 bytes"
    );
}

#[test]
fn what_is_legal_is_read() {
    for text in [
        "<?xml version=\"1.0\" encoding='US-ascii' standalone='yes' ?>\r\n<!-- c --><?pi?><a/>\n<!-- d -->",
        "\u{feff}<?xml version='1.1'?><a/>",
        "<a b = '>' ></a >",
        "<xml:a/>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='u'><b xmlns=''/></a>",
        "<a b='' xmlns:p='u' p:b=''/>",
        "<é/>",
        "<a><!----></a>",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

#[test]
fn text_is_what_the_source_means() {
    let root =
        parse("<a b='1\r\n2\t&#10;&lt;'>x\r\ny\rz<!-- c -->&amp;<![CDATA[<&]]>&#x1F600;</a>")
            .unwrap();
    assert_eq!(root.text(), "x\ny\nz&<&\u{1f600}");
    assert_eq!(root.children.len(), 1, "neighbouring text is one node");
    assert_eq!(root.attribute("b"), Some("1 2 \n<"));
}
