//! Which prefix stands for which namespace while reading.

use crate::{Flaw, Mention, Namespace, XML, lexical};

/// Declarations in scope at once. Presence documents declare a dozen; each look-up walks them, so the bound keeps reading linear.
pub(crate) const DECLARATIONS_MAX: usize = 256;

/// Bytes of a namespace name. Those in use have 20 to 60; the writer may have to repeat one, so long ones would make it amplify.
pub(crate) const NAMESPACE_BYTES_MAX: usize = 512;

const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The stack of declarations.
pub(crate) struct Scope<'a> {
    declarations: Vec<(&'a str, Namespace)>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new() -> Self {
        Self {
            declarations: Vec::with_capacity(16),
        }
    }

    /// To be given to `leave` when the element ends.
    pub(crate) fn mark(&self) -> usize {
        self.declarations.len()
    }

    pub(crate) fn leave(&mut self, mark: usize) {
        self.declarations.truncate(mark);
    }

    /// Namespaces in XML 1.0 §3 and its constraints on `xml` and `xmlns`.
    pub(crate) fn declare(&mut self, prefix: &'a str, uri: &str) -> Result<(), Flaw> {
        match (prefix, uri) {
            ("xml", uri) if uri == XML.as_str() => {}
            ("xml" | "xmlns", _) | (_, XMLNS) => return Err(Flaw::NamespaceDeclaration),
            (_, uri) if uri == XML.as_str() => return Err(Flaw::NamespaceDeclaration),
            // §2.2: 1.0 has no way to take a prefix back.
            (prefix, "") if !prefix.is_empty() => return Err(Flaw::NamespaceDeclaration),
            _ => {}
        }
        if uri.len() > NAMESPACE_BYTES_MAX {
            return Err(Flaw::NamespaceTooLong(NAMESPACE_BYTES_MAX));
        }
        if self.declarations.len() >= DECLARATIONS_MAX {
            return Err(Flaw::TooManyDeclarations(DECLARATIONS_MAX));
        }
        self.declarations
            .push((prefix, Namespace::declared(prefix, uri)));
        Ok(())
    }

    /// Whether a declaration since `mark` is for this prefix.
    pub(crate) fn declares(&self, mark: usize, prefix: &str) -> bool {
        self.declarations[mark..]
            .iter()
            .any(|(declared, _)| *declared == prefix)
    }

    fn get(&self, prefix: &str) -> Option<&Namespace> {
        self.declarations
            .iter()
            .rev()
            .find(|(declared, _)| *declared == prefix)
            .map(|(_, namespace)| namespace)
    }

    /// §6.1: what a prefix of a name stands for; without prefix the default namespace.
    pub(crate) fn resolve(&self, prefix: &str) -> Result<Namespace, Flaw> {
        match prefix {
            "xml" => Ok(XML),
            "" => Ok(self.get("").cloned().unwrap_or(Namespace::NONE)),
            _ => self
                .get(prefix)
                .cloned()
                .ok_or_else(|| Flaw::UndeclaredPrefix(clip(prefix))),
        }
    }

    /// Notes every declared prefix that a value or a text seems to use: a name, a colon, a name. Too many do no harm.
    pub(crate) fn mentions(&self, text: &str, into: &mut Vec<Mention>) {
        for prefix in lexical::prefixes(text) {
            self.mention(prefix, into);
        }
    }

    /// Notes one prefix, the empty one (`xsi:type="name"`) too.
    pub(crate) fn mention(&self, prefix: &str, into: &mut Vec<Mention>) {
        let namespace = match self.get(prefix) {
            Some(namespace) => namespace,
            None if prefix.is_empty() => &Namespace::NONE,
            None => return,
        };
        if !into.iter().any(|known| *known.prefix == *prefix) {
            into.push(Mention {
                prefix: prefix.into(),
                namespace: namespace.clone(),
            });
        }
    }
}

/// Keeps messages one short line.
pub(crate) fn clip(name: &str) -> String {
    name.chars().take(64).collect()
}
