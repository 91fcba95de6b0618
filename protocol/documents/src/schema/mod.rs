//! What a schema demands, held strictly: for documents that people store, where a near miss is refused and not mended.
//!
//! A schema is a table of [`Declared`] elements. Their content models are deterministic, as XML Schema demands, so each child is
//! looked at once.

mod simple;
pub mod usages;

use std::collections::BTreeSet;
use std::fmt;

use xml::{Element, Node, XML};

pub use simple::Type;

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// An element of a schema.
#[derive(Debug)]
pub struct Declared {
    /// Namespace name.
    pub namespace: &'static str,
    /// Local name.
    pub local: &'static str,
    /// The namespace of the schema that its type is in: elements of others are "other" there.
    pub schema: &'static str,
    /// What may be inside.
    pub content: Content,
    /// Attributes without prefix.
    pub attributes: &'static [(&'static str, Type, bool)],
    /// Whether `xml:lang` may stand there.
    pub language: bool,
    /// Which attributes may stand there besides.
    pub others: Others,
}

/// Attributes that a schema does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// None.
    None,
    /// Of other namespaces.
    OfOtherNamespaces,
    /// Whatever comes.
    Any,
}

/// What may be inside an element.
#[derive(Debug)]
pub enum Content {
    /// Nothing, not even white space.
    Empty,
    /// Text of a type.
    Text(Type),
    /// Elements in an order.
    Elements(&'static [Particle]),
}

/// One place in an order.
#[derive(Debug)]
pub struct Particle {
    /// What stands there.
    pub what: What,
    /// At least so often.
    pub min: u32,
    /// At most so often.
    pub max: u32,
}

/// What may stand at a place.
#[derive(Debug)]
pub enum What {
    /// This element.
    One(&'static Declared),
    /// Any element of another namespace than the parent's, and of some. Where a schema declares it, it must be as declared.
    Other,
    /// One of these.
    Choice(&'static [What]),
    /// All of these, in this order.
    Sequence(&'static [Particle]),
}

/// No bound.
pub const MANY: u32 = u32::MAX;

impl Particle {
    /// Once.
    pub const fn one(what: What) -> Self {
        Self {
            what,
            min: 1,
            max: 1,
        }
    }

    /// Perhaps.
    pub const fn maybe(what: What) -> Self {
        Self {
            what,
            min: 0,
            max: 1,
        }
    }

    /// As often as it comes.
    pub const fn any(what: What) -> Self {
        Self {
            what,
            min: 0,
            max: MANY,
        }
    }
}

impl Declared {
    /// Of elements only.
    pub const fn new(
        namespace: &'static str,
        local: &'static str,
        content: &'static [Particle],
    ) -> Self {
        Self {
            namespace,
            local,
            schema: namespace,
            content: Content::Elements(content),
            attributes: &[],
            language: false,
            others: Others::None,
        }
    }

    /// Of text only.
    pub const fn text(namespace: &'static str, local: &'static str, of: Type) -> Self {
        Self {
            content: Content::Text(of),
            ..Self::new(namespace, local, &[])
        }
    }

    /// Without anything inside.
    pub const fn empty(namespace: &'static str, local: &'static str) -> Self {
        Self {
            content: Content::Empty,
            ..Self::new(namespace, local, &[])
        }
    }

    /// With these attributes: name, type, whether it must be there.
    pub const fn with(self, attributes: &'static [(&'static str, Type, bool)]) -> Self {
        Self { attributes, ..self }
    }

    /// With `xml:lang`.
    pub const fn in_a_language(self) -> Self {
        Self {
            language: true,
            ..self
        }
    }

    /// With attributes of other namespaces.
    pub const fn and_others(self) -> Self {
        Self {
            others: Others::OfOtherNamespaces,
            ..self
        }
    }

    /// With whatever attributes.
    pub const fn and_any(self) -> Self {
        Self {
            others: Others::Any,
            ..self
        }
    }
}

/// Where a document is not what its schema wants, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The element: local names from the root on, with their places among elements of the same name.
    pub at: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

impl std::error::Error for Invalid {}

/// Checks a document against the schema that declares its root. `globals`: what is declared for elements that may stand where any may.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(
    root: &Element,
    declared: &'static Declared,
    globals: &[&'static [&'static Declared]],
) -> Result<(), Invalid> {
    let mut checking = Checking {
        globals,
        path: Vec::new(),
        ids: BTreeSet::new(),
    };
    if !root.is(declared.namespace, declared.local) {
        checking.path.push((clip(&root.name.local), 1));
        return Err(checking.invalid(format!(
            "the root must be {} of {}",
            declared.local, declared.namespace
        )));
    }
    checking.element(root, 1, declared)
}

struct Checking<'g> {
    globals: &'g [&'static [&'static Declared]],
    path: Vec<(String, usize)>,
    ids: BTreeSet<String>,
}

type Checked = Result<(), Invalid>;

impl Checking<'_> {
    fn invalid(&self, what: impl Into<String>) -> Invalid {
        let at: Vec<String> = self
            .path
            .iter()
            .map(|(name, place)| match place {
                1 => name.clone(),
                place => format!("{name}[{place}]"),
            })
            .collect();
        Invalid {
            at: at.join("/"),
            what: what.into(),
        }
    }

    fn element(&mut self, element: &Element, place: usize, declared: &'static Declared) -> Checked {
        self.path.push((declared.local.to_owned(), place));
        self.attributes(element, declared)?;
        match &declared.content {
            Content::Empty if element.children.is_empty() => {}
            Content::Empty => return Err(self.invalid("nothing may be inside")),
            Content::Text(of) => {
                if element.elements().next().is_some() {
                    return Err(self.invalid("only text may be inside"));
                }
                self.value(*of, &element.text(), "text")?;
            }
            Content::Elements(particles) => self.elements(element, declared.schema, particles)?,
        }
        self.path.pop();
        Ok(())
    }

    fn attributes(&mut self, element: &Element, declared: &'static Declared) -> Checked {
        for attribute in &element.attributes {
            let (namespace, local) = (attribute.name.namespace.as_str(), &*attribute.name.local);
            match namespace {
                "" => {
                    let known = declared.attributes.iter().find(|(name, ..)| *name == local);
                    let Some((name, of, _)) = known else {
                        if declared.others == Others::Any {
                            continue;
                        }
                        return Err(
                            self.invalid(format!("no attribute {} is known here", clip(local)))
                        );
                    };
                    self.value(*of, &attribute.value, name)?;
                }
                XSI if matches!(local, "schemaLocation" | "noNamespaceSchemaLocation") => {}
                XSI => return Err(self.invalid(format!("xsi:{} is not taken", clip(local)))),
                _ if namespace == XML.as_str()
                    && local == "lang"
                    && (declared.language || declared.others != Others::None) =>
                {
                    self.value(Type::Language, &attribute.value, "xml:lang")?;
                }
                _ if declared.others != Others::None => {}
                _ => {
                    return Err(self.invalid(format!(
                        "no attribute {} of {} is known here",
                        clip(local),
                        clip(namespace)
                    )));
                }
            }
        }
        let missing = declared
            .attributes
            .iter()
            .find(|(name, _, needed)| *needed && element.attribute(name).is_none());
        missing.map_or(Ok(()), |(name, ..)| {
            Err(self.invalid(format!("the attribute {name} is missing")))
        })
    }

    fn value(&mut self, of: Type, text: &str, name: &str) -> Checked {
        of.check(text)
            .map_err(|wanted| self.invalid(format!("{name} is '{}', not {wanted}", clip(text))))?;
        if matches!(of, Type::Id) && !self.ids.insert(text.trim_ascii().to_owned()) {
            return Err(self.invalid(format!("the id '{}' is there twice", clip(text))));
        }
        Ok(())
    }

    fn elements(
        &mut self,
        element: &Element,
        namespace: &str,
        particles: &'static [Particle],
    ) -> Checked {
        let is_blank =
            |node: &Node| !matches!(node, Node::Text(text) if !text.trim_ascii().is_empty());
        if !element.children.iter().all(is_blank) {
            return Err(self.invalid("text may not be inside"));
        }
        let children: Vec<(&Element, usize)> = numbered(element);
        let mut at = 0;
        self.sequence(&children, &mut at, namespace, particles)?;
        match children.get(at) {
            Some((child, _)) => {
                Err(self.invalid(format!("{} may not stand there", clip(&child.name.local))))
            }
            None => Ok(()),
        }
    }

    fn sequence(
        &mut self,
        children: &[(&Element, usize)],
        at: &mut usize,
        namespace: &str,
        particles: &'static [Particle],
    ) -> Checked {
        for particle in particles {
            let mut count = 0;
            while count < particle.max {
                let before = *at;
                if !self.once(children, at, namespace, &particle.what)? || *at == before {
                    break;
                }
                count += 1;
            }
            if count < particle.min && !can_be_nothing(&particle.what) {
                return Err(self.invalid(format!("{} is missing", wanted(&particle.what))));
            }
        }
        Ok(())
    }

    /// Takes what stands at a place, if that may stand there; false: it does not.
    fn once(
        &mut self,
        children: &[(&Element, usize)],
        at: &mut usize,
        namespace: &str,
        what: &'static What,
    ) -> Result<bool, Invalid> {
        let Some((child, place)) = children.get(*at) else {
            return Ok(false);
        };
        match what {
            What::One(declared) if child.is(declared.namespace, declared.local) => {
                self.element(child, *place, declared)?;
                *at += 1;
                Ok(true)
            }
            What::One(_) => Ok(false),
            What::Other => {
                let own = child.name.namespace.as_str();
                if own == namespace || own.is_empty() {
                    return Ok(false);
                }
                self.other(child, *place)?;
                *at += 1;
                Ok(true)
            }
            What::Choice(choices) => {
                for choice in *choices {
                    if self.once(children, at, namespace, choice)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            What::Sequence(particles) => {
                if !particles
                    .first()
                    .is_some_and(|first| starts(&first.what, child, namespace))
                {
                    return Ok(false);
                }
                self.sequence(children, at, namespace, particles)?;
                Ok(true)
            }
        }
    }

    /// What is declared must be as declared, here and inside of what is not (XML Schema's lax).
    fn other(&mut self, element: &Element, place: usize) -> Checked {
        let mut declared = self.globals.iter().flat_map(|all| all.iter());
        if let Some(declared) = declared.find(|one| element.is(one.namespace, one.local)) {
            return self.element(element, place, declared);
        }
        self.path.push((clip(&element.name.local), place));
        for (child, place) in numbered(element) {
            self.other(child, place)?;
        }
        self.path.pop();
        Ok(())
    }
}

/// Children with their places among those of the same name.
fn numbered(element: &Element) -> Vec<(&Element, usize)> {
    let mut counts: std::collections::BTreeMap<&xml::Name, usize> =
        std::collections::BTreeMap::new();
    element
        .elements()
        .map(|child| {
            let count = counts.entry(&child.name).or_default();
            *count += 1;
            (child, *count)
        })
        .collect()
}

fn starts(what: &What, child: &Element, namespace: &str) -> bool {
    match what {
        What::One(declared) => child.is(declared.namespace, declared.local),
        What::Other => {
            let own = child.name.namespace.as_str();
            own != namespace && !own.is_empty()
        }
        What::Choice(choices) => choices
            .iter()
            .any(|choice| starts(choice, child, namespace)),
        What::Sequence(particles) => particles
            .first()
            .is_some_and(|first| starts(&first.what, child, namespace)),
    }
}

/// A sequence of which nothing must be there is there when nothing is.
fn can_be_nothing(what: &What) -> bool {
    match what {
        What::Sequence(particles) => particles.iter().all(|particle| particle.min == 0),
        _ => false,
    }
}

fn wanted(what: &What) -> String {
    match what {
        What::One(declared) => declared.local.to_owned(),
        What::Other => "an element of another namespace".to_owned(),
        What::Choice(choices) => {
            let names: Vec<String> = choices.iter().map(wanted).collect();
            names.join(" or ")
        }
        What::Sequence(particles) => particles
            .first()
            .map_or_else(String::new, |first| wanted(&first.what)),
    }
}

/// What a peer wrote, short enough to be said.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
