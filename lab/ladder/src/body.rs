//! A body in a few words: for a presence document what it says of each service, for rules whom they let see, for a document about watchers
//! who they are, for the report of a conflict which.

use xml::{Bounds, Element};

use crate::plain::{cut, plain};

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const POLICY: &str = "urn:ietf:params:xml:ns:common-policy";
const RULES: &str = "urn:ietf:params:xml:ns:pres-rules";
const WATCHERS: &str = "urn:ietf:params:xml:ns:watcherinfo";
const CONFLICT: &str = "urn:ietf:params:xml:ns:xcap-error";
/// Enough to see that there are several.
const TUPLES_MAX: usize = 4;
const BOUNDS: Bounds = Bounds {
    depth_max: 32,
    nodes_max: 4096,
};

/// `open "at lunch"`; several services joined by `+`; what is no presence document by its type and length.
pub(crate) fn words(content_type: &str, body: &[u8]) -> String {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let document = xml::read(body, &BOUNDS).ok();
    let is = |root: &Element, namespace, name, media_type| {
        root.is(namespace, name) && kind.eq_ignore_ascii_case(media_type)
    };
    match document {
        Some(root) if is(&root, PIDF, "presence", "application/pidf+xml") => presence(&root),
        Some(root)
            if is(
                &root,
                WATCHERS,
                "watcherinfo",
                "application/watcherinfo+xml",
            ) =>
        {
            watchers(&root)
        }
        Some(root) if is(&root, POLICY, "ruleset", "application/auth-policy+xml") => {
            rules(root.elements())
        }
        Some(root) if is(&root, POLICY, "rule", "application/xcap-el+xml") => {
            rules(std::iter::once(&root))
        }
        Some(root) if is(&root, CONFLICT, "xcap-error", "application/xcap-error+xml") => {
            let conflict = root.elements().next();
            conflict.map_or_else(String::new, |conflict| cut(&conflict.name.local, 40))
        }
        _ if kind.is_empty() => format!("{} bytes", body.len()),
        _ if kind.eq_ignore_ascii_case("application/pidf+xml") => {
            format!("{} bytes that are no presence document", body.len())
        }
        _ => format!("{} bytes of {}", body.len(), plain(kind)),
    }
}

fn presence(root: &Element) -> String {
    let tuples: Vec<&Element> = root
        .elements()
        .filter(|element| element.is(PIDF, "tuple"))
        .collect();
    let mut said: Vec<String> = tuples
        .iter()
        .take(TUPLES_MAX)
        .map(|tuple| service(tuple))
        .collect();
    if tuples.len() > TUPLES_MAX {
        said.push(format!("{} more", tuples.len() - TUPLES_MAX));
    }
    said.extend(
        root.element(PIDF, "note")
            .map(|note| format!("\"{}\"", cut(note.text().trim(), 40))),
    );
    if said.is_empty() {
        "nothing about anybody".to_owned()
    } else {
        said.join(" + ")
    }
}

/// `bob allow, carol block`: whom each rule names, and how she is met.
fn rules<'e>(all: impl Iterator<Item = &'e Element>) -> String {
    let said: Vec<String> = all.map(rule).collect();
    match said.is_empty() {
        true => "no rules".to_owned(),
        false => several(said),
    }
}

fn rule(rule: &Element) -> String {
    let handling = rule
        .element(POLICY, "actions")
        .and_then(|actions| actions.element(RULES, "sub-handling"))
        .map_or_else(
            || "?".to_owned(),
            |handling| cut(handling.text().trim(), 12),
        );
    let identity = rule
        .element(POLICY, "conditions")
        .and_then(|conditions| conditions.element(POLICY, "identity"));
    let named = identity.into_iter().flat_map(Element::elements);
    let named: Vec<String> = named
        .filter_map(|one| one.attribute("id"))
        .map(user)
        .collect();
    match named.is_empty() {
        true => handling,
        false => format!("{} {handling}", named.join(", ")),
    }
}

/// `2 partial: bob pending subscribe`: the version, and who changed or is there.
fn watchers(root: &Element) -> String {
    let text = |name| cut(root.attribute(name).unwrap_or("?"), 12);
    let lists = root.elements().flat_map(Element::elements);
    let said = lists.map(|watcher| {
        let text = |name| cut(watcher.attribute(name).unwrap_or("?"), 12);
        let who = user(watcher.text().trim());
        format!("{who} {} {}", text("status"), text("event"))
    });
    let said: Vec<String> = said.collect();
    let who = match said.is_empty() {
        true => "nobody".to_owned(),
        false => several(said),
    };
    format!("{} {}: {who}", text("version"), text("state"))
}

/// Of an address what is before the `@`.
fn user(address: &str) -> String {
    let bare = address.split_once(':').map_or(address, |(_, rest)| rest);
    cut(bare.split('@').next().unwrap_or(bare), 24)
}

fn several(mut said: Vec<String>) -> String {
    let more = said.len().saturating_sub(TUPLES_MAX);
    said.truncate(TUPLES_MAX);
    said.extend((more > 0).then(|| format!("{more} more")));
    said.join(", ")
}

fn service(tuple: &Element) -> String {
    let basic = tuple
        .element(PIDF, "status")
        .and_then(|status| status.element(PIDF, "basic"));
    let basic = basic.map_or_else(|| "?".to_owned(), |basic| cut(basic.text().trim(), 12));
    match tuple.element(PIDF, "note") {
        Some(note) => format!("{basic} \"{}\"", cut(note.text().trim(), 40)),
        None => basic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_what_it_says() {
        let body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='1'><status><basic>open</basic></status>\
            <note>at lunch</note></tuple><tuple id='2'><status><basic>closed</basic></status></tuple></presence>";
        assert_eq!(
            words("application/pidf+xml;charset=utf-8", body.as_bytes()),
            "open \"at lunch\" + closed"
        );
    }

    #[test]
    fn rules_say_whom_they_let_see() {
        let rule = |who: &str, handling: &str| {
            format!(
                "<cp:rule xmlns:cp='urn:ietf:params:xml:ns:common-policy' id='{handling}'><cp:conditions><cp:identity><cp:one id='sip:{who}@x'/></cp:identity></cp:conditions>\
                <cp:actions><s:sub-handling xmlns:s='urn:ietf:params:xml:ns:pres-rules'>{handling}</s:sub-handling></cp:actions></cp:rule>"
            )
        };
        let ruleset = |rules: &str| {
            format!(
                "<cp:ruleset xmlns:cp='urn:ietf:params:xml:ns:common-policy'>{rules}</cp:ruleset>"
            )
        };
        let all = rule("bob", "allow") + &rule("carol", "block");
        let said = |kind, text: String| words(kind, text.as_bytes());
        let kind = "application/auth-policy+xml";
        assert_eq!(said(kind, ruleset(&all)), "bob allow, carol block");
        assert_eq!(said(kind, ruleset("")), "no rules");
        let many = rule("bob", "allow").repeat(6);
        assert!(said(kind, ruleset(&many)).ends_with(", bob allow, 2 more"));
        let one = rule("bob", "confirm");
        assert_eq!(said("application/xcap-el+xml", one), "bob confirm");
    }

    #[test]
    fn watchers_and_conflicts_are_named() {
        let text = "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='2' state='partial'><watcher-list resource='sip:a@x' package='presence'>\
            <watcher id='1' status='pending' event='subscribe'>sip:bob@x</watcher></watcher-list></watcherinfo>";
        let kind = "application/watcherinfo+xml";
        assert_eq!(
            words(kind, text.as_bytes()),
            "2 partial: bob pending subscribe"
        );
        let nobody = "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='full'><watcher-list resource='sip:a@x' package='presence'/></watcherinfo>";
        assert_eq!(words(kind, nobody.as_bytes()), "0 full: nobody");
        let conflict =
            "<xcap-error xmlns='urn:ietf:params:xml:ns:xcap-error'><no-parent/></xcap-error>";
        assert_eq!(
            words("application/xcap-error+xml", conflict.as_bytes()),
            "no-parent"
        );
    }

    #[test]
    fn what_is_none_says_so() {
        assert_eq!(words("text/plain", b"hello"), "5 bytes of text/plain");
        assert_eq!(
            words("application/pidf+xml", b"<presence"),
            "9 bytes that are no presence document"
        );
        assert_eq!(words("", b"x"), "1 bytes");
    }
}
