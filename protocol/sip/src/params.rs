//! Parameters: `;name`, `;name=value`, `;name="quoted value"`, of header fields and of URIs.

use memchr::memchr2;

use crate::lexical::{self, VALUE};

/// A list of parameters, read when asked for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'b> {
    text: &'b str,
}

impl<'b> Params<'b> {
    /// `text` is empty or starts with the first semicolon.
    pub(crate) fn new(text: &'b str) -> Params<'b> {
        Params { text }
    }

    /// As written, from the first semicolon on.
    pub fn text(&self) -> &'b str {
        self.text
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Name and value of each, as written: quotes stay. Empty ones don't show.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, Option<&'b str>)> + use<'b> {
        Segments { rest: self.text }.filter_map(|segment| {
            let (name, value) = match segment.split_once('=') {
                Some((name, value)) => (name, Some(lexical::trim_text(value))),
                None => (segment, None),
            };
            let name = lexical::trim_text(name);
            (!name.is_empty()).then_some((name, value))
        })
    }

    /// True if a parameter with this name is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The first parameter with this name: `Some(None)` if it has no value. Quotes stay.
    pub fn get(&self, name: &str) -> Option<Option<&'b str>> {
        self.iter()
            .find(|(found, _)| same_name(found, name))
            .map(|(_, value)| value)
    }

    /// The value of the first parameter with this name, without the quotes around it.
    pub fn value(&self, name: &str) -> Option<&'b str> {
        self.get(name).flatten().map(unquoted)
    }

    /// How many parameters have this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.iter()
            .filter(|(found, _)| same_name(found, name))
            .count()
    }

    /// By the grammar of header parameters (RFC 3261 §25.1, `generic-param`).
    pub(crate) fn are_well_formed(&self) -> bool {
        self.are_all(|name, value| {
            lexical::is_token(name.as_bytes())
                && value.is_none_or(|value| {
                    let value = value.as_bytes();
                    match lexical::quoted(value) {
                        Some(length) => length == value.len(),
                        None => !value.is_empty() && lexical::all(value, VALUE),
                    }
                })
        })
    }

    /// By the grammar of URI parameters (RFC 3261 §25.1, `other-param`).
    pub(crate) fn are_well_formed_in_uri(&self) -> bool {
        lexical::escapes_are_whole(self.text.as_bytes())
            && self.are_all(|name, value| {
                let name = name.as_bytes();
                !name.is_empty()
                    && lexical::all(name, lexical::PARAM)
                    && value.is_none_or(|value| lexical::all(value.as_bytes(), lexical::PARAM))
            })
    }

    fn are_all(&self, good: impl Fn(&str, Option<&str>) -> bool) -> bool {
        (self.text.is_empty() || self.text.starts_with(';'))
            && Segments { rest: self.text }.all(|segment| match segment.split_once('=') {
                Some((name, value)) => {
                    good(lexical::trim_text(name), Some(lexical::trim_text(value)))
                }
                None => good(lexical::trim_text(segment), None),
            })
    }
}

/// Inside of the quotes, if there are any; escapes stay.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// Names are equal without case, and in URIs with escapes undone (RFC 3261 §19.1.4).
fn same_name(found: &str, name: &str) -> bool {
    found.eq_ignore_ascii_case(name)
        || (found.contains('%')
            && lexical::unescaped(found.as_bytes())
                .map(|byte| byte.to_ascii_lowercase())
                .eq(name.bytes().map(|byte| byte.to_ascii_lowercase())))
}

/// What stands between semicolons that are not in quotes; what comes before the first doesn't show.
struct Segments<'b> {
    rest: &'b str,
}

impl<'b> Iterator for Segments<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        let start = self.rest.find(';')? + 1;
        let bytes = self.rest.as_bytes();
        let mut at = start;
        let end = loop {
            let Some(found) = memchr2(b';', b'"', &bytes[at..]) else {
                break bytes.len();
            };
            at += found;
            if bytes[at] == b';' {
                break at;
            }
            match lexical::quoted(&bytes[at..]) {
                Some(length) => at += length,
                None => break bytes.len(),
            }
        };
        let segment = &self.rest[start..end];
        self.rest = &self.rest[end..];
        Some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hide_semicolons() {
        let params = Params::new(";a=\"x;\\\"y\" ; B ; c = d;%6C%72");
        let all: Vec<_> = params.iter().collect();
        assert_eq!(
            all,
            [
                ("a", Some("\"x;\\\"y\"")),
                ("B", None),
                ("c", Some("d")),
                ("%6C%72", None)
            ]
        );
        assert_eq!(params.value("A"), Some("x;\\\"y"));
        assert_eq!(params.get("b"), Some(None));
        assert!(params.has("lr"));
        assert!(params.are_well_formed());
    }

    #[test]
    fn empty_and_torn_parameters_are_refused() {
        for bad in [
            ";;",
            ";",
            "; ;a",
            ";a=",
            ";a=\"x",
            ";a=\"x\"y",
            ";=b",
            ";a b",
            "a",
        ] {
            assert!(!Params::new(bad).are_well_formed(), "{bad}");
        }
        assert!(!Params::new(";%6").are_well_formed_in_uri());
        assert!(Params::new("").are_well_formed());
    }
}
