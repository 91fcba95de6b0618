//! Presence documents: written for sources, read as a watcher looks at them.

use xml::{Bounds, Element};

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const BOUNDS: Bounds = Bounds {
    depth_max: 32,
    nodes_max: 100_000,
};

/// What a document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    basics: Vec<String>,
    notes: Vec<String>,
    /// Anything besides services and their status.
    more: bool,
}

impl Presence {
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let root =
            xml::read(body, &BOUNDS).map_err(|why| format!("it is not well-formed ({why})"))?;
        if !root.is(PIDF, "presence") {
            return Err(format!("its root is {}", root.name.local));
        }
        let mut read = Self::default();
        for element in root.elements() {
            if element.is(PIDF, "tuple") {
                read.service(element);
            } else if element.is(PIDF, "note") {
                read.notes.push(element.text());
            } else {
                read.more = true;
            }
        }
        read.basics.sort();
        let mut ids: Vec<&str> = root
            .elements()
            .filter_map(|element| element.attribute("id"))
            .collect();
        ids.sort_unstable();
        // RFC 3863 §4.1.2: the id of a tuple is unique in its document.
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!(
                "the id {:?} is there twice (RFC 3863 §4.1.2)",
                pair[0]
            )),
            None => Ok(read),
        }
    }

    fn service(&mut self, tuple: &Element) {
        for element in tuple.elements() {
            if element.is(PIDF, "status") {
                let basic = element
                    .element(PIDF, "basic")
                    .map(|basic| basic.text().trim().to_owned());
                self.basics.push(basic.unwrap_or_default());
                self.more |= element.elements().count() > 1;
            } else if element.is(PIDF, "note") {
                self.notes.push(element.text());
            } else {
                self.more = true;
            }
        }
    }

    /// `basic` of every service, sorted.
    pub(crate) fn basics(&self) -> Vec<String> {
        self.basics.clone()
    }

    pub(crate) fn says(&self, note: &str) -> bool {
        self.notes.iter().any(|said| said.trim() == note)
    }

    /// OMA-style: at most one service, closed, and nothing else.
    pub(crate) fn is_neutral(&self) -> bool {
        !self.more
            && self.notes.is_empty()
            && self.basics.len() <= 1
            && self.basics.iter().all(|basic| basic == "closed")
    }
}

/// A document with one service: its id and where it is reached, its state.
pub(crate) fn write(entity: &str, (id, contact): (&str, &str), basic: &str, note: &str) -> String {
    let note = note.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"{PIDF}\" entity=\"{entity}\">\n  <tuple id=\"{id}\">\n    \
         <status><basic>{basic}</basic></status>\n    <contact>{contact}</contact>\n    <note>{note}</note>\n  </tuple>\n</presence>\n"
    )
}

/// Presence rules (RFC 5025): who is let see, one rule for each address, and then everything.
pub(crate) fn rules(rules: &[(&str, &str)]) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" \
         xmlns=\"urn:ietf:params:xml:ns:pres-rules\">\n",
    );
    for (number, (address, handling)) in rules.iter().enumerate() {
        let everything = match *handling {
            "allow" => {
                "<provide-services><all-services/></provide-services><provide-all-attributes/>"
            }
            _ => "",
        };
        out.push_str(&format!(
            "  <cp:rule id=\"r{number}\"><cp:conditions><cp:identity><cp:one id=\"{address}\"/></cp:identity></cp:conditions>\
             <cp:actions><sub-handling>{handling}</sub-handling></cp:actions>\
             <cp:transformations>{everything}</cp:transformations></cp:rule>\n"
        ));
    }
    out.push_str("</cp:ruleset>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let document = write(
            "sip:alice@example.com",
            ("desk", "sip:desk@192.0.2.1"),
            "open",
            "tea & <cake>",
        );
        let read = Presence::read(document.as_bytes()).unwrap();
        assert_eq!(read.basics(), ["open"]);
        assert!(read.says("tea & <cake>") && !read.says("tea") && !read.is_neutral());
    }

    #[test]
    fn neutral_says_nothing() {
        let neutral = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='t'><status><basic>closed</basic></status></tuple></presence>";
        let is_neutral = |text: &str| Presence::read(text.as_bytes()).unwrap().is_neutral();
        assert!(is_neutral(neutral));
        assert!(!is_neutral(&neutral.replace("closed", "open")));
        assert!(!is_neutral(
            &neutral.replace("</tuple>", "<contact>sip:x@y</contact></tuple>")
        ));
        assert!(is_neutral(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/>"
        ));
        assert!(Presence::read(b"<other/>").is_err());
    }
}
