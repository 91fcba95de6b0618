//! `tidings fetch`: one document, once.

use agent::{Agent, Event, Hop, Phase};
use bytes::Bytes;
use client::{Clock, Direction, Handler};
use documents::pidf::Summary;
use machine::Instant;

use crate::client_options::{Aor, BOUNDS, ClientOptions, drive, verdict};
use crate::exit;
use crate::terminal::Terminal;
use crate::watch::document_object;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Whose presence
    #[arg(value_name = "AOR")]
    aor: Aor,
    /// As a JSON object instead of the document itself
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ClientOptions,
}

pub(crate) fn run(arguments: Arguments) -> u8 {
    let clock = Clock::new();
    let terminal = Terminal::new(clock);
    let resource = std::slice::from_ref(&arguments.aor);
    let driver = match arguments.options.driver(&terminal, clock, resource, None) {
        Ok(driver) => driver,
        Err(code) => return code,
    };
    let server = driver
        .addresses
        .first()
        .map_or_else(String::new, ToString::to_string);
    let mut fetching = Fetching {
        terminal: Terminal::new(clock),
        server,
        aor: arguments.aor,
        json: arguments.json,
        trace: arguments.options.trace,
        pending: false,
        notified: None,
        code: exit::NO_ANSWER,
    };
    match drive(&terminal, &driver, &mut fetching) {
        Ok(()) => fetching.code,
        Err(code) => code,
    }
}

struct Fetching {
    terminal: Terminal,
    server: String,
    aor: Aor,
    json: bool,
    trace: bool,
    /// RFC 3265's 202, or Subscription-State itself: nobody has decided yet.
    pending: bool,
    /// The NOTIFY: shown at the end, since a 2xx that comes after it tells what it is worth.
    notified: Option<Notified>,
    code: u8,
}

struct Notified {
    phase: Phase,
    reason: Option<String>,
    content_type: Option<String>,
    body: Bytes,
}

impl Fetching {
    fn show(&mut self, notified: &Notified) {
        let body = &*notified.body;
        self.pending |= notified.phase == Phase::Pending;
        let rejected = notified
            .reason
            .as_deref()
            .is_some_and(|reason| reason.eq_ignore_ascii_case("rejected"));
        if !body.is_empty() {
            if self.json {
                let state = if self.pending { "pending" } else { "active" };
                let summary = Summary::read(body, &BOUNDS).ok();
                let time = self.terminal.wall_millis();
                let object = document_object(
                    &self.aor.uri,
                    time,
                    state,
                    None,
                    notified.content_type.as_deref(),
                    body,
                    summary.as_ref(),
                );
                self.terminal.data(&object.to_string());
            } else {
                self.terminal.document(body);
            }
        }
        let why = match (rejected, self.pending, body.is_empty()) {
            (true, ..) => Some("refused: rejected"),
            (_, true, _) => Some("pending: nobody has decided yet whether we may see it"),
            (_, _, true) => Some("no document came: pending, or nothing to see"),
            _ => None,
        };
        self.code = if why.is_some() {
            exit::REFUSED
        } else {
            exit::DONE
        };
        if let Some(why) = why {
            self.terminal.talk(&format!("{}: {why}", self.aor.shown));
        }
    }
}

impl Handler for Fetching {
    fn begin(&mut self, agent: &mut Agent, now: Instant) {
        agent.watch(now, &self.aor.uri, 0);
    }

    fn event(&mut self, _agent: &mut Agent, _now: Instant, event: Event) {
        match event {
            Event::Accepted { status, .. } => self.pending |= status == 202,
            Event::Notified {
                phase,
                reason,
                content_type,
                body,
                ..
            } => {
                self.notified = Some(Notified {
                    phase,
                    reason,
                    content_type,
                    body,
                });
            }
            Event::Ended { end, .. } => {
                if let Some(notified) = self.notified.take() {
                    self.show(&notified);
                }
                let (code, message) = verdict(&end, &self.server);
                if let Some(message) = message {
                    self.code = code;
                    self.terminal
                        .talk(&format!("{}: {message}", self.aor.shown));
                }
            }
            Event::Again { .. } | Event::Published { .. } => {}
        }
    }

    fn give_up(&mut self) -> bool {
        self.notified.is_none()
    }

    fn trace(&mut self, direction: Direction, hop: Hop, bytes: &[u8]) {
        if self.trace {
            self.terminal.trace(direction, hop, bytes);
        }
    }
}
