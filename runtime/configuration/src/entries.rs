//! Every key in force: its value, its default, where it came from. What `check --print` shows and a reload compares.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::document::{Item, Section, join, rendered};
use crate::keys::{Key, Kind, State};

/// Who decided the value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nobody: the default.
    Default,
    /// `file:line`.
    File(String),
    /// The demo, which stands in for a file.
    Demo,
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Demo => f.write_str("demo"),
            Self::Flag(name) => f.write_str(name),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// One key in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The key in full: `presence.profile`.
    pub key: String,
    /// Its value, as TOML on one line.
    pub value: String,
    /// Its default, as TOML or in words.
    pub default: String,
    /// Who decided.
    pub origin: Origin,
    /// Whether a change waits for a restart.
    pub restart: bool,
    /// What it means; for a bound its arithmetic and its answer.
    pub about: String,
    /// What the value stands for beyond its text (the content of a file that it names); only compared.
    #[serde(skip)]
    pub content: String,
}

/// What a reload changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Keys whose new value is in force at once.
    pub taken: Vec<String>,
    /// Keys whose new value waits for a restart.
    pub waiting: Vec<String>,
}

impl Changes {
    pub(crate) fn between(old: &[Entry], new: &[Entry]) -> Self {
        let by_key = |entries: &[Entry]| -> BTreeMap<String, Entry> {
            entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.clone()))
                .collect()
        };
        let (old, new) = (by_key(old), by_key(new));
        let same = |key: &str| match (old.get(key), new.get(key)) {
            (Some(a), Some(b)) => a.value == b.value && a.content == b.content,
            _ => false,
        };
        let mut changes = Self::default();
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys.into_iter().filter(|key| !same(key)) {
            let restart = old
                .get(key)
                .or_else(|| new.get(key))
                .is_some_and(|entry| entry.restart);
            if restart {
                changes.waiting.push(key.clone())
            } else {
                changes.taken.push(key.clone())
            }
        }
        changes
    }
}

/// TOML that would bring the same configuration about, each key with its default and origin.
pub(crate) fn print(entries: &[Entry]) -> String {
    let width = entries
        .iter()
        .map(|entry| entry.key.chars().count() + entry.value.chars().count() + 3)
        .filter(|width| *width <= 60)
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for entry in entries {
        if entry.origin == Origin::Default && !is_toml(entry) {
            out.push_str(&format!("# {}: {}; default\n", entry.key, entry.default));
            continue;
        }
        let assignment = format!("{} = {}", entry.key, entry.value);
        out.push_str(&format!("{assignment:<width$}  # {}", entry.origin));
        if entry.origin != Origin::Default && !entry.default.is_empty() {
            out.push_str(&format!("; default {}", entry.default));
        }
        if entry.restart {
            out.push_str("; (R)");
        }
        if entry.key.starts_with("limits.") {
            out.push_str(&format!("; {}", entry.about));
        }
        out.push('\n');
    }
    out
}

/// Whether a default is a value, and not words about what it depends on.
fn is_toml(entry: &Entry) -> bool {
    toml::de::DeValue::parse(&entry.default).is_ok()
}

/// Every built key outside lists, in the order of the table, and what of `[domain."…"]` is written.
pub(crate) fn collect(root: &Section<'_>, keys: &[Key], demo: bool) -> Vec<Entry> {
    let mut entries = Vec::new();
    add(Some(root), "", keys, demo, true, &mut entries);
    entries
}

fn add(
    section: Option<&Section<'_>>,
    path: &str,
    keys: &[Key],
    demo: bool,
    all: bool,
    out: &mut Vec<Entry>,
) {
    for key in keys.iter().filter(|key| key.state == State::Built) {
        let item = section.and_then(|section| section.get(key.name));
        let path = join(path, key.name);
        match &key.kind {
            Kind::Table(inner) if !is_value(key) => {
                let inside = item.as_ref().and_then(Item::section);
                if all || inside.is_some() {
                    add(inside.as_ref(), &path, inner, demo, all, out);
                }
            }
            Kind::Tables(inner) => {
                for (name, _, item) in item
                    .as_ref()
                    .and_then(Item::section)
                    .iter()
                    .flat_map(Section::entries)
                {
                    add(
                        item.section().as_ref(),
                        &join(&path, name),
                        inner,
                        demo,
                        false,
                        out,
                    );
                }
            }
            _ if item.is_some() || all => out.push(entry(key, path, item.as_ref(), demo)),
            _ => {}
        }
    }
}

/// Tables of three numbers are shown as one value.
fn is_value(key: &Key) -> bool {
    key.name.ends_with("_expires_seconds")
}

fn entry(key: &Key, path: String, item: Option<&Item<'_>>, demo: bool) -> Entry {
    let bound = path.strip_prefix("limits.").and_then(crate::limits::find);
    let default = bound
        .as_ref()
        .map_or_else(|| key.default.to_owned(), |bound| bound.default.clone());
    let origin = match item {
        None => Origin::Default,
        Some(_) if demo => Origin::Demo,
        Some(item) => {
            let place = item.place();
            Origin::File(format!("{}:{}", place.file, place.line))
        }
    };
    Entry {
        key: path,
        value: item.map_or_else(|| default.clone(), |item| rendered(item.value)),
        default,
        origin,
        restart: key.restart,
        about: bound.map_or_else(|| key.about.to_owned(), |bound| bound.about),
        content: String::new(),
    }
}
