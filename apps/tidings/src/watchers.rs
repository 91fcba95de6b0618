//! `tidings watch --winfo`: who watches, and what became of it: one line for each change.

use std::collections::BTreeMap;

use agent::{Agent, End, Event, Hop, UsageId};
use client::{Direction, Handler};
use documents::timestamp;
use machine::Instant;
use serde_json::json;

use crate::client_options::{Aor, verdict};
use crate::exit;
use crate::terminal::{Colour, Terminal, clean, span};
use crate::watch::Arguments;

/// The narrowest columns.
const WHO_CHARS_MIN: usize = 24;
const NAME_CHARS_MIN: usize = 12;
const STATUS_CHARS: usize = 10;
const EVENT_CHARS: usize = 11;

pub(crate) struct WatchingWatchers {
    terminal: Terminal,
    server: String,
    expires: u32,
    json: bool,
    left: Option<u64>,
    trace: bool,
    aors: Vec<Aor>,
    usages: BTreeMap<UsageId, usize>,
    heard: bool,
    pub(crate) code: u8,
}

impl WatchingWatchers {
    pub(crate) fn new(arguments: Arguments, terminal: Terminal, server: String) -> Self {
        Self {
            terminal,
            server,
            expires: arguments.expires,
            json: arguments.json,
            left: arguments.count,
            trace: arguments.options.trace,
            aors: arguments.aors,
            usages: BTreeMap::new(),
            heard: false,
            code: exit::DONE,
        }
    }

    fn aor(&self, usage: UsageId) -> Option<Aor> {
        self.aors.get(*self.usages.get(&usage)?).cloned()
    }

    fn show(&mut self, aor: &Aor, change: &Change<'_>) {
        if self.json {
            let time = timestamp::format(self.terminal.wall_millis());
            let object = json!({
                "aor": aor.uri, "at": time, "watcher": change.watcher, "status": change.status, "event": change.event,
                "id": change.id, "display_name": change.display_name,
            });
            return self.terminal.data(&object.to_string());
        }
        let who = clean(
            change
                .watcher
                .strip_prefix("sip:")
                .unwrap_or(change.watcher),
        );
        let colour = match change.status {
            "pending" | "waiting" => Colour::Yellow,
            "active" => Colour::Green,
            _ => Colour::Dim,
        };
        let terminal = &self.terminal;
        let name = clean(change.display_name.unwrap_or_default());
        let line = format!(
            "{}  {}  {}  {}  {}",
            terminal.word(&who, Colour::Plain, WHO_CHARS_MIN),
            terminal.word(&name, Colour::Plain, NAME_CHARS_MIN),
            terminal.word(change.status, colour, STATUS_CHARS),
            terminal.word(
                &clean(change.event.unwrap_or("-")),
                Colour::Plain,
                EVENT_CHARS
            ),
            terminal.word(&terminal.clock_time(), Colour::Dim, 0),
        );
        let line = match self.aors.len() {
            1 => line,
            _ => format!("{}: {line}", aor.shown),
        };
        self.terminal.data(&line);
    }
}

/// One change, as the agent tells it.
struct Change<'c> {
    id: &'c str,
    watcher: &'c str,
    display_name: Option<&'c str>,
    status: &'static str,
    event: Option<&'c str>,
}

impl Handler for WatchingWatchers {
    fn begin(&mut self, agent: &mut Agent, now: Instant) {
        self.usages.clear();
        for (index, aor) in self.aors.iter().enumerate() {
            let usage = agent.watch_watchers(now, &aor.uri, self.expires);
            self.usages.insert(usage, index);
        }
    }

    fn event(&mut self, agent: &mut Agent, now: Instant, event: Event) {
        self.heard = true;
        let Some(aor) = self.aor(event_usage(&event)) else {
            return;
        };
        match event {
            Event::Watcher {
                id,
                watcher,
                display_name,
                status,
                event,
                ..
            } if self.left != Some(0) => {
                let change = Change {
                    id: &id,
                    watcher: &watcher,
                    display_name: display_name.as_deref(),
                    status,
                    event: event.as_deref(),
                };
                self.show(&aor, &change);
                self.left = self.left.map(|left| left.saturating_sub(1));
                if self.left == Some(0) || self.terminal.is_closed() {
                    agent.stop_all(now);
                }
            }
            Event::Again { why, after, .. } => {
                let line = match after.is_zero() {
                    true => format!("{}: {why}; trying again", aor.shown),
                    false => format!("{}: {why}; trying again in {}", aor.shown, span(after)),
                };
                self.terminal.talk(&line);
            }
            Event::Ended { end, .. } => self.ended(&aor, &end),
            _ => {}
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

impl WatchingWatchers {
    fn ended(&mut self, aor: &Aor, end: &End) {
        let (code, message) = verdict(end, &self.server);
        self.code = self.code.max(code);
        let message = match end {
            End::Refused { status: 403, .. } => Some(
                "refused: 403: only who may see somebody is told of it, and only about herself"
                    .to_owned(),
            ),
            _ => message,
        };
        if let Some(message) = message {
            self.terminal.talk(&format!("{}: {message}", aor.shown));
        }
    }
}

const fn event_usage(event: &Event) -> UsageId {
    match event {
        Event::Published { usage, .. }
        | Event::Accepted { usage, .. }
        | Event::Notified { usage, .. }
        | Event::Watcher { usage, .. }
        | Event::Again { usage, .. }
        | Event::Ended { usage, .. } => *usage,
    }
}
