//! `tidings watch`: who is there, since when, with what note, and why it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::{Agent, End, Event, Hop, Phase, UsageId};
use bytes::Bytes;
use client::{Clock, Direction, Handler};
use documents::pidf::{Basic, Summary};
use documents::timestamp;
use machine::Instant;
use serde_json::json;

use crate::client_options::{Aor, BOUNDS, ClientOptions, drive, verdict};
use crate::exit;
use crate::terminal::{Colour, Terminal, clean, span};
use crate::watchers::WatchingWatchers;

/// A note longer than this is cut in a column, not in JSON.
const SAID_CHARS_MAX: usize = 60;
/// The narrowest column of notes.
const SAID_CHARS_MIN: usize = 20;
/// A change that was said this long ago came late: when it was said is shown.
const FRESH_MS_MAX: i64 = 5_000;
const WHY_CHARS_MIN: usize = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Whose presence
    #[arg(value_name = "AOR", required = true)]
    pub(crate) aors: Vec<Aor>,
    /// Seconds to subscribe for at a time
    #[arg(long, value_name = "S", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) expires: u32,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// End after so many changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Partial notifications (not built yet)
    #[arg(long)]
    partial: bool,
    /// Event filter (not built yet)
    #[arg(long, value_name = "FILE")]
    filter: Option<std::path::PathBuf>,
    /// Who watches, instead of presence
    #[arg(long)]
    winfo: bool,
    #[command(flatten)]
    pub(crate) options: ClientOptions,
}

pub(crate) fn run(arguments: Arguments) -> u8 {
    let clock = Clock::new();
    let terminal = Terminal::new(clock);
    let not_built = [
        (arguments.partial, "--partial"),
        (arguments.filter.is_some(), "--filter"),
    ];
    if let Some((_, option)) = not_built.iter().find(|(given, _)| *given) {
        terminal.talk(&format!("tidings: {option}: not built yet"));
        return exit::USAGE;
    }
    // Who asks who watches her is herself, as a rule.
    let itself = arguments.aors.first().filter(|_| arguments.winfo);
    let driver = match arguments
        .options
        .driver(&terminal, clock, &arguments.aors, itself)
    {
        Ok(driver) => driver,
        Err(code) => return code,
    };
    let server = driver
        .addresses
        .first()
        .map_or_else(String::new, ToString::to_string);
    if arguments.winfo {
        let mut watching = WatchingWatchers::new(arguments, Terminal::new(clock), server);
        return match drive(&terminal, &driver, &mut watching) {
            Ok(()) => watching.code,
            Err(code) => code,
        };
    }
    let mut watching = Watching::new(arguments, Terminal::new(clock), server);
    match drive(&terminal, &driver, &mut watching) {
        Ok(()) => watching.code,
        Err(code) => code,
    }
}

/// What was shown last of one presentity: shown again only when it differs.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Row(Phase, Vec<String>),
    Document(Phase, Bytes),
}

#[derive(Debug)]
struct Watched {
    aor: Aor,
    last: Option<Shown>,
    phase: Option<Phase>,
    /// Something went wrong and was told; that it is over is told too.
    troubled: bool,
}

struct Watching {
    terminal: Terminal,
    server: String,
    expires: u32,
    json: bool,
    left: Option<u64>,
    trace: bool,
    watched: Vec<Watched>,
    usages: BTreeMap<UsageId, usize>,
    heard: bool,
    code: u8,
    who_width: usize,
}

/// One NOTIFY, read.
struct News<'n> {
    phase: Phase,
    expires: Option<u32>,
    content_type: Option<&'n str>,
    body: &'n Bytes,
    summary: Option<Summary>,
}

impl Watching {
    fn new(arguments: Arguments, terminal: Terminal, server: String) -> Self {
        let who_width = arguments
            .aors
            .iter()
            .map(|aor| aor.shown.chars().count())
            .max()
            .unwrap_or(0);
        Self {
            terminal,
            server,
            expires: arguments.expires,
            json: arguments.json,
            left: arguments.count,
            trace: arguments.options.trace,
            watched: (arguments.aors.into_iter())
                .map(|aor| Watched {
                    aor,
                    last: None,
                    phase: None,
                    troubled: false,
                })
                .collect(),
            usages: BTreeMap::new(),
            heard: false,
            code: exit::DONE,
            who_width,
        }
    }

    fn watched(&mut self, usage: UsageId) -> Option<&mut Watched> {
        let index = *self.usages.get(&usage)?;
        self.watched.get_mut(index)
    }

    /// Shows what is new in a NOTIFY; whether anything was.
    fn show(&mut self, usage: UsageId, news: &News<'_>) -> bool {
        let shown = if self.json {
            Shown::Document(news.phase, news.body.clone())
        } else {
            Shown::Row(news.phase, columns(news))
        };
        let time = self.terminal.wall_millis();
        let Some(watched) = self.watched(usage) else {
            return false;
        };
        if std::mem::take(&mut watched.troubled) {
            let line = format!("{}: watching again", watched.aor.shown);
            self.terminal.talk(&line);
        }
        let Some(watched) = self.watched(usage) else {
            return false;
        };
        if watched.last.as_ref() == Some(&shown) {
            return false;
        }
        let phase_is_new = watched.phase != Some(news.phase);
        let aor = watched.aor.clone();
        watched.phase = Some(news.phase);
        watched.last = Some(shown);
        if self.json {
            self.terminal
                .data(&object(&aor.uri, time, news).to_string());
        } else {
            let why = self.why(news, phase_is_new, time);
            let (word, colour) = word(news);
            self.row(&aor.shown, (word, colour), &said(news), &why);
        }
        true
    }

    fn row(&mut self, who: &str, (word, colour): (&str, Colour), said: &str, why: &str) {
        let terminal = &self.terminal;
        let cut: String = said.chars().take(SAID_CHARS_MAX).collect();
        let line = format!(
            "{}   {}  {}  {}  {}",
            terminal.word(who, Colour::Plain, self.who_width),
            terminal.word(word, colour, 7),
            terminal.word(&cut, Colour::Plain, SAID_CHARS_MIN),
            terminal.word(why, Colour::Dim, WHY_CHARS_MIN),
            terminal.word(&terminal.clock_time(), Colour::Dim, 0),
        );
        self.terminal.data(&line);
    }

    /// How long it is subscribed for, when that is news; else when it was said.
    fn why(&self, news: &News<'_>, phase_is_new: bool, now: i64) -> String {
        let state = match news.phase {
            Phase::Active => "active",
            Phase::Pending => "not decided yet",
            Phase::Terminated => "ended",
        };
        let since = news.summary.as_ref().and_then(|summary| summary.since);
        match (news.expires, since) {
            (Some(expires), _) if phase_is_new => {
                format!("{state}, {}", span(Duration::from_secs(u64::from(expires))))
            }
            _ if phase_is_new => state.to_owned(),
            // Documents tell whole seconds: what is as good as new is not worth a number.
            (_, Some(since)) if now - since >= FRESH_MS_MAX => {
                format!("since {}", self.terminal.clock_time_of(since))
            }
            _ => "changed".to_owned(),
        }
    }

    fn ended(&mut self, usage: UsageId, end: &End) {
        let (code, message) = verdict(end, &self.server);
        self.code = self.code.max(code);
        let time = self.terminal.wall_millis();
        let Some(aor) = self.watched(usage).map(|watched| watched.aor.clone()) else {
            return;
        };
        match end {
            End::Stopped => {}
            End::Terminated { reason } if self.json => {
                let object = json!({ "aor": aor.uri, "at": timestamp::format(time), "state": "terminated", "reason": reason });
                self.terminal.data(&object.to_string());
            }
            End::Terminated { reason } => self.row(&aor.shown, ("ended", Colour::Red), "", reason),
            End::Refused { status, reason } if self.json => {
                let object = json!({
                    "aor": aor.uri, "at": timestamp::format(time), "state": "refused", "status": status, "reason": reason,
                });
                self.terminal.data(&object.to_string());
            }
            _ => {}
        }
        if let Some(message) = message {
            self.terminal.talk(&format!("{}: {message}", aor.shown));
        }
    }
}

impl Handler for Watching {
    fn begin(&mut self, agent: &mut Agent, now: Instant) {
        self.usages.clear();
        for (index, watched) in self.watched.iter().enumerate() {
            self.usages
                .insert(agent.watch(now, &watched.aor.uri, self.expires), index);
        }
    }

    fn event(&mut self, agent: &mut Agent, now: Instant, event: Event) {
        self.heard = true;
        match event {
            Event::Notified {
                usage,
                phase,
                expires,
                content_type,
                body,
                ..
            } => {
                // The last one says what the end says better; one that is tried again is no news.
                if phase == Phase::Terminated || self.left == Some(0) {
                    return;
                }
                let summary = Summary::read(&body, &BOUNDS).ok();
                let news = News {
                    phase,
                    expires,
                    content_type: content_type.as_deref(),
                    body: &body,
                    summary,
                };
                if self.show(usage, &news) {
                    self.left = self.left.map(|left| left.saturating_sub(1));
                }
                if self.left == Some(0) || self.terminal.is_closed() {
                    agent.stop_all(now);
                }
            }
            Event::Again {
                usage,
                why,
                after,
                anew,
            } => {
                let Some(watched) = self.watched(usage) else {
                    return;
                };
                watched.troubled = true;
                let what = match (after.is_zero(), anew) {
                    (true, _) => "subscribing anew".to_owned(),
                    (false, true) => format!("subscribing anew in {}", span(after)),
                    (false, false) => format!("trying again in {}", span(after)),
                };
                let line = format!("{}: {why}; {what}", watched.aor.shown);
                self.terminal.talk(&line);
            }
            Event::Ended { usage, end } => self.ended(usage, &end),
            Event::Accepted { .. } | Event::Published { .. } | Event::Watcher { .. } => {}
        }
    }

    fn give_up(&mut self) -> bool {
        !self.heard
    }

    fn trace(&mut self, direction: Direction, hop: Hop, bytes: &[u8]) {
        if self.trace {
            self.terminal.trace(direction, hop, bytes);
        }
    }
}

/// Status and its colour.
fn word(news: &News<'_>) -> (&'static str, Colour) {
    if news.phase == Phase::Pending {
        return ("pending", Colour::Yellow);
    }
    match news.summary.as_ref().map(|summary| summary.basic) {
        Some(Some(Basic::Open)) => ("open", Colour::Green),
        Some(Some(Basic::Closed)) => ("closed", Colour::Dim),
        Some(None) => ("-", Colour::Dim),
        None if news.body.is_empty() => ("-", Colour::Dim),
        None => ("?", Colour::Yellow),
    }
}

/// Note, then what she does and how she feels.
fn said(news: &News<'_>) -> String {
    let Some(summary) = &news.summary else {
        let kind = news.content_type.unwrap_or_default();
        return if news.body.is_empty() {
            String::new()
        } else {
            format!("unreadable {kind}")
        };
    };
    let notes: Vec<&str> = summary
        .notes
        .iter()
        .map(|note| note.text.as_str())
        .collect();
    let note = notes.join("; ");
    let more: Vec<&str> = summary
        .activities
        .iter()
        .chain(&summary.moods)
        .map(String::as_str)
        .collect();
    match (note.is_empty(), more.is_empty()) {
        (false, false) => format!("{} ({})", clean(&note), clean(&more.join(", "))),
        (false, true) => clean(&note),
        (true, _) => clean(&more.join(", ")),
    }
}

/// What a row says apart from times.
fn columns(news: &News<'_>) -> Vec<String> {
    vec![word(news).0.to_owned(), said(news)]
}

fn object(aor: &str, time: i64, news: &News<'_>) -> serde_json::Value {
    let state = match news.phase {
        Phase::Active => "active",
        Phase::Pending => "pending",
        Phase::Terminated => "terminated",
    };
    document_object(
        aor,
        time,
        state,
        news.expires,
        news.content_type,
        news.body,
        news.summary.as_ref(),
    )
}

/// One JSON object about a document; `fetch` prints the same.
pub(crate) fn document_object(
    aor: &str,
    time: i64,
    state: &str,
    expires: Option<u32>,
    content_type: Option<&str>,
    body: &[u8],
    summary: Option<&Summary>,
) -> serde_json::Value {
    let mut object = json!({ "aor": aor, "at": timestamp::format(time), "state": state });
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    if let Some(expires) = expires {
        fields.insert("expires_seconds".to_owned(), expires.into());
    }
    if let Some(summary) = summary {
        let contact = |contact: &documents::pidf::Contact| json!({ "uri": contact.uri, "basic": contact.basic.map(Basic::as_str), "priority_thousandths": contact.priority });
        let note =
            |note: &documents::pidf::Note| json!({ "text": note.text, "language": note.language });
        fields.insert("entity".to_owned(), summary.entity.as_str().into());
        fields.insert("basic".to_owned(), summary.basic.map(Basic::as_str).into());
        fields.insert("notes".to_owned(), summary.notes.iter().map(note).collect());
        fields.insert("activities".to_owned(), summary.activities.clone().into());
        fields.insert("moods".to_owned(), summary.moods.clone().into());
        fields.insert("place_types".to_owned(), summary.place_types.clone().into());
        fields.insert(
            "contacts".to_owned(),
            summary.contacts.iter().map(contact).collect(),
        );
        fields.insert(
            "since".to_owned(),
            summary.since.map(timestamp::format).into(),
        );
    }
    fields.insert("content_type".to_owned(), content_type.into());
    fields.insert("document".to_owned(), String::from_utf8_lossy(body).into());
    object
}
