//! Tree → bytes: the same tree and style always give the same bytes, and what is written reads back as the same tree.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::prefixes::Prefixes;
use crate::{Element, Namespace, Node, XML, lexical};

/// How namespaces are written.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// The namespace that is written without prefix; empty: every namespace has one.
    pub default: &'a str,
    /// Namespace and the prefix that everybody uses for it.
    pub prefixes: &'a [(&'a str, &'a str)],
}

/// Writes a document with its XML declaration. Namespaces are declared on the root, except where content depends on a prefix that
/// means something else there.
pub fn write(root: &Element, style: &Style<'_>) -> Vec<u8> {
    let mut out = String::with_capacity(1024);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut writing = Writing {
        prefixes: Prefixes::choose(root, style),
        default: style.default,
        inner: Vec::new(),
        number: 0,
        tree: root,
        said: None,
        out,
    };
    writing.root(root);
    writing.out.push('\n');
    writing.out.into_bytes()
}

struct Writing<'t, 's> {
    prefixes: Prefixes<'t>,
    default: &'s str,
    /// Declarations further in than the root, outermost first; the empty prefix is the default namespace.
    inner: Vec<(Cow<'t, str>, Cow<'t, str>)>,
    /// The last number used for a prefix of our own.
    number: u32,
    tree: &'t Element,
    /// What content names like a prefix of our own, once that matters.
    said: Option<BTreeSet<&'t str>>,
    out: String,
}

impl<'t> Writing<'t, '_> {
    fn root(&mut self, root: &'t Element) {
        let mut declarations = String::new();
        if self.prefixes.default_used {
            declare(&mut declarations, "", self.default);
        }
        for (prefix, uri) in &self.prefixes.declared {
            declare(&mut declarations, prefix, uri);
        }
        self.element(root, &declarations);
    }

    fn element(&mut self, element: &'t Element, declarations: &str) {
        let mark = self.inner.len();
        let own = &element.name.namespace;
        for mention in &element.mentions {
            let (prefix, uri) = (&*mention.prefix, mention.namespace.as_str());
            // An element in no namespace has no prefix, so there the default cannot mean anything else.
            if prefix != "xml"
                && self.meaning(prefix) != Some(uri)
                && !(prefix.is_empty() && own.is_none())
                && (prefix.is_empty() || !uri.is_empty())
            {
                self.inner.push((prefix.into(), uri.into()));
            }
        }
        let tag_prefix = self.element_prefix(element);
        let attribute_prefixes: Vec<Cow<'t, str>> = element
            .attributes
            .iter()
            .map(|attribute| self.attribute_prefix(&attribute.name.namespace))
            .collect();

        self.out.push('<');
        let begin = self.out.len();
        push_name(&mut self.out, &tag_prefix, &element.name.local);
        let end = self.out.len();
        self.out.push_str(declarations);
        for (prefix, uri) in &self.inner[mark..] {
            declare(&mut self.out, prefix, uri);
        }
        for (attribute, prefix) in element.attributes.iter().zip(&attribute_prefixes) {
            self.out.push(' ');
            push_name(&mut self.out, prefix, &attribute.name.local);
            self.out.push_str("=\"");
            push_value(&mut self.out, &attribute.value);
            self.out.push('"');
        }
        if element.children.is_empty() {
            self.out.push_str("/>");
        } else {
            self.out.push('>');
            for node in &element.children {
                match node {
                    Node::Element(child) => self.element(child, ""),
                    Node::Text(text) => push_text(&mut self.out, text),
                }
            }
            self.out.push_str("</");
            self.out.extend_from_within(begin..end);
            self.out.push('>');
        }
        self.inner.truncate(mark);
    }

    /// What a prefix means here; the empty prefix always means something, if only "no namespace".
    fn meaning(&self, prefix: &str) -> Option<&str> {
        if let Some((_, uri)) = self
            .inner
            .iter()
            .rev()
            .find(|(declared, _)| declared == prefix)
        {
            return Some(uri);
        }
        if prefix.is_empty() {
            return Some(if self.prefixes.default_used {
                self.default
            } else {
                ""
            });
        }
        self.prefixes.declared.get(prefix).copied()
    }

    fn element_prefix(&mut self, element: &'t Element) -> Cow<'t, str> {
        let namespace = &element.name.namespace;
        let uri = namespace.as_str();
        if self.meaning("") == Some(uri) {
            return Cow::Borrowed("");
        }
        // Content that depends on the default namespace has it as it needs it by now, if only as none.
        let mut mentions = element.mentions.iter();
        let default_is_free = !mentions.any(|mention| mention.prefix.is_empty());
        if namespace.is_none()
            || (uri == self.default && self.prefixes.of(uri).is_none() && default_is_free)
        {
            self.inner.push(("".into(), uri.into()));
            return Cow::Borrowed("");
        }
        self.attribute_prefix(namespace)
    }

    /// A prefix that means this namespace here, declared if need be. Attributes cannot do without (Namespaces in XML 1.0 §6.2).
    fn attribute_prefix(&mut self, namespace: &'t Namespace) -> Cow<'t, str> {
        let uri = namespace.as_str();
        if namespace.is_none() {
            return Cow::Borrowed("");
        }
        if *namespace == XML {
            return Cow::Borrowed("xml");
        }
        if let Some(prefix) = self
            .prefixes
            .of(uri)
            .filter(|prefix| self.meaning(prefix) == Some(uri))
        {
            return Cow::Owned(prefix.to_owned());
        }
        let found = self.inner.iter().rev().find(|(prefix, meant)| {
            !prefix.is_empty() && meant == uri && self.meaning(prefix) == Some(uri)
        });
        if let Some((prefix, _)) = found {
            return prefix.clone();
        }
        loop {
            // Never begun anew: a document full of such prefixes must not cost a search each.
            self.number += 1;
            let prefix: Cow<'t, str> = format!("ns{}", self.number).into();
            // What content names without meaning anything must not begin to mean something here.
            let said = self.said.get_or_insert_with(|| own_words(self.tree));
            if !said.contains(&*prefix) && self.meaning(&prefix).is_none() {
                self.inner.push((prefix.clone(), uri.into()));
                return prefix;
            }
        }
    }
}

/// What the content of a tree names like `ns1:`.
fn own_words(root: &Element) -> BTreeSet<&str> {
    let (mut words, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(element) = open.pop() {
        let values = element.attributes.iter().map(|attribute| &attribute.value);
        let texts = element.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text),
            Node::Element(_) => None,
        });
        for text in values.chain(texts) {
            words.extend(lexical::prefixes(text).filter(|word| word.starts_with("ns")));
        }
        open.extend(element.elements());
    }
    words
}

fn push_name(out: &mut String, prefix: &str, local: &str) {
    if !prefix.is_empty() {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(local);
}

fn declare(out: &mut String, prefix: &str, uri: &str) {
    out.push_str(if prefix.is_empty() {
        " xmlns"
    } else {
        " xmlns:"
    });
    out.push_str(prefix);
    out.push_str("=\"");
    push_value(out, uri);
    out.push('"');
}

/// XML 1.0 §2.4, §2.11: what would read back as something else is written as a reference.
fn push_text(out: &mut String, text: &str) {
    push_escaped(out, text, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// XML 1.0 §3.3.3: white space other than a space would read back as a space.
fn push_value(out: &mut String, value: &str) {
    push_escaped(out, value, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#9;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

fn push_escaped(out: &mut String, text: &str, escape: impl Fn(u8) -> Option<&'static str>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(reference) = escape(byte) {
            out.push_str(&text[from..at]);
            out.push_str(reference);
            from = at + 1;
        }
    }
    out.push_str(&text[from..]);
}
