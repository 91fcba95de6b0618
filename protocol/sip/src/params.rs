//! Parameters: `;name`, `;name=value`, `;name="quoted value"`, of header fields and of URIs.

use std::collections::BTreeSet;

use crate::lexical::{self, PARAM, TOKEN, VALUE};

/// Up to so many names are compared pair by pair.
const PAIRS_MAX: usize = 8;

/// A list of parameters, read when asked for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'b> {
    text: &'b str,
    /// In a URI escapes stand for letters; in a header field they are letters of their own.
    escapes: bool,
}

impl<'b> Params<'b> {
    /// Of a header field; `text` is empty or starts with the first semicolon.
    pub(crate) fn new(text: &'b str) -> Params<'b> {
        Params {
            text,
            escapes: false,
        }
    }

    /// Of a URI.
    pub(crate) fn in_uri(text: &'b str) -> Params<'b> {
        Params {
            text,
            escapes: true,
        }
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
            let (name, value) = match lexical::split(segment, b'=') {
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
            .find(|(found, _)| self.is_named(found, name))
            .map(|(_, value)| value)
    }

    /// The value of the first parameter with this name, without the quotes around it.
    pub fn value(&self, name: &str) -> Option<&'b str> {
        self.get(name).flatten().map(unquoted)
    }

    /// Names are equal without case, and in URIs with escapes undone (RFC 3261 §19.1.4).
    fn is_named(&self, found: &str, name: &str) -> bool {
        found.eq_ignore_ascii_case(name)
            || (self.escapes
                && found.contains('%')
                && lexical::unescaped(found.as_bytes())
                    .map(|byte| byte.to_ascii_lowercase())
                    .eq(name.bytes().map(|byte| byte.to_ascii_lowercase())))
    }

    /// By the grammar of header parameters (RFC 3261 §25.1, `generic-param`).
    pub(crate) fn are_well_formed(&self) -> bool {
        self.are_well_formed_with_one("")
    }

    /// The same, and the name `once` stands at most once.
    pub(crate) fn are_well_formed_with_one(&self, once: &str) -> bool {
        let bytes = self.text.as_bytes();
        let (mut at, mut seen) = (0, false);
        while at < bytes.len() {
            if bytes[at] != b';' {
                return false;
            }
            let start = skip_space(bytes, at + 1);
            let end = skip(bytes, start, TOKEN);
            if end == start {
                return false;
            }
            if bytes[start..end].eq_ignore_ascii_case(once.as_bytes()) {
                if seen {
                    return false;
                }
                seen = true;
            }
            at = skip_space(bytes, end);
            if bytes.get(at) == Some(&b'=') {
                let value = skip_space(bytes, at + 1);
                let end = match lexical::quoted(&bytes[value..]) {
                    Some(length) => value + length,
                    None => skip(bytes, value, VALUE),
                };
                if end == value {
                    return false;
                }
                at = skip_space(bytes, end);
            }
        }
        true
    }

    /// By the grammar of URI parameters (RFC 3261 §25.1, `other-param`); no name stands twice (§19.1.1, RFC 3966 §3).
    pub(crate) fn are_well_formed_in_uri(&self) -> bool {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let end = lexical::escaped_end(bytes, at + 1, PARAM);
            if bytes[at] != b';' || end == at + 1 {
                return false;
            }
            at = end;
            if bytes.get(at) == Some(&b'=') {
                at = lexical::escaped_end(bytes, at + 1, PARAM);
            }
        }
        !self.repeats_a_name()
    }

    fn repeats_a_name(&self) -> bool {
        let names = || {
            self.iter().map(|(name, _)| {
                lexical::unescaped(name.as_bytes()).map(|byte| byte.to_ascii_lowercase())
            })
        };
        // Hardly anybody writes more than a handful; for the others the work stays bounded.
        if self.iter().nth(PAIRS_MAX).is_none() {
            let mut all = names().enumerate();
            return all.any(|(at, name)| names().take(at).any(|other| other.eq(name.clone())));
        }
        let mut seen = BTreeSet::new();
        !names().all(|name| seen.insert(name.collect::<Vec<u8>>()))
    }
}

fn skip(bytes: &[u8], mut at: usize, class: u8) -> usize {
    while at < bytes.len() && lexical::is(bytes[at], class) {
        at += 1;
    }
    at
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && lexical::is_space(bytes[at]) {
        at += 1;
    }
    at
}

/// Inside of the quotes, if there are any; escapes stay.
pub(crate) fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// What stands between semicolons that are not in quotes; what comes before the first doesn't show.
struct Segments<'b> {
    rest: &'b str,
}

impl<'b> Iterator for Segments<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        let start = lexical::find(b';', self.rest.as_bytes())? + 1;
        let bytes = self.rest.as_bytes();
        let mut at = start;
        let end = loop {
            let Some(found) = lexical::find_either(b';', b'"', &bytes[at..]) else {
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
        assert!(!params.has("lr"));
        assert!(Params::in_uri(params.text()).has("LR"));
        assert!(params.are_well_formed());
    }

    #[test]
    fn one_name_stands_once() {
        let params = Params::new(";tag=1;Tag=2");
        assert!(params.are_well_formed());
        assert!(!params.are_well_formed_with_one("tag"));
        assert!(params.are_well_formed_with_one("branch"));
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
        assert!(!Params::in_uri(";%6").are_well_formed_in_uri());
        assert!(Params::new("").are_well_formed());
    }
}
