//! GET, PUT and DELETE of documents, elements, attributes and namespace bindings (RFC 4825 §7, §8).

use xcap::{Address, Condition, Conflict, Verdict};
use xml::{Element, Flaw, Found, Insertion, Malformed, Refused, Source, Terminal};

use crate::answer::{Answer, Change};
use crate::usages::{self, Usage};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET and HEAD.
    Get,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
}

/// A request for one document.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// What it is about.
    pub address: &'a Address,
    /// Content-Type, without its parameters.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// If-Match and If-None-Match.
    pub condition: Condition<'a>,
    /// The canonical address of record of whose document it is; none: everybody's.
    pub owner: Option<&'a str>,
}

/// A document as it is.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its text.
    pub text: &'a str,
    /// Its entity-tag, without quotes.
    pub tag: &'a str,
}

/// How large a document may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Beyond it: 413.
    pub bytes_max: usize,
    /// Depth, elements and attributes. Beyond it: 409, `constraint-failure`.
    pub xml: xml::Bounds,
    /// Entries, references and lists of one document. Beyond it: 409, `constraint-failure`.
    pub list_entries_max: usize,
}

/// What a request does to a document that is there, or is not.
pub fn handle(
    usage: &'static Usage,
    request: &Request<'_>,
    existing: Option<Stored<'_>>,
    bounds: &Bounds,
) -> Answer {
    let source = existing.and_then(|stored| Source::new(stored.text));
    let there = match (&request.address.node, &source) {
        (None, source) => source.is_some(),
        (Some(node), Some(source)) => matches!(source.find(node), Found::One(_)),
        (Some(_), None) => false,
    };
    let tag = existing.map(|stored| stored.tag);
    match request
        .condition
        .judge(tag, there, request.method == Method::Get)
    {
        // RFC 9110 §13.2.1: what would be 404 without a condition is that with one; of what is not there nothing is unmodified.
        _ if request.method == Method::Get && !there => return Answer::refused(404),
        Verdict::NotModified => return Answer::refused(304),
        Verdict::Failed => return Answer::refused(412),
        Verdict::Go => {}
    }
    let deed = Deed {
        usage,
        request,
        bounds,
    };
    match request.method {
        Method::Get => get(usage, request, existing, source.as_ref()),
        Method::Put => deed.put(existing, source.as_ref()),
        Method::Delete => deed.delete(source.as_ref()),
    }
}

fn get(
    usage: &Usage,
    request: &Request<'_>,
    existing: Option<Stored<'_>>,
    source: Option<&Source<'_>>,
) -> Answer {
    let (Some(stored), Some(source)) = (existing, source) else {
        return Answer::refused(404);
    };
    let Some(node) = &request.address.node else {
        return Answer::read(usage.media_type, stored.text.to_owned());
    };
    let media_type = match node.terminal {
        Terminal::Element => xcap::ELEMENT,
        Terminal::Attribute(_) => xcap::ATTRIBUTE,
        Terminal::Namespaces => xcap::NAMESPACES,
    };
    match source.find(node) {
        Found::One(body) => Answer::read(media_type, body),
        Found::Nothing | Found::Several => Answer::refused(404),
    }
}

struct Deed<'a> {
    usage: &'static Usage,
    request: &'a Request<'a>,
    bounds: &'a Bounds,
}

impl Deed<'_> {
    fn put(&self, existing: Option<Stored<'_>>, source: Option<&Source<'_>>) -> Answer {
        let Some(node) = &self.request.address.node else {
            return self.put_document(existing.is_some());
        };
        let wanted = match node.terminal {
            Terminal::Element => xcap::ELEMENT,
            Terminal::Attribute(_) => xcap::ATTRIBUTE,
            // RFC 4825 §7.10: namespace bindings can only be read.
            Terminal::Namespaces => {
                return Answer {
                    allow: "GET, HEAD",
                    ..Answer::refused(405)
                };
            }
        };
        if !is_type(self.request.content_type, wanted) {
            return Answer::refused(415);
        }
        if self.request.body.len() > self.bounds.bytes_max {
            return Answer::refused(413);
        }
        let Ok(body) = std::str::from_utf8(self.request.body) else {
            return Answer::conflict(&Conflict::NotUtf8);
        };
        let Some(source) = source else {
            return Answer::conflict(&Conflict::NoParent(None));
        };
        let insertion = match node.terminal {
            Terminal::Attribute(_) => source.put_attribute(node, body),
            _ => source.put_element(node, body, &self.bounds.xml),
        };
        match insertion {
            Ok(insertion) => self.choose(insertion),
            Err(refused) => self.refused(&refused),
        }
    }

    fn put_document(&self, replaces: bool) -> Answer {
        if !is_type(self.request.content_type, self.usage.media_type) {
            return Answer::refused(415);
        }
        if self.request.body.len() > self.bounds.bytes_max {
            return Answer::refused(413);
        }
        let Ok(text) = std::str::from_utf8(self.request.body) else {
            return Answer::conflict(&Conflict::NotUtf8);
        };
        if let Some(only) = self.usage.document
            && self.request.address.document != only
        {
            // RFC 4825 §5.7: where the usage names its documents there is no other.
            return Answer::conflict(&Conflict::Constraint(format!(
                "the document of this usage is called {only}"
            )));
        }
        match self.validated(text) {
            Ok(()) => Answer::of(
                if replaces { 200 } else { 201 },
                Change::Put(text.to_owned()),
            ),
            Err(conflict) => Answer::conflict(&conflict),
        }
    }

    /// The first place that the schema is satisfied with; else what is wrong with the usual one (RFC 4825 §8.2.3).
    fn choose(&self, insertion: Insertion) -> Answer {
        let status = if insertion.replaces { 200 } else { 201 };
        let mut first = None;
        for candidate in insertion.candidates {
            if candidate.len() > self.bounds.bytes_max {
                return Answer::refused(413);
            }
            match self.validated(&candidate) {
                Ok(()) => return Answer::of(status, Change::Put(candidate)),
                Err(conflict) => {
                    first.get_or_insert(conflict);
                }
            }
        }
        match first {
            // The element itself is well-formed: it stands where its prefixes mean nothing.
            Some(Conflict::NotWellFormed(_)) => Answer::conflict(&Conflict::NotXmlFragment),
            Some(conflict) => Answer::conflict(&conflict),
            None => Answer::conflict(&Conflict::CannotInsert(String::new())),
        }
    }

    fn delete(&self, source: Option<&Source<'_>>) -> Answer {
        let Some(source) = source else {
            return Answer::refused(404);
        };
        let Some(node) = &self.request.address.node else {
            return Answer::of(200, Change::Delete);
        };
        if node.terminal == Terminal::Namespaces {
            return Answer {
                allow: "GET, HEAD",
                ..Answer::refused(405)
            };
        }
        match source.delete(node) {
            Ok(text) => match self.validated(&text) {
                Ok(()) => Answer::of(200, Change::Put(text)),
                Err(conflict) => Answer::conflict(&conflict),
            },
            Err(refused) => self.refused(&refused),
        }
    }

    /// RFC 4825 §8.2.5: the whole document is what its usage wants, after each change.
    fn validated(&self, text: &str) -> Result<(), Conflict> {
        let root: Element = xml::read(text.as_bytes(), &self.bounds.xml)
            .map_err(|malformed| unreadable(&malformed))?;
        if usages::list_entries(&root) > self.bounds.list_entries_max {
            return Err(Conflict::Constraint(format!(
                "more than {} entries",
                self.bounds.list_entries_max
            )));
        }
        self.usage.check(&root, self.request.owner)
    }

    fn refused(&self, refused: &Refused) -> Answer {
        let conflict = match refused {
            Refused::Missing => return Answer::refused(404),
            Refused::NoParent(steps) => {
                Conflict::NoParent(Some(self.request.address.ancestor(*steps)))
            }
            Refused::CannotInsert => Conflict::CannotInsert(
                "a GET of the address would not give what was put".to_owned(),
            ),
            Refused::CannotDelete => {
                Conflict::CannotDelete("something else would be at the address".to_owned())
            }
            Refused::TooLarge(flaw) => Conflict::Constraint(flaw.to_string()),
            Refused::NotFragment => Conflict::NotXmlFragment,
            Refused::NotAttributeValue => Conflict::NotXmlAttributeValue,
        };
        Answer::conflict(&conflict)
    }
}

fn unreadable(malformed: &Malformed) -> Conflict {
    match malformed.flaw {
        Flaw::NotUtf8 | Flaw::Encoding => Conflict::NotUtf8,
        Flaw::TooDeep(_)
        | Flaw::TooMany(_)
        | Flaw::TooManyDeclarations(_)
        | Flaw::NamespaceTooLong(_) => Conflict::Constraint(malformed.to_string()),
        _ => Conflict::NotWellFormed(malformed.to_string()),
    }
}

fn is_type(said: Option<&str>, wanted: &str) -> bool {
    said.is_some_and(|said| said.trim().eq_ignore_ascii_case(wanted))
}
