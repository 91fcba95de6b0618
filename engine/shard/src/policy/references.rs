//! Whose decisions depend on whose lists: derived from what is kept, so nothing of it is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use documents::common_policy::{Condition, Ruleset};
use documents::schema::usages::RESOURCE_LISTS as LISTS_URI;
use xdm::usages::RESOURCE_LISTS;
use xml::{Bounds, Element};

use super::RULES;
use crate::documents::Shelf;
use crate::shard::Shard;

/// Who refers to whose lists, in her rules or in lists of hers.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Owner of lists → who refers to them.
    by: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Who refers → to the lists of whom.
    to: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl References {
    fn set(&mut self, who: &Arc<str>, to: BTreeSet<Arc<str>>) {
        for owner in self.to.remove(who).unwrap_or_default() {
            if let Some(by) = self.by.get_mut(&owner) {
                by.remove(who);
                if by.is_empty() {
                    self.by.remove(&owner);
                }
            }
        }
        for owner in &to {
            self.by
                .entry(owner.clone())
                .or_default()
                .insert(who.clone());
        }
        if !to.is_empty() {
            self.to.insert(who.clone(), to);
        }
    }

    /// Everybody whose decisions may be others when these lists change, the owner among them.
    pub(super) fn dependants(&self, owner: &Arc<str>) -> BTreeSet<Arc<str>> {
        let (mut found, mut open) = (BTreeSet::from([owner.clone()]), vec![owner.clone()]);
        while let Some(next) = open.pop() {
            for who in self.by.get(&next).into_iter().flatten() {
                if found.insert(who.clone()) {
                    open.push(who.clone());
                }
            }
        }
        found
    }
}

impl Shard {
    /// Her documents are others: to whose lists do they refer now?
    pub(super) fn note_references(&mut self, owner: &Arc<str>) {
        let (judge, _) = self.judge_and_events();
        let lookup = judge.lookup();
        let anchors = judge.documents.of(owner).map(anchors);
        let owners = anchors.unwrap_or_default().into_iter();
        let owners = owners.filter_map(|anchor| lookup.owner_of(&anchor));
        let to = owners.filter(|to| to != owner).collect();
        self.policy.references.set(owner, to);
    }
}

/// Every URI of a list in the rules and lists of one user.
fn anchors(shelf: &Shelf) -> Vec<String> {
    let mut anchors = Vec::new();
    for (_, document) in RULES.into_iter().flat_map(|auid| shelf.under(auid)) {
        // Names of elements can't be escaped: without the word there is none.
        if !document.text.contains("external-list") {
            continue;
        }
        let ruleset = Ruleset::read(document.text.as_bytes(), &Bounds::TRUSTED);
        for rule in ruleset.unwrap_or_default().rules {
            for condition in rule.conditions {
                if let Condition::ExternalList(lists) = condition {
                    anchors.extend(lists);
                }
            }
        }
    }
    for (_, document) in shelf.under(RESOURCE_LISTS.auid) {
        if document.text.contains("external") || document.text.contains("entry-ref") {
            let root = xml::read(document.text.as_bytes(), &Bounds::TRUSTED);
            if let Ok(root) = root {
                collect(&root, &mut anchors);
            }
        }
    }
    anchors
}

fn collect(element: &Element, anchors: &mut Vec<String>) {
    for child in element.elements() {
        anchors.extend(reference(child).map(str::to_owned));
        collect(child, anchors);
    }
}

/// What an element of a list refers to (RFC 4826 §3.2).
pub(super) fn reference(element: &Element) -> Option<&str> {
    if element.is(LISTS_URI, "external") {
        element.attribute("anchor")
    } else if element.is(LISTS_URI, "entry-ref") {
        element.attribute("ref")
    } else {
        None
    }
}
