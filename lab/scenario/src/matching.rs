//! What a message has to say: header fields, their parameters, its document.

use std::collections::BTreeMap;

use sip::Message;

use crate::document::Presence;

/// Values that steps kept, and what the placeholders of a flow stand for.
pub(crate) type Kept = BTreeMap<String, String>;

/// Name of a header field, `Name;parameter`, or `status` → what is expected.
pub(crate) type Fields = Vec<(String, Expected)>;

/// What one field has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Present,
    Absent,
    Equal(String),
    /// Anything but this.
    Not(String),
    AtMost(u64),
    AtLeast(u64),
    /// A list that names each of these.
    Lists(Vec<String>),
}

/// What a document has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// No body, and no type.
    Nothing,
    /// A document about her that says nothing: nobody open, no note, no contact, no person, no device.
    Neutral,
    /// Byte by byte what was kept.
    Same(String),
    Says {
        /// `basic` of every service, in any order.
        basics: Option<Vec<String>>,
        notes: Vec<String>,
        no_notes: Vec<String>,
    },
}

impl Expected {
    fn words(&self, kept: &Kept) -> String {
        match self {
            Self::Present => "to be there".to_owned(),
            Self::Absent => "to be absent".to_owned(),
            Self::Equal(value) => format!("{:?}", filled(value, kept)),
            Self::Not(value) => format!("anything but {:?}", filled(value, kept)),
            Self::AtMost(most) => format!("at most {most}"),
            Self::AtLeast(least) => format!("at least {least}"),
            Self::Lists(all) => format!("a list with {}", all.join(", ")),
        }
    }

    fn fits(&self, value: Option<&str>, kept: &Kept) -> bool {
        let number = || value.and_then(|value| value.parse::<u64>().ok());
        match self {
            Self::Present => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Equal(expected) => value == Some(filled(expected, kept).as_str()),
            Self::Not(other) => value.is_some_and(|value| value != filled(other, kept)),
            Self::AtMost(most) => number().is_some_and(|number| number <= *most),
            Self::AtLeast(least) => number().is_some_and(|number| number >= *least),
            Self::Lists(all) => {
                let listed: Vec<&str> = value
                    .unwrap_or_default()
                    .split(',')
                    .map(str::trim)
                    .collect();
                all.iter().all(|one| listed.contains(&one.as_str()))
            }
        }
    }
}

/// Judges the fields of a message; an error says what was expected and what came.
pub(crate) fn judge(
    value: impl Fn(&str) -> Option<String>,
    fields: &Fields,
    kept: &Kept,
) -> Result<(), String> {
    for (name, expected) in fields {
        let value = value(name);
        if !expected.fits(value.as_deref(), kept) {
            let came = value.map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"));
            return Err(format!(
                "{name}: {} was expected, {came} came",
                expected.words(kept)
            ));
        }
    }
    Ok(())
}

/// `status`, `Name` (several of one name joined by commas), or `Name;parameter`.
pub(crate) fn value(message: &Message<'_>, name: &str) -> Option<String> {
    if name == "status" {
        return message.status().map(|status| status.to_string());
    }
    if name == "body" {
        return std::str::from_utf8(message.body()).ok().map(str::to_owned);
    }
    let (field, parameter) = match name.split_once(';') {
        Some((field, parameter)) => (field, Some(parameter)),
        None => (name, None),
    };
    let read = sip::Name::read(field.as_bytes());
    let is_it = |name: &[u8]| {
        if read == sip::Name::Other {
            name.eq_ignore_ascii_case(field.as_bytes())
        } else {
            sip::Name::read(name) == read
        }
    };
    let values: Vec<String> = message
        .fields()
        .filter(|(name, _)| is_it(name))
        .map(|(_, value)| String::from_utf8_lossy(value).trim().to_owned())
        .collect();
    let first = values.first()?.clone();
    match parameter {
        Some(wanted) => parameter_of(&first, wanted).map(str::to_owned),
        // A field with parameters is judged by what stands before them, unless it is a list or an address.
        None if field.eq_ignore_ascii_case("Subscription-State")
            || field.eq_ignore_ascii_case("Content-Type") =>
        {
            first.split(';').next().map(|value| value.trim().to_owned())
        }
        None => Some(values.join(", ")),
    }
}

/// The value of a parameter of a header field.
pub(crate) fn parameter_of<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    value.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"'))
    })
}

/// Judges the document of a message.
pub(crate) fn judge_document(
    message: &Message<'_>,
    expected: &Document,
    kept: &Kept,
) -> Result<(), String> {
    let body = message.body();
    let wrong = match expected {
        Document::Nothing if body.is_empty() && !message.has(sip::Name::ContentType) => {
            return Ok(());
        }
        Document::Nothing => "no body and no Content-Type was expected".to_owned(),
        Document::Same(name) if kept.get(name).map(String::as_bytes) == Some(body) => return Ok(()),
        Document::Same(name) => {
            format!("the document that was kept as {name} was expected once more")
        }
        Document::Neutral | Document::Says { .. } => match Presence::read(body) {
            Err(why) => format!("a presence document was expected, but {why}"),
            Ok(presence) => match judge_presence(&presence, expected) {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
        },
    };
    Err(format!(
        "{wrong}; there came\n{}",
        String::from_utf8_lossy(body)
    ))
}

fn judge_presence(presence: &Presence, expected: &Document) -> Result<(), String> {
    let Document::Says {
        basics,
        notes,
        no_notes,
    } = expected
    else {
        let wrong = "a document that says nothing of anybody was expected";
        return if presence.is_neutral() {
            Ok(())
        } else {
            Err(wrong.to_owned())
        };
    };
    let mut wrong = Vec::new();
    if let Some(basics) = basics {
        let mut wanted = basics.clone();
        wanted.sort();
        if presence.basics() != wanted {
            wrong.push(format!(
                "basic of its services: {wanted:?} was expected, {:?} came",
                presence.basics()
            ));
        }
    }
    let missing = notes.iter().filter(|note| !presence.says(note));
    wrong.extend(missing.map(|note| format!("the note {note:?} was expected, and is not there")));
    let unwanted = no_notes.iter().filter(|note| presence.says(note));
    wrong.extend(unwanted.map(|note| format!("the note {note:?} should not be there")));
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// `{name}` becomes what was kept under that name.
pub(crate) fn filled(text: &str, kept: &Kept) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, behind)) if kept.contains_key(name) => {
                out.push_str(kept.get(name).map_or("", String::as_str));
                rest = behind;
            }
            _ => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The names of the placeholders in a text.
pub(crate) fn placeholders(text: &str) -> Vec<&str> {
    text.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .collect()
}
