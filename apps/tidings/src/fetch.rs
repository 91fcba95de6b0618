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
    let mut terminal = Terminal::new(clock);
    let fetched = match once(&arguments.options, &terminal, clock, &arguments.aor, None) {
        Ok(fetched) => fetched,
        Err(code) => return code,
    };
    let shown = &arguments.aor.shown;
    let mut code = exit::NO_ANSWER;
    if let Some(notified) = &fetched.notified {
        code = show(&mut terminal, &arguments, notified, fetched.pending);
    }
    if let Some((refused, message)) = fetched.refused {
        terminal.talk(&format!("{shown}: {message}"));
        code = refused;
    }
    code
}

/// What one SUBSCRIBE with Expires 0 brought.
#[derive(Default)]
pub(crate) struct Fetched {
    /// The NOTIFY, if one came.
    pub(crate) notified: Option<Notified>,
    /// RFC 3265's 202, or Subscription-State itself: nobody has decided yet.
    pub(crate) pending: bool,
    /// Why it went wrong, and with which exit code.
    pub(crate) refused: Option<(u8, String)>,
}

/// Fetches once. `itself`: who asks where `--as` does not say; the exit code of what has been told already, else what came.
pub(crate) fn once(
    options: &ClientOptions,
    terminal: &Terminal,
    clock: Clock,
    aor: &Aor,
    itself: Option<&Aor>,
) -> Result<Fetched, u8> {
    let driver = options.driver(terminal, clock, std::slice::from_ref(aor), itself)?;
    let server = driver
        .addresses
        .first()
        .map_or_else(String::new, ToString::to_string);
    let mut fetching = Fetching {
        terminal: Terminal::new(clock),
        server,
        uri: aor.uri.clone(),
        trace: options.trace,
        fetched: Fetched::default(),
    };
    drive(terminal, &driver, &mut fetching)?;
    Ok(fetching.fetched)
}

/// Shows a document, or why there is none; the exit code.
fn show(terminal: &mut Terminal, arguments: &Arguments, notified: &Notified, pending: bool) -> u8 {
    let body = &*notified.body;
    let rejected = notified
        .reason
        .as_deref()
        .is_some_and(|reason| reason.eq_ignore_ascii_case("rejected"));
    if !body.is_empty() {
        if arguments.json {
            let state = if pending { "pending" } else { "active" };
            let summary = Summary::read(body, &BOUNDS).ok();
            let time = terminal.wall_millis();
            let object = document_object(
                &arguments.aor.uri,
                time,
                state,
                None,
                notified.content_type.as_deref(),
                body,
                summary.as_ref(),
            );
            terminal.data(&object.to_string());
        } else {
            terminal.document(body);
        }
    }
    let why = match (rejected, pending, body.is_empty()) {
        (true, ..) => Some("refused: rejected"),
        (_, true, _) => Some("pending: nobody has decided yet whether we may see it"),
        (_, _, true) => Some("no document came: pending, or nothing to see"),
        _ => None,
    };
    if let Some(why) = why {
        terminal.talk(&format!("{}: {why}", arguments.aor.shown));
        exit::REFUSED
    } else {
        exit::DONE
    }
}

struct Fetching {
    terminal: Terminal,
    server: String,
    uri: String,
    trace: bool,
    /// Judged at the end only, since a 2xx that comes after the NOTIFY tells what it is worth.
    fetched: Fetched,
}

/// A NOTIFY.
pub(crate) struct Notified {
    phase: Phase,
    reason: Option<String>,
    content_type: Option<String>,
    pub(crate) body: Bytes,
}

impl Handler for Fetching {
    fn begin(&mut self, agent: &mut Agent, now: Instant) {
        agent.watch(now, &self.uri, 0);
    }

    fn event(&mut self, _agent: &mut Agent, _now: Instant, event: Event) {
        match event {
            Event::Accepted { status, .. } => self.fetched.pending |= status == 202,
            Event::Notified {
                phase,
                reason,
                content_type,
                body,
                ..
            } => {
                self.fetched.notified = Some(Notified {
                    phase,
                    reason,
                    content_type,
                    body,
                });
            }
            Event::Ended { end, .. } => {
                let fetched = &mut self.fetched;
                let phase = fetched.notified.as_ref().map(|notified| notified.phase);
                fetched.pending |= phase == Some(Phase::Pending);
                let (code, message) = verdict(&end, &self.server);
                fetched.refused = message.map(|message| (code, message));
            }
            Event::Again { .. } | Event::Published { .. } | Event::Watcher { .. } => {}
        }
    }

    fn give_up(&mut self) -> bool {
        self.fetched.notified.is_none()
    }

    fn trace(&mut self, direction: Direction, hop: Hop, bytes: &[u8]) {
        if self.trace {
            self.terminal.trace(direction, hop, bytes);
        }
    }
}
