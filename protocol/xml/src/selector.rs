//! Which node of a document is meant: the XPath subset of RFC 4825 §6.3, names resolved.

use crate::Name;

/// A path from the root, and what is meant at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// From the root element on; never empty.
    pub steps: Vec<Step>,
    /// What is meant there.
    pub terminal: Terminal,
}

/// One step down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Elements of this name; none: of any (`*`).
    pub name: Option<Name>,
    /// Of these the one at this place, counted from 1.
    pub position: Option<usize>,
    /// Of these those with this attribute and value.
    pub attribute: Option<(Name, String)>,
}

/// What is meant at the end of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// The element itself.
    Element,
    /// Its attribute of this name.
    Attribute(Name),
    /// The namespace bindings in scope there.
    Namespaces,
}

impl Step {
    /// The children that this step chooses, in order. `siblings` are all element children of one parent.
    pub(crate) fn choose<'d, 'i>(
        &self,
        siblings: impl Iterator<Item = roxmltree::Node<'d, 'i>>,
    ) -> Vec<roxmltree::Node<'d, 'i>> {
        let mut chosen: Vec<_> = siblings.filter(|node| self.is_named(node)).collect();
        if let Some(position) = self.position {
            chosen = chosen
                .into_iter()
                .skip(position.saturating_sub(1))
                .take(1)
                .collect();
        }
        if let Some((name, value)) = &self.attribute {
            chosen.retain(|node| attribute(node, name) == Some(value.as_str()));
        }
        chosen
    }

    pub(crate) fn is_named(&self, node: &roxmltree::Node<'_, '_>) -> bool {
        node.is_element()
            && self
                .name
                .as_ref()
                .is_none_or(|name| is_called(node.tag_name(), name))
    }
}

pub(crate) fn is_called(tag: roxmltree::ExpandedName<'_, '_>, name: &Name) -> bool {
    tag.name() == name.local && tag.namespace().unwrap_or_default() == name.namespace.as_str()
}

pub(crate) fn attribute<'d>(node: &roxmltree::Node<'d, '_>, name: &Name) -> Option<&'d str> {
    match name.namespace.as_str() {
        "" => node
            .attributes()
            .find(|own| own.namespace().is_none() && own.name() == name.local)
            .map(|own| own.value()),
        namespace => node
            .attributes()
            .find(|own| own.namespace() == Some(namespace) && own.name() == name.local)
            .map(|own| own.value()),
    }
}
