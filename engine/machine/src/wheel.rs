//! One queue of deadlines per shard: O(1) to set and to cancel, exact to a tick.
//!
//! Two levels of 4096 slots: ticks of 8 ms reach 32 s (every protocol timer of RFC 3261 with T1 = 500 ms),
//! coarse slots of 32.768 s reach 37 h; what lies farther waits in the last coarse slot and is looked at again there.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::Instant;

const TICK_MICROS: u64 = 8_000;
const SLOTS: u64 = 4096;
const NONE: u32 = u32::MAX;

/// Names a deadline that was set; stale ones are recognised by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: NonZeroU32,
}

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    generation: NonZeroU32,
    slot: u32,
    previous: u32,
    next: u32,
    value: Option<T>,
}

/// Deadlines, each with a value that says what is due.
#[derive(Debug)]
pub struct Wheel<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    heads: Vec<u32>,
    occupied: [u64; 2 * SLOTS as usize / 64],
    /// Every tick before this one has been drained.
    tick: u64,
    length: usize,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Wheel<T> {
    /// An empty wheel at the beginning of time.
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            heads: vec![NONE; 2 * SLOTS as usize],
            occupied: [0; 2 * SLOTS as usize / 64],
            tick: 0,
            length: 0,
        }
    }

    /// How many deadlines are set.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether none is set.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Sets a deadline. It is never reported early, and at most one tick (8 ms) late.
    pub fn set(&mut self, at: Instant, value: T) -> TimerId {
        let tick = at.as_micros().div_ceil(TICK_MICROS).max(self.tick);
        let index = if self.free == NONE {
            let index = self.entries.len() as u32;
            self.entries.push(Entry {
                tick,
                generation: NonZeroU32::MIN,
                slot: NONE,
                previous: NONE,
                next: NONE,
                value: Some(value),
            });
            index
        } else {
            let index = self.free;
            let entry = &mut self.entries[index as usize];
            self.free = entry.next;
            entry.tick = tick;
            entry.value = Some(value);
            index
        };
        self.length += 1;
        self.link(index);
        TimerId {
            index,
            generation: self.entries[index as usize].generation,
        }
    }

    /// Takes a deadline back; `None` when it is no longer set.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.generation != id.generation || entry.value.is_none() {
            return None;
        }
        self.unlink(id.index);
        self.release(id.index)
    }

    /// The next value that is due, if any. Call until `None`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let target = now.as_micros() / TICK_MICROS;
        loop {
            let slot = (self.tick % SLOTS) as usize;
            let head = self.heads[slot];
            if self.tick <= target && head != NONE {
                self.unlink(head);
                return self.release(head);
            }
            if self.tick >= target {
                return None;
            }
            self.advance(target);
        }
    }

    /// When `pop` should be called next; `None` when nothing is set.
    pub fn next(&self) -> Option<Instant> {
        if self.length == 0 {
            return None;
        }
        let turn = self.tick / SLOTS;
        let end_of_turn = (turn + 1) * SLOTS;
        let tick = self.next_fine(self.tick, end_of_turn).unwrap_or_else(|| {
            // Look ahead by whole coarse slots: the first with entries, or one full round.
            (1..=SLOTS)
                .find(|ahead| self.is_occupied((SLOTS + (turn + ahead) % SLOTS) as usize))
                .map_or(end_of_turn, |ahead| (turn + ahead) * SLOTS)
        });
        Some(Instant::from_micros(tick * TICK_MICROS))
    }

    fn next_fine(&self, from: u64, to: u64) -> Option<u64> {
        let mut tick = from;
        while tick < to {
            let slot = tick % SLOTS;
            let word = self.occupied[(slot / 64) as usize] >> (slot % 64);
            if word != 0 {
                return Some(tick + u64::from(word.trailing_zeros())).filter(|found| *found < to);
            }
            tick += 64 - slot % 64;
        }
        None
    }

    /// Moves to the next tick that holds something, the end of this turn, or `target`, whichever is first.
    fn advance(&mut self, target: u64) {
        let end_of_turn = (self.tick / SLOTS + 1) * SLOTS;
        let next = self
            .next_fine(self.tick + 1, end_of_turn)
            .unwrap_or(end_of_turn);
        if self.length == 0 {
            self.tick = target;
            return;
        }
        self.tick = next.min(target);
        if self.tick == end_of_turn {
            self.cascade();
        }
    }

    /// At the start of a turn: what its coarse slot holds moves to the fine level.
    fn cascade(&mut self) {
        let slot = (SLOTS + (self.tick / SLOTS) % SLOTS) as usize;
        let mut index = self.heads[slot];
        self.heads[slot] = NONE;
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        while index != NONE {
            let next = self.entries[index as usize].next;
            self.link(index);
            index = next;
        }
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let (turn, now) = (tick / SLOTS, self.tick / SLOTS);
        let slot = if turn <= now {
            tick.max(self.tick) % SLOTS
        } else {
            SLOTS + (now + (turn - now).min(SLOTS - 1)) % SLOTS
        } as usize;
        let head = self.heads[slot];
        let entry = &mut self.entries[index as usize];
        entry.slot = slot as u32;
        entry.previous = NONE;
        entry.next = head;
        if head != NONE {
            self.entries[head as usize].previous = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    fn unlink(&mut self, index: u32) {
        let Entry {
            slot,
            previous,
            next,
            ..
        } = self.entries[index as usize];
        if previous == NONE {
            self.heads[slot as usize] = next;
            if next == NONE {
                self.occupied[slot as usize / 64] &= !(1 << (slot % 64));
            }
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
    }

    fn release(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        entry.next = self.free;
        self.free = index;
        self.length -= 1;
        entry.value.take()
    }

    fn is_occupied(&self, slot: usize) -> bool {
        self.occupied[slot / 64] >> (slot % 64) & 1 == 1
    }
}

/// The granularity of every deadline.
pub const TICK: Duration = Duration::from_micros(TICK_MICROS);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a sorted list: each value comes due once, never early, at most one tick late, cancelled ones never.
        #[test]
        fn behaves_like_a_sorted_list(
            deadlines in prop::collection::vec((0u64..200_000_000_000, any::<bool>()), 0..200),
            steps in prop::collection::vec(1u64..20_000_000_000, 1..60),
        ) {
            let mut wheel = Wheel::new();
            let mut expected: Vec<u64> = Vec::new();
            for (at, cancel) in &deadlines {
                let id = wheel.set(Instant::from_micros(*at), *at);
                if *cancel {
                    prop_assert_eq!(wheel.cancel(id), Some(*at));
                    prop_assert_eq!(wheel.cancel(id), None);
                } else {
                    expected.push(*at);
                }
            }
            let mut now = 0;
            for step in steps {
                now += step;
                if let Some(next) = wheel.next() {
                    let earliest = expected.iter().min().copied().unwrap_or(u64::MAX);
                    prop_assert!(next.as_micros() <= earliest.div_ceil(TICK_MICROS) * TICK_MICROS);
                }
                while let Some(at) = wheel.pop(Instant::from_micros(now)) {
                    prop_assert!(at <= now);
                    let position = expected.iter().position(|e| *e == at);
                    prop_assert!(position.is_some());
                    expected.swap_remove(position.unwrap());
                }
                prop_assert!(expected.iter().all(|at| at + TICK_MICROS > now));
                prop_assert_eq!(wheel.len(), expected.len());
            }
        }

        /// Following `next` reaches every deadline.
        #[test]
        fn next_leads_to_every_deadline(deadlines in prop::collection::vec(0u64..200_000_000_000, 1..50)) {
            let mut wheel = Wheel::new();
            for at in &deadlines {
                wheel.set(Instant::from_micros(*at), *at);
            }
            let mut seen = 0;
            let mut wakes = 0;
            while let Some(next) = wheel.next() {
                wakes += 1;
                prop_assert!(wakes < 10_000);
                while let Some(at) = wheel.pop(next) {
                    prop_assert!(next.as_micros() < at + 2 * TICK_MICROS);
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, deadlines.len());
        }
    }
}
