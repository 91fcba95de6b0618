//! The walk over a file beside the table of keys: names, kinds, ranges, choices, and what is not built yet.

use toml::de::DeValue;

use crate::document::{Item, Section, rendered};
use crate::keys::{self, Key, Kind, State};
use crate::nearest::nearest;
use crate::problems::Problem;

/// 1000 problems are enough for anybody; a file of nothing but mistakes must not fill the memory.
pub(crate) const PROBLEMS_MAX: usize = 1000;

/// What an unbuilt thing is told.
pub(crate) const NOT_BUILT: &str = "not built yet; leave it out";

/// Checks a table and everything in it.
pub(crate) fn table(section: &Section<'_>, keys: &[Key], problems: &mut Vec<Problem>) {
    Walk {
        problems,
        silent: false,
    }
    .table(section, keys);
}

struct Walk<'p> {
    problems: &'p mut Vec<Problem>,
    /// Inside something that is not built yet: only names are checked.
    silent: bool,
}

impl Walk<'_> {
    fn say(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    fn table(&mut self, section: &Section<'_>, keys: &[Key]) {
        for (name, span, item) in section.entries() {
            let place = section.text.place(span.start);
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                let advice = unknown(section, name, keys);
                self.say(place.problem(&item.path, format!("no such key; {advice}")));
                continue;
            };
            match key.state {
                State::Built => self.value(&item, &key.kind),
                State::Reserved => {
                    self.say(place.problem(&item.path, format!("reserved and {NOT_BUILT}")));
                }
                State::NotBuilt => {
                    if !self.silent {
                        self.say(place.problem(&item.path, NOT_BUILT));
                    }
                    Walk {
                        problems: self.problems,
                        silent: true,
                    }
                    .value(&item, &key.kind);
                }
            }
        }
    }

    fn value(&mut self, item: &Item<'_>, kind: &Kind) {
        match kind {
            Kind::Text => self.expect(item, item.string().is_some(), "a string"),
            Kind::Flag => self.expect(item, item.flag().is_some(), "true or false"),
            Kind::Number { min, max } => self.number(item, *min, *max),
            Kind::Choice(words) => self.choice(item, words),
            Kind::List(inner) => {
                self.expect(item, item.array().is_some(), "a list: [ … ]");
                if item.array().is_some() {
                    item.elements()
                        .iter()
                        .for_each(|element| self.value(element, inner));
                }
            }
            Kind::OneOrMore(inner) => item
                .elements()
                .iter()
                .for_each(|element| self.value(element, inner)),
            Kind::TextOrTable(keys) => match item.section() {
                Some(section) => self.table(&section, keys),
                None => self.expect(
                    item,
                    item.string().is_some(),
                    "a string, or a table: { bind = … }",
                ),
            },
            Kind::Table(keys) => match item.section() {
                Some(section) => self.table(&section, keys),
                None => self.expect(item, false, "a table"),
            },
            Kind::Map(inner) => match item.section() {
                Some(section) => section
                    .entries()
                    .iter()
                    .for_each(|(_, _, item)| self.value(item, inner)),
                None => self.expect(item, false, "a table"),
            },
            Kind::Tables(keys) => match item.section() {
                Some(section) => {
                    for (_, _, item) in section.entries() {
                        self.value(&item, &Kind::Table(keys));
                    }
                }
                None => self.expect(item, false, "a table"),
            },
        }
    }

    fn expect(&mut self, item: &Item<'_>, fits: bool, wanted: &str) {
        if !fits && !self.silent {
            self.say(item.problem(format!("{} where {wanted} belongs", what(item.value))));
        }
    }

    fn number(&mut self, item: &Item<'_>, min: i128, max: i128) {
        match item.number() {
            Some(number) if (min..=max).contains(&number) || self.silent => {}
            Some(number) => {
                self.say(item.problem(format!("{number} is out of range; {min} to {max}")))
            }
            None => self.expect(item, false, "a whole number"),
        }
    }

    fn choice(&mut self, item: &Item<'_>, words: &[(&str, bool)]) {
        let Some(written) = item.string() else {
            return self.expect(item, false, "a string");
        };
        if self.silent {
            return;
        }
        match words.iter().find(|(word, _)| *word == written) {
            Some((_, true)) => {}
            Some((word, false)) => self.say(item.problem(format!("\"{word}\" is {NOT_BUILT}"))),
            None => {
                let advice = match nearest(written, words.iter().map(|(word, _)| *word)) {
                    Some((word, _)) => format!("\"{word}\" is meant?"),
                    None => {
                        let words: Vec<String> = words
                            .iter()
                            .map(|(word, _)| format!("\"{word}\""))
                            .collect();
                        format!("one of {}", words.join(", "))
                    }
                };
                self.say(item.problem(format!(
                    "{} is none of its values; {advice}",
                    rendered(item.value)
                )));
            }
        }
    }
}

/// Which key was meant by `name`: the nearest of its own table, unless one elsewhere is nearer.
fn unknown(section: &Section<'_>, name: &str, keys: &[Key]) -> String {
    let here = nearest(name, keys.iter().map(|key| key.name));
    // Inside lists and maps other tables are too far away to be meant.
    let paths = if section.path.contains(['[', '"']) {
        Vec::new()
    } else {
        keys::every_path()
    };
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let lasts: Vec<(String, &String)> = paths.iter().map(|path| (last(path), path)).collect();
    let elsewhere = nearest(name, lasts.iter().map(|(last, _)| last.as_str()));
    match (here, elsewhere) {
        (Some((here, near)), other) if other.is_none_or(|(_, far)| near <= far) => {
            format!("{here} is meant?")
        }
        (_, Some((meant, _))) => {
            let place = lasts
                .iter()
                .find(|(last, _)| last == meant)
                .map_or(meant, |(_, path)| path.as_str());
            format!("{place} is meant?")
        }
        _ => {
            let names: Vec<&str> = keys
                .iter()
                .filter(|key| key.state == State::Built)
                .map(|key| key.name)
                .collect();
            let place = if section.path.is_empty() {
                "the file".to_owned()
            } else {
                section.path.clone()
            };
            format!("{place} has {}", names.join(", "))
        }
    }
}

fn what(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
