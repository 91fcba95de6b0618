//! `tidings publish`: a presence source that a person drives.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::{Agent, Event, Hop, Operation, Publication, UsageId};
use bytes::Bytes;
use client::{Clock, Direction, Handler};
use documents::pidf::{self, Basic, Draft, Note};
use machine::Instant;

use crate::client_options::{Aor, BOUNDS, ClientOptions, drive, verdict};
use crate::exit;
use crate::terminal::{Terminal, span};

/// A document of one's own: as much as a server takes in one body, and then some.
const FILE_BYTES_MAX: u64 = 1 << 20;
const LINES: &str = "open [NOTE], closed [NOTE], note [TEXT] or activity [NAME] is meant";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Whose presence
    #[arg(value_name = "AOR")]
    aor: Aor,
    /// Whether she can be reached; open unless anything else is said
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// In words
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// What she does: a name of RFC 4480 (meeting, on-the-phone, …) or other words; may be repeated
    #[arg(long, value_name = "NAME")]
    activity: Vec<String>,
    /// A document of one's own instead; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["status", "note", "activity"])]
    pidf: Option<PathBuf>,
    /// Seconds to publish for at a time
    #[arg(long, value_name = "S", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    expires: u32,
    /// Print the entity-tag, leave the publication to expire
    #[arg(long)]
    once: bool,
    /// Change (or, with nothing said, refresh) the publication that has this entity-tag
    #[arg(long, value_name = "TAG")]
    if_match: Option<String>,
    /// Remove the publication that --if-match names
    #[arg(long, requires = "if_match", conflicts_with_all = ["status", "note", "activity", "pidf", "once"])]
    remove: bool,
    /// Partial publication (not built yet)
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Status {
    Open,
    Closed,
}

pub(crate) fn run(arguments: Arguments) -> u8 {
    let clock = Clock::new();
    let terminal = Terminal::new(clock);
    let usage = |message: &str| {
        terminal.talk(&format!("tidings: {message}"));
        exit::USAGE
    };
    if arguments.partial {
        return usage("--partial: not built yet");
    }
    if let Some(tag) = &arguments.if_match
        && (tag.is_empty()
            || !tag
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b','))
    {
        return usage("--if-match: that is no entity-tag; what publish --once printed is meant");
    }
    let document = match arguments.pidf.as_deref().map(read_document).transpose() {
        Ok(document) => document,
        Err(message) => return usage(&message),
    };
    let resource = std::slice::from_ref(&arguments.aor);
    let driver = match arguments
        .options
        .driver(&terminal, clock, resource, Some(&arguments.aor))
    {
        Ok(driver) => driver,
        Err(code) => return code,
    };
    let server = driver
        .addresses
        .first()
        .map_or_else(String::new, ToString::to_string);
    let source = format!("t{:08x}", clock.seed() & 0xffff_ffff);
    let mut publishing = Publishing::new(arguments, Terminal::new(clock), server, source, document);
    match drive(&terminal, &driver, &mut publishing) {
        Ok(()) => publishing.code,
        Err(code) => code,
    }
}

fn read_document(path: &Path) -> Result<Bytes, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    result.map_err(|error| format!("--pidf {shown}: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "--pidf {shown}: larger than {FILE_BYTES_MAX} bytes"
        ));
    }
    pidf::parse(&bytes, &BOUNDS).map_err(|unreadable| format!("--pidf {shown}: {unreadable}"))?;
    Ok(bytes.into())
}

struct Publishing {
    terminal: Terminal,
    server: String,
    aor: Aor,
    draft: Draft,
    /// `--pidf`: goes as it is.
    document: Option<Bytes>,
    expires: u32,
    once: bool,
    if_match: Option<String>,
    remove: bool,
    /// Nothing was said: with `if_match` that is a refresh.
    silent: bool,
    trace: bool,
    usage: Option<UsageId>,
    published: bool,
    troubled: bool,
    code: u8,
}

impl Publishing {
    fn new(
        arguments: Arguments,
        terminal: Terminal,
        server: String,
        source: String,
        document: Option<Bytes>,
    ) -> Self {
        let said = arguments.status.is_some()
            || arguments.note.is_some()
            || !arguments.activity.is_empty();
        let mut draft = Draft::new(arguments.aor.uri.clone(), source);
        draft.basic = Some(match arguments.status {
            Some(Status::Closed) => Basic::Closed,
            Some(Status::Open) | None => Basic::Open,
        });
        draft.notes = arguments.note.into_iter().map(note).collect();
        draft.activities = arguments.activity;
        Self {
            terminal,
            server,
            aor: arguments.aor,
            draft,
            silent: !said && document.is_none(),
            document,
            expires: arguments.expires,
            once: arguments.once,
            if_match: arguments.if_match,
            remove: arguments.remove,
            trace: arguments.options.trace,
            usage: None,
            published: false,
            troubled: false,
            code: exit::DONE,
        }
    }

    fn body(&mut self) -> Bytes {
        match &self.document {
            Some(document) => document.clone(),
            None => {
                self.draft.timestamp = Some(self.terminal.wall_millis());
                self.draft.write().into()
            }
        }
    }

    /// `open, at lunch`.
    fn said(&self) -> String {
        if self.document.is_some() {
            return "your document".to_owned();
        }
        let status = self.draft.basic.map(Basic::as_str).into_iter();
        let notes = self.draft.notes.iter().map(|note| note.text.as_str());
        let activities = self.draft.activities.iter().map(String::as_str);
        status
            .chain(notes)
            .chain(activities)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn published(
        &mut self,
        agent: &mut Agent,
        operation: Operation,
        tag: Option<&str>,
        expires: u32,
        took: Duration,
    ) {
        self.published = true;
        if self.once {
            match tag {
                Some(tag) => self.terminal.data(tag),
                None => {
                    self.terminal.talk(&format!(
                        "{}: published, but the server gave no entity-tag",
                        self.aor.shown
                    ));
                    self.code = exit::FAILED;
                }
            }
            if let Some(usage) = self.usage {
                agent.leave(usage);
            }
            return;
        }
        let said = self.said();
        let lasts = span(Duration::from_secs(u64::from(expires)));
        let took = span(took);
        match operation {
            Operation::Initial => {
                self.terminal.talk(&format!(
                    "{}: {said}; published for {lasts} at a time ({took})",
                    self.aor.shown
                ));
            }
            Operation::Modify => self
                .terminal
                .talk(&format!("{}: {said} ({took})", self.aor.shown)),
            Operation::Refresh if self.troubled => {
                self.terminal
                    .talk(&format!("{}: refreshed", self.aor.shown));
            }
            Operation::Refresh | Operation::Remove => {}
        }
        self.troubled = false;
    }
}

fn note(text: String) -> Note {
    Note {
        language: None,
        text,
    }
}

/// What a typed line does to the draft; `false`: it says nothing we know.
fn apply(draft: &mut Draft, line: &str) -> bool {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let words = || (!rest.is_empty()).then(|| rest.to_owned());
    match word {
        "open" | "closed" => {
            draft.basic = Basic::parse(word);
            // A status says it all: an old note would lie.
            draft.notes = words().into_iter().map(note).collect();
            draft.activities.clear();
        }
        "note" => draft.notes = words().into_iter().map(note).collect(),
        "activity" => draft.activities = words().into_iter().collect(),
        _ => return false,
    }
    true
}

impl Handler for Publishing {
    fn begin(&mut self, agent: &mut Agent, now: Instant) {
        self.usage = Some(match (&self.if_match, self.remove) {
            (Some(tag), true) => agent.remove(now, &self.aor.uri, tag),
            (if_match, _) => {
                let if_match = if_match.clone();
                let body = (if_match.is_none() || !self.silent).then(|| self.body());
                let publication = Publication {
                    resource: self.aor.uri.clone(),
                    expires: self.expires,
                    content_type: "application/pidf+xml".to_owned(),
                    body,
                    if_match,
                };
                agent.publish(now, publication)
            }
        });
    }

    fn event(&mut self, agent: &mut Agent, _now: Instant, event: Event) {
        match event {
            Event::Published {
                operation,
                entity_tag,
                expires,
                took,
                ..
            } => {
                self.published(agent, operation, entity_tag.as_deref(), expires, took);
            }
            Event::Again { why, after, .. } => {
                self.troubled = true;
                let again = if after.is_zero() {
                    "publishing anew".to_owned()
                } else {
                    format!("trying again in {}", span(after))
                };
                self.terminal
                    .talk(&format!("{}: {why}; {again}", self.aor.shown));
            }
            Event::Ended { end, .. } => {
                let (code, message) = verdict(&end, &self.server);
                self.code = code;
                if let Some(message) = message {
                    self.terminal
                        .talk(&format!("{}: {message}", self.aor.shown));
                }
            }
            Event::Accepted { .. } | Event::Notified { .. } | Event::Watcher { .. } => {}
        }
    }

    fn wants_lines(&self) -> bool {
        !self.once && !self.remove && self.document.is_none()
    }

    fn line(&mut self, agent: &mut Agent, now: Instant, line: &str) {
        if line.is_empty() {
            return;
        }
        let Some(usage) = self.usage.filter(|_| apply(&mut self.draft, line)) else {
            self.terminal
                .talk(&format!("'{line}' says nothing; {LINES}"));
            return;
        };
        let body = self.body();
        agent.change(now, usage, body);
    }

    fn give_up(&mut self) -> bool {
        !self.published
    }

    fn trace(&mut self, direction: Direction, hop: Hop, bytes: &[u8]) {
        if self.trace {
            self.terminal.trace(direction, hop, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_lines_change_the_draft() {
        let mut draft = Draft::new("sip:alice@example.com", "t1");
        let mut after = |line: &str| {
            let known = apply(&mut draft, line);
            let notes: Vec<_> = draft.notes.iter().map(|note| note.text.clone()).collect();
            (
                known,
                draft.basic,
                notes.join("|"),
                draft.activities.join("|"),
            )
        };
        let (open, closed) = (Some(Basic::Open), Some(Basic::Closed));
        let row = |known, basic, note: &str, activity: &str| {
            (known, basic, note.to_owned(), activity.to_owned())
        };
        assert_eq!(after("open"), row(true, open, "", ""));
        assert_eq!(after("activity meeting"), row(true, open, "", "meeting"));
        assert_eq!(
            after("note  at  lunch "),
            row(true, open, "at  lunch", "meeting")
        );
        assert_eq!(
            after("closed back at 3"),
            row(true, closed, "back at 3", "")
        );
        assert_eq!(after("gone"), row(false, closed, "back at 3", ""));
        assert_eq!(after("note"), row(true, closed, "", ""));
        assert_eq!(after("Open"), row(false, closed, "", ""));
    }
}
