//! The owned tree. Comments and processing instructions are not in it.

use crate::{Name, Namespace};

/// An element with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// What it is called.
    pub name: Name,
    /// In the order of the source, namespace declarations left out.
    pub attributes: Vec<Attribute>,
    /// Text and elements in order; neighbouring text is one node, never empty.
    pub children: Vec<Node>,
    /// Prefixes that its attribute values or its text seem to use (a QName in content, an XPath): the writer keeps them in scope.
    pub mentions: Vec<Mention>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What it is called.
    pub name: Name,
    /// Its value, references resolved.
    pub value: String,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child.
    Element(Element),
    /// Characters, references resolved; CDATA sections are not told apart.
    Text(String),
}

/// A prefix that content depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// The prefix; empty: the default namespace matters.
    pub prefix: Box<str>,
    /// What it stood for.
    pub namespace: Namespace,
}

impl Element {
    /// An empty element.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            children: Vec::new(),
            mentions: Vec::new(),
        }
    }

    /// An element that holds only text.
    pub fn with_text(name: Name, text: impl Into<String>) -> Self {
        let mut element = Self::new(name);
        element.set_text(text);
        element
    }

    /// Whether this is `local` in the namespace called `namespace`.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.name.is(namespace, local)
    }

    /// The child elements in order.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child with this name.
    pub fn element(&self, namespace: &str, local: &str) -> Option<&Self> {
        self.elements().find(|child| child.is(namespace, local))
    }

    /// The text directly inside, joined; text of children is not in it.
    pub fn text(&self) -> String {
        let mut all = String::new();
        for node in &self.children {
            if let Node::Text(text) = node {
                all.push_str(text);
            }
        }
        all
    }

    /// Replaces everything inside by text.
    pub fn set_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.children.clear();
        if !text.is_empty() {
            self.children.push(Node::Text(text));
        }
    }

    /// Appends a child.
    pub fn push(&mut self, child: Self) {
        self.children.push(Node::Element(child));
    }

    /// The value of an attribute that has no prefix.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attribute_in("", local)
    }

    /// The value of an attribute in a namespace.
    pub fn attribute_in(&self, namespace: &str, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name.is(namespace, local))
            .map(|attribute| attribute.value.as_str())
    }

    /// Sets an attribute that has no prefix.
    pub fn set_attribute(&mut self, local: &'static str, value: impl Into<String>) {
        self.set_attribute_in(Namespace::NONE, local, value);
    }

    /// Sets an attribute in a namespace.
    pub fn set_attribute_in(
        &mut self,
        namespace: Namespace,
        local: &'static str,
        value: impl Into<String>,
    ) {
        let value = value.into();
        match self
            .attributes
            .iter_mut()
            .find(|attribute| attribute.name.is(namespace.as_str(), local))
        {
            Some(attribute) => attribute.value = value,
            None => self.attributes.push(Attribute {
                name: Name::new(namespace, local),
                value,
            }),
        }
    }

    /// Takes an attribute that has no prefix away.
    pub fn remove_attribute(&mut self, local: &str) {
        self.attributes
            .retain(|attribute| !attribute.name.is("", local));
    }
}
