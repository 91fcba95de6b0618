//! Node selectors (RFC 4825 §6.3, §6.4), decoded.

use std::collections::BTreeMap;

use xml::{Name, Namespace, Selector, Step, Terminal};

use crate::Bad;

/// Deeper than any document that is let in.
const STEPS_MAX: usize = 64;

/// Bindings of prefixes in a query: `xmlns(p=uri)xmlns(q=uri)` (RFC 4825 §6.4, XPointer's xmlns scheme). What else stands there is
/// not for us.
pub(crate) fn bindings(query: &str) -> BTreeMap<String, String> {
    let mut bindings = BTreeMap::new();
    let mut rest = query;
    while let Some((_, after)) = rest.split_once("xmlns(") {
        let Some((binding, after)) = closed(after) else {
            break;
        };
        if let Some((prefix, uri)) = binding.split_once('=') {
            bindings.insert(prefix.trim().to_owned(), uri.trim().to_owned());
        }
        rest = after;
    }
    bindings
}

/// Up to the parenthesis that closes; `^` escapes the next character.
fn closed(text: &str) -> Option<(String, &str)> {
    let (mut inside, mut depth) = (String::new(), 0_u32);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '^' => inside.push(characters.next()?.1),
            ')' if depth == 0 => return Some((inside, &text[at + 1..])),
            _ => {
                match character {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                inside.push(character);
            }
        }
    }
    None
}

/// Reads a selector.
pub(crate) fn parse(
    text: &str,
    bindings: &BTreeMap<String, String>,
    default: &'static str,
) -> Result<Selector, Bad> {
    let mut selector = Selector {
        steps: Vec::new(),
        terminal: Terminal::Element,
    };
    let mut parts = parts(text)?.into_iter().peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let terminal = match part.strip_prefix('@') {
            Some(attribute) => Some(Terminal::Attribute(named(attribute, bindings, "")?)),
            None if part == "namespace::*" => Some(Terminal::Namespaces),
            None => None,
        };
        match terminal {
            Some(terminal) if is_last && !selector.steps.is_empty() => selector.terminal = terminal,
            Some(_) => return Err(Bad::Selector),
            None => selector.steps.push(step(part, bindings, default)?),
        }
    }
    if selector.steps.is_empty() || selector.steps.len() > STEPS_MAX {
        return Err(Bad::Selector);
    }
    Ok(selector)
}

/// Cuts at each `/` that is not within quotes.
fn parts(text: &str) -> Result<Vec<&str>, Bad> {
    let (mut parts, mut begin, mut quote) = (Vec::new(), 0, None);
    for (at, character) in text.char_indices() {
        match (character, quote) {
            ('/', None) => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            ('"' | '\'', None) => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            _ => {}
        }
    }
    if quote.is_some() {
        return Err(Bad::Selector);
    }
    parts.push(&text[begin..]);
    Ok(parts)
}

/// `NAME`, `NAME[2]`, `NAME[@a="v"]`, `NAME[2][@a="v"]`; NAME may be `*`.
fn step(
    text: &str,
    bindings: &BTreeMap<String, String>,
    default: &'static str,
) -> Result<Step, Bad> {
    let (name, mut predicates) = match text.find('[') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mut step = Step {
        name: match name {
            "*" => None,
            name => Some(named(name, bindings, default)?),
        },
        ..Step::default()
    };
    while !predicates.is_empty() {
        let (predicate, rest) = predicate(predicates).ok_or(Bad::Selector)?;
        match predicate.strip_prefix('@') {
            Some(attribute) if step.attribute.is_none() => {
                let (name, value) = attribute.split_once('=').ok_or(Bad::Selector)?;
                step.attribute = Some((named(name.trim(), bindings, "")?, quoted(value.trim())?));
            }
            // A position comes before an attribute (RFC 4825 §6.3: by-pos-attr).
            None if step.position.is_none() && step.attribute.is_none() => {
                let position: usize = predicate.trim().parse().map_err(|_| Bad::Selector)?;
                step.position = Some(position).filter(|position| *position > 0);
                if step.position.is_none() {
                    return Err(Bad::Selector);
                }
            }
            _ => return Err(Bad::Selector),
        }
        predicates = rest;
    }
    Ok(step)
}

/// What is between `[` and its `]`, which may stand within quotes as well, and what follows.
fn predicate(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('[')?;
    let mut quote = None;
    for (at, character) in inside.char_indices() {
        match (character, quote) {
            (']', None) => return Some((&inside[..at], &inside[at + 1..])),
            ('"' | '\'', None) => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            _ => {}
        }
    }
    None
}

/// An AttValue of XML: quoted, with references.
fn quoted(text: &str) -> Result<String, Bad> {
    let quote = text
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))
        .ok_or(Bad::Selector)?;
    let inside = text
        .get(1..text.len() - 1)
        .filter(|_| text.len() > 1 && text.ends_with(quote))
        .ok_or(Bad::Selector)?;
    if inside.contains([quote, '<']) {
        return Err(Bad::Selector);
    }
    xml::unescape(inside).ok_or(Bad::Selector)
}

/// A name without prefix is in the usage's namespace, of an attribute in none (RFC 4825 §6.4).
fn named(
    name: &str,
    bindings: &BTreeMap<String, String>,
    default: &'static str,
) -> Result<Name, Bad> {
    let local = name.split_once(':').map_or(name, |(_, local)| local);
    if !xml::is_ncname(local) {
        return Err(Bad::Selector);
    }
    let (namespace, local) = match name.split_once(':') {
        None => (Namespace::fixed(default), name),
        Some(("xml", local)) => (xml::XML, local),
        Some((prefix, local)) => {
            if !xml::is_ncname(prefix) {
                return Err(Bad::Selector);
            }
            let uri = bindings.get(prefix).ok_or(Bad::Prefix)?;
            (Namespace::declared(prefix, uri), local)
        }
    };
    Ok(Name::new(namespace, local.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bad(text: &str) -> bool {
        parse(text, &bindings("xmlns(x=urn:x)"), "urn:l") == Err(Bad::Selector)
    }

    #[test]
    fn what_the_grammar_does_not_know_is_refused() {
        for text in [
            "",
            "/",
            "a/",
            "a//b",
            "@a",
            "a/@b/c",
            "namespace::*",
            "a/namespace::*/b",
            "a[0]",
            "a[-1]",
            "a[x]",
            "a[1",
            "a[@b]",
            "a[@b=c]",
            "a[@b='c]",
            "a[@b=\"c'\"",
            "a[@b='<']",
            "a[@b='&x;']",
            "a[@b='c'][1]",
            "a[1][2]",
            "a[@b='c'][@d='e']",
            "a]",
            "1",
            "a b",
            "a:b:c",
            "*:a",
            "a[@b=']",
            "a[@b='",
            "a[]",
        ] {
            assert!(is_bad(text), "{text}");
        }
        assert!(!is_bad("a[@b='x\"]/[']/x:c[ 2 ][@x:d = \"e\"]/@xml:lang"));
    }

    #[test]
    fn bindings_are_read_as_xpointer_writes_them() {
        let read =
            bindings("xmlns(a=urn:a)other(x)xmlns( b = http://x/^) )xmlns(c=(d))xmlns(open=");
        let read: Vec<(&str, &str)> = read
            .iter()
            .map(|(prefix, uri)| (prefix.as_str(), uri.as_str()))
            .collect();
        assert_eq!(read, [("a", "urn:a"), ("b", "http://x/)"), ("c", "(d)")]);
    }
}
