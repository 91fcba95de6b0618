//! Our reader against roxmltree, and the writer against our reader, on documents that proptest makes up.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use proptest::prelude::*;
use xml::{Bounds, Element, Flaw, Node, Style, read, write};

const CASES: u32 = 4_000;
const STYLE: Style<'static> = Style {
    default: "urn:d",
    prefixes: &[("urn:a", "a"), ("urn:b", "bee")],
};

fn bounds() -> Bounds {
    Bounds {
        depth_max: 32,
        nodes_max: 4_096,
    }
}

/// Pieces that make something close to a document: mostly well-formed, often not.
fn piece() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-c]",
        "[abp]:[a-c]",
        "xml:[a-b]",
        Just("a:b:c".to_owned()),
        Just("-a".to_owned()),
        Just("é".to_owned()),
        Just("a\u{b7}".to_owned())
    ];
    let value = prop_oneof![
        "[a-z :&;<'\\t]{0,6}",
        Just("a:x".to_owned()),
        Just("&#x41;&amp;".to_owned()),
        Just("&foo;".to_owned()),
        Just("p:x/a:y".to_owned())
    ];
    let uri = prop_oneof![
        Just("urn:a"),
        Just("urn:b"),
        Just("urn:d"),
        Just("urn:e"),
        Just(""),
        Just("http://www.w3.org/XML/1998/namespace"),
        Just("http://www.w3.org/2000/xmlns/")
    ];
    let declaration = (
        prop_oneof![
            Just("xmlns"),
            Just("xmlns:a"),
            Just("xmlns:b"),
            Just("xmlns:p"),
            Just("xmlns:xml"),
            Just("xmlns:xmlns")
        ],
        uri,
    )
        .prop_map(|(name, uri)| format!(" {name}=\"{uri}\""));
    let attribute = prop_oneof![3 => declaration, 3 => (name.clone(), value.clone()).prop_map(|(name, value)| format!(" {name}=\"{value}\"")), 1 => Just("x='1'".to_owned())];
    let attributes = prop::collection::vec(attribute, 0..4).prop_map(|all| all.concat());
    leaf(value).prop_recursive(5, 40, 5, move |inner| {
        (
            name.clone(),
            attributes.clone(),
            prop::collection::vec(inner, 0..5),
            0..20u8,
        )
            .prop_map(|(name, attributes, inner, twist)| match twist {
                0 => format!("<{name}{attributes}>{}</{name} >", inner.concat()),
                1 => format!("<{name}{attributes} >{}</c>", inner.concat()),
                2 => format!("<{name}{attributes}/ >"),
                3 => format!("< {name}{attributes}/>"),
                4 | 5 => format!("<{name}{attributes}/>"),
                _ => format!("<{name}{attributes}>{}</{name}>", inner.concat()),
            })
    })
}

/// What stands between tags.
fn leaf(value: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z :]{0,8}",
        1 => value,
        1 => Just("<!-- c -->".to_owned()),
        1 => Just("<!-- c-- -->".to_owned()),
        1 => Just("<!---->".to_owned()),
        1 => Just("<![CDATA[<x>&]]>".to_owned()),
        1 => Just("]]>".to_owned()),
        1 => Just("<?pi x?>".to_owned()),
        1 => Just("<?XML x?>".to_owned()),
        1 => Just("\r\n\r".to_owned()),
        1 => Just("\u{1}".to_owned()),
        1 => Just("\u{ffff}".to_owned()),
        1 => Just("&#xFFFE;".to_owned()),
        1 => Just("<".to_owned()),
        1 => Just("</a >".to_owned()),
    ]
}

fn document() -> impl Strategy<Value = String> {
    let prolog = prop_oneof![6 => Just(""), 1 => Just("<?xml version=\"1.0\"?>"), 1 => Just("\u{feff}"), 1 => Just(" "), 1 => Just("<?xml version='1.0' encoding='utf-8' standalone='no' ?>\n")];
    let declared = Just("xmlns:a=\"urn:a\" xmlns:b='urn:b' xmlns:p=\"urn:e\" xmlns=\"urn:d\"");
    (
        prolog,
        prop::option::weighted(0.7, declared),
        prop::collection::vec(piece(), 1..4),
    )
        .prop_map(|(prolog, declared, pieces)| match declared {
            Some(declared) => format!("{prolog}<root {declared}>{}</root>", pieces.concat()),
            None => format!("{prolog}{}", pieces.concat()),
        })
}

/// Our tree and roxmltree's, both as the same text.
fn ours(element: &Element, out: &mut String) {
    let mut attributes: Vec<String> = element
        .attributes
        .iter()
        .map(|a| format!("{:?}={:?}", a.name, a.value))
        .collect();
    attributes.sort();
    out.push_str(&format!("<{:?} {attributes:?}>", element.name));
    for node in &element.children {
        match node {
            Node::Element(child) => ours(child, out),
            Node::Text(text) => out.push_str(&format!("{text:?}")),
        }
    }
    out.push_str("</>");
}

fn theirs(node: roxmltree::Node<'_, '_>, out: &mut String) {
    let name =
        |namespace: Option<&str>, local: &str| format!("{{{}}}{local}", namespace.unwrap_or(""));
    let mut attributes: Vec<String> = node
        .attributes()
        .map(|a| format!("{}={:?}", name(a.namespace(), a.name()), a.value()))
        .collect();
    attributes.sort();
    out.push_str(&format!(
        "<{} {attributes:?}>",
        name(node.tag_name().namespace(), node.tag_name().name())
    ));
    // A comment parts text there; here it does not.
    let mut text = String::new();
    for child in node.children() {
        if child.is_element() {
            if !text.is_empty() {
                out.push_str(&format!("{:?}", std::mem::take(&mut text)));
            }
            theirs(child, out);
        } else if child.is_text() {
            text.push_str(child.text().unwrap_or(""));
        }
    }
    if !text.is_empty() {
        out.push_str(&format!("{text:?}"));
    }
    out.push_str("</>");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, &bounds());
    }

    #[test]
    fn markup_salad_is_read_or_refused(text in "[<>/?!\\-\\[\\]&;:='\"a-cxml# CDATOYPE\\n]{0,60}") {
        let _ = read(text.as_bytes(), &bounds());
    }

    #[test]
    fn agrees_with_a_second_reader(text in document()) {
        let second = roxmltree::Document::parse(&text);
        match (read(text.as_bytes(), &bounds()), second) {
            (Ok(root), Ok(second)) => {
                let (mut one, mut two) = (String::new(), String::new());
                ours(&root, &mut one);
                theirs(second.root_element(), &mut two);
                prop_assert_eq!(one, two);
            }
            // The prefix `xml` is bound by definition (Namespaces in XML 1.0 §3), on elements too.
            (Ok(_), Err(roxmltree::Error::UnknownNamespace(prefix, _))) if prefix == "xml" => {}
            (Ok(_), Err(error)) => prop_assert!(false, "only we read {text:?}: {error}"),
            (Err(ours), Ok(_)) => prop_assert!(stricter(&ours.flaw, &text), "only we refuse {text:?}: {ours}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn what_is_written_reads_back_and_is_written_the_same(text in document()) {
        let Ok(root) = read(text.as_bytes(), &bounds()) else { return Ok(()) };
        let written = write(&root, &STYLE);
        let again = read(&written, &Bounds::TRUSTED).map_err(|error| TestCaseError::fail(format!("{error} in {}", String::from_utf8_lossy(&written))))?;
        let (mut one, mut two) = (String::new(), String::new());
        ours(&root, &mut one);
        ours(&again, &mut two);
        prop_assert_eq!(one, two);
        check_mentions(&root, &again)?;
        let twice = write(&again, &STYLE);
        prop_assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&twice));
    }
}

/// Every prefix that content depended on still means the same.
fn check_mentions(before: &Element, after: &Element) -> Result<(), TestCaseError> {
    for mention in &before.mentions {
        prop_assert!(
            after.mentions.contains(mention),
            "{mention:?} of {:?} is lost in {:?}",
            before.name,
            after.mentions
        );
    }
    for (one, two) in before.elements().zip(after.elements()) {
        check_mentions(one, two)?;
    }
    Ok(())
}

/// Where the specifications are on our side: roxmltree lets these pass.
fn stricter(flaw: &Flaw, text: &str) -> bool {
    match flaw {
        // XML 1.0 §2.6 reserves the target in every case of letters.
        Flaw::Instruction => text.contains("<?XML"),
        // Namespaces in XML 1.0 §3: `xmlns` must not be declared, 1.0 cannot take a prefix back, and both reserved names stay unbound.
        Flaw::NamespaceDeclaration => [
            "xmlns:xmlns=",
            "xmlns:a=\"\"",
            "xmlns:b=\"\"",
            "xmlns:p=\"\"",
            "2000/xmlns/",
        ]
        .iter()
        .any(|misuse| text.contains(misuse)),
        // Namespace declarations are attributes too (XML 1.0 §3.1).
        Flaw::DuplicateAttribute(name) => name.starts_with("xmlns"),
        _ => false,
    }
}
