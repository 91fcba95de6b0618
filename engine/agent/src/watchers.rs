//! Watcher information as a watcher of watchers keeps it (RFC 3858 §5): older documents count for nothing, a gap asks for everybody anew.

use std::collections::BTreeMap;

use documents::watcherinfo::{Status, Watcher, WatcherInfo};
use xml::Bounds;

/// Watchers that are known, to tell what a whole list changes: 10 000 × 200 B = 2 MB. Beyond it: told again with each whole list.
const KNOWN_MAX: usize = 10_000;

/// 20 000 watchers with all their attributes.
const BOUNDS: Bounds = Bounds {
    depth_max: 16,
    nodes_max: 200_000,
};

/// What has been heard of somebody's watchers.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// Of which dialog, and the version in it: each begins its own.
    heard: Option<(u32, u64)>,
    known: BTreeMap<String, Watcher>,
}

/// What a document brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Who is not what she was. With no status: she is on the list no more.
    pub changed: Vec<(Watcher, Option<Status>)>,
    /// A document before it never came: everybody is to be asked for.
    pub gap: bool,
}

impl Watchers {
    /// A NOTIFY's body, in this dialog; `None`: it says nothing that counts.
    pub(crate) fn hear(&mut self, dialog: u32, body: &[u8]) -> Option<News> {
        let info = WatcherInfo::read(body, &BOUNDS).ok()?;
        let last = self
            .heard
            .filter(|(of, _)| *of == dialog)
            .map(|(_, version)| version);
        if last.is_some_and(|last| info.version <= last) {
            return None;
        }
        self.heard = Some((dialog, info.version));
        let follows = last.is_some_and(|last| info.version == last + 1);
        let gap = !info.is_full && !follows;
        let mut changed = Vec::new();
        let mut before = if info.is_full {
            std::mem::take(&mut self.known)
        } else {
            BTreeMap::new()
        };
        for watcher in info.lists.into_iter().flat_map(|list| list.watchers) {
            let old = match before.remove(&watcher.id) {
                Some(old) => Some(old),
                None => self.known.remove(&watcher.id),
            };
            let same = old.is_some_and(|old| {
                (old.status, old.event, &old.uri) == (watcher.status, watcher.event, &watcher.uri)
            });
            if watcher.status != Status::Terminated && self.known.len() < KNOWN_MAX {
                self.known.insert(watcher.id.clone(), watcher.clone());
            }
            if !same {
                let status = watcher.status;
                changed.push((watcher, Some(status)));
            }
        }
        changed.extend(before.into_values().map(|gone| (gone, None)));
        Some(News { changed, gap })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(version: u64, state: &str, watchers: &[(&str, &str, &str)]) -> Vec<u8> {
        let watchers: String = watchers
            .iter()
            .map(|(id, status, event)| {
                format!("<watcher id='{id}' status='{status}' event='{event}'>sip:{id}@a</watcher>")
            })
            .collect();
        format!(
            "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='{version}' state='{state}'>\
             <watcher-list resource='sip:x@a' package='presence'>{watchers}</watcher-list></watcherinfo>"
        )
        .into_bytes()
    }

    /// `NAME STATUS` of each change, `!` behind them where something never came.
    fn says(news: Option<News>) -> String {
        let Some(news) = news else {
            return "nothing".to_owned();
        };
        let changed = news.changed.iter().map(|(watcher, status)| {
            format!("{} {} ", watcher.id, status.map_or("gone", Status::name))
        });
        let gap = if news.gap { "!" } else { "" };
        format!("{}{gap}", changed.collect::<String>())
    }

    #[test]
    fn versions_say_what_counts() {
        let mut watchers = Watchers::default();
        let pending = ("b", "pending", "subscribe");
        let active = ("b", "active", "approved");
        let other = ("c", "active", "subscribe");
        let mut hear = |version, state: &str, list: &[_]| {
            says(watchers.hear(1, &document(version, state, list)))
        };
        assert_eq!(hear(0, "full", &[pending]), "b pending ");
        assert_eq!(hear(1, "partial", &[active]), "b active ");
        // Older and the same again.
        assert_eq!(hear(0, "full", &[pending]), "nothing");
        assert_eq!(hear(1, "partial", &[pending]), "nothing");
        // What never came is asked for, what came counts.
        assert_eq!(hear(3, "partial", &[other]), "c active !");
        assert_eq!(hear(4, "full", &[active, other]), "");
        // After a gap a whole list needs nothing more.
        assert_eq!(hear(70_000, "full", &[other]), "b gone ");
        let end = ("c", "terminated", "timeout");
        assert_eq!(hear(70_001, "partial", &[end]), "c terminated ");
        assert_eq!(hear(70_002, "full", &[]), "");
        assert_eq!(says(watchers.hear(1, b"<x/>")), "nothing");
    }

    #[test]
    fn another_dialog_counts_from_the_start_and_tells_what_is_new() {
        let mut watchers = Watchers::default();
        let bob = ("b", "pending", "subscribe");
        let carol = ("c", "pending", "subscribe");
        let first = document(9, "full", &[bob]);
        assert_eq!(says(watchers.hear(1, &first)), "b pending ");
        let second = document(0, "full", &[bob, carol]);
        assert_eq!(says(watchers.hear(2, &second)), "c pending ");
        // One that begins with a part of the list has lost its beginning.
        let third = document(1, "partial", &[]);
        assert_eq!(says(watchers.hear(3, &third)), "!");
    }
}
