//! Presence documents: written for sources, read back as a watcher would look at them.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

/// One service of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// `open`, `closed`, or nothing.
    pub basic: String,
    /// Contact, or nothing.
    pub contact: String,
    /// Notes in order.
    pub notes: Vec<String>,
    /// Its id.
    pub id: String,
}

/// What a document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whose it is.
    pub entity: String,
    /// Services in order.
    pub tuples: Vec<Tuple>,
    /// Notes of the presentity herself.
    pub notes: Vec<String>,
    /// How many persons.
    pub persons: usize,
    /// How many devices.
    pub devices: usize,
    /// Local name of every element, in order.
    pub elements: Vec<String>,
}

impl Presence {
    /// Reads a document; it must be well-formed and have PIDF's root.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut view = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut reader = Reader::from_str(text);
        loop {
            match reader
                .read_event()
                .unwrap_or_else(|error| panic!("{error} in\n{text}"))
            {
                Event::Start(element) => {
                    view.begin(&path, &element);
                    path.push(local(&element));
                }
                Event::Empty(element) => view.begin(&path, &element),
                Event::End(_) => {
                    path.pop();
                }
                Event::Text(run) => view.text(
                    &path,
                    &unescape(&run.decode().expect("UTF-8")).expect("known entities"),
                ),
                Event::GeneralRef(name) => {
                    let reference = format!("&{};", name.decode().expect("UTF-8"));
                    view.text(&path, &unescape(&reference).expect("known entities"));
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(
            view.elements.first().map(String::as_str),
            Some("presence"),
            "not a PIDF document:\n{text}"
        );
        let mut ids: Vec<&str> = view.tuples.iter().map(|tuple| tuple.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert!(
            ids.len() == view.tuples.len() && !ids.contains(&""),
            "tuple ids are not unique:\n{text}"
        );
        view
    }

    fn begin(&mut self, path: &[String], element: &BytesStart<'_>) {
        let attribute = |name: &str| {
            let value = element
                .try_get_attribute(name)
                .expect("well-formed attributes")?;
            Some(value.unescape_value().expect("known entities").into_owned())
        };
        let name = local(element);
        match (path.len(), name.as_str()) {
            (0, _) => self.entity = attribute("entity").unwrap_or_default(),
            (1, "tuple") => self.tuples.push(Tuple {
                id: attribute("id").unwrap_or_default(),
                ..Tuple::default()
            }),
            (1, "person") => self.persons += 1,
            (1, "device") => self.devices += 1,
            (1, "note") => self.notes.push(String::new()),
            (2, "note") if path[1] == "tuple" => {
                if let Some(tuple) = self.tuples.last_mut() {
                    tuple.notes.push(String::new());
                }
            }
            _ => {}
        }
        self.elements.push(name);
    }

    fn text(&mut self, path: &[String], text: &str) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (path.as_slice(), self.tuples.last_mut()) {
            (["presence", "note"], _) => {
                self.notes.last_mut().expect("a note began").push_str(text)
            }
            (["presence", "tuple", "status", "basic"], Some(tuple)) => {
                tuple.basic.push_str(text.trim())
            }
            (["presence", "tuple", "contact"], Some(tuple)) => tuple.contact.push_str(text.trim()),
            (["presence", "tuple", "note"], Some(tuple)) => {
                tuple.notes.last_mut().expect("a note began").push_str(text)
            }
            _ => {}
        }
    }

    /// Whether any tuple or the presentity says this.
    pub fn says(&self, note: &str) -> bool {
        self.notes
            .iter()
            .chain(self.tuples.iter().flat_map(|tuple| &tuple.notes))
            .any(|said| said == note)
    }

    /// `basic` of every tuple, sorted.
    pub fn basics(&self) -> Vec<&str> {
        let mut basics: Vec<&str> = self
            .tuples
            .iter()
            .map(|tuple| tuple.basic.as_str())
            .collect();
        basics.sort_unstable();
        basics
    }

    /// standards.md §1.2: nothing but one closed tuple; no note, no contact, no timestamp, nobody.
    pub fn is_neutral(&self) -> bool {
        let only = ["presence", "tuple", "status", "basic"];
        self.elements == only && self.tuples[0].basic == "closed"
    }
}

fn local(element: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(element.local_name().as_ref()).into_owned()
}

/// A document with one service: `basic`, and a note. The id and the contact come from `service`.
pub fn pidf(entity: &str, service: &str, basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\n  \
         <tuple id=\"{service}\">\n    <status><basic>{basic}</basic></status>\n    <contact>sip:{service}@192.0.2.1</contact>\n    \
         <note>{note}</note>\n  </tuple>\n</presence>\n"
    )
}

/// A document of about `bytes` bytes that means something: a long note.
pub fn long_pidf(entity: &str, service: &str, word: &str, bytes: usize) -> String {
    let note: String = std::iter::repeat_n(word, bytes / word.len() + 1).collect();
    pidf(entity, service, "open", &note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let presence = Presence::read(&pidf(
            "sip:alice@example.com",
            "desk",
            "open",
            "tea &amp; cake",
        ));
        assert_eq!(presence.entity, "sip:alice@example.com");
        assert_eq!(presence.basics(), ["open"]);
        assert_eq!(presence.tuples[0].contact, "sip:desk@192.0.2.1");
        assert!(presence.says("tea & cake") && !presence.says("tea"));
        assert!(!presence.is_neutral());
    }

    #[test]
    fn neutral_is_one_closed_tuple_and_nothing_else() {
        let neutral = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='t'><status><basic>closed</basic></status></tuple></presence>";
        assert!(Presence::read(neutral).is_neutral());
        assert!(!Presence::read(&neutral.replace("closed", "open")).is_neutral());
        assert!(
            !Presence::read(&neutral.replace("</presence>", "<note>n</note></presence>"))
                .is_neutral()
        );
    }

    #[test]
    #[should_panic(expected = "not unique")]
    fn ids_that_repeat_are_noticed() {
        Presence::read("<presence entity='sip:a@b'><tuple id='t'/><tuple id='t'/></presence>");
    }
}
