//! What a person wants to know of a document.

use xml::{Bounds, Element};

use super::{Presence, URI, Unreadable};
use crate::{data_model, rpid, timestamp, value};

/// Whether somebody can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basic {
    /// Not by this.
    Closed,
    /// By this.
    Open,
}

impl Basic {
    /// The word of RFC 3863.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }

    /// Reads the word of RFC 3863.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim_ascii() {
            "open" => Some(Self::Open),
            "closed" => Some(Self::Closed),
            _ => None,
        }
    }
}

/// A note in some language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `xml:lang`, when it is said.
    pub language: Option<String>,
    /// The note.
    pub text: String,
}

/// A way to reach somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Where.
    pub uri: String,
    /// In thousandths, when it is said.
    pub priority: Option<u16>,
    /// Whether it is open.
    pub basic: Option<Basic>,
}

/// The document in a few words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whose presence.
    pub entity: String,
    /// Open when any service is; unknown when none says.
    pub basic: Option<Basic>,
    /// Of the person, of services, of the whole, of activities and moods, in this order; none twice.
    pub notes: Vec<Note>,
    /// RFC 4480 names (`on-the-phone`), or the text of `other`.
    pub activities: Vec<String>,
    /// RFC 4480 names, or the text of `other`.
    pub moods: Vec<String>,
    /// RFC 4480 names, or the text of `other`.
    pub place_types: Vec<String>,
    /// Ways to reach the presentity, the preferred first.
    pub contacts: Vec<Contact>,
    /// The newest timestamp in the document, in milliseconds since 1970-01-01T00:00:00Z.
    pub since: Option<i64>,
}

impl Summary {
    /// Reads a document and says it in a few words.
    ///
    /// # Errors
    /// As `parse`.
    pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Self, Unreadable> {
        Ok(Self::of(&Presence::read(bytes, bounds)?))
    }

    /// Says a document in a few words.
    pub fn of(presence: &Presence) -> Self {
        let mut this = Self {
            entity: presence.entity.clone(),
            ..Self::default()
        };
        for person in &presence.persons {
            this.take_notes(person);
        }
        for tuple in &presence.tuples {
            this.take_notes(tuple);
            let basic = tuple
                .element(URI, "status")
                .and_then(|status| status.element(URI, "basic"))
                .and_then(|basic| Basic::parse(&basic.text()));
            this.basic = this.basic.max(basic);
            if let Some(contact) = tuple.element(URI, "contact") {
                let priority = contact.attribute("priority").and_then(value::thousandths);
                this.contacts.push(Contact {
                    uri: contact.text(),
                    priority,
                    basic,
                });
            }
        }
        presence.notes.iter().for_each(|note| this.take_note(note));
        // RFC 3863 §4.1.5: a higher priority is preferred; open ones come first.
        this.contacts
            .sort_by_key(|contact| std::cmp::Reverse((contact.basic, contact.priority)));
        let everything = || {
            presence
                .persons
                .iter()
                .chain(&presence.tuples)
                .chain(&presence.devices)
        };
        for element in everything() {
            take_words(element, "activities", &mut this.activities, &mut this.notes);
            take_words(element, "mood", &mut this.moods, &mut this.notes);
            take_words(
                element,
                "place-type",
                &mut this.place_types,
                &mut this.notes,
            );
        }
        this.since = everything()
            .filter_map(data_model::timestamp)
            .filter_map(|text| timestamp::parse(&text))
            .max();
        this
    }

    fn take_notes(&mut self, element: &Element) {
        element
            .elements()
            .filter(|child| data_model::is_note(child))
            .for_each(|note| self.take_note(note));
    }

    fn take_note(&mut self, note: &Element) {
        add(&mut self.notes, read_note(note));
    }
}

fn read_note(note: &Element) -> Note {
    let language = note
        .attribute_in(xml::XML.as_str(), "lang")
        .filter(|language| !language.is_empty())
        .map(str::to_owned);
    Note {
        language,
        text: note.text().trim().to_owned(),
    }
}

fn add(notes: &mut Vec<Note>, note: Note) {
    if !note.text.is_empty() && !notes.contains(&note) {
        notes.push(note);
    }
}

fn take_words(element: &Element, local: &str, into: &mut Vec<String>, notes: &mut Vec<Note>) {
    for said in element
        .elements()
        .filter(|child| child.is(rpid::URI, local))
    {
        for word in said.elements() {
            match &*word.name.local {
                "note" => add(notes, read_note(word)),
                "unknown" => {}
                "other" if !word.children.is_empty() => into.push(word.text().trim().to_owned()),
                name => into.push(name.to_owned()),
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    into.retain(|word| seen.insert(word.clone()));
}
