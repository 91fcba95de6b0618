//! What is wrong with a configuration, where, and what would be right.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing runs with it.
    Error,
    /// It runs, but probably not as meant; an error under `check --strict`.
    Warning,
}

/// One thing that is wrong. Prints as `file:line:column: key: what is wrong; what would be right`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as it was named, or empty where no file is to blame (a flag, the environment).
    pub file: String,
    /// Line, counted from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// The key in full (`presence.profile`), a flag (`--sip`), or empty.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if self.line > 0 {
                write!(f, "{}:{}:", self.line, self.column)?;
            }
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, in the order of the files' lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether something forbids running.
    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Sorted by file and place, each said once.
    pub(crate) fn sort(&mut self) {
        self.0.sort_by(|a, b| {
            (&a.file, a.line, a.column, a.severity).cmp(&(&b.file, b.line, b.column, b.severity))
        });
        self.0.dedup();
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Where something stands: a file and a byte of it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Place {
    /// Nowhere in a file.
    pub(crate) fn none() -> Self {
        Self {
            file: String::new(),
            line: 0,
            column: 0,
        }
    }

    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let Self { file, line, column } = self.clone();
        Problem {
            file,
            line,
            column,
            key: key.to_owned(),
            message: message.into(),
            severity: Severity::Error,
        }
    }

    pub(crate) fn warning(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Warning,
            ..self.problem(key, message)
        }
    }
}
