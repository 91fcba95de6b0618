//! Lists that rules refer to (OMA `external-list`): found by their XCAP URIs, read once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use documents::schema::usages::RESOURCE_LISTS as LISTS_URI;
use hashbrown::{HashMap, HashSet};
use machine::settings::Root;
use machine::{Partition, Partitioner};
use presence::authorization::{Listed, Lists};
use xcap::{Address, Tree};
use xdm::usages::{self, RESOURCE_LISTS};
use xml::{Bounds, Element, Selector, Step, Terminal};

use super::copies::Copies;
use super::references::reference;
use super::waiting::Reach;
use crate::directory::Directory;
use crate::documents::Documents;

/// Lists that one question may lead through, a list referring to the next.
const LISTS_MAX: usize = 64;

/// Lists that all questions about one presentity may lead through together: of those beyond nobody asks for copies.
const LISTS_OF_ONE_MAX: usize = 256;

/// Path of the document, and the node as it was written.
type Place = (String, String);

/// What is in a list.
#[derive(Debug)]
struct Members {
    /// Canonical addresses of record.
    users: HashSet<String>,
    /// URIs of what else it refers to.
    further: Vec<String>,
}

type Read = Result<Arc<Members>, &'static str>;

/// Lists as they were read, by owner.
#[derive(Debug, Default)]
pub(super) struct ListCache(RefCell<HashMap<Arc<str>, HashMap<Place, Read>>>);

impl ListCache {
    /// The owner's lists changed.
    pub(super) fn forget(&mut self, owner: &str) {
        self.0.get_mut().remove(owner);
    }

    pub(super) fn clear(&mut self) {
        self.0.get_mut().clear();
    }
}

/// What is needed to look a list up.
pub(super) struct Lookup<'s> {
    pub(super) directory: &'s Directory,
    pub(super) documents: &'s Documents,
    pub(super) partitioner: Partitioner,
    /// Which shard of how many.
    pub(super) own: (u16, u16),
    pub(super) roots: &'s [Root],
    pub(super) copies: &'s Copies,
    pub(super) cache: &'s ListCache,
}

impl Lists for Lookup<'_> {
    fn holds(&self, list: &str, identities: &[String]) -> Listed {
        let (mut seen, mut open) = (BTreeSet::new(), vec![list.to_owned()]);
        let mut unavailable = None;
        while let Some(next) = open.pop() {
            if seen.contains(&next) {
                continue;
            }
            if seen.len() == LISTS_MAX {
                unavailable = Some("it leads through too many lists".to_owned());
                break;
            }
            match self.members(&next) {
                Ok(members) => {
                    let mut identities = identities.iter();
                    if identities.any(|identity| members.users.contains(identity)) {
                        return Listed::Yes(self.whence(list, &next));
                    }
                    open.extend(members.further.iter().cloned());
                }
                Err(why) if next == list => unavailable = Some(why.to_owned()),
                Err(why) => unavailable = Some(format!("it refers to {next}: {why}")),
            }
            seen.insert(next);
        }
        unavailable.map_or(Listed::No, Listed::Unavailable)
    }
}

impl Lookup<'_> {
    /// For people: whose list it is, and by which way it was found.
    fn whence(&self, asked: &str, found: &str) -> String {
        let owner = self.address(found).ok();
        let owner = owner.and_then(|address| self.owner(&address));
        let owner = owner.unwrap_or_default();
        let copied = if self.is_own(&owner) {
            ""
        } else {
            ", here as a copy"
        };
        let of = match &*owner {
            "" => "everybody's".to_owned(),
            owner => format!("of {owner}"),
        };
        if asked == found {
            format!("{of}{copied}")
        } else {
            format!("by {found}, {of}{copied}")
        }
    }

    /// Whose lists are led to, and whose of those are not here.
    pub(super) fn reach(&self, roots: &[String]) -> Reach {
        let mut reach = Reach::default();
        let (mut seen, mut open) = (BTreeSet::new(), Vec::new());
        let mut add = |open: &mut Vec<String>, further: &[String]| {
            for next in further {
                if seen.len() < LISTS_OF_ONE_MAX && seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        };
        add(&mut open, roots);
        while let Some(next) = open.pop() {
            let address = self.address(&next).ok();
            let Some(owner) = address.and_then(|address| self.owner(&address)) else {
                continue;
            };
            if !self.is_own(&owner) && self.copies.known(&owner).is_none() {
                reach.missing.insert(owner.clone());
            } else if let Ok(members) = self.members(&next) {
                add(&mut open, &members.further);
            }
            reach.owners.insert(owner);
        }
        reach
    }

    /// Whether this shard keeps them.
    fn is_own(&self, owner: &str) -> bool {
        let (index, shards) = self.own;
        partition_of(&self.partitioner, owner).shard(shards) == index
    }

    /// The global tree's: the empty name.
    fn owner(&self, address: &Address) -> Option<Arc<str>> {
        match &address.tree {
            Tree::Global => Some("".into()),
            Tree::User(xui) => {
                let canonical = self.directory.canonical_text(xui)?;
                self.directory.domain(&canonical)?;
                Some(canonical.into())
            }
        }
    }

    /// RFC 4826 §3.2: an absolute URI below one of our roots, or what follows a root.
    fn address(&self, anchor: &str) -> Result<Address, &'static str> {
        const REMOTE: &str = "it is not on this server";
        let (path, query) = match anchor.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (anchor, None),
        };
        let below = match path.split_once("://") {
            Some((scheme, rest)) => {
                let slash = rest.find('/').ok_or(REMOTE)?;
                let (authority, path) = rest.split_at(slash);
                let mut roots = self.roots.iter();
                roots
                    .find_map(|root| {
                        let is_ours = match &root.authority {
                            Some(own) => {
                                own.eq_ignore_ascii_case(&format!("{scheme}://{authority}"))
                            }
                            None => self.directory.is_own_authority(authority),
                        };
                        path.strip_prefix(root.path.as_str()).filter(|_| is_ours)
                    })
                    .ok_or(REMOTE)?
            }
            None => {
                let mut roots = self.roots.iter();
                let below = roots.find_map(|root| path.strip_prefix(root.path.as_str()));
                below.filter(|below| below.starts_with('/')).unwrap_or(path)
            }
        };
        let below = below.strip_prefix('/').unwrap_or(below);
        let address = Address::parse(below, query, usages::default_namespace);
        let address = address.map_err(|_| "its address is none")?;
        if address.auid != RESOURCE_LISTS.auid {
            return Err("it is no resource list");
        }
        Ok(address)
    }

    fn members(&self, anchor: &str) -> Read {
        let address = self.address(anchor)?;
        let owner = self.owner(&address).ok_or("nobody has it")?;
        let place = (address.document.clone(), address.node_text.clone());
        if let Some(known) = self
            .cache
            .0
            .borrow()
            .get(&owner)
            .and_then(|of| of.get(&place))
        {
            return known.clone();
        }
        let read = self.read(&owner, &address);
        let mut cache = self.cache.0.borrow_mut();
        cache.entry(owner).or_default().insert(place, read.clone());
        read
    }

    /// The text of a document of lists.
    fn text(&self, owner: &str, path: &str) -> Result<&Arc<str>, &'static str> {
        let text = if self.is_own(owner) {
            let shelf = self.documents.of(owner);
            let document = shelf.and_then(|shelf| shelf.get(RESOURCE_LISTS.auid, path));
            document.map(|document| &document.text)
        } else if let Some(copy) = self.copies.known(owner) {
            copy.get(path)
        } else if self.copies.is_asked(owner) {
            return Err("it has not come yet from the shard that keeps it");
        } else {
            return Err("more lists of other users are referred to than are kept here");
        };
        text.ok_or("there is no such list")
    }

    fn read(&self, owner: &str, address: &Address) -> Read {
        let text = self.text(owner, &address.document)?;
        let root = xml::read(text.as_bytes(), &Bounds::TRUSTED).map_err(|_| "it does not read")?;
        let meant = match &address.node {
            None => Some(&root),
            Some(node) => select(&root, node),
        };
        let meant = meant.ok_or("there is no such list")?;
        let mut members = Members {
            users: HashSet::new(),
            further: Vec::new(),
        };
        self.add(meant, &mut members);
        Ok(Arc::new(members))
    }

    /// RFC 4826 §3.2: entries, those of lists inside, and what is referred to.
    fn add(&self, element: &Element, members: &mut Members) {
        if element.is(LISTS_URI, "entry") {
            let uri = element.attribute("uri").unwrap_or_default();
            members.users.extend(self.directory.canonical_text(uri));
        } else if let Some(reference) = reference(element) {
            members.further.push(reference.to_owned());
        } else {
            for child in element.elements() {
                self.add(child, members);
            }
        }
    }
}

/// Of which partition an owner is; the empty name: the global tree.
pub(super) fn partition_of(partitioner: &Partitioner, owner: &str) -> Partition {
    partitioner.partition(if owner.is_empty() { "global" } else { owner })
}

/// The one element that a selector means (RFC 4825 §6.3).
fn select<'e>(root: &'e Element, selector: &Selector) -> Option<&'e Element> {
    if selector.terminal != Terminal::Element {
        return None;
    }
    let (first, rest) = selector.steps.split_first()?;
    let mut meant = choose(first, std::iter::once(root));
    for step in rest {
        meant = meant
            .into_iter()
            .flat_map(|parent| choose(step, parent.elements()))
            .collect();
    }
    match meant.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

fn choose<'e>(step: &Step, siblings: impl Iterator<Item = &'e Element>) -> Vec<&'e Element> {
    let named = siblings.filter(|each| step.name.as_ref().is_none_or(|name| *name == each.name));
    let placed: Vec<&Element> = match step.position {
        Some(position) => named.skip(position.saturating_sub(1)).take(1).collect(),
        None => named.collect(),
    };
    let fits = |each: &&Element| match &step.attribute {
        Some((name, value)) => each
            .attributes
            .iter()
            .any(|own| own.name == *name && own.value == *value),
        None => true,
    };
    placed.into_iter().filter(fits).collect()
}
