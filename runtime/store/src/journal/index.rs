//! Where the bytes of every live object are: about 35 bytes an object and 16 for each append since its last put.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::frame::RECORD_HEADER_BYTES;

const NONE: u32 = u32::MAX;

/// One record on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    /// Where the record's header begins.
    pub(crate) offset: u32,
    /// Its bytes without the header.
    pub(crate) length: u32,
}

impl Place {
    /// With the header.
    pub(crate) const fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + self.length as u64
    }
}

#[derive(Debug)]
struct Link {
    place: Place,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    first: u32,
    last: u32,
}

/// Every live object's records, in order.
#[derive(Debug)]
pub(crate) struct Index {
    chains: HashMap<u64, Chain>,
    links: Vec<Link>,
    free: u32,
    live: BTreeMap<u32, u64>,
    live_bytes: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            chains: HashMap::new(),
            links: Vec::new(),
            free: NONE,
            live: BTreeMap::new(),
            live_bytes: 0,
        }
    }
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.chains.len()
    }

    pub(crate) fn contains(&self, key: u64) -> bool {
        self.chains.contains_key(&key)
    }

    /// Bytes of all live records.
    pub(crate) const fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// All keys in order.
    pub(crate) fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.chains.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// The records of an object, in order.
    pub(crate) fn chain(&self, key: u64) -> impl Iterator<Item = Place> + '_ {
        let mut at = self.chains.get(&key).map_or(NONE, |chain| chain.first);
        std::iter::from_fn(move || {
            let link = self.links.get(at as usize)?;
            at = link.next;
            Some(link.place)
        })
    }

    /// The object begins anew at `place`.
    pub(crate) fn put(&mut self, key: u64, place: Place) {
        let link = self.link(place);
        let chain = Chain {
            first: link,
            last: link,
        };
        if let Some(before) = self.chains.insert(key, chain) {
            self.unlink(before);
        }
    }

    /// The object goes on at `place`; false when it isn't there.
    pub(crate) fn append(&mut self, key: u64, place: Place) -> bool {
        if !self.chains.contains_key(&key) {
            return false;
        }
        let link = self.link(place);
        if let Some(chain) = self.chains.get_mut(&key) {
            let last = std::mem::replace(&mut chain.last, link);
            self.links[last as usize].next = link;
        }
        true
    }

    /// The object ends; false when it isn't there.
    pub(crate) fn remove(&mut self, key: u64) -> bool {
        let Some(chain) = self.chains.remove(&key) else {
            return false;
        };
        self.unlink(chain);
        true
    }

    fn unlink(&mut self, chain: Chain) {
        let mut at = chain.first;
        while at != NONE {
            let Link { place, next } = self.links[at as usize];
            self.live_bytes -= place.record_bytes();
            if let Some(live) = self.live.get_mut(&place.segment) {
                *live -= place.record_bytes();
                if *live == 0 {
                    self.live.remove(&place.segment);
                }
            }
            self.links[at as usize].next = self.free;
            self.free = at;
            at = next;
        }
    }

    fn link(&mut self, place: Place) -> u32 {
        self.live_bytes += place.record_bytes();
        *self.live.entry(place.segment).or_default() += place.record_bytes();
        let link = Link { place, next: NONE };
        if self.free == NONE {
            self.links.push(link);
            return (self.links.len() - 1) as u32;
        }
        let at = self.free;
        self.free = self.links[at as usize].next;
        self.links[at as usize] = link;
        at
    }
}
