//! Whose decisions depend on whose lists: derived from what is kept, so nothing of it is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use documents::common_policy::{Condition, Ruleset};
use documents::schema::usages::RESOURCE_LISTS as LISTS_URI;
use xdm::usages::{OMA_PRES_RULES, PRES_RULES, PUB_RULES};
use xml::{Bounds, Element};

use crate::documents::Shelf;
use crate::shard::Shard;

/// Whose rules lead to whose lists, by way of lists that refer to lists.
#[derive(Debug, Default)]
pub(super) struct References {
    /// URIs of lists in somebody's rules.
    roots: BTreeMap<Arc<str>, Vec<String>>,
    /// Owner of lists → whose rules lead to them.
    by: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Whose rules → to the lists of whom.
    to: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl References {
    /// Where her rules lead from now on; to whose lists they don't any more.
    fn set(&mut self, who: &Arc<str>, roots: Vec<String>, to: BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        let before = self.to.remove(who).unwrap_or_default();
        let gone: Vec<Arc<str>> = before.difference(&to).cloned().collect();
        for owner in &gone {
            if let Some(by) = self.by.get_mut(owner) {
                by.remove(who);
                if by.is_empty() {
                    self.by.remove(owner);
                }
            }
        }
        for owner in to.difference(&before) {
            let by = self.by.entry(owner.clone()).or_default();
            by.insert(who.clone());
        }
        if roots.is_empty() {
            self.roots.remove(who);
        } else {
            self.roots.insert(who.clone(), roots);
        }
        if !to.is_empty() {
            self.to.insert(who.clone(), to);
        }
        gone
    }

    /// The URIs in her rules.
    pub(super) fn roots(&self, who: &str) -> Vec<String> {
        self.roots.get(who).cloned().unwrap_or_default()
    }

    /// Everybody whose decisions may be others when these lists change.
    pub(super) fn dependants(&self, owner: &str) -> BTreeSet<Arc<str>> {
        self.by.get(owner).cloned().unwrap_or_default()
    }

    pub(super) fn is_used(&self, owner: &str) -> bool {
        self.by.contains_key(owner)
    }
}

impl Shard {
    /// Her rules are others: to whose lists do they lead now?
    pub(super) fn note_references(&mut self, owner: &Arc<str>) {
        let roots = self.documents.of(owner).map(anchors).unwrap_or_default();
        self.follow_references(owner, roots);
    }

    /// Lists are others: to whose do her rules lead now?
    pub(super) fn follow_references(&mut self, who: &Arc<str>, roots: Vec<String>) {
        let reach = self.reach(&roots);
        let gone = self.policy.references.set(who, roots, reach.owners);
        self.leave_unused(gone);
    }
}

/// The usages whose documents refer to lists and decide by them.
const REFERRING: [&str; 3] = [PRES_RULES.auid, OMA_PRES_RULES.auid, PUB_RULES.auid];

pub(super) fn is_referring(auid: &str) -> bool {
    REFERRING.contains(&auid)
}

/// Every URI of a list in the rules of one user.
pub(super) fn anchors(shelf: &Shelf) -> Vec<String> {
    let mut anchors = Vec::new();
    for (_, document) in REFERRING.into_iter().flat_map(|auid| shelf.under(auid)) {
        // Names of elements can't be escaped: without the word there is none.
        if !document.text.contains("external-list") {
            continue;
        }
        let ruleset = Ruleset::read(document.text.as_bytes(), &Bounds::TRUSTED);
        anchors.extend(anchors_of(&ruleset.unwrap_or_default()));
    }
    anchors
}

/// Every URI of a list in these rules.
pub(super) fn anchors_of(ruleset: &Ruleset) -> impl Iterator<Item = String> {
    let conditions = ruleset.rules.iter().flat_map(|rule| &rule.conditions);
    conditions
        .filter_map(|condition| match condition {
            Condition::ExternalList(lists) => Some(lists),
            _ => None,
        })
        .flatten()
        .cloned()
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
