//! XML and presence documents: a second reader agrees, what is written reads back, the composition comes to rest.

use std::collections::BTreeSet;

use documents::pidf::{Presence, STYLE, Summary};
use documents::{identity, timestamp};
use events::package::Source;
use machine::{Limits, Wall};
use presence::PRESENCE;
use presence::composition::compose;
use xml::{Bounds, Element, Flaw, Node};

const BOUNDS: Bounds = Bounds {
    depth_max: 32,
    nodes_max: 4096,
};
const ENTITY: &str = "sip:alice@example.com";

/// Reads the bytes as a document; short ones also as the values that a document holds.
pub fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if text.len() <= 64 {
            values(text);
        }
        readers_agree(text);
    } else {
        assert!(xml::read(bytes, &BOUNDS).is_err(), "read what is not UTF-8");
    }
    let fits = (PRESENCE.check)("application/pidf+xml", bytes, &Limits::default());
    let Ok(root) = xml::read(bytes, &BOUNDS) else {
        return;
    };
    writing_rests(&root);
    match Presence::read(bytes, &BOUNDS) {
        Ok(presence) => {
            assert!(fits.is_ok(), "read, and not let in");
            mending_rests(presence);
            composing_rests(bytes);
        }
        Err(why) => assert!(fits.is_err(), "let in, and not read: {why}"),
    }
}

fn values(text: &str) {
    if let Some(mended) = timestamp::mend(text) {
        assert_eq!(timestamp::parse(&mended), timestamp::parse(text));
        assert_eq!(timestamp::mend(&mended).as_ref(), Some(&mended));
    }
    if let Some(millis) = timestamp::parse(text) {
        let written = timestamp::format(millis);
        assert!(timestamp::parse(&written).is_some(), "{written} is no time");
    }
    let id = identity::mend(text);
    assert!(id.is_empty() || xml::is_ncname(&id));
    assert_eq!(identity::mend(&id), id);
}

/// What we read a second reader reads the same; what only we refuse the specifications refuse.
fn readers_agree(text: &str) {
    let second = roxmltree::Document::parse(text);
    match (xml::read(text.as_bytes(), &BOUNDS), second) {
        (Ok(root), Ok(second)) => {
            let (mut one, mut two) = (String::new(), String::new());
            ours(&root, &mut one);
            theirs(second.root_element(), &mut two);
            // XML 1.0 §2.11: a CR is a LF wherever it stands; theirs forgets it before a reference.
            if text.contains("\r&") {
                (one, two) = (one.replace("\\r", "\\n"), two.replace("\\r", "\\n"));
            }
            assert_eq!(one, two, "two readers, two documents");
        }
        // The prefix `xml` is bound by definition (Namespaces in XML 1.0 §3), on elements too.
        (Ok(_), Err(roxmltree::Error::UnknownNamespace(prefix, _))) if prefix == "xml" => {}
        (Ok(_), Err(error)) => unreachable!("only we read this: {error}"),
        (Err(refusal), Ok(_)) => {
            assert!(
                stricter(&refusal.flaw, text),
                "only we refuse this: {refusal}"
            );
        }
        (Err(_), Err(_)) => {}
    }
}

/// Where the specifications are on our side, or a bound is: the second reader lets these pass.
fn stricter(flaw: &Flaw, text: &str) -> bool {
    match flaw {
        // XML 1.0 §2.6 reserves the target in every case of letters; Namespaces §7 has no colon in it.
        Flaw::Instruction => text.contains("<?"),
        // Namespaces in XML 1.0 §3 and §5: reserved names, and prefixes that are taken back.
        Flaw::NamespaceDeclaration => text.contains("xmlns"),
        // Declarations are attributes too (XML 1.0 §3.1).
        Flaw::DuplicateAttribute(name) => name.starts_with("xmlns"),
        // XML 1.0 §2.8: a version of 1 and something, names and values in their order.
        Flaw::Declaration => text.contains("<?xml"),
        // Namespaces §4: a prefix stands before a colon.
        Flaw::Name => text
            .as_bytes()
            .windows(2)
            .any(|pair| pair[1] == b':' && !pair[0].is_ascii_alphanumeric()),
        // XML 1.0 §4.1: a reference by number is to a character; the second reader puts U+FFFD for one that is none.
        Flaw::Reference => text.contains("&#"),
        // The second reader takes `</:a>` for the end of `<a>`.
        Flaw::EndTag => text.contains("</:"),
        // An attribute `n:xmlns` declares nothing; its prefix must be known like any other (Namespaces §5).
        Flaw::UndeclaredPrefix(_) => text.contains(":xmlns"),
        Flaw::TooDeep(_)
        | Flaw::TooMany(_)
        | Flaw::TooManyDeclarations(_)
        | Flaw::NamespaceTooLong(_) => true,
        // Only UTF-8 is spoken here.
        Flaw::Encoding => text.contains("encoding"),
        _ => false,
    }
}

fn ours(element: &Element, out: &mut String) {
    let mut attributes: Vec<String> = element
        .attributes
        .iter()
        .map(|attribute| format!("{:?}={:?}", attribute.name, attribute.value))
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
        .map(|attribute| {
            let name = name(attribute.namespace(), attribute.name());
            format!("{name}={:?}", attribute.value())
        })
        .collect();
    attributes.sort();
    let tag = node.tag_name();
    out.push_str(&format!(
        "<{} {attributes:?}>",
        name(tag.namespace(), tag.name())
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

/// Written and read it is the same tree; written again, the same bytes.
fn writing_rests(root: &Element) {
    let once = xml::write(root, &STYLE);
    let again = xml::read(&once, &Bounds::TRUSTED);
    let Ok(again) = again else {
        unreachable!(
            "what we write does not read: {}",
            String::from_utf8_lossy(&once)
        )
    };
    let (mut one, mut two) = (String::new(), String::new());
    ours(root, &mut one);
    ours(&again, &mut two);
    assert_eq!(one, two, "a tree changes by being written");
    let twice = xml::write(&again, &STYLE);
    assert_eq!(
        String::from_utf8_lossy(&once),
        String::from_utf8_lossy(&twice)
    );
}

/// A mended document needs no mending.
fn mending_rests(presence: Presence) {
    let _ = Summary::of(&presence);
    let once = presence.write();
    let again = Presence::read(&once, &Bounds::TRUSTED);
    let Ok(again) = again else {
        unreachable!(
            "what was mended does not read: {}",
            String::from_utf8_lossy(&once)
        )
    };
    let twice = again.write();
    assert_eq!(
        String::from_utf8_lossy(&once),
        String::from_utf8_lossy(&twice)
    );
}

/// The composition of a composition is itself, its ids are unique, and it may be published.
fn composing_rests(bytes: &[u8]) {
    let at = |millis| Wall::from_millis(millis);
    let source = |body, millis| Source::new(body, at(millis));
    let once = compose(ENTITY, &[source(bytes, 5)]);
    let twice = compose(ENTITY, &[source(&once, 3_000_000_000_000)]);
    assert_eq!(
        String::from_utf8_lossy(&once),
        String::from_utf8_lossy(&twice)
    );
    let doubled = compose(ENTITY, &[source(bytes, 5), source(&once, 6)]);
    let turned = compose(ENTITY, &[source(&once, 6), source(bytes, 5)]);
    assert_eq!(
        String::from_utf8_lossy(&doubled),
        String::from_utf8_lossy(&turned),
        "the order of the sources matters"
    );
    for composed in [&once, &doubled] {
        let Ok(root) = xml::read(composed, &Bounds::TRUSTED) else {
            unreachable!("a composition that does not read")
        };
        let mut ids = Vec::new();
        collect(&root, &mut ids);
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(ids.len(), distinct.len(), "an id stands twice: {ids:?}");
        assert!(ids.iter().all(|id| xml::is_ncname(id)), "{ids:?}");
    }
}

fn collect(element: &Element, ids: &mut Vec<String>) {
    let own = element
        .attributes
        .iter()
        .filter(|attribute| identity::is_id(element, attribute));
    ids.extend(own.map(|attribute| attribute.value.clone()));
    element.elements().for_each(|child| collect(child, ids));
}
