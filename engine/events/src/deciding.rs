//! The rules changed, or the whole server ends: who is decided anew, who is told, and what must not leave any more.

use machine::Now;
use machine::settings::Handling;

use crate::notifier::{handling_byte, with_sight};
use crate::sight::Given;
use crate::state::EventState;
use crate::stored::Encoder;
use crate::subscription::{Owed, Phase, Reason};

impl EventState {
    /// The rules of everybody may have changed: every watcher is decided again (RFC 5025 §3.2.1; standards §1.4–1.6).
    pub fn redecide(&mut self, now: Now, mut decide: impl FnMut(&str, &str) -> Option<Given>) {
        for (slot, given) in self.decided(&mut decide) {
            self.apply_given(now, slot, given);
        }
        self.redecide_waiting(None, &mut decide);
    }

    /// The rules of this presentity may have changed; nobody else's watchers are touched.
    pub fn redecide_one(
        &mut self,
        now: Now,
        presentity: &str,
        mut decide: impl FnMut(&str, &str) -> Option<Given>,
    ) {
        let mut slots = Vec::new();
        for by_name in &self.by_name {
            if let Some(slot) = by_name.get(presentity) {
                slots.extend(&self.resources[*slot as usize].subscriptions);
            }
        }
        for slot in slots {
            let given = self.decide_about(slot, &mut decide);
            self.apply_given(now, slot, given);
        }
        self.redecide_waiting(Some(presentity), &mut decide);
    }

    /// What every watcher is given now.
    pub(crate) fn decided(
        &self,
        decide: &mut dyn FnMut(&str, &str) -> Option<Given>,
    ) -> Vec<(u32, Option<Given>)> {
        let slots = self.subscriptions.iter().map(|(slot, _)| slot as u32);
        slots
            .map(|slot| (slot, self.decide_about(slot, decide)))
            .collect()
    }

    fn decide_about(
        &self,
        slot: u32,
        decide: &mut dyn FnMut(&str, &str) -> Option<Given>,
    ) -> Option<Given> {
        let subscription = &self.subscriptions[slot as usize];
        let resource = &self.resources[subscription.resource as usize];
        let (presentity, watcher) = (&*resource.name, &*subscription.watcher);
        let given = decide(presentity, watcher)?;
        Some(self.given_of(resource.package, presentity, watcher, given))
    }

    /// `None`: the presentity is served here no longer.
    pub(crate) fn apply_given(&mut self, now: Now, slot: u32, given: Option<Given>) {
        let is_live = self.subscriptions[slot as usize].phase == Phase::Live;
        match given {
            // The last NOTIFY tells no more than she may see now.
            given if !is_live => {
                let given = given.unwrap_or(Given::whole(Handling::Block));
                if let Taken::Withdrawn(_) = self.take_given(slot, given) {
                    self.owe(slot, Owed::AtOnce);
                }
            }
            None => self.end(now, slot, Reason::NoResource),
            Some(given) => self.apply_to_live(now, slot, given),
        }
    }

    fn apply_to_live(&mut self, now: Now, slot: u32, given: Given) {
        let before = self.subscriptions[slot as usize].handling;
        let handling = given.handling;
        let taken = self.take_given(slot, given);
        if taken == Taken::Nothing {
            return;
        }
        if handling == Handling::Block {
            return self.end(now, slot, Reason::Rejected);
        }
        self.watcher_decided(slot, before);
        let subscription = &self.subscriptions[slot as usize];
        let (stored, resource) = (subscription.stored, subscription.resource);
        // What was answered before does not cover what she sees from now on.
        let asked = self.next_number();
        self.subscriptions[slot as usize].asked = asked;
        if stored {
            self.resources[resource as usize].asked = asked;
            let record = Encoder::new(b'h').u8(handling_byte(handling)).u64(asked);
            self.append_change(slot, with_sight(record, self.sight_digest(slot)));
        }
        // Exempt from the interval: pending → active, whatever takes something away from a watcher, another part of the view.
        let relaxed = before == Handling::PoliteBlock && handling == Handling::Allow;
        let owed = match taken {
            // It may have been the answer to her SUBSCRIBE: then another goes instead, whatever it says.
            Taken::Withdrawn(owed) => owed.max(Owed::Decision),
            _ if relaxed => Owed::Change,
            _ => Owed::Decision,
        };
        self.owe(slot, owed);
    }

    /// She sees what she is given from now on. What shows more than that, and waits for the disk, never leaves: each send is checked
    /// against the rules that hold when it leaves, not when it was composed (decision 2).
    fn take_given(&mut self, slot: u32, given: Given) -> Taken {
        let digest = given.digest();
        let subscription = &self.subscriptions[slot as usize];
        let (before, resource) = (subscription.handling, subscription.resource);
        let same_sight = digest == self.sight_digest(slot);
        if before == given.handling && same_sight {
            return Taken::Nothing;
        }
        let handling = given.handling;
        let sights = &mut self.resources[resource as usize].sights;
        let joined = sights.join(digest, given.sight);
        sights.leave(self.subscriptions[slot as usize].sight);
        let subscription = &mut self.subscriptions[slot as usize];
        (subscription.handling, subscription.sight) = (handling, joined);
        let waits = subscription.in_flight.as_ref();
        let waits = waits.filter(|flight| flight.since.is_none() && flight.client.is_none());
        let Some((waiting, owed)) = waits.map(|flight| (flight.digest, flight.owed)) else {
            return Taken::Something;
        };
        let shows_other = before == handling && waiting != self.body(slot).digest;
        if handling < before || shows_other {
            if let Some(flight) = &mut self.subscriptions[slot as usize].in_flight {
                flight.withdrawn = true;
            }
            return Taken::Withdrawn(owed);
        }
        Taken::Something
    }

    /// Each watcher is told to subscribe again elsewhere (RFC 6665 §4.4.2, §4.1.3 "deactivated").
    pub fn deactivate_all(&mut self, now: Now) {
        let slots: Vec<u32> = self
            .subscriptions
            .iter()
            .map(|(slot, _)| slot as u32)
            .collect();
        for slot in slots {
            self.end(now, slot, Reason::Deactivated);
        }
    }
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It is the one that was.
    Nothing,
    /// It is another.
    Something,
    /// It is another, and a NOTIFY that waits for durability, owed as this, shows what its watcher may no longer see.
    Withdrawn(Owed),
}
