//! Reports of conflicts: the body of a 409 (RFC 4825 §11).

use std::fmt::Write as _;

/// The namespace's name.
const URI: &str = "urn:ietf:params:xml:ns:xcap-error";

/// Why a document was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The whole document would not be well-formed.
    NotWellFormed(String),
    /// What was to be put is no single element.
    NotXmlFragment,
    /// What was to be put is nothing that may stand in an attribute.
    NotXmlAttributeValue,
    /// What was to be put is not in UTF-8.
    NotUtf8,
    /// The document would not be what its schema wants: where and what.
    SchemaValidation(String),
    /// Something must be unique and would not be.
    Uniqueness {
        /// What.
        phrase: String,
        /// A node selector of each place where it is already.
        fields: Vec<String>,
    },
    /// The usage does not allow it.
    Constraint(String),
    /// There is nothing to insert it into. The address of the nearest ancestor that is there.
    NoParent(Option<String>),
    /// A GET of the address would not give what was put.
    CannotInsert(String),
    /// Something would still be at the address.
    CannotDelete(String),
}

impl Conflict {
    /// The element of the report.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotWellFormed(_) => "not-well-formed",
            Self::NotXmlFragment => "not-xml-frag",
            Self::NotXmlAttributeValue => "not-xml-att-value",
            Self::NotUtf8 => "not-utf-8",
            Self::SchemaValidation(_) => "schema-validation-error",
            Self::Uniqueness { .. } => "uniqueness-failure",
            Self::Constraint(_) => "constraint-failure",
            Self::NoParent(_) => "no-parent",
            Self::CannotInsert(_) => "cannot-insert",
            Self::CannotDelete(_) => "cannot-delete",
        }
    }

    /// For people.
    fn phrase(&self) -> &str {
        match self {
            Self::NotWellFormed(phrase)
            | Self::SchemaValidation(phrase)
            | Self::Uniqueness { phrase, .. }
            | Self::Constraint(phrase)
            | Self::CannotInsert(phrase)
            | Self::CannotDelete(phrase) => phrase,
            Self::NotXmlFragment => "the body is no single XML element",
            Self::NotXmlAttributeValue => "the body is no value of an XML attribute",
            Self::NotUtf8 => "the body is not in UTF-8",
            Self::NoParent(_) => "there is no single element to put it into",
        }
    }

    /// The document of type `application/xcap-error+xml`.
    pub fn write(&self) -> String {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-error xmlns=\"{URI}\"><{}",
            self.name()
        );
        let phrase = self.phrase();
        if !phrase.is_empty() {
            let _ = write!(out, " phrase=\"{}\"", escaped(phrase));
        }
        match self {
            Self::NoParent(Some(ancestor)) => {
                let _ = write!(
                    out,
                    "><ancestor>{}</ancestor></no-parent>",
                    escaped(ancestor)
                );
            }
            Self::Uniqueness { fields, .. } => {
                out.push('>');
                for field in fields {
                    let _ = write!(out, "<exists field=\"{}\"/>", escaped(field));
                }
                out.push_str("</uniqueness-failure>");
            }
            _ => out.push_str("/>"),
        }
        out.push_str("</xcap-error>\n");
        out
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use xml::{Bounds, read};

    #[test]
    fn each_report_is_a_document_that_names_what_is_wrong() {
        let text = || "a < \"b\" & \u{1}c".to_owned();
        for conflict in [
            Conflict::NotWellFormed(text()),
            Conflict::NotXmlFragment,
            Conflict::NotXmlAttributeValue,
            Conflict::NotUtf8,
            Conflict::SchemaValidation(text()),
            Conflict::Uniqueness {
                phrase: text(),
                fields: vec![text(), text()],
            },
            Conflict::Constraint(String::new()),
            Conflict::NoParent(None),
            Conflict::NoParent(Some(text())),
            Conflict::CannotInsert(text()),
            Conflict::CannotDelete(text()),
        ] {
            let root = read(conflict.write().as_bytes(), &Bounds::TRUSTED).unwrap();
            assert!(root.is(URI, "xcap-error"));
            let inside: Vec<_> = root.elements().collect();
            assert!(inside.len() == 1 && inside[0].is(URI, conflict.name()));
        }
    }
}
