//! A body in a few words: for a presence document what it says of each service.

use xml::{Bounds, Element};

use crate::plain::{cut, plain};

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// Enough to see that there are several.
const TUPLES_MAX: usize = 4;
const BOUNDS: Bounds = Bounds {
    depth_max: 32,
    nodes_max: 4096,
};

/// `open "at lunch"`; several services joined by `+`; what is no presence document by its type and length.
pub(crate) fn words(content_type: &str, body: &[u8]) -> String {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let document = xml::read(body, &BOUNDS)
        .ok()
        .filter(|root| root.is(PIDF, "presence"));
    match document {
        Some(root) if kind.eq_ignore_ascii_case("application/pidf+xml") => presence(&root),
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
    fn what_is_none_says_so() {
        assert_eq!(words("text/plain", b"hello"), "5 bytes of text/plain");
        assert_eq!(
            words("application/pidf+xml", b"<presence"),
            "9 bytes that are no presence document"
        );
        assert_eq!(words("", b"x"), "1 bytes");
    }
}
