//! The trace file: JSON lines, so that what was recorded can be drawn later. The first line names the actors, each further one is an entry.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::trace::{Actor, Arrival, Entry, Point, PointKind, Room, Trace, What};

/// The format's version, in the first line.
const VERSION: u64 = 1;

/// What is wrong with a trace file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Counts from 1.
    pub line: usize,
    /// What, and what would be right.
    pub what: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The trace as a file.
pub fn write(trace: &Trace) -> String {
    let head = json!({ "ladder": VERSION, "title": trace.title, "actors": trace.actors(), "forgotten": trace.forgotten() });
    let mut out = format!("{head}\n");
    for entry in trace.entries() {
        out.push_str(&entry_value(trace, entry).to_string());
        out.push('\n');
    }
    out
}

fn entry_value(trace: &Trace, entry: &Entry) -> Value {
    let name =
        |actor: &Actor| Value::from(trace.actors().get(actor.0).cloned().unwrap_or_default());
    let mut object = Map::new();
    object.insert("at_us".to_owned(), entry.at.into());
    let cause = match &entry.what {
        What::Message {
            from,
            to,
            over,
            bytes,
            arrival,
            cause,
        } => {
            object.insert("from".to_owned(), name(from));
            object.insert("to".to_owned(), name(to));
            object.insert("over".to_owned(), over.as_str().into());
            match arrival {
                Arrival::At(at) => object.insert("arrives_us".to_owned(), (*at).into()),
                Arrival::Lost => object.insert("lost".to_owned(), true.into()),
                Arrival::Unknown => None,
            };
            match std::str::from_utf8(bytes) {
                Ok(text) => object.insert("message".to_owned(), text.into()),
                Err(_) => object.insert("message_hex".to_owned(), hex(bytes).into()),
            };
            cause
        }
        What::Point(point) => {
            if let Some(actor) = &point.actor {
                object.insert("actor".to_owned(), name(actor));
            }
            object.insert(key(point.kind).to_owned(), point.text.as_str().into());
            if !point.fields.is_empty() {
                let fields = point
                    .fields
                    .iter()
                    .map(|(name, value)| json!([name, value]));
                object.insert("fields".to_owned(), fields.collect());
            }
            &point.cause
        }
    };
    if let Some(cause) = cause {
        object.insert("cause".to_owned(), cause.as_str().into());
    }
    Value::Object(object)
}

const KINDS: [PointKind; 5] = [
    PointKind::Event,
    PointKind::Timer,
    PointKind::Note,
    PointKind::Down,
    PointKind::Up,
];

const fn key(kind: PointKind) -> &'static str {
    match kind {
        PointKind::Event => "event",
        PointKind::Timer => "timer",
        PointKind::Note => "note",
        PointKind::Down => "down",
        PointKind::Up => "up",
    }
}

/// Reads a trace file; only as much is kept as there is room for.
pub fn read(text: &str, room: Room) -> Result<Trace, FileError> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let (_, first) = lines.next().ok_or_else(|| {
        wrong(
            0,
            "the file is empty; a line {\"ladder\":1,…} would be right",
        )
    })?;
    let head = object(0, first)?;
    if head.get("ladder").and_then(Value::as_u64) != Some(VERSION) {
        return Err(wrong(
            0,
            "the first line is no ladder's; {\"ladder\":1,\"title\":…,\"actors\":[…]} would be right",
        ));
    }
    let mut trace = Trace::new(
        head.get("title")
            .and_then(Value::as_str)
            .unwrap_or_default(),
    )
    .with_room(room);
    trace.forgot(
        head.get("forgotten")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
    );
    for name in head
        .get("actors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = name
            .as_str()
            .ok_or_else(|| wrong(0, "an actor that is no string; a name would be right"))?;
        trace.actor(name);
    }
    for (index, line) in lines {
        read_entry(&mut trace, index, &object(index, line)?)?;
    }
    Ok(trace)
}

fn read_entry(
    trace: &mut Trace,
    index: usize,
    entry: &Map<String, Value>,
) -> Result<(), FileError> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let number = |key: &str| entry.get(key).and_then(Value::as_u64);
    let at = number("at_us")
        .ok_or_else(|| wrong(index, "no at_us; microseconds as a number would be right"))?;
    if let Some(kind) = KINDS
        .into_iter()
        .find(|kind| entry.contains_key(key(*kind)))
    {
        let point = read_point(trace, kind, entry);
        trace.push(at, What::Point(point));
        return Ok(());
    }
    let bytes = match (text("message"), text("message_hex")) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(hex)) => unhex(hex)
            .ok_or_else(|| wrong(index, "message_hex is no hexadecimal text of whole bytes"))?,
        (None, None) => {
            return Err(wrong(
                index,
                "no message and no event, timer, note, down or up; one of them would be right",
            ));
        }
    };
    let (Some(from), Some(to)) = (text("from"), text("to")) else {
        return Err(wrong(
            index,
            "a message without from and to; names of actors would be right",
        ));
    };
    let arrival = match (
        number("arrives_us"),
        entry.get("lost").and_then(Value::as_bool),
    ) {
        (Some(at), _) => Arrival::At(at),
        (None, Some(true)) => Arrival::Lost,
        _ => Arrival::Unknown,
    };
    let what = What::Message {
        from: trace.actor(from),
        to: trace.actor(to),
        over: text("over").unwrap_or("udp").to_owned(),
        bytes,
        arrival,
        cause: text("cause").map(str::to_owned),
    };
    trace.push(at, what);
    Ok(())
}

fn read_point(trace: &mut Trace, kind: PointKind, entry: &Map<String, Value>) -> Point {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let actor = text("actor").map(|name| trace.actor(name));
    let mut point = Point::new(kind, actor, text(key(kind)).unwrap_or_default());
    point.cause = text("cause").map(str::to_owned);
    for field in entry
        .get("fields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |at: usize| {
            field
                .get(at)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        point.fields.push((part(0), part(1)));
    }
    point
}

fn wrong(index: usize, what: impl Into<String>) -> FileError {
    FileError {
        line: index + 1,
        what: what.into(),
    }
}

fn object(index: usize, line: &str) -> Result<Map<String, Value>, FileError> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(wrong(index, "no JSON object; {…} would be right")),
        Err(error) => Err(wrong(index, format!("no JSON: {error}"))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(value(*high)? << 4 | value(*low)?),
            _ => None,
        })
        .collect()
}
