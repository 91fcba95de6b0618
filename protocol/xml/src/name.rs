//! Names: a namespace and a local part. Prefixes are only a memory of how the source wrote them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The namespace that `xml:lang` and `xml:id` live in; its prefix is always `xml`.
pub const XML: Namespace = Namespace::fixed("http://www.w3.org/XML/1998/namespace");

/// A namespace name, compared as characters (Namespaces in XML 1.0 §2.3). The empty one means "in no namespace".
#[derive(Clone)]
pub struct Namespace(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(&'static str),
    Read(Arc<Declared>),
}

struct Declared {
    prefix: Box<str>,
    uri: Box<str>,
}

impl Namespace {
    /// In no namespace.
    pub const NONE: Self = Self::fixed("");

    /// A namespace that the program knows.
    pub const fn fixed(uri: &'static str) -> Self {
        Self(Kind::Fixed(uri))
    }

    /// A namespace as a document declares it; the writer likes to use the same prefix again.
    pub fn declared(prefix: &str, uri: &str) -> Self {
        if uri.is_empty() {
            return Self::NONE;
        }
        Self(Kind::Read(Arc::new(Declared {
            prefix: prefix.into(),
            uri: uri.into(),
        })))
    }

    /// The namespace name.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Fixed(uri) => uri,
            Kind::Read(declared) => &declared.uri,
        }
    }

    /// The prefix its source used; empty when there was none.
    pub fn prefix(&self) -> &str {
        match &self.0 {
            Kind::Fixed(_) => "",
            Kind::Read(declared) => &declared.prefix,
        }
    }

    /// Whether it means "in no namespace".
    pub fn is_none(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Read(one), Kind::Read(two)) if Arc::ptr_eq(one, two) => true,
            _ => self.as_str() == other.as_str(),
        }
    }
}

impl Eq for Namespace {}

impl PartialOrd for Namespace {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Namespace {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Namespace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What an element or an attribute is called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Where the name belongs; for an attribute without prefix: nowhere.
    pub namespace: Namespace,
    /// The name without prefix.
    pub local: Cow<'static, str>,
}

impl Name {
    /// The name `local` in `namespace`.
    pub fn new(namespace: Namespace, local: impl Into<Cow<'static, str>>) -> Self {
        Self {
            namespace,
            local: local.into(),
        }
    }

    /// Whether this is `local` in the namespace called `namespace`.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.local == local && self.namespace.as_str() == namespace
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}{}", self.namespace.as_str(), self.local)
    }
}
