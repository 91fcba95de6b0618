//! Which prefix each namespace gets, decided once for a whole document so that the root can declare it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Element, Namespace, Node, Style, XML};

/// Bytes of a prefix that is used again for names. A longer one would be repeated where the source, by a default namespace, had none.
const PREFIX_BYTES_MAX: usize = 32;

/// The declarations of the root, and the prefix of each namespace that names need.
pub(crate) struct Prefixes<'t> {
    /// Prefix → namespace, as declared on the root, the default namespace aside.
    pub(crate) declared: BTreeMap<String, &'t str>,
    of: BTreeMap<&'t str, String>,
    /// Whether the root declares the style's default namespace.
    pub(crate) default_used: bool,
}

impl<'t> Prefixes<'t> {
    /// Conventional prefixes come first, since careless peers compare them; then those that content depends on, so that most of
    /// these need no declaration further in; then what each source wrote; then `ns1`, `ns2` …
    pub(crate) fn choose(root: &'t Element, style: &Style<'_>) -> Self {
        // The root can declare each prefix once, so what its own content depends on wins there.
        let taken = root.name.namespace.is_none()
            || root.mentions.iter().any(|mention| {
                mention.prefix.is_empty() && mention.namespace.as_str() != style.default
            });
        let mut needs = Needs {
            default: style.default,
            ..Needs::default()
        };
        needs.walk(root, root, if taken { "" } else { style.default });
        let mut this = Self {
            declared: BTreeMap::new(),
            of: BTreeMap::new(),
            default_used: needs.default_used && !taken,
        };
        this.declare(&needs.mentions[..needs.of_root]);
        for namespace in &needs.names {
            if let Some((_, prefix)) = style
                .prefixes
                .iter()
                .find(|(uri, _)| *uri == namespace.as_str())
            {
                this.take(prefix, namespace.as_str());
            }
        }
        this.declare(&needs.mentions);
        this.use_mentioned(&needs);
        for namespace in &needs.names {
            let hint = namespace.prefix();
            let good = (1..=PREFIX_BYTES_MAX).contains(&hint.len());
            if good
                && !hint
                    .get(..3)
                    .is_some_and(|start| start.eq_ignore_ascii_case("xml"))
            {
                this.take(hint, namespace.as_str());
            }
        }
        let mut number = 0;
        for namespace in &needs.names {
            while !this.of.contains_key(namespace.as_str()) {
                number += 1;
                this.take(&format!("ns{number}"), namespace.as_str());
            }
        }
        this
    }

    fn declare(&mut self, mentions: &[(&'t str, &'t str)]) {
        for (prefix, uri) in mentions {
            if !self.declared.contains_key(*prefix) {
                self.declared.insert((*prefix).to_owned(), uri);
            }
        }
    }

    /// Names use prefixes that stand there for content. Of several the first by the alphabet: not by the document, where text that named
    /// no prefix before names one as soon as the root declares it.
    fn use_mentioned(&mut self, needs: &Needs<'t, '_>) {
        for (prefix, uri) in &needs.mentioned {
            if prefix.len() <= PREFIX_BYTES_MAX
                && needs.seen.contains(uri)
                && self.declared.get(*prefix) == Some(uri)
                && !self.of.contains_key(uri)
            {
                self.of.insert(uri, (*prefix).to_owned());
            }
        }
    }

    fn take(&mut self, prefix: &str, uri: &'t str) {
        let is_free = self.declared.get(prefix).is_none_or(|meant| *meant == uri);
        if !self.of.contains_key(uri) && is_free {
            self.declared.insert(prefix.to_owned(), uri);
            self.of.insert(uri, prefix.to_owned());
        }
    }

    /// The prefix that the root declares for this namespace.
    pub(crate) fn of(&self, uri: &str) -> Option<&str> {
        self.of.get(uri).map(String::as_str)
    }
}

/// What a tree uses, in the order it is met.
#[derive(Default)]
struct Needs<'t, 's> {
    default: &'s str,
    default_used: bool,
    seen: BTreeSet<&'t str>,
    names: Vec<&'t Namespace>,
    mentions: Vec<(&'t str, &'t str)>,
    mentioned: BTreeSet<(&'t str, &'t str)>,
    /// How many of the mentions are the root's own.
    of_root: usize,
    walking: bool,
    /// Whether attributes are in the default namespace, for which the root declares a prefix then; once that matters.
    default_has_prefix: Option<bool>,
}

fn names_attributes(element: &Element, namespace: &str) -> bool {
    let mut attributes = element.attributes.iter();
    let mut children = element.elements();
    attributes.any(|attribute| attribute.name.namespace.as_str() == namespace)
        || children.any(|child| names_attributes(child, namespace))
}

impl<'t: 's, 's> Needs<'t, 's> {
    /// `unprefixed`: what a name without prefix is in, as the writer will have it, outside of this element.
    fn walk(&mut self, root: &'t Element, element: &'t Element, mut unprefixed: &'s str) {
        let is_root = !std::mem::replace(&mut self.walking, true);
        let own = element.name.namespace.as_str();
        let mut mentions = element.mentions.iter();
        let mention = mentions.find(|mention| mention.prefix.is_empty());
        match mention {
            _ if own.is_empty() => unprefixed = "",
            Some(mention) => unprefixed = mention.namespace.as_str(),
            None => {}
        }
        if own == self.default {
            self.default_used |= !self.default.is_empty();
            if own != unprefixed && mention.is_none() {
                let default = self.default;
                let has_prefix = self
                    .default_has_prefix
                    .get_or_insert_with(|| names_attributes(root, default));
                if !*has_prefix {
                    unprefixed = own;
                }
            }
        } else if own != unprefixed {
            self.need(&element.name.namespace);
        }
        for attribute in &element.attributes {
            self.need(&attribute.name.namespace);
        }
        for mention in &element.mentions {
            let pair = (&*mention.prefix, mention.namespace.as_str());
            if !pair.0.is_empty()
                && pair.0 != "xml"
                && !pair.1.is_empty()
                && self.mentioned.insert(pair)
            {
                self.mentions.push(pair);
            }
        }
        if is_root {
            self.of_root = self.mentions.len();
        }
        for node in &element.children {
            if let Node::Element(child) = node {
                self.walk(root, child, unprefixed);
            }
        }
    }

    fn need(&mut self, namespace: &'t Namespace) {
        if !namespace.is_none() && *namespace != XML && self.seen.insert(namespace.as_str()) {
            self.names.push(namespace);
        }
    }
}
