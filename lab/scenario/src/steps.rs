//! The steps of a flow's file.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use crate::flow::{Asks, Body, Deed, Flow, Gets, Moment, Request, Sends, Step, Window};
use crate::matching::{Document, Expected, Fields, placeholders};
use crate::reading::{Problem, Source, Table, Value, integer, text};
use crate::watchers;

/// What a step may say, and what each kind of it.
const KEYS: [&str; 19] = [
    "name", "who", "sends", "in", "with", "service", "raw", "answer", "gets", "fields", "document",
    "when", "keep", "quiet", "waits", "note", "asks", "rules", "watchers",
];
/// The things of which a step does one.
const DEEDS: [&str; 5] = ["sends", "asks", "gets", "quiet", "waits"];
/// RFC 5025 §3.2.1.
const HANDLINGS: [&str; 4] = ["allow", "polite-block", "confirm", "block"];

/// A watcher who does not say who she is.
pub(crate) const ANONYMOUS: &str = "anonymous";

struct Steps<'t, 'f> {
    source: Source<'t>,
    flow: &'f Flow,
    /// Names of steps so far.
    names: BTreeSet<String>,
    /// What may stand in braces so far.
    kept: BTreeSet<String>,
}

pub(crate) fn read(top: &Table<'_>, flow: &Flow) -> Result<Vec<Step>, Problem> {
    let mut kept: BTreeSet<String> = flow.actors.iter().map(|actor| actor.user.clone()).collect();
    kept.insert("me".to_owned());
    let mut steps = Steps {
        source: top.source,
        flow,
        names: BTreeSet::new(),
        kept,
    };
    let missing = || {
        top.source.problem(
            0,
            "no steps; [[step]] with who and sends, asks, gets, quiet or waits would be right",
        )
    };
    let value = top.get("step").ok_or_else(missing)?;
    let DeValue::Array(all) = value.get_ref() else {
        return Err(missing());
    };
    all.iter().map(|value| steps.step(value)).collect()
}

impl<'t> Steps<'t, '_> {
    fn step(&mut self, value: &'t Value<'t>) -> Result<Step, Problem> {
        let begin = value.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self
                .source
                .problem(begin, "step: a table [[step]] would be right"));
        };
        let table = Table::new(self.source, begin, table, &KEYS)?;
        let deeds: Vec<&str> = DEEDS
            .into_iter()
            .filter(|key| table.get(key).is_some())
            .collect();
        let allowed: &[&str] = match deeds.as_slice() {
            ["sends"] => &["who", "in", "with", "service", "raw", "answer", "keep"],
            ["asks"] => &["who", "with", "rules", "raw", "answer", "keep"],
            ["gets"] => &["who", "fields", "document", "watchers", "when", "keep"],
            ["quiet"] => &["who"],
            ["waits"] => &[],
            _ => {
                return Err(self.source.problem(
                    begin,
                    format!(
                        "a step does one thing; exactly one of {} would be right",
                        DEEDS.join(", ")
                    ),
                ));
            }
        };
        for key in KEYS.iter().filter(|key| {
            !["name", "note"].contains(key) && !deeds.contains(key) && !allowed.contains(key)
        }) {
            if let Some(value) = table.get(key) {
                return Err(self.source.problem(
                    value.span().start,
                    format!(
                        "{key} does not go with {}; {} would",
                        deeds.join(""),
                        allowed.join(", ")
                    ),
                ));
            }
        }
        let deed = match deeds.as_slice() {
            ["sends"] => Deed::Sends(self.sends(&table)?),
            ["asks"] => Deed::Asks(self.asks(&table)?),
            ["gets"] => Deed::Gets(self.gets(&table)?),
            ["quiet"] => Deed::Quiet {
                who: if table.get("who").is_some() {
                    Some(self.who(&table)?)
                } else {
                    None
                },
                until: self.moment(&table, "quiet")?,
            },
            _ => Deed::Waits(self.moment(&table, "waits")?),
        };
        let name = table.text("name")?.map(str::to_owned);
        self.names.extend(name.clone());
        Ok(Step {
            line: self.source.line(begin),
            name,
            note: table.text("note")?.map(str::to_owned),
            deed,
        })
    }

    fn at(&self, table: &Table<'_>, key: &str, what: impl Into<String>) -> Problem {
        let place = table
            .get(key)
            .map_or(table.begin, |value| value.span().start);
        self.source
            .problem(place, format!("{key}: {}", what.into()))
    }

    fn who(&self, table: &Table<'_>) -> Result<usize, Problem> {
        let name = table.required("who", "\"watcher\"")?;
        let names = || {
            self.flow
                .actors
                .iter()
                .map(|actor| actor.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = self.flow.actors.iter().position(|actor| actor.name == name);
        found.ok_or_else(|| {
            self.at(
                table,
                "who",
                format!("nobody is called {name:?}; {} would be right", names()),
            )
        })
    }

    fn sends(&mut self, table: &Table<'t>) -> Result<Sends, Problem> {
        let who = self.who(table)?;
        let words = table.required("sends", "\"PUBLISH alice\"")?;
        let what = if words == "again" {
            Request::Again
        } else {
            let (method, to) = words.split_once(' ').ok_or_else(|| {
                self.at(
                    table,
                    "sends",
                    "a method and a user, like \"PUBLISH alice\", or \"again\", would be right",
                )
            })?;
            Request::New {
                method: method.to_owned(),
                to: to.to_owned(),
                dialog: table.text("in")?.unwrap_or("its dialog").to_owned(),
                with: self.with(table)?,
                body: self.body(table)?,
            }
        };
        Ok(Sends {
            who,
            what,
            answer: self.fields(table, "answer")?,
            keep: self.keep(table)?,
        })
    }

    fn asks(&mut self, table: &Table<'t>) -> Result<Asks, Problem> {
        let who = self.who(table)?;
        let words = table.required("asks", "\"GET pres-rules/users/{alice}/index\"")?;
        let (method, target) = words.split_once(' ').ok_or_else(|| {
            self.at(
                table,
                "asks",
                "a method and what is below the XCAP root, like \"GET pres-rules/users/{alice}/index\", would be right",
            )
        })?;
        if let Some(value) = table.get("asks") {
            self.braces(value, target)?;
        }
        Ok(Asks {
            who,
            method: method.to_owned(),
            target: target.to_owned(),
            with: self.with(table)?,
            body: self.body(table)?,
            answer: self.fields(table, "answer")?,
            keep: self.keep(table)?,
        })
    }

    fn gets(&mut self, table: &Table<'t>) -> Result<Gets, Problem> {
        Ok(Gets {
            who: self.who(table)?,
            method: table.required("gets", "\"NOTIFY\"")?.to_owned(),
            fields: self.fields(table, "fields")?,
            document: self.document(table)?,
            watchers: self.watchers(table)?,
            when: self.window(table)?,
            keep: self.keep(table)?,
        })
    }

    fn inner(
        &self,
        table: &Table<'t>,
        key: &str,
    ) -> Result<Vec<(&'t str, &'t Value<'t>)>, Problem> {
        let Some(value) = table.get(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Table(inner) = value.get_ref() else {
            return Err(self.at(table, key, "a table { … } would be right"));
        };
        let mut all: Vec<(usize, &str, &Value<'_>)> = inner
            .iter()
            .map(|(name, value)| (name.span().start, name.get_ref().as_ref(), value))
            .collect();
        all.sort_by_key(|(place, ..)| *place);
        Ok(all
            .into_iter()
            .map(|(_, name, value)| (name, value))
            .collect())
    }

    /// Every name in braces is known by now.
    fn braces(&self, value: &Value<'_>, words: &str) -> Result<(), Problem> {
        let unknown = placeholders(words)
            .into_iter()
            .find(|name| !self.kept.contains(*name));
        unknown.map_or(Ok(()), |name| {
            let known: Vec<&str> = self.kept.iter().map(String::as_str).collect();
            Err(self.source.problem(
                value.span().start,
                format!(
                    "{{{name}}} is not known here; one of {} would be right",
                    known.join(", ")
                ),
            ))
        })
    }

    fn with(&self, table: &Table<'t>) -> Result<Vec<(String, Option<String>)>, Problem> {
        let mut with = Vec::new();
        for (name, value) in self.inner(table, "with")? {
            let words = match (value.get_ref(), integer(value)) {
                (DeValue::Boolean(false), _) => None,
                (DeValue::String(words), _) => Some(words.to_string()),
                (_, Some(number)) => Some(number.to_string()),
                _ => {
                    return Err(self.source.problem(
                        value.span().start,
                        format!("{name}: text, a number, or false to leave it out would be right"),
                    ));
                }
            };
            self.braces(value, words.as_deref().unwrap_or_default())?;
            with.push((name.to_owned(), words));
        }
        Ok(with)
    }

    /// The texts of an inner table: each that is needed, and more that may be there.
    fn parts(
        &self,
        table: &Table<'t>,
        key: &str,
        needed: &[&str],
        more: &[&str],
    ) -> Result<Option<BTreeMap<&'t str, &'t str>>, Problem> {
        if table.get(key).is_none() {
            return Ok(None);
        }
        let mut parts = BTreeMap::new();
        for (name, value) in self.inner(table, key)? {
            parts.insert(name, text(self.source, name, value)?);
        }
        let is_known = |name: &&str| needed.contains(name) || more.contains(name);
        if parts.keys().all(is_known) && needed.iter().all(|name| parts.contains_key(name)) {
            Ok(Some(parts))
        } else {
            Err(self.at(
                table,
                key,
                format!("{{ {} = … }} would be right", needed.join(" = …, ")),
            ))
        }
    }

    fn body(&self, table: &Table<'t>) -> Result<Body, Problem> {
        let service = self.parts(table, "service", &["id", "basic", "note"], &["contact"])?;
        if table.get("rules").is_some() {
            return self.rules(table);
        }
        let raw = self.parts(table, "raw", &["type", "text"], &[])?;
        let of = |parts: &BTreeMap<&str, &str>, key: &str| {
            parts.get(key).copied().unwrap_or_default().to_owned()
        };
        match (service, raw) {
            (None, None) => Ok(Body::Nothing),
            (Some(parts), None) => Ok(Body::Service {
                id: of(&parts, "id"),
                basic: of(&parts, "basic"),
                note: of(&parts, "note"),
                contact: parts.get("contact").map(|contact| (*contact).to_owned()),
            }),
            (None, Some(parts)) => Ok(Body::Raw {
                content_type: of(&parts, "type"),
                text: of(&parts, "text"),
            }),
            (Some(_), Some(_)) => {
                Err(self.at(table, "raw", "service or raw, one of them would be right"))
            }
        }
    }

    /// `rules = { bob = "allow", carol = "block" }`.
    fn rules(&self, table: &Table<'t>) -> Result<Body, Problem> {
        let mut rules = Vec::new();
        for (user, value) in self.inner(table, "rules")? {
            let handling = text(self.source, user, value)?;
            if !self.kept.contains(user) || !HANDLINGS.contains(&handling) {
                return Err(self.source.problem(
                    value.span().start,
                    format!(
                        "{user} = {handling:?}; a user of this flow, and one of {}, would be right",
                        HANDLINGS.join(", ")
                    ),
                ));
            }
            rules.push((user.to_owned(), handling.to_owned()));
        }
        if table.get("raw").is_some() {
            return Err(self.at(table, "raw", "rules or raw, one of them would be right"));
        }
        Ok(Body::Rules(rules))
    }

    /// `watchers = { state = "full", version = 0, who = ["bob pending subscribe"] }`.
    fn watchers(&self, table: &Table<'t>) -> Result<Option<watchers::Expected>, Problem> {
        let Some(value) = table.get("watchers") else {
            return Ok(None);
        };
        let wrong = || {
            self.at(
                table,
                "watchers",
                "{ state = \"full\", version = 0, who = [\"bob pending subscribe\"] } would be right; state is full or partial, who may be nobody",
            )
        };
        let DeValue::Table(inner) = value.get_ref() else {
            return Err(wrong());
        };
        let known = ["state", "version", "who"];
        let inner = Table::new(self.source, value.span().start, inner, &known)?;
        let mut who = Vec::new();
        for one in inner.texts("who")? {
            let words: Vec<&str> = one.split_whitespace().collect();
            let [user, status, event] = words.as_slice() else {
                return Err(wrong());
            };
            if *user != ANONYMOUS && !self.kept.contains(*user) {
                return Err(wrong());
            }
            who.push([user, status, event].map(|word| (*word).to_owned()));
        }
        let version = inner.get("version").map(|_| inner.number("version", 0));
        Ok(Some(watchers::Expected {
            is_full: match inner.text("state")? {
                None => None,
                Some("full") => Some(true),
                Some("partial") => Some(false),
                Some(_) => return Err(wrong()),
            },
            version: version.transpose()?.map(u64::from),
            who,
        }))
    }

    fn fields(&self, table: &Table<'t>, key: &str) -> Result<Fields, Problem> {
        let mut fields = Fields::new();
        for (name, value) in self.inner(table, key)? {
            let wrong = || {
                self.source.problem(value.span().start, format!("{name}: text, \"<= N\", \">= N\", \"not TEXT\", a number, a list, true (there) or false (absent) would be right"))
            };
            let expected = match (value.get_ref(), integer(value)) {
                (DeValue::Boolean(true), _) => Expected::Present,
                (DeValue::Boolean(false), _) => Expected::Absent,
                (_, Some(number)) => Expected::Equal(number.to_string()),
                (DeValue::String(words), _) => self.expected(value, words).ok_or_else(wrong)?,
                (DeValue::Array(all), _) => Expected::Lists(
                    all.iter()
                        .map(|one| text(self.source, name, one).map(str::to_owned))
                        .collect::<Result<_, _>>()?,
                ),
                _ => return Err(wrong()),
            };
            if let Expected::Equal(words) | Expected::Not(words) = &expected {
                self.braces(value, words)?;
            }
            fields.push((name.to_owned(), expected));
        }
        if key == "answer"
            && !fields.iter().any(|(name, _)| name == "status")
            && table.text("sends")? != Some("again")
        {
            return Err(self.at(
                table,
                key,
                "an answer without status; { status = 200 } would be right",
            ));
        }
        Ok(fields)
    }

    fn expected(&self, _value: &Value<'_>, words: &str) -> Option<Expected> {
        if let Some(most) = words.strip_prefix("<=") {
            return most.trim().parse().ok().map(Expected::AtMost);
        }
        if let Some(least) = words.strip_prefix(">=") {
            return least.trim().parse().ok().map(Expected::AtLeast);
        }
        Some(match words.strip_prefix("not ") {
            Some(other) => Expected::Not(other.to_owned()),
            None => Expected::Equal(words.to_owned()),
        })
    }

    fn document(&self, table: &Table<'t>) -> Result<Option<Document>, Problem> {
        let Some(value) = table.get("document") else {
            return Ok(None);
        };
        if let DeValue::String(words) = value.get_ref() {
            self.braces(value, words)?;
            return match (words.as_ref(), placeholders(words).as_slice()) {
                ("nothing", _) => Ok(Some(Document::Nothing)),
                ("neutral", _) => Ok(Some(Document::Neutral)),
                (_, [name]) => Ok(Some(Document::Same((*name).to_owned()))),
                _ => Err(self.at(table, "document", "\"neutral\", \"nothing\", \"{what was kept}\" or { basics = […], notes = […], no_notes = […] } would be right")),
            };
        }
        let DeValue::Table(inner) = value.get_ref() else {
            return Err(self.at(table, "document", "text or a table would be right"));
        };
        let inner = Table::new(
            self.source,
            value.span().start,
            inner,
            &["basics", "notes", "no_notes"],
        )?;
        let texts = |key: &str| -> Result<Vec<String>, Problem> {
            Ok(inner.texts(key)?.into_iter().map(str::to_owned).collect())
        };
        Ok(Some(Document::Says {
            basics: if inner.get("basics").is_some() {
                Some(texts("basics")?)
            } else {
                None
            },
            notes: texts("notes")?,
            no_notes: texts("no_notes")?,
        }))
    }

    fn keep(&mut self, table: &Table<'t>) -> Result<BTreeMap<String, String>, Problem> {
        let mut keep = BTreeMap::new();
        for (name, value) in self.inner(table, "keep")? {
            keep.insert(name.to_owned(), text(self.source, name, value)?.to_owned());
            self.kept.insert(name.to_owned());
        }
        Ok(keep)
    }

    /// `"0.2 s"`, or `"1.5 s after published"`.
    fn moment(&self, table: &Table<'_>, key: &str) -> Result<Moment, Problem> {
        let words = table.required(key, "\"0.2 s\"")?;
        let (time, after) = match words.split_once(" after ") {
            Some((time, after)) => (time, Some(self.known(table, key, after)?)),
            None => (words, None),
        };
        let micros = micros(time).ok_or_else(|| {
            self.at(
                table,
                key,
                format!("{time:?} is no time; \"0.2 s\" or \"1.5 s after STEP\" would be right"),
            )
        })?;
        Ok(Moment { after, micros })
    }

    /// `"2 s .. 3 s after published"`.
    fn window(&self, table: &Table<'_>) -> Result<Option<Window>, Problem> {
        let Some(words) = table.text("when")? else {
            return Ok(None);
        };
        let wrong = || {
            self.at(
                table,
                "when",
                format!("{words:?} is no span of time; \"2 s .. 3 s after STEP\" would be right"),
            )
        };
        let (span, after) = words.split_once(" after ").ok_or_else(wrong)?;
        let (from, to) = span.split_once("..").ok_or_else(wrong)?;
        let (from, to) = (
            micros(from).ok_or_else(wrong)?,
            micros(to).ok_or_else(wrong)?,
        );
        let after = self.known(table, "when", after)?;
        Ok(Some(Window { after, from, to }))
    }

    fn known(&self, table: &Table<'_>, key: &str, step: &str) -> Result<String, Problem> {
        let names = || {
            self.names
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        if self.names.contains(step) {
            Ok(step.to_owned())
        } else {
            Err(self.at(
                table,
                key,
                format!(
                    "no earlier step is called {step:?}; one of {} would be right",
                    names()
                ),
            ))
        }
    }
}

/// `1.5 s` in microseconds; at most an hour.
fn micros(words: &str) -> Option<u64> {
    let seconds: f64 = words.trim().strip_suffix('s')?.trim().parse().ok()?;
    (0.0..=3600.0)
        .contains(&seconds)
        .then_some((seconds * 1e6) as u64)
}
