//! From a file to a flow. A mistake is named with file and line, and what would be right.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::flow::{Actor, Flow, Handling, Needs, Profile, SERVER};
use crate::steps;

/// What is wrong with a flow's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// What, and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for Problem {}

/// A file of which lines can be named.
#[derive(Clone, Copy)]
pub(crate) struct Source<'t> {
    pub(crate) file: &'t str,
    pub(crate) text: &'t str,
}

impl<'t> Source<'t> {
    pub(crate) fn line(self, offset: usize) -> usize {
        let before = self
            .text
            .as_bytes()
            .get(..offset)
            .unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    pub(crate) fn problem(self, offset: usize, what: impl Into<String>) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line: self.line(offset),
            what: what.into(),
        }
    }
}

/// A value and where it stands.
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// One table, of which every key is asked for by name.
pub(crate) struct Table<'t> {
    pub(crate) source: Source<'t>,
    pub(crate) begin: usize,
    table: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    /// A table that has no other keys than these.
    pub(crate) fn new(
        source: Source<'t>,
        begin: usize,
        table: &'t DeTable<'t>,
        known: &[&str],
    ) -> Result<Self, Problem> {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let nearest = known.iter().min_by_key(|other| distance(name, other));
                let advice = match nearest.filter(|other| distance(name, other) <= 2) {
                    Some(other) => format!("{other} is meant?"),
                    None => format!("one of {} would be right", known.join(", ")),
                };
                return Err(
                    source.problem(key.span().start, format!("{name}: no such key; {advice}"))
                );
            }
        }
        Ok(Self {
            source,
            begin,
            table,
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Value<'t>> {
        self.table.get(key)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'t str>, Problem> {
        self.get(key)
            .map(|value| text(self.source, key, value))
            .transpose()
    }

    pub(crate) fn required(&self, key: &str, example: &str) -> Result<&'t str, Problem> {
        self.text(key)?.ok_or_else(|| {
            self.source.problem(
                self.begin,
                format!("{key} is missing; {key} = {example} would be right"),
            )
        })
    }

    pub(crate) fn number(&self, key: &str, otherwise: u32) -> Result<u32, Problem> {
        let Some(value) = self.get(key) else {
            return Ok(otherwise);
        };
        integer(value)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| {
                self.source.problem(
                    value.span().start,
                    format!("{key}: a whole number of seconds would be right"),
                )
            })
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&'t str>, Problem> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(all) = value.get_ref() else {
            return Err(self.source.problem(
                value.span().start,
                format!("{key}: a list like [\"…\"] would be right"),
            ));
        };
        all.iter().map(|one| text(self.source, key, one)).collect()
    }
}

pub(crate) fn text<'t>(
    source: Source<'t>,
    key: &str,
    value: &'t Value<'t>,
) -> Result<&'t str, Problem> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        _ => Err(source.problem(
            value.span().start,
            format!("{key}: text in quotes would be right"),
        )),
    }
}

pub(crate) fn integer(value: &Value<'_>) -> Option<i64> {
    let number = value.get_ref().as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Reads a flow from the text of a file.
pub fn read(file: &str, content: &str) -> Result<Flow, Problem> {
    let source = Source {
        file,
        text: content,
    };
    let table = DeTable::parse(content).map_err(|error| {
        let message = error
            .message()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        source.problem(
            error.span().map_or(0, |span| span.start),
            format!("not TOML: {message}"),
        )
    })?;
    let known = ["id", "title", "about", "clauses", "actors", "needs", "step"];
    let top = Table::new(source, 0, table.get_ref(), &known)?;
    let (actors, server_column) = actors(&top)?;
    let mut flow = Flow {
        file: file.to_owned(),
        id: top.required("id", "\"PS-1.0-int-M-0100\"")?.to_owned(),
        title: top
            .required("title", "\"a publication expires\"")?
            .to_owned(),
        about: top.text("about")?.unwrap_or_default().trim().to_owned(),
        clauses: top
            .texts("clauses")?
            .into_iter()
            .map(str::to_owned)
            .collect(),
        needs: needs(&top)?,
        actors,
        server_column,
        steps: Vec::new(),
    };
    flow.steps = steps::read(&top, &flow)?;
    Ok(flow)
}

/// `"watcher as bob"`, in order of columns; `"server"` is the one that is not ours.
fn actors(top: &Table<'_>) -> Result<(Vec<Actor>, usize), Problem> {
    let example = "actors = [\"source as alice\", \"server\", \"watcher as bob\"] would be right";
    let place = top.get("actors").map_or(0, |value| value.span().start);
    let wrong = |what: &str| {
        top.source
            .problem(place, format!("actors: {what}; {example}"))
    };
    let (mut actors, mut server): (Vec<Actor>, _) = (Vec::new(), None);
    for words in top.texts("actors")? {
        if words == SERVER {
            server = Some(actors.len());
            continue;
        }
        let (name, user) = words
            .split_once(" as ")
            .ok_or_else(|| wrong(&format!("{words:?} does not say as whom")))?;
        if actors.iter().any(|actor| actor.name == name) {
            return Err(wrong(&format!("{name} is there twice")));
        }
        actors.push(Actor {
            name: name.to_owned(),
            user: user.to_owned(),
        });
    }
    match server {
        _ if actors.is_empty() => Err(wrong("nobody takes part")),
        Some(column) => Ok((actors, column)),
        None => Err(wrong("the server is missing")),
    }
}

fn needs(top: &Table<'_>) -> Result<Needs, Problem> {
    let mut needs = Needs {
        publish_seconds_min: 1,
        publish_seconds_max: None,
        subscribe_seconds_min: 1,
        watchers: Handling::Allow,
        profile: Profile::Oma10,
        waiting_seconds: None,
    };
    let Some(value) = top.get("needs") else {
        return Ok(needs);
    };
    let DeValue::Table(table) = value.get_ref() else {
        return Err(top
            .source
            .problem(value.span().start, "needs: a table [needs] would be right"));
    };
    let known = [
        "publish_seconds_min",
        "subscribe_seconds_min",
        "publish_seconds_max",
        "watchers",
        "profile",
        "waiting_seconds",
    ];
    let table = Table::new(top.source, value.span().start, table, &known)?;
    needs.publish_seconds_min = table.number(known[0], 1)?;
    needs.subscribe_seconds_min = table.number(known[1], 1)?;
    if table.get(known[2]).is_some() {
        needs.publish_seconds_max = Some(table.number(known[2], 1)?);
    }
    if table.get(known[5]).is_some() {
        needs.waiting_seconds = Some(table.number(known[5], 1)?);
    }
    needs.profile = match table.text("profile")? {
        None | Some("oma-1.0") => Profile::Oma10,
        Some("rfc6665") => Profile::Rfc6665,
        Some(other) => {
            let place = table.get("profile").map_or(0, |value| value.span().start);
            return Err(top.source.problem(
                place,
                format!("profile: {other:?}; oma-1.0 or rfc6665 would be right"),
            ));
        }
    };
    needs.watchers = match table.text("watchers")? {
        None | Some("allow") => Handling::Allow,
        Some("confirm") => Handling::Confirm,
        Some("polite-block") => Handling::PoliteBlock,
        Some("block") => Handling::Block,
        Some(other) => {
            let place = table.get("watchers").map_or(0, |value| value.span().start);
            return Err(top.source.problem(
                place,
                format!(
                    "watchers: {other:?}; allow, confirm, polite-block or block would be right"
                ),
            ));
        }
    };
    Ok(needs)
}

/// How many letters two words differ by.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let (mut diagonal, mut left) = (index, index + 1);
        for (cell, there) in row.iter_mut().skip(1).zip(&other) {
            let here = (*cell + 1)
                .min(left + 1)
                .min(diagonal + usize::from(letter != *there));
            (diagonal, left) = (*cell, here);
            *cell = here;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
