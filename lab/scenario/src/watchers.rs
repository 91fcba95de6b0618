//! Documents about watchers (RFC 3858), as a subscriber to `presence.winfo` reads them, and how they go with one another in a dialog.

use std::collections::BTreeMap;

use xml::{Bounds, Element, read};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";
/// Its media type.
pub(crate) const MEDIA_TYPE: &str = "application/watcherinfo+xml";
const BOUNDS: Bounds = Bounds {
    depth_max: 32,
    nodes_max: 100_000,
};
const STATUSES: [&str; 4] = ["active", "pending", "terminated", "waiting"];
const EVENTS: [&str; 8] = [
    "approved",
    "deactivated",
    "giveup",
    "noresource",
    "probation",
    "rejected",
    "subscribe",
    "timeout",
];

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatcherInfo {
    version: u64,
    is_full: bool,
    resource: String,
    package: String,
    watchers: Vec<Watcher>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Watcher {
    id: String,
    uri: String,
    status: String,
    event: String,
}

/// What one dialog was told of watchers so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    version: Option<u64>,
    /// A SUBSCRIBE has been granted that no document followed yet.
    pub(crate) is_owed_all: bool,
    /// Whose each id is.
    ids: BTreeMap<String, String>,
}

/// What a step expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) is_full: Option<bool>,
    pub(crate) version: Option<u64>,
    /// Address, status, event; in any order, and nobody else.
    pub(crate) who: Vec<[String; 3]>,
}

impl WatcherInfo {
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let root = read(body, &BOUNDS).map_err(|why| format!("it is not well-formed ({why})"))?;
        if !root.is(NAMESPACE, "watcherinfo") {
            return Err(format!("its root is {}", root.name.local));
        }
        let version = root.attribute("version").and_then(|text| text.parse().ok());
        let is_full = match root.attribute("state") {
            Some("full") => true,
            Some("partial") => false,
            other => return Err(format!("its state is {other:?} (RFC 3858 §4.1)")),
        };
        let mut lists = root.elements();
        let (list, more) = (lists.next(), lists.next());
        let list = list
            .filter(|list| list.is(NAMESPACE, "watcher-list") && more.is_none())
            .ok_or("it has not exactly one watcher-list")?;
        let text = |name| list.attribute(name).unwrap_or_default().to_owned();
        Ok(Self {
            version: version.ok_or("it has no version (RFC 3858 §4.1)")?,
            is_full,
            resource: text("resource"),
            package: text("package"),
            watchers: list.elements().map(watcher).collect::<Result<_, _>>()?,
        })
    }

    /// RFC 3857 §4.6, RFC 3858 §4: the first document and each that answers a SUBSCRIBE names everybody; versions begin with 0 and have no
    /// gap; an id is one watcher's, and she keeps it.
    pub(crate) fn follows(
        &self,
        told: &mut Told,
        resource: &str,
        package: &str,
    ) -> Result<(), String> {
        if self.resource != resource || self.package != package {
            return Err(format!(
                "it is about {} of {}, not {package} of {resource} (RFC 3858 §4.2)",
                self.package, self.resource
            ));
        }
        let expected = told.version.map_or(0, |version| version + 1);
        if self.version != expected {
            return Err(format!(
                "its version is {}, {expected} would be next (RFC 3857 §4.6)",
                self.version
            ));
        }
        if std::mem::take(&mut told.is_owed_all) && !self.is_full {
            return Err("what answers a SUBSCRIBE is only a part (RFC 3857 §4.6)".to_owned());
        }
        told.version = Some(self.version);
        let mut seen: Vec<&str> = Vec::new();
        for watcher in &self.watchers {
            if seen.contains(&watcher.id.as_str()) {
                return Err(format!("the id {:?} is there twice", watcher.id));
            }
            seen.push(&watcher.id);
            let known = told.ids.entry(watcher.id.clone());
            let whose = known.or_insert_with(|| watcher.uri.clone());
            if *whose != watcher.uri {
                return Err(format!(
                    "the id {:?} was {whose}, and is {} (RFC 3858 §4.3)",
                    watcher.id, watcher.uri
                ));
            }
        }
        Ok(())
    }

    /// Judges it by what a step expects.
    pub(crate) fn judge(&self, expected: &Expected) -> Result<(), String> {
        if expected.is_full.is_some_and(|full| full != self.is_full) {
            let state = |full| if full { "full" } else { "partial" };
            let (wanted, came) = (state(!self.is_full), state(self.is_full));
            return Err(format!("state {wanted} was expected, {came} came"));
        }
        if let Some(version) = expected.version.filter(|wanted| *wanted != self.version) {
            return Err(format!(
                "version {version} was expected, {} came",
                self.version
            ));
        }
        let mut wanted: Vec<String> = expected.who.iter().map(|who| who.join(" ")).collect();
        let mut came: Vec<String> = self
            .watchers
            .iter()
            .map(|watcher| format!("{} {} {}", watcher.uri, watcher.status, watcher.event))
            .collect();
        wanted.sort_unstable();
        came.sort_unstable();
        if wanted == came {
            Ok(())
        } else {
            Err(format!("{wanted:?} was expected, {came:?} came"))
        }
    }
}

fn watcher(element: &Element) -> Result<Watcher, String> {
    if !element.is(NAMESPACE, "watcher") {
        return Err(format!("{} among watchers", element.name.local));
    }
    let text = |name: &str| {
        let value = element.attribute(name).filter(|value| !value.is_empty());
        value
            .map(str::to_owned)
            .ok_or_else(|| format!("a watcher without {name} (RFC 3858 §4.3)"))
    };
    let watcher = Watcher {
        id: text("id")?,
        uri: element.text().trim().to_owned(),
        status: text("status")?,
        event: text("event")?,
    };
    let is_known = STATUSES.contains(&watcher.status.as_str())
        && EVENTS.contains(&watcher.event.as_str())
        && watcher.uri.contains(':');
    is_known
        .then_some(watcher.clone())
        .ok_or_else(|| format!("{watcher:?} (RFC 3858 §4.3)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='full'>\
        <watcher-list resource='sip:a@x' package='presence'><watcher id='1' status='pending' event='subscribe'>sip:b@x</watcher>\
        <watcher id='2' status='active' event='approved'>sip:c@x</watcher></watcher-list></watcherinfo>";

    fn expected(full: bool, who: &[[&str; 3]]) -> Expected {
        let text = |one: &[&str; 3]| one.map(str::to_owned);
        Expected {
            is_full: Some(full),
            version: None,
            who: who.iter().map(text).collect(),
        }
    }

    #[test]
    fn who_is_expected_is_there_and_nobody_else() {
        let read = WatcherInfo::read(DOCUMENT.as_bytes()).unwrap();
        let bob = ["sip:b@x", "pending", "subscribe"];
        let carol = ["sip:c@x", "active", "approved"];
        assert_eq!(read.judge(&expected(true, &[carol, bob])), Ok(()));
        let wrong = |expected: &Expected| read.judge(expected).unwrap_err();
        assert!(wrong(&expected(false, &[carol, bob])).starts_with("state partial was expected"));
        assert!(wrong(&expected(true, &[bob])).contains("was expected, "));
        let active = ["sip:b@x", "active", "subscribe"];
        assert!(wrong(&expected(true, &[carol, active])).contains("was expected, "));
        let version = Expected {
            version: Some(1),
            ..expected(true, &[carol, bob])
        };
        assert!(wrong(&version).starts_with("version 1 was expected, 0 came"));
    }

    #[test]
    fn a_document_is_judged_by_those_before_it() {
        let both = |told: &mut Told, changes: [(&str, &str); 2]| {
            let text = changes.iter().fold(DOCUMENT.to_owned(), |text, (of, by)| {
                assert!(text.contains(of), "{of}");
                text.replacen(of, by, 1)
            });
            WatcherInfo::read(text.as_bytes())?.follows(told, "sip:a@x", "presence")
        };
        let follows = |told: &mut Told, of: &str, by: &str| both(told, [(of, by), ("a", "a")]);
        let fresh = || Told {
            is_owed_all: true,
            ..Told::default()
        };
        let mut told = fresh();
        assert_eq!(follows(&mut told, "0", "0"), Ok(()));
        assert_eq!(
            follows(&mut told, "'0' state='full'", "'1' state='partial'"),
            Ok(())
        );
        let gap = follows(&mut told, "'0'", "'3'").unwrap_err();
        assert_eq!(gap, "its version is 3, 2 would be next (RFC 3857 §4.6)");
        let moved = both(&mut told, [("'0'", "'2'"), ("sip:b@x", "sip:z@x")]).unwrap_err();
        assert_eq!(
            moved,
            "the id \"1\" was sip:b@x, and is sip:z@x (RFC 3858 §4.3)"
        );
        for (of, by, why) in [
            (
                "version='0'",
                "version='1'",
                "its version is 1, 0 would be next",
            ),
            ("full", "partial", "what answers a SUBSCRIBE is only a part"),
            ("full", "whole", "its state is Some(\"whole\")"),
            ("sip:a@x", "sip:z@x", "it is about presence of sip:z@x"),
            ("id='2'", "id='1'", "the id \"1\" is there twice"),
            ("pending", "asleep", "Watcher"),
            (" event='subscribe'", "", "a watcher without event"),
            (
                "watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo'",
                "other xmlns='urn:x'",
                "it is not well-formed",
            ),
        ] {
            let said = follows(&mut fresh(), of, by).unwrap_err();
            assert!(said.starts_with(why), "{by}: {said}");
        }
    }
}
