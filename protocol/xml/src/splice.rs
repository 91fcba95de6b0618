//! Finding and changing one node in a document's text: every other byte stays as it was.

use std::ops::Range;

use roxmltree::{Document, Node, ParsingOptions};

use crate::selector::{Selector, Step, Terminal};
use crate::{Bounds, Flaw, Name, lexical};

/// A document whose text is known to be well-formed and within its bounds, by [`read`](crate::read).
pub struct Source<'t> {
    text: &'t str,
    document: Document<'t>,
}

/// What a selector means in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One node: its text as it stands there. Of an attribute what is between the quotes.
    One(String),
    /// Nothing.
    Nothing,
    /// More than one: it means none of them (RFC 4825 §6.3).
    Several,
}

/// Why nothing was changed (RFC 4825 §11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is nothing to insert it into; how many steps lead to what is there.
    NoParent(usize),
    /// It would not be what the selector means afterwards.
    CannotInsert,
    /// Something else would be what the selector means afterwards.
    CannotDelete,
    /// No single element.
    NotFragment,
    /// Nothing that may stand in an attribute.
    NotAttributeValue,
    /// Nothing is there.
    Missing,
    /// It is larger than a whole document may be.
    TooLarge(Flaw),
}

/// How an element or attribute may come into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// It replaces what was there.
    pub replaces: bool,
    /// The document with it, at each place where it may stand by the selector, the usual one first.
    pub candidates: Vec<String>,
}

/// Places that are offered for one new element beside the usual one: a schema that wants it elsewhere is satisfied among them.
const PLACES_MAX: usize = 64;

impl<'t> Source<'t> {
    /// `None`: the text was never read, and is no document.
    pub fn new(text: &'t str) -> Option<Self> {
        let options = ParsingOptions {
            allow_dtd: false,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text, options).ok()?;
        Some(Self { text, document })
    }

    /// What a selector means.
    pub fn find(&self, selector: &Selector) -> Found {
        let elements = self.elements(&selector.steps);
        let [element] = elements.as_slice() else {
            return if elements.is_empty() {
                Found::Nothing
            } else {
                Found::Several
            };
        };
        match &selector.terminal {
            Terminal::Element => Found::One(self.text[element.range()].to_owned()),
            Terminal::Attribute(name) => match attribute_of(element, name) {
                Some(own) => Found::One(self.text[own.range_value()].to_owned()),
                None => Found::Nothing,
            },
            Terminal::Namespaces => Found::One(bindings(element)),
        }
    }

    fn elements(&self, steps: &[Step]) -> Vec<Node<'_, 't>> {
        let mut parents = vec![self.document.root()];
        for step in steps {
            parents = parents
                .iter()
                .flat_map(|parent| step.choose(parent.children()))
                .collect();
        }
        parents
    }

    /// Puts an element where the selector says (RFC 4825 §8.2.3).
    ///
    /// # Errors
    /// Why it can't stand there.
    pub fn put_element(
        &self,
        selector: &Selector,
        element: &str,
        bounds: &Bounds,
    ) -> Result<Insertion, Refused> {
        let element = trimmed(element);
        check_fragment(element, bounds)?;
        let found = self.elements(&selector.steps);
        match found.as_slice() {
            [existing] => {
                let edited = self.replaced(existing.range(), element);
                let at = existing.range().start..existing.range().start + element.len();
                self.is_meant(selector, &edited, &at)
                    .then_some(Insertion {
                        replaces: true,
                        candidates: vec![edited],
                    })
                    .ok_or(Refused::CannotInsert)
            }
            [] => self.insert(selector, element),
            _ => Err(Refused::CannotInsert),
        }
    }

    fn insert(&self, selector: &Selector, element: &str) -> Result<Insertion, Refused> {
        let Some((last, path)) = selector.steps.split_last() else {
            return Err(Refused::CannotInsert);
        };
        if path.is_empty() {
            // Another root: the document would no longer be one.
            return Err(Refused::CannotInsert);
        }
        let parents = self.elements(path);
        let [parent] = parents.as_slice() else {
            return Err(Refused::NoParent(self.nearest(path)));
        };
        let mut candidates = Vec::new();
        for place in places(parent, last) {
            let (edited, at) = self.inserted(parent, place, element);
            if self.is_meant(selector, &edited, &at) {
                candidates.push(edited);
            }
        }
        if candidates.is_empty() {
            return Err(Refused::CannotInsert);
        }
        Ok(Insertion {
            replaces: false,
            candidates,
        })
    }

    /// How many steps of a path lead to exactly one element.
    fn nearest(&self, path: &[Step]) -> usize {
        (1..path.len())
            .rev()
            .find(|steps| {
                path.get(..*steps)
                    .is_some_and(|path| self.elements(path).len() == 1)
            })
            .unwrap_or(0)
    }

    fn inserted(
        &self,
        parent: &Node<'_, 't>,
        place: Place,
        element: &str,
    ) -> (String, Range<usize>) {
        match place {
            Place::At(offset) => (
                self.replaced(offset..offset, element),
                offset..offset + element.len(),
            ),
            Place::Inside => {
                let range = parent.range();
                let own = &self.text[range.clone()];
                match own.strip_suffix("/>") {
                    Some(open) => {
                        // `<a/>` opens.
                        let begin = range.start + open.trim_end().len();
                        let name = qualified_name(own);
                        let edited =
                            self.replaced(begin..range.end, &format!(">{element}</{name}>"));
                        (edited, begin + 1..begin + 1 + element.len())
                    }
                    None => {
                        let end = own.rfind("</").map_or(range.end, |at| range.start + at);
                        (self.replaced(end..end, element), end..end + element.len())
                    }
                }
            }
        }
    }

    fn replaced(&self, range: Range<usize>, by: &str) -> String {
        let mut edited = String::with_capacity(self.text.len() + by.len());
        edited.push_str(&self.text[..range.start]);
        edited.push_str(by);
        edited.push_str(&self.text[range.end..]);
        edited
    }

    /// RFC 4825 §8.2.3, §8.2.4: what was put is what a GET of the same address gives.
    fn is_meant(&self, selector: &Selector, edited: &str, at: &Range<usize>) -> bool {
        let Some(edited) = Source::new(edited) else {
            // A prefix without a binding, say: the reader will say what is wrong.
            return true;
        };
        let elements = edited.elements(&selector.steps);
        matches!(elements.as_slice(), [element] if element.range() == *at)
    }

    /// Puts an attribute's value, as it is to stand between the quotes (RFC 4825 §8.2.3).
    ///
    /// # Errors
    /// Why it can't stand there.
    pub fn put_attribute(&self, selector: &Selector, value: &str) -> Result<Insertion, Refused> {
        let Terminal::Attribute(name) = &selector.terminal else {
            return Err(Refused::CannotInsert);
        };
        let elements = self.elements(&selector.steps);
        let [element] = elements.as_slice() else {
            return Err(Refused::NoParent(self.nearest_element(&selector.steps)));
        };
        let existing = attribute_of(element, name);
        let begin = existing.map(|own| own.range_value().start);
        let Some(quote) = quote_for(begin, self.text, value) else {
            return Err(Refused::NotAttributeValue);
        };
        let edited = match existing {
            Some(own) => {
                let inside = own.range_value();
                let both = inside.start - 1..inside.end + 1;
                self.replaced(both, &format!("{quote}{value}{quote}"))
            }
            None => {
                let written = self
                    .written_name(element, name)
                    .ok_or(Refused::CannotInsert)?;
                let at =
                    element.range().start + 1 + qualified_name(&self.text[element.range()]).len();
                self.replaced(at..at, &format!(" {written}={quote}{value}{quote}"))
            }
        };
        // An attribute that its own step chooses by must not make the step choose another; and what is called `xmlns` is none.
        let still = match Source::new(&edited) {
            Some(after) => {
                let elements = after.elements(&selector.steps);
                matches!(elements.as_slice(), [after] if after.range().start == element.range().start
                    && attribute_of(after, name).is_some())
            }
            None => true,
        };
        if !still {
            return Err(Refused::CannotInsert);
        }
        Ok(Insertion {
            replaces: existing.is_some(),
            candidates: vec![edited],
        })
    }

    fn nearest_element(&self, steps: &[Step]) -> usize {
        if self.elements(steps).len() == 1 {
            steps.len()
        } else {
            self.nearest(steps)
        }
    }

    /// The name of a new attribute with a prefix that stands for its namespace there.
    fn written_name(&self, element: &Node<'_, 't>, name: &Name) -> Option<String> {
        match name.namespace.as_str() {
            "" => Some(name.local.to_string()),
            namespace => element
                .namespaces()
                .find(|bound| bound.uri() == namespace && bound.name().is_some())
                .and_then(|bound| bound.name())
                .map(|prefix| format!("{prefix}:{}", name.local)),
        }
    }

    /// Takes away what the selector means (RFC 4825 §8.2.4: nothing must be meant by it afterwards).
    ///
    /// # Errors
    /// Nothing is there, or something else would be.
    pub fn delete(&self, selector: &Selector) -> Result<String, Refused> {
        let elements = self.elements(&selector.steps);
        let [element] = elements.as_slice() else {
            return Err(Refused::Missing);
        };
        let edited = match &selector.terminal {
            Terminal::Element if element.parent_element().is_none() => {
                return Err(Refused::CannotDelete);
            }
            Terminal::Element => self.replaced(element.range(), ""),
            Terminal::Attribute(name) => {
                let own = attribute_of(element, name).ok_or(Refused::Missing)?;
                let before = self.text[..own.range().start].trim_end().len();
                self.replaced(before..own.range().end, "")
            }
            Terminal::Namespaces => return Err(Refused::CannotDelete),
        };
        match Source::new(&edited).map(|after| after.find(selector)) {
            Some(Found::Nothing) | None => Ok(edited),
            Some(_) => Err(Refused::CannotDelete),
        }
    }
}

/// Where a new element may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Here.
    At(usize),
    /// After everything in its parent.
    Inside,
}

/// RFC 4825 §8.2.3: by position before the one at that place or after the last; else after the last of its name, else last of all,
/// else wherever the schema wants it.
fn places(parent: &Node<'_, '_>, step: &Step) -> Vec<Place> {
    let named: Vec<_> = parent
        .children()
        .filter(|child| step.is_named(child))
        .collect();
    let after_last = named.last().map(|last| Place::At(last.range().end));
    match step.position {
        Some(position) => match named.get(position.saturating_sub(1)) {
            // The one there has another attribute: the new one takes its place.
            Some(there) => vec![Place::At(there.range().start)],
            None if position == named.len() + 1 => match after_last {
                Some(place) => vec![place],
                None => anywhere(parent),
            },
            None => Vec::new(),
        },
        None => after_last.into_iter().chain(anywhere(parent)).collect(),
    }
}

fn anywhere(parent: &Node<'_, '_>) -> Vec<Place> {
    let mut places = vec![Place::Inside];
    let mut before: Vec<_> = parent
        .children()
        .filter(Node::is_element)
        .map(|child| Place::At(child.range().start))
        .collect();
    before.reverse();
    places.extend(before.into_iter().take(PLACES_MAX));
    places
}

fn attribute_of<'d, 't>(
    element: &Node<'d, 't>,
    name: &Name,
) -> Option<roxmltree::Attribute<'d, 't>> {
    let namespace = name.namespace.as_str();
    element
        .attributes()
        .find(|own| own.name() == name.local && own.namespace().unwrap_or_default() == namespace)
}

/// RFC 4825 §7.10: an empty element of the same name with every binding in scope.
fn bindings(element: &Node<'_, '_>) -> String {
    let tag = element.tag_name();
    let mut out = String::new();
    let mut prefix = None;
    for bound in element.namespaces() {
        if bound.uri() == crate::XML.as_str() {
            continue;
        }
        if Some(bound.uri()) == tag.namespace() && (prefix.is_none() || bound.name().is_none()) {
            prefix = Some(bound.name());
        }
        let uri = escaped(bound.uri());
        match bound.name() {
            Some(name) => out.push_str(&format!(" xmlns:{name}=\"{uri}\"")),
            None => out.push_str(&format!(" xmlns=\"{uri}\"")),
        }
    }
    match prefix.flatten() {
        Some(prefix) => format!("<{prefix}:{}{out}/>", tag.name()),
        None => format!("<{}{out}/>", tag.name()),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// The quote that a value may stand between: the one that is there already if the value does not hold it, else one that it does not hold.
fn quote_for(begin: Option<usize>, text: &str, value: &str) -> Option<char> {
    let there = begin.and_then(|begin| text[..begin].chars().next_back());
    let quote = match there {
        Some(quote) if !value.contains(quote) => quote,
        _ if value.contains('"') => '\'',
        _ => '"',
    };
    // RFC 4825 §8.2.1: what XML calls AttValue.
    let references = value.split('&').skip(1);
    let fits = !value.contains([quote, '<'])
        && lexical::forbidden(value).is_none()
        && references.into_iter().all(|rest| {
            rest.split_once(';')
                .is_some_and(|(reference, _)| lexical::resolve(reference).is_ok())
        });
    fits.then_some(quote)
}

/// The name of an element as its start tag writes it.
fn qualified_name(element: &str) -> &str {
    let name = element.strip_prefix('<').unwrap_or(element);
    let end = name
        .find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'))
        .unwrap_or(name.len());
    &name[..end]
}

/// White space around a fragment is no part of it.
fn trimmed(element: &str) -> &str {
    element.trim_matches(|c: char| c.is_ascii_whitespace())
}

/// One element within the bounds, prefixes left open (RFC 4825 §8.2.1: they may be bound where it will stand). It is judged as it
/// is scanned, before anything is built of it.
fn check_fragment(element: &str, bounds: &Bounds) -> Result<(), Refused> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(element);
    let (mut depth, mut roots, mut nodes) = (0_u32, 0_u32, 0_u32);
    loop {
        let event = reader.read_event();
        if let Ok(Event::Start(tag) | Event::Empty(tag)) = &event {
            roots += u32::from(depth == 0);
            // Not checked against one another here: that takes the square of their number.
            let attributes = tag.attributes().with_checks(false).count();
            nodes = nodes.saturating_add(u32::try_from(attributes).unwrap_or(u32::MAX));
            nodes = nodes.saturating_add(1);
            if nodes > bounds.nodes_max {
                return Err(Refused::TooLarge(Flaw::TooMany(bounds.nodes_max)));
            }
        }
        match event {
            Ok(Event::Start(_)) if depth == bounds.depth_max => {
                return Err(Refused::TooLarge(Flaw::TooDeep(bounds.depth_max)));
            }
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::Empty(_)) => {}
            Ok(Event::End(_)) => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Err(Refused::NotFragment),
            },
            Ok(Event::Eof) if depth == 0 && roots == 1 => return Ok(()),
            Ok(Event::Eof | Event::Decl(_) | Event::DocType(_)) | Err(_) => {
                return Err(Refused::NotFragment);
            }
            Ok(_) if depth == 0 => return Err(Refused::NotFragment),
            Ok(_) => {}
        }
    }
}
