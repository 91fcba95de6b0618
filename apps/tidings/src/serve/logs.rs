//! Logs: one line an event on stderr, text for people, JSON for collectors; users by name or by a keyed hash.

use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::io::{IsTerminal, Write as _, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use configuration::{Identities, Log, LogFormat};
use machine::happening::USERS;
use machine::{Cause, Now, Wall};
use node::{Clock, Happening, Observer};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::calendar::rfc3339;

/// Under this target `log.level` and `TIDINGS_LOG` find everything that happens in a node.
const TARGET: &str = "sip";

/// 8 KiB of one line are more than anybody reads; a peer's words may be in it. Beyond it: cut.
const LINE_BYTES_MAX: usize = 8192;

/// The logs, whose level and naming a reload may change.
pub(crate) struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    is_hashed: Arc<AtomicBool>,
    lines: Arc<Lines>,
}

impl Logs {
    /// From now on everything that happens goes to stderr.
    pub(crate) fn begin(log: &Log, clock: Clock) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(filter(log)?);
        let terminal = stderr().is_terminal();
        let is_hashed = Arc::new(AtomicBool::new(log.identities == Identities::Hashed));
        let lines = Arc::new(Lines {
            clock,
            is_json: match log.format {
                LogFormat::Auto => !terminal,
                LogFormat::Text => false,
                LogFormat::Json => true,
            },
            // https://no-color.org: any value but an empty one.
            is_coloured: terminal && crate::commands::environment("NO_COLOR").is_none(),
            hash: Hash {
                is_on: Arc::clone(&is_hashed),
                key: RandomState::new(),
            },
        });
        // A second subscriber in one process can only come from a test; the first one stays.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(Layered(Arc::clone(&lines)))
            .try_init();
        Ok(Self {
            filter: handle,
            is_hashed,
            lines,
        })
    }

    /// Who writes down what happens in a node.
    pub(crate) fn lines(&self) -> Arc<Lines> {
        Arc::clone(&self.lines)
    }

    /// Another level and another way of naming users from now on.
    pub(crate) fn change(&self, log: &Log) {
        self.is_hashed
            .store(log.identities == Identities::Hashed, Ordering::Relaxed);
        if let Ok(filter) = filter(log) {
            let _ = self.filter.reload(filter);
        }
    }
}

fn filter(log: &Log) -> Result<EnvFilter, String> {
    let directives = log.filter.as_deref().unwrap_or_else(|| log.level.name());
    EnvFilter::try_new(directives).map_err(|error| format!("{directives}: {error}"))
}

/// Names users by numbers that mean the same user as long as the process lives, and nobody afterwards.
struct Hash {
    is_on: Arc<AtomicBool>,
    key: RandomState,
}

impl Hash {
    fn of(&self, identity: &str) -> String {
        format!("#{:016x}", self.key.hash_one(identity))
    }
}

/// Writes a line for each event.
pub(crate) struct Lines {
    clock: Clock,
    is_json: bool,
    is_coloured: bool,
    hash: Hash,
}

impl Lines {
    fn fields(&self) -> Fields<'_> {
        Fields {
            hash: self
                .hash
                .is_on
                .load(Ordering::Relaxed)
                .then_some(&self.hash),
            message: String::new(),
            others: Map::new(),
        }
    }

    fn write(&self, (level, target): (Level, &str), wall: Wall, fields: Fields<'_>) {
        let time = rfc3339(wall);
        let mut line = if self.is_json {
            json(level, target, &time, fields)
        } else {
            text(level, target, &time, fields, self.is_coloured)
        };
        line.push('\n');
        // Where nobody can read logs any more, there is nobody to tell.
        let _ = stderr().lock().write_all(line.as_bytes());
    }
}

/// Events of the program itself.
struct Layered(Arc<Lines>);

impl<S: Subscriber> Layer<S> for Layered {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = self.0.fields();
        event.record(&mut fields);
        let metadata = event.metadata();
        let wall = self.0.clock.now().wall;
        self.0
            .write((*metadata.level(), metadata.target()), wall, fields);
    }
}

/// What happens in a node, as its lists say.
impl Observer for Lines {
    fn wants_events(&self) -> bool {
        tracing::enabled!(target: TARGET, Level::DEBUG)
    }

    fn happened(&self, now: Now, cause: Cause, event: &Happening) {
        let mut fields = self.fields();
        fields.happened(cause, event);
        self.write((Level::DEBUG, TARGET), now.wall, fields);
    }
}

fn json(level: Level, target: &str, time: &str, fields: Fields<'_>) -> String {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), time.into());
    object.insert("level".to_owned(), level.as_str().into());
    object.insert("target".to_owned(), target.into());
    object.insert("message".to_owned(), fields.message.into());
    for (name, value) in fields.others {
        object.entry(name).or_insert(value);
    }
    Value::Object(object).to_string()
}

fn text(level: Level, target: &str, time: &str, fields: Fields<'_>, is_coloured: bool) -> String {
    let colour = match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        _ => "2",
    };
    let level = if is_coloured {
        format!("\x1b[{colour}m{level:5}\x1b[0m")
    } else {
        format!("{level:5}")
    };
    let mut line = format!("{time} {level} {target}: {}", escaped(&fields.message));
    for (name, value) in fields.others {
        let value = match value {
            Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => {
                escaped(&text)
            }
            other => escaped(&other.to_string()),
        };
        let _ = write!(line, " {name}={value}");
    }
    line
}

/// What a peer wrote must neither begin a line nor steer a terminal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default())
        } else {
            out.push(character)
        }
    }
    out
}

/// The fields of one event.
struct Fields<'h> {
    /// Where users are not named.
    hash: Option<&'h Hash>,
    message: String,
    others: Map<String, Value>,
}

impl Fields<'_> {
    fn happened(&mut self, cause: Cause, event: &Happening) {
        self.message = event.kind().name.to_owned();
        event.fields(&mut |name, value| match value {
            machine::happening::Value::Number(number) => {
                self.others.insert(name.to_owned(), number.into());
            }
            machine::happening::Value::Nothing => {}
            text => self.put(name, text.to_string()),
        });
        if cause.is_known() {
            self.others
                .insert("cause".to_owned(), cause.to_string().into());
        }
    }

    fn put(&mut self, field: &str, mut text: String) {
        if let Some(hash) = self.hash.filter(|_| USERS.contains(&field)) {
            text = hash.of(&text);
        }
        if text.len() > LINE_BYTES_MAX {
            let cut = (0..=LINE_BYTES_MAX)
                .rev()
                .find(|at| text.is_char_boundary(*at));
            text.truncate(cut.unwrap_or(0));
            text.push('…');
        }
        match field {
            "message" => self.message = text,
            name => {
                self.others.insert(name.to_owned(), text.into());
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what would be written.
    struct Kept {
        hash: Option<Hash>,
        is_json: bool,
        lines: Arc<Mutex<Vec<String>>>,
    }

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields {
                hash: self.hash.as_ref(),
                message: String::new(),
                others: Map::new(),
            };
            event.record(&mut fields);
            let metadata = event.metadata();
            let line = if self.is_json {
                json(*metadata.level(), metadata.target(), "T", fields)
            } else {
                text(*metadata.level(), metadata.target(), "T", fields, false)
            };
            self.lines.lock().unwrap().push(line);
        }
    }

    fn lines(hashed: bool, is_json: bool) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let hash = hashed.then(|| Hash {
            is_on: Arc::default(),
            key: RandomState::new(),
        });
        let kept = Kept {
            hash,
            is_json,
            lines: Arc::clone(&lines),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept), || {
            tracing::info!(target: "t", presentity = "sip:alice@example.com", why = "left\n\x1b[2J us", count = 3, "it {}", "ended");
            tracing::info!(target: "t", watcher = %"sip:alice@example.com", "again");
        });
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn a_line_is_one_line_whatever_a_peer_wrote() {
        assert_eq!(
            lines(false, false),
            [
                r#"T INFO  t: it ended count=3 presentity=sip:alice@example.com why="left\n\u001b[2J us""#,
                "T INFO  t: again watcher=sip:alice@example.com"
            ]
        );
        let json: Value = serde_json::from_str(&lines(false, true)[0]).unwrap();
        assert_eq!(json["why"], "left\n\x1b[2J us");
        assert_eq!(
            (&json["level"], &json["message"], &json["count"]),
            (&"INFO".into(), &"it ended".into(), &3.into())
        );
    }

    #[test]
    fn hashed_users_are_told_apart_and_not_named() {
        let lines = lines(true, false);
        assert!(
            lines.iter().all(|line| !line.contains("alice")),
            "{lines:?}"
        );
        let hash = |line: &str| line.split('#').nth(1).map(|rest| rest[..16].to_owned());
        assert_eq!(hash(&lines[0]), hash(&lines[1]));
        assert!(hash(&lines[0]).is_some());
    }

    #[test]
    fn what_happens_is_written_as_its_list_says_and_users_may_be_hidden() {
        let event = Happening::Events(events::Happened::NotifySent {
            presentity: "sip:alice@example.com".into(),
            watcher: "sip:bob@example.com".into(),
            cseq: 7,
            state: "active",
        });
        let hash = Hash {
            is_on: Arc::default(),
            key: RandomState::new(),
        };
        for hash in [None, Some(&hash)] {
            let mut fields = Fields {
                hash,
                message: String::new(),
                others: Map::new(),
            };
            fields.happened(Cause::before(0).next(), &event);
            let line = text(Level::DEBUG, TARGET, "T", fields, false);
            assert!(
                line.starts_with("T DEBUG sip: notify.sent cause=0-1 cseq=7 presentity="),
                "{line}"
            );
            assert_eq!(line.contains("alice"), hash.is_none(), "{line}");
            assert_eq!(
                line.contains("watcher=sip:bob@example.com"),
                hash.is_none(),
                "{line}"
            );
        }
    }
}
