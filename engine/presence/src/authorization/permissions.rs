//! What several rules grant together.

use std::collections::BTreeSet;

use documents::pres_rules::{Attribute, Part, Permission, UserInput};

/// Everything that a watcher may see. Without any permission that is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    granted: BTreeSet<Permission>,
    everything: bool,
}

impl Permissions {
    /// The whole document: for the presentity herself, and where no rule says otherwise.
    pub fn everything() -> Self {
        Self {
            granted: BTreeSet::new(),
            everything: true,
        }
    }

    /// Whether nothing is withheld.
    pub const fn is_everything(&self) -> bool {
        self.everything
    }

    /// RFC 4745 §10.2: what one rule grants comes to what the others grant, and takes nothing away.
    pub fn grant(&mut self, permission: Permission) {
        self.granted.insert(permission);
    }

    /// All of it, in a fixed order.
    pub fn granted(&self) -> impl Iterator<Item = &Permission> {
        self.granted.iter()
    }

    /// Services, persons or devices that are shown at all.
    pub(crate) fn parts<'p>(
        &'p self,
        of: impl Fn(&'p Permission) -> Option<&'p Part>,
    ) -> impl Iterator<Item = &'p Part> {
        self.granted.iter().filter_map(of)
    }

    /// Whether an attribute with a permission of its own is shown.
    pub(crate) fn shows(&self, attribute: Attribute) -> bool {
        self.shows_all() || self.names(attribute)
    }

    /// Whether that is granted by its own permission.
    pub(crate) fn names(&self, attribute: Attribute) -> bool {
        self.granted.contains(&Permission::Attribute(attribute))
    }

    /// Whether elements of this name are shown, which no permission of its own covers.
    pub(crate) fn shows_unknown(&self, namespace: &str, name: &str) -> bool {
        self.granted.iter().any(|permission| {
            matches!(permission, Permission::Unknown { namespace: ns, name: of } if ns == namespace && of == name)
        })
    }

    /// RFC 5025 §3.3.2.15.
    pub(crate) fn shows_all(&self) -> bool {
        self.everything || self.granted.contains(&Permission::AllAttributes)
    }

    /// How much of `user-input` is shown: the most that any rule grants.
    pub(crate) fn user_input(&self) -> UserInput {
        if self.shows_all() {
            return UserInput::Full;
        }
        let granted = self
            .granted
            .iter()
            .filter_map(|permission| match permission {
                Permission::UserInput(shown) => Some(*shown),
                _ => None,
            });
        granted.max().unwrap_or_default()
    }
}
