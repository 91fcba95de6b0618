//! Ids: what is one, how a bad one is mended, where they stand, and names for what has none.

use std::fmt::Write as _;

use xml::{Attribute, Element, Node, XML};

use crate::{data_model, pidf, rpid};

/// An `xs:ID` that is as close as can be to what was written; empty stays empty.
pub fn mend(id: &str) -> String {
    let id = id.trim_ascii();
    if id.is_empty() || xml::is_ncname(id) {
        return id.to_owned();
    }
    let mut mended = String::with_capacity(id.len() + 1);
    let mut buffer = String::from("_");
    for character in id.chars() {
        buffer.truncate(1);
        buffer.push(character);
        let continues = xml::is_ncname(&buffer);
        if mended.is_empty() && !xml::is_ncname(&buffer[1..]) {
            mended.push('_');
            if !continues {
                continue;
            }
        }
        mended.push(if continues { character } else { '_' });
    }
    mended
}

/// A short name for some content: the same content, the same name, in each life and on each machine.
pub fn digest(content: &[u8]) -> String {
    // FNV-1a. Nobody gains by a collision: ids are made unique afterwards, within one user's document.
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
    let mut name = String::with_capacity(8);
    let _ = write!(name, "{:08x}", hash >> 32 ^ hash & 0xffff_ffff);
    name
}

/// Whether the schemas make this attribute an `xs:ID`, so that it must be unique in the document.
pub fn is_id(element: &Element, attribute: &Attribute) -> bool {
    if attribute.name.is(XML.as_str(), "id") {
        return true;
    }
    let name = &element.name;
    attribute.name.is("", "id")
        && (name.namespace == rpid::NAMESPACE
            || name.is(pidf::NAMESPACE.as_str(), "tuple")
            || (name.namespace == data_model::NAMESPACE
                && matches!(&*name.local, "person" | "device")))
}

/// Visits every id inside an element, its own included, in document order.
pub fn visit(element: &mut Element, each: &mut dyn FnMut(&mut String)) {
    for at in 0..element.attributes.len() {
        if is_id(element, &element.attributes[at]) {
            each(&mut element.attributes[at].value);
        }
    }
    for node in &mut element.children {
        if let Node::Element(child) = node {
            visit(child, each);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_id_becomes_one() {
        for (id, mended) in [
            ("a1", "a1"),
            ("432sd", "_432sd"),
            (" a b ", "a_b"),
            ("x:y", "x_y"),
            ("é", "é"),
            ("", ""),
            ("%", "_"),
            ("-.", "_-."),
        ] {
            assert_eq!(mend(id), mended, "{id}");
        }
    }

    proptest! {
        #[test]
        fn mended_ids_are_ids_and_stay(id in "\\PC{1,12}") {
            let mended = mend(&id);
            prop_assert!(mended.is_empty() || xml::is_ncname(&mended), "{}", mended);
            prop_assert_eq!(mend(&mended), mended.clone());
        }
    }
}
