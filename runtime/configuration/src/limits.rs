//! The arithmetic and the answer of each bound, from the one place where they are written.

use machine::Limits;

/// `limits.rs` of the engines: its comments are the documentation of `[limits]`.
const SOURCE: &str = include_str!("../../../engine/machine/src/limits.rs");

/// One bound.
pub(crate) struct Bound {
    pub(crate) default: String,
    pub(crate) about: String,
}

/// The bound called `name`.
pub(crate) fn find(name: &str) -> Option<Bound> {
    let about = comment(name)?;
    // `{:#?}` gives a line per field: `    name: value,`.
    let defaults = format!("{:#?}", Limits::default());
    let default = defaults.lines().find_map(|line| {
        line.trim()
            .strip_prefix(name)?
            .strip_prefix(": ")?
            .strip_suffix(',')
    })?;
    Some(Bound {
        default: default.to_owned(),
        about,
    })
}

fn comment(name: &str) -> Option<String> {
    let mut lines: Vec<&str> = Vec::new();
    for line in SOURCE.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            lines.push(text.trim());
        } else if line
            .strip_prefix("pub ")
            .is_some_and(|field| field.starts_with(&format!("{name}:")))
        {
            return Some(lines.join(" "));
        } else {
            lines.clear();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{LIMITS, State};

    #[test]
    fn every_field_is_a_key_and_every_key_a_field() {
        let keys: Vec<&str> = LIMITS
            .iter()
            .filter(|key| key.state == State::Built)
            .map(|key| key.name)
            .collect();
        let text = format!("{:#?}", Limits::default());
        let fields: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().split_once(": ").map(|(name, _)| name))
            .collect();
        assert_eq!(keys, fields);
        for key in keys {
            let bound = find(key).expect("a bound with a comment and a default");
            assert!(
                !bound.about.is_empty() && bound.default.parse::<u64>().is_ok(),
                "{key}"
            );
        }
    }
}
