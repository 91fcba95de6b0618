//! A document as a simple source makes it.

use xml::{Element, Name, XML};

use super::{Basic, NAMESPACE, Note, Presence};
use crate::{data_model, identity, rpid, timestamp};

/// What a source wants to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Whose presence: the address of record.
    pub entity: String,
    /// Tells this source from others of the same presentity: the beginning of its ids.
    pub source: String,
    /// Whether the presentity can be reached.
    pub basic: Option<Basic>,
    /// By what.
    pub contact: Option<String>,
    /// In words.
    pub notes: Vec<Note>,
    /// RFC 4480 names; anything else becomes `other`.
    pub activities: Vec<String>,
    /// Milliseconds since 1970-01-01T00:00:00Z, when it is to be said.
    pub timestamp: Option<i64>,
}

impl Draft {
    /// Says nothing yet.
    pub fn new(entity: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            entity: entity.into(),
            source: source.into(),
            basic: None,
            contact: None,
            notes: Vec::new(),
            activities: Vec::new(),
            timestamp: None,
        }
    }

    /// The document: one service, and a person where there are activities.
    pub fn presence(&self) -> Presence {
        let source = identity::mend(&self.source);
        let source = if source.is_empty() { "source" } else { &source };
        let mut presence = Presence {
            entity: sendable(&self.entity),
            ..Presence::default()
        };
        presence.tuples.push(self.tuple(source));
        if !self.activities.is_empty() {
            presence.persons.push(self.person(source));
        }
        presence
    }

    /// The document as bytes.
    pub fn write(&self) -> Vec<u8> {
        self.presence().write()
    }

    fn tuple(&self, source: &str) -> Element {
        let named = |local| Element::new(Name::new(NAMESPACE, local));
        let mut tuple = named("tuple");
        tuple.set_attribute("id", source);
        let mut status = named("status");
        if let Some(basic) = self.basic {
            status.push(Element::with_text(
                Name::new(NAMESPACE, "basic"),
                basic.as_str(),
            ));
        }
        tuple.push(status);
        if let Some(contact) = self
            .contact
            .as_deref()
            .filter(|contact| !contact.trim_ascii().is_empty())
        {
            tuple.push(Element::with_text(
                Name::new(NAMESPACE, "contact"),
                sendable(contact),
            ));
        }
        for Note { language, text } in &self.notes {
            let mut note = Element::with_text(Name::new(NAMESPACE, "note"), sendable(text));
            if let Some(language) = language {
                note.set_attribute_in(XML, "lang", sendable(language));
            }
            tuple.push(note);
        }
        if let Some(millis) = self.timestamp {
            tuple.push(Element::with_text(
                Name::new(NAMESPACE, "timestamp"),
                timestamp::format(millis),
            ));
        }
        tuple
    }

    fn person(&self, source: &str) -> Element {
        let mut person = Element::new(Name::new(data_model::NAMESPACE, "person"));
        person.set_attribute("id", format!("{source}.person"));
        let mut activities = Element::new(Name::new(rpid::NAMESPACE, "activities"));
        for activity in &self.activities {
            activities.push(
                match rpid::ACTIVITIES.iter().find(|known| *known == activity) {
                    Some(known) => Element::new(Name::new(rpid::NAMESPACE, *known)),
                    None => {
                        Element::with_text(Name::new(rpid::NAMESPACE, "other"), sendable(activity))
                    }
                },
            );
        }
        person.push(activities);
        if let Some(millis) = self.timestamp {
            person.push(Element::with_text(
                Name::new(data_model::NAMESPACE, "timestamp"),
                timestamp::format(millis),
            ));
        }
        person
    }
}

/// What a terminal hands over may hold characters that XML has no way to write.
fn sendable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if matches!(c, '\t' | '\n' | '\r')
                || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
            {
                c
            } else {
                '\u{fffd}'
            }
        })
        .collect()
}
