//! Rules by whom they name: of a thousand of which each names one watcher, a watcher is held against one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use documents::common_policy::{Condition, Rule, Ruleset, Who};

/// Which rules can mean whom.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Rules that can mean nobody but those whom they name, by canonical address of record.
    naming: BTreeMap<String, Vec<Place>>,
    /// All others.
    open: Vec<Place>,
}

/// Which rule of which document.
type Place = (usize, usize);

impl Index {
    /// `canonical`: what it is for those who [ask](super::Asking::canonical).
    pub fn new<'r>(
        rulesets: impl IntoIterator<Item = &'r Ruleset>,
        canonical: impl Fn(&str) -> Option<Cow<'_, str>>,
    ) -> Self {
        let mut index = Self::default();
        for (document, ruleset) in rulesets.into_iter().enumerate() {
            for (at, rule) in ruleset.rules.iter().enumerate() {
                let place = (document, at);
                let Some(named) = named(rule) else {
                    index.open.push(place);
                    continue;
                };
                for one in named.filter_map(&canonical) {
                    index.name(&one, place);
                }
            }
        }
        index
    }

    fn name(&mut self, one: &str, place: Place) {
        match self.naming.get_mut(one) {
            Some(places) => places.push(place),
            None => {
                self.naming.insert(one.to_owned(), vec![place]);
            }
        }
    }

    /// The rules that can mean somebody who is all of these, in order; no other one applies to her.
    pub(super) fn can_mean(&self, identities: &[String]) -> Vec<Place> {
        let naming = identities.iter().filter_map(|one| self.naming.get(one));
        let mut places: Vec<Place> = naming.flatten().chain(&self.open).copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// Whom a rule names, where it can mean nobody else: all its conditions must hold, and one holds for these alone.
fn named(rule: &Rule) -> Option<impl Iterator<Item = &str>> {
    let mut identities = rule
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            Condition::Identity(all) => Some(all),
            _ => None,
        });
    let only = identities.find(|all| !all.iter().any(|who| matches!(who, Who::Many { .. })))?;
    Some(only.iter().filter_map(|who| match who {
        Who::One(one) => Some(one.as_str()),
        Who::Many { .. } | Who::Unknown(_) => None,
    }))
}
