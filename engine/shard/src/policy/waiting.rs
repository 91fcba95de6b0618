//! What takes effect once the lists that it leads to are here: nothing is decided by half of what it refers to, unless that does not come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use machine::{DocumentName, Instant, Now};
use xdm::usages::RESOURCE_LISTS;

use super::copies::{Asked, Told, Took};
use super::references::{anchors, is_referring};
use crate::outputs::Output;
use crate::record::Happened;
use crate::shard::Shard;

/// How long what refers to lists of other shards waits for them: a thousand turns of a shard that has much to do. Then it takes effect
/// without them.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// A change of a document of this owner, which is durable.
    Kept(Arc<str>),
    /// A newer copy of this owner's lists.
    Copy(Arc<str>),
    /// The answer to this question.
    Explain(u64),
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    missing: BTreeSet<Arc<str>>,
    /// Of everybody whom it would lead to.
    owners: BTreeSet<Arc<str>>,
}

/// All of it: no more than there are requests under way and copies.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    all: BTreeMap<Effect, Wait>,
    deadlines: BTreeSet<(Instant, Effect)>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn next(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    pub(super) fn put(&mut self, effect: Effect, now: Now, reach: Reach) {
        let new = now.monotonic + WAIT_MAX;
        let until = self.all.get(&effect).map_or(new, |before| before.until);
        self.deadlines.insert((until, effect.clone()));
        let wait = Wait {
            until,
            missing: reach.missing,
            owners: reach.owners,
        };
        self.all.insert(effect, wait);
    }

    /// It waits no longer; whose lists it would have led to.
    fn end(&mut self, effect: &Effect) -> BTreeSet<Arc<str>> {
        let Some(wait) = self.all.remove(effect) else {
            return BTreeSet::new();
        };
        self.deadlines.remove(&(wait.until, effect.clone()));
        wait.owners
    }

    fn for_lists_of(&self, owner: &Arc<str>) -> Vec<Effect> {
        let all = self.all.iter();
        let waits = all.filter(|(_, wait)| wait.missing.contains(owner));
        waits.map(|(effect, _)| effect.clone()).collect()
    }

    fn leads_to(&self, owner: &Arc<str>) -> bool {
        self.all.values().any(|wait| wait.owners.contains(owner))
    }
}

/// Whose lists some references lead to, and whose of those have yet to come.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) owners: BTreeSet<Arc<str>>,
    pub(super) missing: BTreeSet<Arc<str>>,
}

impl Shard {
    /// Another shard says something about lists.
    pub fn handle_told(&mut self, now: Now, from: u16, told: Told) {
        self.begin(now);
        let reply = match told {
            Told::Wants { owner, number } => {
                let shelf = self.documents.of(&owner);
                self.policy.readers.wanted(from, owner, number, shelf)
            }
            Told::Leaves { owner, number } => {
                self.policy.readers.left(from, &owner, number);
                None
            }
            Told::Has {
                owner,
                number,
                version,
            } => {
                let shelf = self.documents.of(&owner);
                let which = (number, version);
                self.policy.readers.has(from, &owner, which, shelf)
            }
            Told::Lists {
                owner,
                number,
                version,
                lists,
            } => {
                let copies = &mut self.policy.copies;
                match copies.take(&owner, number, version, lists) {
                    Took::Unwanted => Some(Told::Leaves { owner, number }),
                    took => {
                        self.took(&owner, &took);
                        Some(Told::Has {
                            owner,
                            number,
                            version,
                        })
                    }
                }
            }
        };
        self.tell(from, reply);
    }

    fn tell(&mut self, shard: u16, told: impl IntoIterator<Item = Told>) {
        let told = told.into_iter().map(|told| Output::Tell(shard, told));
        self.outputs.extend(told);
    }

    fn took(&mut self, owner: &Arc<str>, took: &Took) {
        match took {
            Took::First => {
                self.happens(Happened::ListsCame {
                    owner: owner.to_string(),
                });
                self.lists_changed(owner);
                for effect in self.policy.waiting.for_lists_of(owner) {
                    self.try_effect(&effect, false);
                }
            }
            Took::Next => {
                self.happens(Happened::ListsCame {
                    owner: owner.to_string(),
                });
                self.try_copy(owner, false);
            }
            Took::Same | Took::Old | Took::Unwanted => {}
        }
    }

    /// A newer copy takes effect, unless what it leads to has yet to come.
    fn try_copy(&mut self, owner: &Arc<str>, is_late: bool) {
        let effect = Effect::Copy(owner.clone());
        if self.policy.copies.swap(owner) {
            if !is_late {
                let reach = self.reach_of_lists(owner);
                if !reach.missing.is_empty() {
                    self.policy.copies.swap(owner);
                    self.policy.lists.forget(owner);
                    return self.policy.waiting.put(effect, self.now, reach);
                }
            }
            self.policy.copies.settle(owner);
            self.lists_changed(owner);
        }
        self.waits_no_longer(&effect);
    }

    fn try_effect(&mut self, effect: &Effect, is_late: bool) {
        match effect {
            Effect::Kept(owner) => self.take_effect(owner, is_late),
            Effect::Copy(owner) => self.try_copy(owner, is_late),
            Effect::Explain(ticket) => self.try_answer(*ticket, is_late),
        }
    }

    /// A document of this name is as it would be: does it lead to lists that have yet to come? Then it waits.
    pub(crate) fn waits_for_lists(&mut self, name: &DocumentName) -> bool {
        let owner: Arc<str> = name.owner.clone().unwrap_or_default();
        let reach = if *name.auid == *RESOURCE_LISTS.auid {
            self.reach_of_lists(&owner)
        } else if is_referring(&name.auid) {
            let roots = self.documents.of(&owner).map(anchors).unwrap_or_default();
            self.reach(&roots)
        } else {
            return false;
        };
        // It will be another document again.
        self.policy.lists.forget(&owner);
        if reach.missing.is_empty() {
            return false;
        }
        let effect = Effect::Kept(owner);
        self.policy.waiting.put(effect, self.now, reach);
        true
    }

    /// Whatever waited has taken effect, or will not: copies that only it would have needed go.
    pub(crate) fn waits_no_longer(&mut self, effect: &Effect) {
        let owners = self.policy.waiting.end(effect);
        self.leave_unused(owners);
    }

    /// What everybody who depends on these lists would need.
    fn reach_of_lists(&mut self, owner: &Arc<str>) -> Reach {
        self.policy.lists.forget(owner);
        let mut all = Reach::default();
        for dependant in self.policy.references.dependants(owner) {
            let roots = self.policy.references.roots(&dependant);
            let reach = self.reach(&roots);
            all.owners.extend(reach.owners);
            all.missing.extend(reach.missing);
        }
        all
    }

    /// Where references lead. What is not here is asked for.
    pub(super) fn reach(&mut self, roots: &[String]) -> Reach {
        let most = self.settings.limits.lists_of_others_max as usize;
        loop {
            let (judge, _) = self.judge_and_events();
            let mut reach = judge.lookup().reach(roots);
            let mut is_another = false;
            for owner in &reach.missing {
                match self.policy.copies.ask(owner, most) {
                    Asked::Now(told, is_here) => {
                        is_another |= is_here;
                        let shard = self.partition_of(owner).shard(self.shards);
                        self.policy.lists.forget(owner);
                        self.outputs.push_back(Output::Tell(shard, told));
                    }
                    Asked::Before | Asked::Refused => {}
                }
            }
            // What came from the table may lead further.
            if !is_another {
                let copies = &self.policy.copies;
                reach.missing.retain(|owner| copies.is_asked(owner));
                return reach;
            }
        }
    }

    /// Copies that nothing here refers to any more go.
    pub(super) fn leave_unused(&mut self, owners: impl IntoIterator<Item = Arc<str>>) {
        for owner in owners {
            let is_used = self.policy.references.is_used(&owner);
            if is_used || self.policy.waiting.leads_to(&owner) {
                continue;
            }
            if let Some(told) = self.policy.copies.leave(&owner) {
                self.policy.lists.forget(&owner);
                let shard = self.partition_of(&owner).shard(self.shards);
                self.outputs.push_back(Output::Tell(shard, told));
            }
        }
    }

    /// An owner's lists are others: who has copies of them is told.
    pub(super) fn tell_readers(&mut self, owner: &Arc<str>) {
        let shelf = self.documents.of(owner);
        for (shard, told) in self.policy.readers.changed(owner, shelf) {
            self.outputs.push_back(Output::Tell(shard, told));
        }
    }

    /// Lists that did not come in time: it goes on without them.
    pub(crate) fn follow_lists(&mut self) {
        while let Some((until, effect)) = self.policy.waiting.deadlines.first().cloned()
            && until <= self.now.monotonic
        {
            self.happens(Happened::ListsLate {});
            self.try_effect(&effect, true);
            // Whatever became of it: it has waited long enough.
            self.waits_no_longer(&effect);
        }
    }

    /// When something has waited long enough.
    pub(crate) fn next_list(&self) -> Option<Instant> {
        self.policy.waiting.next()
    }
}
