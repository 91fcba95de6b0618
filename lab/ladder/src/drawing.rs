//! From a trace to rows and columns: what both pictures show.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::{Kind, digest};
use crate::plain::{cut, plain};
use crate::trace::{Actor, Arrival, Cause, Entry, Point, PointKind, Trace, What};

/// More rows nobody reads: of a longer trace the beginning and the end are shown, and how much is missing between them.
const ROWS_MAX: usize = 2_000;
/// More columns do not fit a screen; who comes later shares the last one.
const COLUMNS_MAX: usize = 9;
/// When nothing happens for so long, the picture says it.
const PAUSE_MICROS: u64 = 1_000_000;
/// A message that takes longer is drawn as late.
pub(crate) const LATE_MICROS: u64 = 50_000;
/// What a row says beside the picture.
const WORDS_MAX: usize = 150;
/// The start of a message, for whoever wants to look closer.
const WHOLE_MAX: usize = 1_500;

/// The picture, before it is text or SVG.
pub(crate) struct Drawing {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// One line of it.
pub(crate) struct Row {
    /// Microseconds since the first.
    pub(crate) at: u64,
    pub(crate) mark: Mark,
    /// The number of what it came of, from 1; only where something is to be seen that came of it.
    pub(crate) cause: Option<usize>,
    /// What matters most of it, beside the picture: what a body says, what an event is called.
    pub(crate) said: String,
    /// And what else it says.
    pub(crate) words: String,
    /// The message as it was, for a closer look.
    pub(crate) whole: String,
    /// Which columns' processes are gone.
    pub(crate) down: Vec<bool>,
}

pub(crate) enum Mark {
    Arrow(Arrow),
    /// Something at one column.
    Point(usize, PointKind),
    /// Something about all of them.
    Across,
    /// Time passes.
    Pause,
    /// Rows are missing here.
    Missing,
}

pub(crate) struct Arrow {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    /// It was sent before.
    pub(crate) again: bool,
    pub(crate) lost: bool,
    /// When it arrives, in microseconds since the first row, where that is worth showing.
    pub(crate) late: Option<u64>,
}

impl Drawing {
    pub(crate) fn of(trace: &Trace) -> Self {
        let mut entries: Vec<&Entry> = trace.entries().collect();
        entries.sort_by_key(|entry| entry.at);
        entries.retain(|entry| !says_nothing(entry));
        let shown: Vec<&Entry> = if entries.len() > ROWS_MAX {
            let half = ROWS_MAX / 2;
            entries[..half]
                .iter()
                .chain(&entries[entries.len() - half..])
                .copied()
                .collect()
        } else {
            entries.clone()
        };
        let mut drawer = Drawer::new(trace, &shown);
        if trace.forgotten() > 0 {
            drawer.missing(trace.forgotten(), "earlier ones are not remembered");
        }
        let missing = entries.len() - shown.len();
        for (index, entry) in shown.iter().enumerate() {
            if missing > 0 && index == ROWS_MAX / 2 {
                drawer.missing(missing as u64, "more are not shown here");
                drawer.newest = entry.at;
            }
            drawer.add(entry);
        }
        Self {
            title: cut(&trace.title, 200),
            columns: drawer.names,
            rows: drawer.rows,
        }
    }
}

struct Drawer<'t> {
    trace: &'t Trace,
    names: Vec<String>,
    column_of: BTreeMap<Actor, usize>,
    begin: u64,
    newest: u64,
    down: Vec<bool>,
    /// Numbered in order of appearance; what nothing came of has no number.
    causes: BTreeMap<Cause, usize>,
    /// Causes that are messages.
    asked: BTreeSet<Cause>,
    seen: BTreeSet<(Actor, Actor, String)>,
    rows: Vec<Row>,
}

impl<'t> Drawer<'t> {
    fn new(trace: &'t Trace, entries: &[&Entry]) -> Self {
        let mut there = BTreeSet::new();
        for entry in entries {
            match &entry.what {
                What::Message { from, to, .. } => there.extend([*from, *to]),
                What::Point(point) => there.extend(point.actor),
            }
        }
        let name = |actor: &Actor| {
            trace
                .actors()
                .get(actor.0)
                .map_or_else(|| "?".to_owned(), |name| cut(name, 40))
        };
        let mut names: Vec<String> = there.iter().take(COLUMNS_MAX).map(name).collect();
        if there.len() > COLUMNS_MAX {
            names.truncate(COLUMNS_MAX - 1);
            names.push(format!("{} others", there.len() - (COLUMNS_MAX - 1)));
        }
        let last = names.len().saturating_sub(1);
        let column_of = there
            .iter()
            .enumerate()
            .map(|(index, actor)| (*actor, index.min(last)));
        let begin = entries.first().map_or(0, |entry| entry.at);
        Self {
            trace,
            column_of: column_of.collect(),
            begin,
            newest: begin,
            down: vec![false; names.len()],
            names,
            causes: causes(entries),
            asked: asked(entries),
            seen: BTreeSet::new(),
            rows: Vec::new(),
        }
    }

    fn add(&mut self, entry: &Entry) {
        let passed = entry.at.saturating_sub(self.newest);
        self.newest = entry.at;
        if passed >= PAUSE_MICROS {
            let words = format!("{} later", seconds(passed));
            self.row(Mark::Pause, None, (String::new(), words), String::new());
        }
        match &entry.what {
            What::Message {
                from,
                to,
                over,
                bytes,
                arrival,
                cause,
            } => {
                self.message((*from, *to), over, bytes, *arrival, cause.as_ref());
            }
            What::Point(point) => self.point(point),
        }
    }

    fn message(
        &mut self,
        (from, to): (Actor, Actor),
        over: &str,
        bytes: &[u8],
        arrival: Arrival,
        cause: Option<&Cause>,
    ) {
        let read = digest(bytes);
        let again = read
            .identity
            .is_some_and(|identity| !self.seen.insert((from, to, identity)));
        let since = |at: u64| at.saturating_sub(self.begin);
        let late = match arrival {
            Arrival::At(at) if at.saturating_sub(self.newest) > LATE_MICROS => Some(since(at)),
            _ => None,
        };
        let mut words = self.who_shares(&[from, to]);
        words.extend(again.then(|| "again".to_owned()));
        words.extend((arrival == Arrival::Lost).then(|| "lost".to_owned()));
        words.extend(late.map(|at| format!("arrives at {}", clock(at))));
        words.extend(read.details);
        words.extend((!over.eq_ignore_ascii_case("udp")).then(|| plain(over)));
        let whole = cut_lines(&String::from_utf8_lossy(bytes));
        let cause = cause.and_then(|cause| self.causes.get(cause).copied());
        let (from, to) = (self.column(from), self.column(to));
        let mark = if from == to {
            words.insert(0, read.label);
            Mark::Point(from, PointKind::Note)
        } else {
            Mark::Arrow(Arrow {
                from,
                to,
                label: read.label,
                kind: read.kind,
                again,
                lost: arrival == Arrival::Lost,
                late,
            })
        };
        self.row(mark, cause, (read.body, words.join(", ")), whole);
    }

    fn point(&mut self, point: &Point) {
        let column = point.actor.map(|actor| self.column(actor));
        if let Some(down) = column.and_then(|column| self.down.get_mut(column)) {
            match point.kind {
                PointKind::Down => *down = true,
                PointKind::Up => *down = false,
                _ => {}
            }
        }
        let mut words = point
            .actor
            .map(|actor| self.who_shares(&[actor]))
            .unwrap_or_default();
        let fields = (point.fields.iter())
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| field(name, value));
        words.extend(fields);
        let kind = self.kind(point);
        let cause = point.cause.as_ref();
        let cause = cause.and_then(|cause| self.causes.get(cause).copied());
        let mark = column.map_or(Mark::Across, |column| Mark::Point(column, kind));
        self.row(
            mark,
            cause,
            (cut(&point.text, WORDS_MAX), words.join(", ")),
            String::new(),
        );
    }

    /// What ends of itself ends by a timer.
    fn kind(&self, point: &Point) -> PointKind {
        let ends = |(name, value): &(String, String)| {
            name == "why" && matches!(value.as_str(), "expired" | "timeout")
        };
        let was_asked = point
            .cause
            .as_ref()
            .is_none_or(|cause| self.asked.contains(cause));
        match point.kind {
            PointKind::Event if !was_asked && point.fields.iter().any(ends) => PointKind::Timer,
            kind => kind,
        }
    }

    fn missing(&mut self, entries: u64, why: &str) {
        self.row(
            Mark::Missing,
            None,
            (String::new(), format!("{entries} {why}")),
            String::new(),
        );
    }

    fn row(
        &mut self,
        mark: Mark,
        cause: Option<usize>,
        (said, words): (String, String),
        whole: String,
    ) {
        self.rows.push(Row {
            at: self.newest.saturating_sub(self.begin),
            mark,
            cause,
            said: cut(&said, WORDS_MAX),
            words: cut(&words, WORDS_MAX),
            whole,
            down: self.down.clone(),
        });
    }

    fn column(&self, actor: Actor) -> usize {
        self.column_of.get(&actor).copied().unwrap_or_default()
    }

    /// Who it is, where the column does not say it.
    fn who_shares(&self, actors: &[Actor]) -> Vec<String> {
        if self.column_of.len() <= self.names.len() {
            return Vec::new();
        }
        let shared = actors
            .iter()
            .filter(|actor| self.column(**actor) + 1 == self.names.len());
        shared
            .filter_map(|actor| self.trace.actors().get(actor.0))
            .map(|name| plain(name))
            .collect()
    }
}

/// Events that say no more than the arrow beside them.
const SHOWN_BY_ARROWS: [&str; 7] = [
    "request.accepted",
    "request.refused",
    "request.repeated",
    "notify.sent",
    "notify.repeated",
    "notify.accepted",
    "notify.refused",
];

/// An event that an arrow shows, or that counted nothing.
fn says_nothing(entry: &Entry) -> bool {
    let What::Point(point) = &entry.what else {
        return false;
    };
    let counted_nothing =
        !point.fields.is_empty() && point.fields.iter().all(|(_, value)| value == "0");
    point.kind == PointKind::Event
        && (counted_nothing || SHOWN_BY_ARROWS.contains(&point.text.as_str()))
}

/// The causes that began with a message.
fn asked(entries: &[&Entry]) -> BTreeSet<Cause> {
    let mut begun: BTreeMap<&Cause, bool> = BTreeMap::new();
    for entry in entries {
        match &entry.what {
            What::Message {
                cause: Some(cause), ..
            } => {
                begun.entry(cause).or_insert(true);
            }
            What::Point(Point {
                cause: Some(cause), ..
            }) => {
                begun.entry(cause).or_insert(false);
            }
            _ => {}
        }
    }
    let by_message = begun.into_iter().filter(|(_, by_message)| *by_message);
    by_message.map(|(cause, _)| cause.clone()).collect()
}

/// Numbers causes from which a request came: a NOTIFY of a PUBLISH, of an expiry, of a SUBSCRIBE. What came of itself alone is none.
fn causes(entries: &[&Entry]) -> BTreeMap<Cause, usize> {
    let mut begun: BTreeMap<&Cause, Option<String>> = BTreeMap::new();
    let mut order: Vec<&Cause> = Vec::new();
    let mut lead: BTreeSet<&Cause> = BTreeSet::new();
    for entry in entries {
        let (cause, request) = match &entry.what {
            What::Message {
                cause: Some(cause),
                bytes,
                ..
            } => {
                let request = !bytes.starts_with(b"SIP/2.0 ");
                (cause, request.then(|| digest(bytes).identity).flatten())
            }
            What::Point(Point {
                cause: Some(cause), ..
            }) => (cause, None),
            _ => continue,
        };
        match begun.get(cause) {
            None => {
                order.push(cause);
                begun.insert(cause, request);
            }
            Some(first) if request.is_some() && *first != request => {
                lead.insert(cause);
            }
            Some(_) => {}
        }
    }
    let leading = order.into_iter().filter(|cause| lead.contains(cause));
    leading
        .zip(1..)
        .map(|(cause, number)| (cause.clone(), number))
        .collect()
}

/// A field in words: names of users and words of a schema explain themselves.
fn field(name: &str, value: &str) -> String {
    let value = plain(value.strip_prefix("sip:").unwrap_or(value));
    match name {
        "presentity" | "operation" | "why" | "state" => value,
        _ => format!("{} {value}", plain(name)),
    }
}

/// The lines of a message, each harmless.
fn cut_lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if out.len() > WHOLE_MAX {
            out.push('…');
            break;
        }
        out.push_str(&cut(line, 160));
        out.push('\n');
    }
    out
}

/// A point in time: seconds with three places.
pub(crate) fn clock(micros: u64) -> String {
    let millis = micros.saturating_add(500) / 1000;
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// How long something takes, as people say it.
pub(crate) fn seconds(micros: u64) -> String {
    let tenths = micros.saturating_add(50_000) / 100_000;
    match tenths {
        0..=99 => format!("{}.{} s", tenths / 10, tenths % 10),
        100..=35_999 => format!("{} s", (tenths + 5) / 10),
        _ => format!("{} min", (tenths + 300) / 600),
    }
}
