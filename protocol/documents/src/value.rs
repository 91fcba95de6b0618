//! The simple types of the schemas: what a text must look like, and how a near miss is mended.

use crate::{identity, timestamp};

/// A simple type.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// Anything, white space kept.
    Text,
    /// Anything, white space collapsed.
    Token,
    /// A URI reference.
    Uri,
    /// `true`, `false`, `1`, `0`.
    Boolean,
    /// A whole number.
    Integer,
    /// A whole number from 1.
    Positive,
    /// A date and time.
    DateTime,
    /// The value of `xml:lang`.
    Language,
    /// An `xs:ID`.
    Id,
    /// RFC 3863 §4.1.5: 0 to 1 with at most three decimals.
    Priority,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Value {
    /// The text in the form that the schema wants; `None` when it cannot be meant.
    pub fn mend(self, text: &str) -> Option<String> {
        let trimmed = text.trim_ascii();
        match self {
            Self::Text => Some(text.to_owned()),
            Self::Token => Some(collapse(text)),
            // Validators parse a URI after collapsing; a space within is legal only as an escape.
            Self::Uri => Some(collapse(text).replace(' ', "%20")),
            Self::Boolean => {
                let word = trimmed.to_ascii_lowercase();
                matches!(word.as_str(), "true" | "false" | "1" | "0").then_some(word)
            }
            Self::Integer => is_integer(trimmed).then(|| trimmed.to_owned()),
            Self::Positive => {
                let digits = trimmed.strip_prefix('+').unwrap_or(trimmed);
                let good = digits.bytes().all(|byte| byte.is_ascii_digit())
                    && digits.bytes().any(|byte| byte != b'0');
                good.then(|| trimmed.to_owned())
            }
            Self::DateTime => timestamp::mend(text),
            Self::Language => is_language(trimmed).then(|| trimmed.to_owned()),
            Self::Id => Some(identity::mend(text)).filter(|id| !id.is_empty()),
            Self::Priority => is_priority(trimmed).then(|| trimmed.to_owned()),
            Self::OneOf(words) => {
                let word = trimmed.to_ascii_lowercase();
                words.contains(&word.as_str()).then_some(word)
            }
        }
    }
}

/// White space collapsed, none at the ends.
pub fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_ascii_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// A priority in thousandths.
pub fn thousandths(priority: &str) -> Option<u16> {
    let priority = priority.trim_ascii();
    if !is_priority(priority) {
        return None;
    }
    let (whole, decimals) = priority.split_once('.').unwrap_or((priority, ""));
    let whole: u16 = whole.parse().ok()?;
    Some(
        whole * 1000
            + decimals
                .bytes()
                .chain(*b"000")
                .take(3)
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')),
    )
}

fn is_priority(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digit = |byte: u8| {
        if whole == "0" {
            byte.is_ascii_digit()
        } else {
            byte == b'0'
        }
    };
    matches!(whole, "0" | "1") && decimals.len() <= 3 && decimals.bytes().all(digit)
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The empty value takes a language back (XML 1.0 §2.12).
fn is_language(text: &str) -> bool {
    text.is_empty()
        || text.split('-').enumerate().all(|(at, part)| {
            (1..=8).contains(&part.len())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_mended_and_nonsense_refused() {
        let mend = |value: Value, text: &str| value.mend(text);
        assert_eq!(
            mend(Value::OneOf(&["open"]), " Open\n").as_deref(),
            Some("open")
        );
        assert_eq!(mend(Value::OneOf(&["open"]), "opened"), None);
        assert_eq!(
            mend(Value::Uri, " sip:a b@example.com ").as_deref(),
            Some("sip:a%20b@example.com")
        );
        assert_eq!(mend(Value::Integer, " -240 ").as_deref(), Some("-240"));
        assert_eq!(mend(Value::Integer, "--240"), None);
        assert_eq!(mend(Value::Positive, "000"), None);
        assert_eq!(mend(Value::Boolean, "TRUE").as_deref(), Some("true"));
        assert_eq!(mend(Value::Language, "en-GB").as_deref(), Some("en-GB"));
        assert_eq!(mend(Value::Language, "en_GB"), None);
        assert_eq!(mend(Value::Id, "432sd").as_deref(), Some("_432sd"));
    }

    #[test]
    fn priorities_are_thousandths() {
        for (text, value) in [
            ("0", Some(0)),
            ("0.8", Some(800)),
            ("0.80", Some(800)),
            ("1.000", Some(1000)),
            (" 1. ", Some(1000)),
            ("0.025", Some(25)),
        ] {
            assert_eq!(thousandths(text), value, "{text}");
            assert!(Value::Priority.mend(text).is_some());
        }
        for text in ["", "1.1", "0.1234", "-0", "2", ".5", "0.5.1"] {
            assert_eq!(thousandths(text), None, "{text}");
            assert!(Value::Priority.mend(text).is_none());
        }
    }
}
