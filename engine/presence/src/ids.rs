//! Ids are unique in a composition (they are `xs:ID`s) and as stable as a function of what is published now can make them.
//!
//! The rule:
//! 1. Whoever is alone in wanting an id gets it, so that a rule may name what its owner published (RFC 5025 §3.3.1, occurrence-id).
//! 2. Components that merged want the smallest of their ids.
//! 3. Where several want one id, they are sorted by kind, by nature (contact, service, class, devices) and then by what they say. The
//!    first gets the id; each other gets the id followed by a digest of its nature, and a number where even that is taken.
//!
//! When something was accepted plays no part, so a source that only speaks again changes nobody's id. An id changes when another holder
//! of the same id comes or goes, when components merge or part, and, among services of one id and one nature, with what they say.

use std::collections::{BTreeMap, BTreeSet};

use documents::identity;

use crate::services::Merged;

/// The ids of one composition.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    taken: BTreeSet<String>,
    /// The last number tried for each marked id, so that many equal ones do not search from the start each.
    numbers: BTreeMap<String, u32>,
}

impl Ids {
    /// Gives every component its id, then every other id in the document one that nobody has; sorts by kind and id.
    pub(crate) fn settle(&mut self, merged: &mut [Merged]) {
        merged.sort_by(|one, two| {
            (&one.id, one.kind, &one.nature, &one.content).cmp(&(
                &two.id,
                two.kind,
                &two.nature,
                &two.content,
            ))
        });
        let mut wanted = "";
        let mut later = Vec::new();
        for (at, one) in merged.iter().enumerate() {
            if at > 0 && one.id == wanted {
                later.push(at);
            }
            wanted = &one.id;
            self.taken.insert(one.id.clone());
        }
        for at in later {
            let one = &mut merged[at];
            one.id = self.other(&one.id, &identity::digest(&one.nature));
        }
        merged.sort_by(|one, two| (one.kind, &one.id).cmp(&(two.kind, &two.id)));
        for one in merged {
            one.element.set_attribute("id", one.id.clone());
            for node in &mut one.element.children {
                if let xml::Node::Element(child) = node {
                    self.settle_inner(child, one.id.as_bytes());
                }
            }
        }
    }

    /// Ids further in: as they are if free, else followed by a digest of what they are in. A digest because it is short, however long
    /// the owner's id is and however many ids are in it.
    pub(crate) fn settle_inner(&mut self, element: &mut xml::Element, owner: &[u8]) {
        identity::visit(element, &mut |id| {
            if !self.taken.insert(id.clone()) {
                *id = self.other(id, &identity::digest(owner));
            }
        });
    }

    fn other(&mut self, id: &str, mark: &str) -> String {
        let marked = format!("{id}.{mark}");
        if self.taken.insert(marked.clone()) {
            return marked;
        }
        loop {
            let number = self.numbers.entry(marked.clone()).or_insert(1);
            *number += 1;
            let numbered = format!("{marked}.{number}");
            if self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}
