//! What the schemas say about an element, as tables, and the mending of what a peer sent to it.
//!
//! Mending reorders children, takes away what has no place (an element of the format's own namespace that the schema does not know,
//! one in no namespace, one too many, a value that cannot be meant) and fills in what can be filled in. Elements of other namespaces
//! stay wherever the schema has room for them, and elements that no schema here describes stay as they are.

use xml::{Attribute, Element, Name, Node, XML};

use crate::value::Value;
use crate::{capabilities, cipid, data_model, oma_pres, pidf, rpid, timed_status};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// One element of a schema.
#[derive(Debug)]
pub struct Shape {
    /// What may be inside.
    pub content: Content,
    /// Attributes that the schema names: without prefix, and `xml:lang`.
    pub attributes: &'static [(&'static str, Value, Need)],
    /// Whether other attributes may stand there too.
    pub any_attribute: bool,
}

/// What may be inside an element.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    Empty,
    /// Text of a type.
    Text(Value),
    /// Children in this order.
    Sequence(&'static [Part]),
    /// Words as empty elements (RPID).
    Words(Words),
}

/// One place in a sequence.
#[derive(Debug)]
pub enum Part {
    /// An element of the format's own namespace.
    Child(&'static str, &'static Shape, Many, Need),
    /// One of these, as an empty element.
    Either(&'static [&'static str]),
    /// An empty element that stays only if nothing follows it.
    Alone(&'static str),
    /// Any number of elements of other namespaces.
    Other,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// At most once; the first counts.
    Once,
    /// As often as it comes.
    Often,
}

/// What happens when something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Optional,
    /// An empty one is put there.
    Empty,
    /// The element that should have it means nothing and goes.
    Required,
}

/// Notes, then words of a list as empty elements.
#[derive(Debug)]
pub struct Words {
    /// The list, `unknown` aside.
    pub list: &'static [&'static str],
    /// Whether `other` with text may stand for a word.
    pub other: bool,
    /// Whether more than one word may be said.
    pub many: bool,
    /// Whether notes may come first.
    pub notes: bool,
    /// Whether `unknown` is put where no word is left.
    pub unknown_when_empty: bool,
    /// Whether text may be mixed in (sphere).
    pub mixed: bool,
}

/// RFC 4480's `empty`.
pub static EMPTY: Shape = Shape {
    content: Content::Empty,
    attributes: &[],
    any_attribute: false,
};

/// `Note_t`: text and a language.
pub static NOTE: Shape = Shape {
    content: Content::Text(Value::Text),
    attributes: &[("xml:lang", Value::Language, Need::Optional)],
    any_attribute: false,
};

/// A date and time, nothing else.
pub static TIMESTAMP: Shape = Shape::text(Value::DateTime);

impl Shape {
    /// Text of a type, no attributes.
    pub const fn text(value: Value) -> Self {
        Self {
            content: Content::Text(value),
            attributes: &[],
            any_attribute: false,
        }
    }

    /// Children in order, no attributes.
    pub const fn sequence(parts: &'static [Part]) -> Self {
        Self {
            content: Content::Sequence(parts),
            attributes: &[],
            any_attribute: false,
        }
    }
}

/// The shape of an element that may stand where any may.
pub fn of(name: &Name) -> Option<&'static Shape> {
    let local = &*name.local;
    match name.namespace.as_str() {
        rpid::URI => rpid::shape(local),
        cipid::URI => cipid::shape(local),
        data_model::URI => data_model::shape(local),
        timed_status::URI => timed_status::shape(local),
        capabilities::URI => capabilities::shape(local),
        oma_pres::URI => oma_pres::shape(local),
        _ => None,
    }
}

/// Mends an element that may stand where any may; false: it cannot be mended and has to go.
pub fn mend(element: &mut Element) -> bool {
    if element.name.namespace == pidf::NAMESPACE && element.name.local == "presence" {
        return false;
    }
    if let Some(shape) = of(&element.name) {
        return mend_as(element, shape);
    }
    mend_attributes(element, &[], true);
    element.children.retain_mut(|node| match node {
        Node::Element(child) => mend(child),
        Node::Text(_) => true,
    });
    true
}

/// Mends an element to a shape; false: it cannot be mended and has to go.
pub fn mend_as(element: &mut Element, shape: &Shape) -> bool {
    // The types of these elements are settled: nobody may exchange or nullify them.
    element
        .attributes
        .retain(|attribute| attribute.name.namespace.as_str() != XSI);
    if !mend_attributes(element, shape.attributes, shape.any_attribute) {
        return false;
    }
    // Nothing that the schema types is a qualified name; only an attribute of another namespace may hold one.
    let foreign = element
        .attributes
        .iter()
        .any(|attribute| !attribute.name.namespace.is_none());
    element
        .mentions
        .retain(|mention| foreign && !mention.prefix.is_empty());
    match &shape.content {
        Content::Empty => element.children.clear(),
        Content::Text(value) => {
            let Some(text) = value.mend(&element.text()) else {
                return false;
            };
            element.set_text(text);
        }
        Content::Sequence(parts) => return mend_sequence(element, parts),
        Content::Words(words) => mend_words(element, words),
    }
    true
}

fn mend_attributes(element: &mut Element, known: &[(&str, Value, Need)], any: bool) -> bool {
    element
        .attributes
        .retain_mut(|attribute| match attribute_type(attribute, known, any) {
            Some(value) => value
                .mend(&attribute.value)
                .map(|mended| attribute.value = mended)
                .is_some(),
            None => any,
        });
    known
        .iter()
        .all(|(local, _, need)| *need != Need::Required || element.attribute(local).is_some())
}

/// The type of an attribute that the schema names here or, where any may stand, everywhere.
fn attribute_type(
    attribute: &Attribute,
    known: &[(&str, Value, Need)],
    any: bool,
) -> Option<Value> {
    let local = &*attribute.name.local;
    let named = |wanted: &str| {
        known
            .iter()
            .find(|(name, _, _)| *name == wanted)
            .map(|(_, value, _)| *value)
    };
    match attribute.name.namespace.as_str() {
        "" => named(local),
        pidf::URI if any && local == "mustUnderstand" => Some(Value::Boolean),
        uri if uri == XML.as_str() => match local {
            "lang" if any => Some(Value::Language),
            "lang" => named("xml:lang"),
            "id" if any => Some(Value::Id),
            "space" if any => Some(Value::OneOf(&["default", "preserve"])),
            _ => None,
        },
        _ => None,
    }
}

fn mend_sequence(element: &mut Element, parts: &[Part]) -> bool {
    let own = element.name.namespace.clone();
    let mut placed: Vec<(usize, Element)> = Vec::with_capacity(element.children.len());
    let mut seen = vec![false; parts.len()];
    for node in std::mem::take(&mut element.children) {
        let Node::Element(mut child) = node else {
            continue;
        };
        let place = parts.iter().position(|part| match part {
            Part::Child(local, ..) => child.name.namespace == own && child.name.local == *local,
            Part::Either(locals) => {
                child.name.namespace == own && locals.contains(&&*child.name.local)
            }
            Part::Alone(local) => child.name.namespace == own && child.name.local == *local,
            Part::Other => child.name.namespace != own && !child.name.namespace.is_none(),
        });
        let Some(place) = place else { continue };
        let good = match &parts[place] {
            Part::Child(_, _, Many::Once, _) | Part::Either(_) | Part::Alone(_) if seen[place] => {
                false
            }
            Part::Either(_) | Part::Alone(_) => mend_as(&mut child, &EMPTY),
            Part::Child(_, shape, ..) => mend_as(&mut child, shape),
            Part::Other => mend(&mut child),
        };
        if good {
            seen[place] = true;
            placed.push((place, child));
        }
    }
    for (place, part) in parts.iter().enumerate() {
        match part {
            Part::Alone(_) if seen[place + 1..].contains(&true) => {
                placed.retain(|(at, _)| *at != place)
            }
            Part::Child(_, _, _, Need::Required) if !seen[place] => return false,
            Part::Child(local, _, _, Need::Empty) if !seen[place] => {
                placed.push((place, Element::new(Name::new(own.clone(), *local))))
            }
            _ => {}
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    element.children = placed
        .into_iter()
        .map(|(_, child)| Node::Element(child))
        .collect();
    true
}

fn mend_words(element: &mut Element, words: &Words) {
    let own = element.name.namespace.clone();
    let (mut notes, mut said, mut unknown) = (Vec::new(), Vec::new(), false);
    // Whether the first word is of another namespace.
    let mut first = None;
    for node in std::mem::take(&mut element.children) {
        let mut child = match node {
            Node::Element(child) => child,
            Node::Text(text) => {
                if words.mixed && !text.trim_ascii().is_empty() {
                    said.push(Node::Text(text));
                }
                continue;
            }
        };
        let foreign = child.name.namespace != own;
        // A single word, or any number of elements of other namespaces in its place.
        let room = words.many || first.is_none_or(|first| first && foreign);
        match mend_word(&mut child, words, foreign) {
            Word::Note => notes.push(Node::Element(child)),
            Word::Unknown => unknown = true,
            Word::Said if room => {
                first.get_or_insert(foreign);
                said.push(Node::Element(child));
            }
            Word::Said | Word::Nonsense => {}
        }
    }
    let silent = said.is_empty();
    element.children = notes;
    element.children.append(&mut said);
    if silent && (unknown || words.unknown_when_empty) {
        element.push(Element::new(Name::new(own, "unknown")));
    }
}

enum Word {
    Note,
    Unknown,
    Said,
    Nonsense,
}

fn mend_word(child: &mut Element, words: &Words, foreign: bool) -> Word {
    let good = match &*child.name.local {
        _ if foreign => !child.name.namespace.is_none() && mend(child),
        "note" if words.notes => {
            return if mend_as(child, &NOTE) {
                Word::Note
            } else {
                Word::Nonsense
            };
        }
        "unknown" => return Word::Unknown,
        "other" if words.other => mend_as(child, &NOTE),
        local if words.list.contains(&local) => mend_as(child, &EMPTY),
        local if words.other => {
            // A word that the list does not have is what `other` is for (RFC 4480 §3.2).
            let word = local.to_owned();
            child.name.local = "other".into();
            child.attributes.clear();
            child.set_text(word);
            true
        }
        _ => false,
    };
    if good { Word::Said } else { Word::Nonsense }
}
