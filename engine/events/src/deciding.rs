//! The rules changed, or the whole server ends: who is decided anew, who is told, and what must not leave any more.

use machine::Now;
use machine::settings::Handling;

use crate::notifier::handling_byte;
use crate::state::EventState;
use crate::stored::Encoder;
use crate::subscription::{Owed, Phase, Reason, Subscription};

impl EventState {
    /// The rules changed: every watcher is decided again (RFC 5025 §3.2.1; standards §1.4–1.6).
    pub fn redecide(&mut self, now: Now, mut decide: impl FnMut(&str, &str) -> Option<Handling>) {
        let slots: Vec<u32> = self
            .subscriptions
            .iter()
            .map(|(slot, _)| slot as u32)
            .collect();
        for slot in slots {
            let subscription = &self.subscriptions[slot as usize];
            let is_live = subscription.phase == Phase::Live;
            let name = self.resources[subscription.resource as usize].name.clone();
            let package = self.resources[subscription.resource as usize].package;
            let decided = decide(&name, &subscription.watcher)
                .map(|handling| self.handling_of(package, &name, &subscription.watcher, handling));
            match decided {
                // The last NOTIFY tells no more than she may see now.
                handling if !is_live => {
                    let subscription = &mut self.subscriptions[slot as usize];
                    let handling = handling.unwrap_or(Handling::Block);
                    let before = std::mem::replace(&mut subscription.handling, handling);
                    if handling < before && withdraw(subscription) {
                        self.owe(slot, Owed::AtOnce);
                    }
                }
                None => self.end(now, slot, Reason::NoResource),
                Some(handling) => self.apply_handling(now, slot, handling),
            }
        }
        self.redecide_waiting(decide);
    }

    pub(crate) fn apply_handling(&mut self, now: Now, slot: u32, handling: Handling) {
        let subscription = &mut self.subscriptions[slot as usize];
        let before = subscription.handling;
        if before == handling {
            return;
        }
        if handling < before {
            // Each send is checked against the rules that hold when it leaves, not when it was composed (decision 2).
            withdraw(subscription);
        }
        if handling == Handling::Block {
            return self.end(now, slot, Reason::Rejected);
        }
        subscription.handling = handling;
        self.watcher_decided(slot, before);
        let subscription = &self.subscriptions[slot as usize];
        let (stored, resource) = (subscription.stored, subscription.resource);
        // What was answered before does not cover what she sees from now on.
        let asked = self.next_number();
        self.subscriptions[slot as usize].asked = asked;
        if stored {
            self.resources[resource as usize].asked = asked;
            let record = Encoder::new(b'h').u8(handling_byte(handling)).u64(asked);
            self.append_change(slot, record);
        }
        // Exempt from the interval: pending → active, and whatever takes something away from a watcher.
        let relaxed = before == Handling::PoliteBlock && handling == Handling::Allow;
        self.owe(
            slot,
            if relaxed {
                Owed::Change
            } else {
                Owed::Decision
            },
        );
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

/// A NOTIFY that waits for durability shows what its watcher may no longer see; `false`: there is none.
fn withdraw(subscription: &mut Subscription) -> bool {
    let Some(flight) = &mut subscription.in_flight else {
        return false;
    };
    flight.withdrawn |= flight.since.is_none() && flight.client.is_none();
    flight.withdrawn
}
