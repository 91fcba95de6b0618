//! Watcher information, RFC 3858: who watches somebody, and how it stands with each of them.

use std::fmt;

use xml::{Bounds, Element, Malformed, Name, Namespace, Style};

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:watcherinfo";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);
/// The media type.
pub const MEDIA_TYPE: &str = "application/watcherinfo+xml";

const STYLE: Style<'static> = Style {
    default: URI,
    prefixes: &[],
};

/// How a subscription stands (RFC 3857 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nobody has decided yet whether she may see.
    Pending,
    /// It was pending when it lapsed: she is likely to come again, and still nobody has decided.
    Waiting,
    /// She sees.
    Active,
    /// It is over. Told once.
    Terminated,
}

/// What brought a subscription to where it stands (RFC 3857 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Subscribe,
    /// The presentity let her.
    Approved,
    /// The server ended it; she is to subscribe again at once.
    Deactivated,
    /// The server ended it; she is to subscribe again later.
    Probation,
    /// The presentity did not let her.
    Rejected,
    /// It lapsed, or she ended it.
    Timeout,
    /// It waited too long for a decision.
    Giveup,
    /// There is nobody any more whom she could watch.
    Noresource,
}

impl Status {
    const ALL: [Self; 4] = [Self::Pending, Self::Waiting, Self::Active, Self::Terminated];

    /// The word of RFC 3858.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Terminated => "terminated",
        }
    }
}

impl Event {
    const ALL: [Self; 8] = [
        Self::Subscribe,
        Self::Approved,
        Self::Deactivated,
        Self::Probation,
        Self::Rejected,
        Self::Timeout,
        Self::Giveup,
        Self::Noresource,
    ];

    /// The word of RFC 3858.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Approved => "approved",
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Giveup => "giveup",
            Self::Noresource => "noresource",
        }
    }
}

/// One watcher (RFC 3858 §4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Of all watchers of the resource and package this one, as long as she is told of.
    pub id: String,
    /// How her subscription stands.
    pub status: Status,
    /// What brought it there.
    pub event: Event,
    /// Her name, as she writes it.
    pub display_name: Option<String>,
    /// Seconds until it lapses.
    pub expiration: Option<u64>,
    /// Seconds since it was made.
    pub duration_subscribed: Option<u64>,
    /// Who she is.
    pub uri: String,
}

/// The watchers of one resource under one package (RFC 3858 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherList {
    /// Who is watched.
    pub resource: String,
    /// In what.
    pub package: String,
    /// By whom.
    pub watchers: Vec<Watcher>,
}

/// A whole document (RFC 3858 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherInfo {
    /// 0 in a subscription's first document, then one more with each.
    pub version: u64,
    /// Whether it names all watchers; else those alone that changed.
    pub is_full: bool,
    /// The lists.
    pub lists: Vec<WatcherList>,
}

/// Why bytes are no watcher information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No XML as it must be.
    Malformed(Malformed),
    /// XML, but another document.
    NotWatcherInfo,
    /// This attribute is missing, or says what it must not.
    Attribute(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NotWatcherInfo => write!(f, "the root is not watcherinfo of {URI}"),
            Self::Attribute(name) => write!(f, "the attribute {name} is missing or wrong"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl WatcherInfo {
    /// Reads a document. What other namespaces add is left out.
    ///
    /// # Errors
    /// When it is no well-formed XML within the bounds, another document, or an attribute that RFC 3858 demands is missing or wrong.
    pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Self, Unreadable> {
        let root = xml::read(bytes, bounds).map_err(Unreadable::Malformed)?;
        if !root.is(URI, "watcherinfo") {
            return Err(Unreadable::NotWatcherInfo);
        }
        let lists = root
            .elements()
            .filter(|child| child.is(URI, "watcher-list"))
            .map(read_list);
        Ok(Self {
            version: number(&root, "version")?.ok_or(Unreadable::Attribute("version"))?,
            is_full: match need(&root, "state")? {
                "full" => true,
                "partial" => false,
                _ => return Err(Unreadable::Attribute("state")),
            },
            lists: lists.collect::<Result<_, _>>()?,
        })
    }

    /// The document as bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut root = Element::new(Name::new(NAMESPACE, "watcherinfo"));
        root.set_attribute("version", self.version.to_string());
        root.set_attribute("state", if self.is_full { "full" } else { "partial" });
        for list in &self.lists {
            let mut element = Element::new(Name::new(NAMESPACE, "watcher-list"));
            element.set_attribute("resource", writable(&list.resource));
            element.set_attribute("package", writable(&list.package));
            for watcher in &list.watchers {
                element.push(watcher.to_element());
            }
            root.push(element);
        }
        xml::write(&root, &STYLE)
    }
}

impl Watcher {
    fn to_element(&self) -> Element {
        let name = Name::new(NAMESPACE, "watcher");
        let mut element = Element::with_text(name, writable(&self.uri));
        element.set_attribute("id", writable(&self.id));
        element.set_attribute("status", self.status.name());
        element.set_attribute("event", self.event.name());
        if let Some(display_name) = &self.display_name {
            element.set_attribute("display-name", writable(display_name));
        }
        if let Some(seconds) = self.expiration {
            element.set_attribute("expiration", seconds.to_string());
        }
        if let Some(seconds) = self.duration_subscribed {
            element.set_attribute("duration-subscribed", seconds.to_string());
        }
        element
    }
}

fn read_list(list: &Element) -> Result<WatcherList, Unreadable> {
    let watchers = list
        .elements()
        .filter(|child| child.is(URI, "watcher"))
        .map(read_watcher);
    Ok(WatcherList {
        resource: collapsed(need(list, "resource")?),
        package: need(list, "package")?.to_owned(),
        watchers: watchers.collect::<Result<_, _>>()?,
    })
}

fn read_watcher(watcher: &Element) -> Result<Watcher, Unreadable> {
    let (status, event) = (need(watcher, "status")?, need(watcher, "event")?);
    let mut statuses = Status::ALL.into_iter();
    let mut events = Event::ALL.into_iter();
    Ok(Watcher {
        id: need(watcher, "id")?.to_owned(),
        status: statuses
            .find(|known| known.name() == status)
            .ok_or(Unreadable::Attribute("status"))?,
        event: events
            .find(|known| known.name() == event)
            .ok_or(Unreadable::Attribute("event"))?,
        display_name: watcher.attribute("display-name").map(ToOwned::to_owned),
        expiration: number(watcher, "expiration")?,
        duration_subscribed: number(watcher, "duration-subscribed")?,
        uri: collapsed(&watcher.text()),
    })
}

fn need<'e>(element: &'e Element, name: &'static str) -> Result<&'e str, Unreadable> {
    element.attribute(name).ok_or(Unreadable::Attribute(name))
}

/// A number as the schema's types write it: white space around it, a plus sign and leading noughts change nothing.
fn number(element: &Element, name: &'static str) -> Result<Option<u64>, Unreadable> {
    let Some(text) = element.attribute(name) else {
        return Ok(None);
    };
    let text = text.trim_ascii();
    let number = text.parse().map_err(|_| Unreadable::Attribute(name))?;
    Ok(Some(number))
}

/// White space as xs:anyURI reads it.
fn collapsed(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without the characters that no XML document can hold (XML 1.0 §2.2).
fn writable(text: &str) -> String {
    let fits = |char: &char| !matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    text.chars().filter(fits).collect()
}
