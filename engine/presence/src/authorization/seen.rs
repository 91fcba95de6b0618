//! What a watcher sees, as the event package's views are cut to it.

use documents::pidf::Presence;
use events::Sight;
use xml::Bounds;

use super::{Permissions, Withheld, filter};
use crate::composition::neutral;

/// The part of a presentity's document that permissions show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    permissions: Permissions,
    digest: u64,
}

impl Seen {
    /// What these permissions show; `hash`: keyed, so that nobody makes two sets of permissions look like one.
    pub fn new(permissions: Permissions, hash: impl Fn(&[u8]) -> u64) -> Self {
        let mut text = String::new();
        for permission in permissions.granted() {
            text.push_str(&format!("{permission:?}\n"));
        }
        let digest = hash(text.as_bytes()).max(1);
        Self {
            permissions,
            digest,
        }
    }
}

/// What permissions show of a document of `entity`, and what not. Where nothing is left that is the neutral document, so that whoever may
/// see little and whoever is politely blocked see the same of somebody who is not there.
pub fn shown(
    presence: &Presence,
    entity: &str,
    permissions: &Permissions,
) -> (Vec<u8>, Vec<Withheld>) {
    let (seen, withheld) = filter(presence, permissions);
    let document = match seen.is_empty() {
        true => neutral(entity),
        false => seen.write(),
    };
    (document, withheld)
}

impl Sight for Seen {
    fn show(&self, entity: &str, view: &[u8]) -> Vec<u8> {
        // A composed document was written by this server: where it does not read, nothing leaves.
        match Presence::read(view, &Bounds::TRUSTED) {
            Ok(presence) => shown(&presence, entity, &self.permissions).0,
            Err(_) => neutral(entity),
        }
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}
