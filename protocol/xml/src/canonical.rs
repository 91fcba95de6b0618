//! One byte string for all ways to write the same element.

use crate::{Attribute, Element, Mention, Node};

/// Equal for two elements exactly when they say the same: names with their namespaces, attributes in any order, white space collapsed and
/// ignored at the ends. `counts` says which attributes matter. It is for comparing and hashing, not for sending.
pub fn canonical(element: &Element, counts: &dyn Fn(&Element, &Attribute) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    append(&mut out, element, counts);
    out
}

// Control characters cannot occur in a document, so they separate without escaping.
const OPEN: u8 = 1;
const NAME: u8 = 2;
const VALUE: u8 = 3;
const TEXT: u8 = 4;
const CLOSE: u8 = 5;
const MENTION: u8 = 6;

fn append(out: &mut Vec<u8>, element: &Element, counts: &dyn Fn(&Element, &Attribute) -> bool) {
    out.push(OPEN);
    append_name(out, &element.name);
    let mut attributes: Vec<&Attribute> = element
        .attributes
        .iter()
        .filter(|attribute| counts(element, attribute))
        .collect();
    attributes.sort_unstable_by(|one, two| one.name.cmp(&two.name));
    for attribute in attributes {
        out.push(NAME);
        append_name(out, &attribute.name);
        out.push(VALUE);
        append_collapsed(out, &attribute.value);
    }
    // The same words mean something else where a prefix in them does.
    let mut mentions: Vec<&Mention> = element.mentions.iter().collect();
    mentions.sort_unstable();
    for mention in mentions {
        out.push(MENTION);
        out.extend_from_slice(mention.prefix.as_bytes());
        out.push(NAME);
        out.extend_from_slice(mention.namespace.as_str().as_bytes());
    }
    for node in &element.children {
        match node {
            Node::Element(child) => append(out, child, counts),
            Node::Text(text) if text.trim_ascii().is_empty() => {}
            Node::Text(text) => {
                out.push(TEXT);
                append_collapsed(out, text);
            }
        }
    }
    out.push(CLOSE);
}

fn append_name(out: &mut Vec<u8>, name: &crate::Name) {
    out.extend_from_slice(name.namespace.as_str().as_bytes());
    out.push(NAME);
    out.extend_from_slice(name.local.as_bytes());
}

fn append_collapsed(out: &mut Vec<u8>, text: &str) {
    for (at, word) in text.split_ascii_whitespace().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_bytes());
    }
}
