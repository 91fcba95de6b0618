//! What happened on one shard's thread, counted there and read by whoever asks.

use std::collections::BTreeMap;

use machine::happening::{Kind, Value};
use shard::{Counts, Event};

/// Counts since the start, and what the shard holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What the shard holds.
    pub counts: Counts,
    /// Datagrams received by this thread.
    pub datagrams_received: u64,
    /// Of these, for another shard.
    pub datagrams_handed_over: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that the kernel refused.
    pub datagrams_refused: u64,
    /// Datagrams dropped because too many waited for room in the kernel.
    pub datagrams_dropped_unsent: u64,
    /// Messages dropped because too many waited for this shard.
    pub mailbox_dropped: u64,
    /// Requests over their source's rate that were answered 503.
    pub sources_refused: u64,
    /// Requests over their source's rate that were dropped.
    pub sources_dropped: u64,
    /// Batches handed to the store.
    pub commits: u64,
    /// Everything that happened.
    pub happened: Happenings,
}

/// How often each thing has happened, as the lists say what is counted by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happenings {
    /// By place in `Event::kinds`.
    plain: Vec<u64>,
    /// What is told apart by labels. They are words and numbers of our own, so there are few.
    labelled: BTreeMap<(usize, Labels), u64>,
}

type Labels = [Value<'static>; 2];

impl Happenings {
    /// Counts one.
    pub(crate) fn count(&mut self, event: &Event) {
        let index = event.index();
        if self.plain.len() <= index {
            self.plain.resize(Event::kinds().len(), 0);
        }
        if let Some(count) = self.plain.get_mut(index) {
            *count += 1;
        }
        let names = event.kind().labels;
        if !names.is_empty() {
            let mut labels = [Value::Nothing; 2];
            event.fields(&mut |name, value| {
                let place = names.iter().position(|label| *label == name);
                if let Some(label) = place.and_then(|place| labels.get_mut(place)) {
                    *label = own(value);
                }
            });
            *self.labelled.entry((index, labels)).or_default() += 1;
        }
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.plain
            .resize(self.plain.len().max(other.plain.len()), 0);
        for (count, more) in self.plain.iter_mut().zip(&other.plain) {
            *count += more;
        }
        for (labels, more) in &other.labelled {
            *self.labelled.entry(*labels).or_default() += more;
        }
    }

    /// Everything that can happen, and how often it did: one line where nothing tells its counts apart, else one for each
    /// combination of labels that there was.
    pub fn counts(
        &self,
    ) -> impl Iterator<Item = (&'static Kind, Vec<(&'static str, Value<'static>)>, u64)> {
        Event::kinds().iter().enumerate().flat_map(|(index, kind)| {
            let lines: Vec<_> = if kind.labels.is_empty() {
                let count = self.plain.get(index).copied().unwrap_or_default();
                vec![(*kind, Vec::new(), count)]
            } else {
                let from = (index, [Value::Word(""); 2]);
                let to = (index, [Value::Nothing; 2]);
                self.labelled
                    .range(from..=to)
                    .map(|((_, labels), count)| {
                        let labels = kind.labels.iter().copied().zip(labels.iter().copied());
                        (*kind, labels.collect(), *count)
                    })
                    .collect()
            };
            lines
        })
    }

    /// How often this happened, whatever its labels.
    pub fn of(&self, name: &str) -> u64 {
        let index = Event::kinds().iter().position(|kind| kind.name == name);
        index
            .and_then(|index| self.plain.get(index))
            .copied()
            .unwrap_or_default()
    }
}

/// What a peer wrote is no label.
fn own(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Word(word) => Value::Word(word),
        Value::Number(number) => Value::Number(number),
        Value::Text(_) | Value::Nothing => Value::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &'static str, status: u16) -> Event {
        Event::Shard(shard::Happened::RequestRefused {
            method,
            status,
            reason: format!("whatever {status}"),
        })
    }

    #[test]
    fn what_happens_is_counted_by_its_labels_and_added_up() {
        let mut happenings = Happenings::default();
        assert_eq!(happenings.of("request.refused"), 0);
        for event in [
            refused("PUBLISH", 412),
            refused("PUBLISH", 412),
            refused("other", 501),
        ] {
            happenings.count(&event);
        }
        happenings.count(&Event::Shard(shard::Happened::SettingsTaken {}));
        let mut both = happenings.clone();
        both.add(&happenings);
        both.add(&Happenings::default());
        let lines: Vec<String> = both
            .counts()
            .filter(|(_, _, count)| *count > 0)
            .map(|(kind, labels, count)| {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("{} {} {count}", kind.name, labels.join(","))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "request.refused method=PUBLISH,status=412 4",
                "request.refused method=other,status=501 2",
                "settings.taken  2",
            ]
        );
        assert_eq!(both.of("request.refused"), 6);
    }
}
