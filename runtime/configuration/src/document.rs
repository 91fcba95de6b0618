//! A TOML file with places: from a byte of it to line and column, from a value to its key in full.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::problems::{Place, Problem};

/// 16 MiB: 100 000 users of 160 bytes. A longer file is refused, not read.
pub(crate) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The text of one file and what its places are called.
pub(crate) struct Text {
    /// As problems name it; empty for texts that no file holds (the demo).
    pub(crate) name: String,
    pub(crate) content: String,
    /// Whether everybody on the machine may read it.
    pub(crate) readable_by_others: bool,
    line_starts: Vec<usize>,
}

impl Text {
    pub(crate) fn new(name: &str, content: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(memchr_lines(content.as_bytes()))
            .collect();
        Self {
            name: name.to_owned(),
            content,
            readable_by_others: false,
            line_starts,
        }
    }

    /// Reads a file; the problem says what to do when that fails.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let whole = Place {
            file: name.clone(),
            line: 0,
            column: 0,
        };
        let attempt = || -> io::Result<(Vec<u8>, bool)> {
            let file = File::open(path)?;
            let others = file.metadata()?.permissions().mode() & 0o004 != 0;
            let mut bytes = Vec::new();
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            Ok((bytes, others))
        };
        let (bytes, readable_by_others) = attempt().map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => format!("no such file; write one: tidings init {name}"),
                io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
                _ => format!("can't be read: {error}"),
            };
            whole.problem("", advice)
        })?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(whole.problem("", format!("longer than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        let content = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
            Self::new(&name, text)
                .place(good)
                .problem("", "not UTF-8; TOML files are")
        })?;
        Ok(Self {
            readable_by_others,
            ..Self::new(&name, content)
        })
    }

    /// Line and column of a byte.
    pub(crate) fn place(&self, offset: usize) -> Place {
        if self.name.is_empty() {
            return Place::none();
        }
        let mut offset = offset.min(self.content.len());
        while !self.content.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self
            .line_starts
            .get(line.wrapping_sub(1))
            .copied()
            .unwrap_or(0);
        let column = self.content[start..offset].chars().count() + 1;
        Place {
            file: self.name.clone(),
            line: count(line),
            column: count(column),
        }
    }

    /// The table of the file, or what is not TOML about it.
    pub(crate) fn parse(&self) -> Result<DeTable<'_>, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(&self.content);
        if errors.is_empty() {
            return Ok(table.into_inner());
        }
        let problem = |error: &toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let message = error
                .message()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            self.place(at).problem("", format!("not TOML: {message}"))
        };
        Err(errors.iter().map(problem).collect())
    }
}

fn memchr_lines(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(index, _)| index + 1)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A value, its key in full, and where it stands.
#[derive(Clone)]
pub(crate) struct Item<'t> {
    pub(crate) text: &'t Text,
    pub(crate) path: String,
    pub(crate) value: &'t DeValue<'t>,
    pub(crate) span: Range<usize>,
}

impl<'t> Item<'t> {
    pub(crate) fn new(text: &'t Text, path: String, value: &'t Spanned<DeValue<'t>>) -> Self {
        Self {
            text,
            path,
            value: value.get_ref(),
            span: value.span(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.text.place(self.span.start)
    }

    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        self.place().problem(&self.path, message)
    }

    pub(crate) fn string(&self) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        self.value.as_bool()
    }

    pub(crate) fn number(&self) -> Option<i128> {
        let DeValue::Integer(number) = self.value else {
            return None;
        };
        i128::from_str_radix(number.as_str(), number.radix()).ok()
    }

    pub(crate) fn array(&self) -> Option<&'t DeArray<'t>> {
        match self.value {
            DeValue::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The elements of a list; a single value counts as a list of one.
    pub(crate) fn elements(&self) -> Vec<Item<'t>> {
        let Some(array) = self.array() else {
            return vec![self.clone()];
        };
        array
            .iter()
            .enumerate()
            .map(|(index, value)| Item::new(self.text, format!("{}[{index}]", self.path), value))
            .collect()
    }

    pub(crate) fn section(&self) -> Option<Section<'t>> {
        match self.value {
            DeValue::Table(table) => Some(Section {
                text: self.text,
                path: self.path.clone(),
                table,
            }),
            _ => None,
        }
    }
}

/// A table and its name in full.
#[derive(Clone)]
pub(crate) struct Section<'t> {
    pub(crate) text: &'t Text,
    pub(crate) path: String,
    pub(crate) table: &'t DeTable<'t>,
}

impl<'t> Section<'t> {
    /// The key in full of a key of this table.
    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<Item<'t>> {
        self.table
            .get(key)
            .map(|value| Item::new(self.text, self.path_of(key), value))
    }

    pub(crate) fn section(&self, key: &str) -> Option<Section<'t>> {
        self.get(key)?.section()
    }

    /// Each key with its place and value, in the order of the file.
    pub(crate) fn entries(&self) -> Vec<(&'t str, Range<usize>, Item<'t>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let name: &'t str = key.get_ref();
                (
                    name,
                    key.span(),
                    Item::new(self.text, self.path_of(name), value),
                )
            })
            .collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }
}

/// `presence` and `profile` make `presence.profile`; what is no bare key is quoted.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let key = if bare { key.to_owned() } else { quoted(key) };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// A basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                out.push_str(&format!("\\u{:04X}", u32::from(control)))
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A value on one line, as TOML. Values of keys that hold secrets are replaced by dots.
pub(crate) fn rendered(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(array) => {
            let elements: Vec<String> = array
                .iter()
                .map(|element| rendered(element.get_ref()))
                .collect();
            format!("[{}]", elements.join(", "))
        }
        DeValue::Table(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| {
                    let name: &str = key.get_ref();
                    let secret = matches!(name, "password" | "ha1_sha256" | "ha1_md5");
                    let value = if secret {
                        "\"…\"".to_owned()
                    } else {
                        rendered(value.get_ref())
                    };
                    format!("{} = {value}", join("", name))
                })
                .collect();
            if entries.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }
}
