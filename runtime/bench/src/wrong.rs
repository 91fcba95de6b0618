//! Everything that was wrong, counted by kind, with a few words on the first of each.

use std::collections::BTreeMap;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A NOTIFY that was owed did not come.
    MissingNotify,
    /// A NOTIFY with a CSeq of its own said nothing new and no SUBSCRIBE had asked for it.
    DoubledNotify,
    /// A NOTIFY carried an older state than the watcher knew, or than was acknowledged before it asked.
    StaleNotify,
    /// A NOTIFY's CSeq was lower than one before it.
    CseqBack,
    /// At the end a watcher had not seen the last acknowledged state.
    FinalState,
    /// A NOTIFY showed another presentity's state.
    OtherState,
    /// A NOTIFY showed more than the rules show.
    WrongView,
    /// A subscription ended that nobody had ended.
    Terminated,
    /// A NOTIFY for no subscription of ours.
    Stray,
    /// A request got no final answer.
    NoAnswer,
    /// A request got a final answer that it should not have got.
    Status,
    /// Something that came is not a SIP message, or lacks what it must have.
    Malformed,
}

impl Kind {
    /// How reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingNotify => "missing NOTIFY",
            Self::DoubledNotify => "doubled NOTIFY",
            Self::StaleNotify => "stale NOTIFY",
            Self::CseqBack => "CSeq went back",
            Self::FinalState => "wrong final state",
            Self::OtherState => "state of another user",
            Self::WrongView => "more shown than the rules show",
            Self::Terminated => "subscription ended unasked",
            Self::Stray => "NOTIFY for no subscription",
            Self::NoAnswer => "no answer",
            Self::Status => "unexpected status",
            Self::Malformed => "malformed message",
        }
    }
}

/// The account.
#[derive(Clone, Debug, Default)]
pub struct Wrong {
    found: BTreeMap<Kind, (u64, String)>,
    statuses: BTreeMap<(&'static str, u16), u64>,
}

impl Wrong {
    /// So many more of a kind; `example` is asked for the first only.
    pub(crate) fn add(&mut self, kind: Kind, count: u64, example: impl FnOnce() -> String) {
        if count > 0 {
            let entry = self.found.entry(kind).or_insert_with(|| (0, example()));
            entry.0 += count;
        }
    }

    /// An answer that should not have come.
    pub(crate) fn status(&mut self, method: &'static str, status: u16, reason: &str) {
        *self.statuses.entry((method, status)).or_default() += 1;
        self.add(Kind::Status, 1, || format!("{method}: {status} {reason}"));
    }

    /// Takes over what another account holds.
    pub(crate) fn join(&mut self, other: &Self) {
        for (kind, (count, example)) in &other.found {
            self.add(*kind, *count, || example.clone());
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }

    /// How often it was found.
    pub fn count(&self, kind: Kind) -> u64 {
        self.found.get(&kind).map_or(0, |(count, _)| *count)
    }

    /// How much there is of everything.
    pub fn total(&self) -> u64 {
        self.found.values().map(|(count, _)| count).sum()
    }

    /// Each kind found, how often, and the first of it.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64, &str)> {
        self.found
            .iter()
            .map(|(kind, (count, example))| (*kind, *count, example.as_str()))
    }

    /// Unexpected final answers: method, status code, how often.
    pub fn statuses(&self) -> impl Iterator<Item = (&'static str, u16, u64)> {
        self.statuses
            .iter()
            .map(|((method, status), count)| (*method, *status, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_kept_and_all_are_counted() {
        let mut wrong = Wrong::default();
        wrong.add(Kind::StaleNotify, 0, || "never".to_owned());
        assert_eq!(wrong.total(), 0);
        wrong.add(Kind::StaleNotify, 2, || "first".to_owned());
        wrong.add(Kind::StaleNotify, 1, || "second".to_owned());
        wrong.status("PUBLISH", 503, "Full");
        wrong.status("PUBLISH", 503, "Full");
        let mut all = Wrong::default();
        all.add(Kind::StaleNotify, 1, || "before".to_owned());
        all.join(&wrong);
        assert_eq!(all.count(Kind::StaleNotify), 4);
        assert_eq!(all.total(), 6);
        assert_eq!(
            all.iter()
                .map(|(_, _, example)| example)
                .collect::<Vec<_>>(),
            ["before", "PUBLISH: 503 Full"]
        );
        assert_eq!(all.statuses().collect::<Vec<_>>(), [("PUBLISH", 503, 2)]);
    }
}
