//! The trace: what happened, in entries, and who took part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who takes part: a column of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Actor(pub(crate) usize);

/// Leads from what came in to everything that came of it: equal on all of them.
pub type Cause = String;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It arrived then (microseconds, as everything here).
    At(u64),
    /// It did not.
    Lost,
    /// Who wrote the trace cannot know: he saw one end of the way.
    Unknown,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message went from one actor to another.
    Message {
        /// From whom.
        from: Actor,
        /// To whom.
        to: Actor,
        /// `udp`, `tcp`, …
        over: String,
        /// As it went over the wire.
        bytes: Vec<u8>,
        /// What became of it.
        arrival: Arrival,
        /// What it came of, or what came of it.
        cause: Option<Cause>,
    },
    /// Something happened at an actor, or to all of them.
    Point(Point),
}

/// Something that happened at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Where; `None`: it is about the whole picture.
    pub actor: Option<Actor>,
    /// What kind of thing.
    pub kind: PointKind,
    /// In words; the dotted name of an event.
    pub text: String,
    /// What else is known of it, in order.
    pub fields: Vec<(String, String)>,
    /// What it came of.
    pub cause: Option<Cause>,
}

impl Point {
    /// With nothing but words.
    pub fn new(kind: PointKind, actor: Option<Actor>, text: impl Into<String>) -> Self {
        Self {
            actor,
            kind,
            text: text.into(),
            fields: Vec::new(),
            cause: None,
        }
    }
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointKind {
    /// An event of a program's schema.
    Event,
    /// A timer fired.
    Timer,
    /// A remark.
    Note,
    /// The actor's process is gone from here on.
    Down,
    /// It is there again.
    Up,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in microseconds of the trace's own clock.
    pub at: u64,
    /// What.
    pub what: What,
}

impl Entry {
    /// What it takes in memory, about.
    fn size(&self) -> usize {
        let words = match &self.what {
            What::Message { bytes, over, .. } => bytes.len() + over.len(),
            What::Point(point) => {
                let fields = point.fields.iter();
                point.text.len()
                    + fields
                        .map(|(name, value)| name.len() + value.len() + 48)
                        .sum::<usize>()
            }
        };
        words + size_of::<Self>()
    }
}

/// How much a trace remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// 20 000 entries are more than anybody looks at. Beyond it the oldest are forgotten, and counted.
    pub entries_max: usize,
    /// 20 000 entries of 1.6 KiB = 32 MiB at worst. Beyond it the same.
    pub bytes_max: usize,
    /// 4 096 names of 64 bytes = 256 KiB. Who comes later is counted among `others`.
    pub actors_max: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            entries_max: 20_000,
            bytes_max: 32 << 20,
            actors_max: 4096,
        }
    }
}

/// What happened, so far as it is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What it is about.
    pub title: String,
    actors: Vec<String>,
    by_name: BTreeMap<String, Actor>,
    entries: VecDeque<Entry>,
    forgotten: u64,
    bytes: usize,
    room: Room,
}

/// How far back a message is looked for.
const EXPLAINED_MAX: usize = 1000;

/// Who came when no more names were taken.
const OTHERS: &str = "others";

impl Trace {
    /// Nothing has happened yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// The same with another bound.
    #[must_use]
    pub fn with_room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// The actor with this name; its column comes after those that are there.
    pub fn actor(&mut self, name: &str) -> Actor {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        if self.actors.len() >= self.room.actors_max && name != OTHERS {
            return self.actor(OTHERS);
        }
        let actor = Actor(self.actors.len());
        self.actors.push(name.to_owned());
        self.by_name.insert(name.to_owned(), actor);
        actor
    }

    /// An actor is better known by another name from here on.
    pub fn rename(&mut self, actor: Actor, name: &str) {
        if let Some(old) = self.actors.get_mut(actor.0) {
            self.by_name.remove(old);
            name.clone_into(old);
            self.by_name.insert(name.to_owned(), actor);
        }
    }

    /// Their names, in order of columns.
    pub fn actors(&self) -> &[String] {
        &self.actors
    }

    /// What is remembered, in the order in which it was told.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many entries are not remembered any more.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Counts entries that whoever recorded it had forgotten.
    pub(crate) const fn forgot(&mut self, entries: u64) {
        self.forgotten += entries;
    }

    /// Something happened.
    pub fn push(&mut self, at: u64, what: What) {
        let entry = Entry { at, what };
        self.bytes += entry.size();
        self.entries.push_back(entry);
        while self.entries.len() > self.room.entries_max
            || self.bytes > self.room.bytes_max && self.entries.len() > 1
        {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.size());
            self.forgotten += 1;
        }
    }

    /// A message that went from one to another.
    pub fn message(
        &mut self,
        at: u64,
        (from, to): (Actor, Actor),
        over: &str,
        bytes: &[u8],
        arrival: Arrival,
    ) {
        let what = What::Message {
            from,
            to,
            over: over.to_owned(),
            bytes: bytes.to_vec(),
            arrival,
            cause: None,
        };
        self.push(at, what);
    }

    /// A remark at an actor, or about everything.
    pub fn note(&mut self, at: u64, actor: Option<Actor>, text: impl Into<String>) {
        self.push(at, What::Point(Point::new(PointKind::Note, actor, text)));
    }

    /// The newest message with these bytes that has no cause yet gets it. Where many passed since, it is not looked for.
    pub fn explain(&mut self, sent: &[u8], becomes: Cause) {
        let messages = self.entries.iter_mut().rev().take(EXPLAINED_MAX);
        let cause = messages
            .filter_map(|entry| match &mut entry.what {
                What::Message { bytes, cause, .. } if cause.is_none() && bytes == sent => {
                    Some(cause)
                }
                _ => None,
            })
            .next();
        if let Some(cause) = cause {
            *cause = Some(becomes);
        }
    }

    /// Forgets the names of actors of whom nothing is remembered, but not these. Gives what the others are now.
    pub fn forget_idle(&mut self, keep: &[Actor]) -> BTreeMap<Actor, Actor> {
        let mut seen: BTreeSet<Actor> = keep.iter().copied().collect();
        for entry in &self.entries {
            match &entry.what {
                What::Message { from, to, .. } => seen.extend([*from, *to]),
                What::Point(point) => seen.extend(point.actor),
            }
        }
        let moved: BTreeMap<Actor, Actor> = seen.into_iter().zip((0..).map(Actor)).collect();
        let now = |actor: &mut Actor| *actor = moved.get(actor).copied().unwrap_or(*actor);
        for entry in &mut self.entries {
            match &mut entry.what {
                What::Message { from, to, .. } => [from, to].into_iter().for_each(now),
                What::Point(point) => point.actor.iter_mut().for_each(now),
            }
        }
        let mut index = 0;
        self.actors.retain(|_| {
            index += 1;
            moved.contains_key(&Actor(index - 1))
        });
        self.by_name = self.actors.iter().cloned().zip((0..).map(Actor)).collect();
        moved
    }
}
