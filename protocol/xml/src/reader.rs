//! Bytes → tree. quick-xml finds where markup begins and ends; every rule of well-formedness and namespaces is held here.

use std::borrow::Cow;
use std::ops::Deref;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::events::Event;

use crate::scope::{Scope, clip};
use crate::{Attribute, Element, Flaw, Malformed, Name, Namespace, Node, lexical};

/// How much a document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Nested elements, the root is the first. Above 256 it counts as 256: trees are walked and dropped by recursion.
    pub depth_max: u32,
    /// Elements and attributes, namespace declarations included.
    pub nodes_max: u32,
}

impl Bounds {
    /// For bytes that were let in under bounds of their own before: nothing is refused for its size, only the depth.
    pub const TRUSTED: Self = Self {
        depth_max: DEPTH_CEILING,
        nodes_max: u32::MAX,
    };
}

const DEPTH_CEILING: u32 = 256;
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Reads a whole document.
///
/// # Errors
/// Where the first fault is and what it is: not UTF-8, not well-formed, not namespace-well-formed, a DTD, beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Element, Malformed> {
    let source = match std::str::from_utf8(bytes) {
        Ok(source) => source,
        Err(error) => {
            let good = bytes
                .get(..error.valid_up_to())
                .and_then(|good| std::str::from_utf8(good).ok())
                .unwrap_or("");
            return Err(Malformed::at(good, good.len(), Flaw::NotUtf8));
        }
    };
    if let Some(offset) = lexical::forbidden(source) {
        return Err(Malformed::at(source, offset, Flaw::Character));
    }
    Reading::new(source, bounds)
        .run()
        .map_err(|(offset, flaw)| Malformed::at(source, offset, flaw))
}

type Fault = (usize, Flaw);

struct Open<'a> {
    element: Element,
    name: &'a str,
    /// What goes out of scope with it.
    mark: usize,
    /// Text read since the last child.
    text: String,
}

struct Reading<'a> {
    source: &'a str,
    /// Length of a byte order mark.
    begin: usize,
    depth_max: usize,
    nodes_max: u32,
    nodes: u32,
    scope: Scope<'a>,
    open: Vec<Open<'a>>,
    root: Option<Element>,
}

impl<'a> Reading<'a> {
    fn new(source: &'a str, bounds: &Bounds) -> Self {
        Self {
            source,
            begin: if source.starts_with('\u{feff}') {
                '\u{feff}'.len_utf8()
            } else {
                0
            },
            depth_max: bounds.depth_max.min(DEPTH_CEILING) as usize,
            nodes_max: bounds.nodes_max,
            nodes: 0,
            scope: Scope::new(),
            open: Vec::new(),
            root: None,
        }
    }

    fn run(mut self) -> Result<Element, Fault> {
        // The library takes one byte order mark away itself, without counting it in its positions.
        let mut reader = Reader::from_str(self.source);
        let config = reader.config_mut();
        // Both are done here, with our own messages and without the library's leniency.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        loop {
            match reader.read_event() {
                Ok(Event::Eof) => break,
                Ok(event) => self.handle(&event)?,
                Err(error) => {
                    let offset = self.begin + usize::try_from(reader.error_position()).unwrap_or(0);
                    return Err((offset, flaw_of(&error)));
                }
            }
        }
        if !self.open.is_empty() {
            return Err((self.source.len(), Flaw::UnclosedElement));
        }
        self.root.ok_or((self.source.len(), Flaw::NoRoot))
    }

    fn handle(&mut self, event: &Event<'a>) -> Result<(), Fault> {
        match event {
            Event::Start(tag) => self.handle_start(self.slice(tag)),
            Event::Empty(tag) => {
                self.handle_start(self.slice(tag))?;
                self.close();
                Ok(())
            }
            Event::End(tag) => self.handle_end(self.slice(tag)),
            Event::Text(text) => self.handle_text(self.slice(text)),
            Event::CData(text) => {
                let (offset, text) = self.slice(text);
                let open = self.open.last_mut().ok_or((offset, Flaw::OutsideRoot))?;
                lexical::push_text(&mut open.text, text);
                Ok(())
            }
            Event::GeneralRef(reference) => {
                let (offset, reference) = self.slice(reference);
                let open = self.open.last_mut().ok_or((offset, Flaw::OutsideRoot))?;
                open.text
                    .push(lexical::resolve(reference).map_err(|flaw| (offset, flaw))?);
                Ok(())
            }
            Event::Comment(comment) => {
                // XML 1.0 §2.5: no double hyphen, and none before the end.
                let (offset, comment) = self.slice(comment);
                if comment.contains("--") || comment.ends_with('-') {
                    Err((offset, Flaw::Comment))
                } else {
                    Ok(())
                }
            }
            Event::Decl(declaration) => self.handle_declaration(self.slice(declaration)),
            Event::PI(instruction) => {
                let (offset, instruction) = self.slice(instruction);
                let target = instruction
                    .split(|c: char| c.is_ascii() && lexical::is_space(c as u8))
                    .next()
                    .unwrap_or("");
                // XML 1.0 §2.6: the target `xml` is reserved in every case of letters; Namespaces §7: no colon.
                if !lexical::is_ncname(target) || target.eq_ignore_ascii_case("xml") {
                    return Err((offset, Flaw::Instruction));
                }
                Ok(())
            }
            Event::DocType(text) => Err((self.slice(text).0, Flaw::DocumentType)),
            Event::Eof => Ok(()),
        }
    }

    /// The part of the source that an event covers, with its offset. Events only borrow, so their addresses say where.
    fn slice(&self, part: &impl Deref<Target = [u8]>) -> (usize, &'a str) {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.source.as_ptr() as usize);
        (
            offset,
            self.source
                .get(offset..offset.saturating_add(part.len()))
                .unwrap_or(""),
        )
    }

    fn handle_declaration(&self, (offset, text): (usize, &str)) -> Result<(), Fault> {
        if offset != self.begin + "<?".len() {
            return Err((offset, Flaw::Declaration));
        }
        // XML 1.0 §2.8: version, then encoding, then standalone.
        let mut at = "xml".len();
        let mut expected = 0;
        while let Some(raw) =
            lexical::next_attribute(text, &mut at).map_err(|_| (offset, Flaw::Declaration))?
        {
            let (rank, good) = match raw.name {
                "version" => (
                    1,
                    raw.value.strip_prefix("1.").is_some_and(|minor| {
                        !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())
                    }),
                ),
                "encoding"
                    if raw.value.eq_ignore_ascii_case("utf-8")
                        || raw.value.eq_ignore_ascii_case("us-ascii") =>
                {
                    (2, true)
                }
                "encoding" => return Err((offset + raw.value_at, Flaw::Encoding)),
                "standalone" => (3, matches!(raw.value, "yes" | "no")),
                _ => (0, false),
            };
            if !good || rank <= expected || (expected == 0 && rank != 1) {
                return Err((offset + raw.name_at, Flaw::Declaration));
            }
            expected = rank;
        }
        if expected == 0 {
            Err((offset, Flaw::Declaration))
        } else {
            Ok(())
        }
    }

    fn handle_text(&mut self, (offset, text): (usize, &str)) -> Result<(), Fault> {
        if memchr::memchr(b']', text.as_bytes()).is_some()
            && let Some(at) = text.find("]]>")
        {
            return Err((offset + at, Flaw::SectionEnd));
        }
        match self.open.last_mut() {
            Some(open) => lexical::push_text(&mut open.text, text),
            None => {
                if let Some(at) = text.bytes().position(|byte| !lexical::is_space(byte)) {
                    return Err((offset + at, Flaw::OutsideRoot));
                }
            }
        }
        Ok(())
    }

    fn handle_start(&mut self, (offset, tag): (usize, &'a str)) -> Result<(), Fault> {
        if self.open.is_empty() && self.root.is_some() {
            return Err((offset, Flaw::SecondRoot));
        }
        if self.open.len() >= self.depth_max {
            return Err((offset, Flaw::TooDeep(self.depth_max as u32)));
        }
        self.count(offset)?;
        let length = tag.bytes().position(lexical::is_space).unwrap_or(tag.len());
        let name = &tag[..length];
        let (prefix, local) = lexical::split_name(name).map_err(|flaw| (offset, flaw))?;
        // Text before this element means what its prefixes stand for outside of it.
        if let Some(parent) = self.open.last_mut() {
            flush(parent, &self.scope);
        }
        let mark = self.scope.mark();
        let raw = self.attributes(offset, tag, length)?;
        let namespace = self.scope.resolve(prefix).map_err(|flaw| (offset, flaw))?;
        let mut element = Element::new(Name::new(namespace, local.to_owned()));
        element.attributes.reserve_exact(raw.len());
        for (at, prefix, local, value) in raw {
            // Namespaces in XML 1.0 §6.2: the default namespace does not apply to attributes.
            let namespace = if prefix.is_empty() {
                Namespace::NONE
            } else {
                self.scope.resolve(prefix).map_err(|flaw| (at, flaw))?
            };
            let value = value.into_owned();
            self.scope.mentions(&value, &mut element.mentions);
            if local == "type" && namespace.as_str() == XSI && !value.contains(':') {
                self.scope.mention("", &mut element.mentions);
            }
            element.attributes.push(Attribute {
                name: Name::new(namespace, local.to_owned()),
                value,
            });
        }
        unique(&element.attributes).map_err(|flaw| (offset, flaw))?;
        self.open.push(Open {
            element,
            name,
            mark,
            text: String::new(),
        });
        Ok(())
    }

    /// Takes declarations into scope; the other attributes come back, to be resolved once all declarations are known.
    #[allow(clippy::type_complexity, reason = "used once, by the caller above")]
    fn attributes(
        &mut self,
        offset: usize,
        tag: &'a str,
        length: usize,
    ) -> Result<Vec<(usize, &'a str, &'a str, Cow<'a, str>)>, Fault> {
        let mut found = Vec::new();
        let mut at = length;
        let first = self.scope.mark();
        while let Some(raw) =
            lexical::next_attribute(tag, &mut at).map_err(|(at, flaw)| (offset + at, flaw))?
        {
            let here = offset + raw.name_at;
            self.count(here)?;
            let (prefix, local) = lexical::split_name(raw.name).map_err(|flaw| (here, flaw))?;
            let value = lexical::attribute_value(raw.value)
                .map_err(|(at, flaw)| (offset + raw.value_at + at, flaw))?;
            let declared = match (prefix, local) {
                ("xmlns", declared) => declared,
                ("", "xmlns") => "",
                _ => {
                    found.push((here, prefix, local, value));
                    continue;
                }
            };
            if self.scope.declares(first, declared) {
                return Err((here, Flaw::DuplicateAttribute(clip(raw.name))));
            }
            self.scope
                .declare(declared, &value)
                .map_err(|flaw| (here, flaw))?;
        }
        Ok(found)
    }

    fn handle_end(&mut self, (offset, tag): (usize, &str)) -> Result<(), Fault> {
        // XML 1.0 §3.1, production ETag: white space may follow the name, not precede it.
        let name = tag.trim_end_matches(|c: char| c.is_ascii() && lexical::is_space(c as u8));
        if self.open.last().is_none_or(|open| open.name != name) {
            return Err((offset, Flaw::EndTag));
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        let Some(mut open) = self.open.pop() else {
            return;
        };
        flush(&mut open, &self.scope);
        self.scope.leave(open.mark);
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(Node::Element(open.element)),
            None => self.root = Some(open.element),
        }
    }

    fn count(&mut self, offset: usize) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > self.nodes_max {
            Err((offset, Flaw::TooMany(self.nodes_max)))
        } else {
            Ok(())
        }
    }
}

/// Text becomes a node when a child begins or the element ends, so that neighbouring pieces are one.
fn flush(open: &mut Open<'_>, scope: &Scope<'_>) {
    if !open.text.is_empty() {
        let text = std::mem::take(&mut open.text);
        scope.mentions(&text, &mut open.element.mentions);
        open.element.children.push(Node::Text(text));
    }
}

/// Namespaces in XML 1.0 §6.3: no two attributes of one name, once prefixes are resolved.
fn unique(attributes: &[Attribute]) -> Result<(), Flaw> {
    let twice = |name: &Name| Err(Flaw::DuplicateAttribute(clip(&name.local)));
    if attributes.len() <= 8 {
        for (at, one) in attributes.iter().enumerate() {
            if attributes[..at].iter().any(|other| other.name == one.name) {
                return twice(&one.name);
            }
        }
        return Ok(());
    }
    let mut names: Vec<&Name> = attributes.iter().map(|attribute| &attribute.name).collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map_or(Ok(()), |pair| twice(pair[0]))
}

fn flaw_of(error: &Error) -> Flaw {
    match error {
        Error::IllFormed(IllFormedError::UnclosedReference) => Flaw::Reference,
        Error::IllFormed(IllFormedError::MissingDoctypeName) => Flaw::DocumentType,
        _ => Flaw::Markup,
    }
}
