//! Presentities who keep documents: their requests, the twin of the store, and what follows.

use std::collections::BTreeSet;
use std::time::Duration;

use machine::DocumentWrite;
use scenario::{Asked, Told};
use shard::{Directory, DocumentAnswer, DocumentRequest};
use sip::Uri;
use xcap::{Address, Bad, Tree};

use crate::rules::{Gives, Rules, document};
use crate::world::{Event, World};

impl World {
    /// A presentity puts her rules, or deletes them where nobody is mentioned.
    pub(crate) fn put_rules(&mut self, presentity: &str, rules: Rules) {
        let Some(life) = &self.server.life else {
            return;
        };
        let path = format!("pres-rules/users/{presentity}/index");
        let Ok(address) = Address::parse(&path, None, xdm::usages::default_namespace) else {
            return;
        };
        let shards = life.shards.len() as u16;
        let shard = self
            .server
            .partitioner()
            .partition(presentity)
            .shard(shards);
        let body = document(&rules);
        let request = DocumentRequest {
            ticket: 0,
            by: presentity.to_owned(),
            method: match body {
                Some(_) => xdm::Method::Put,
                None => xdm::Method::Delete,
            },
            address,
            owner: Some(presentity.to_owned()),
            content_type: Some("application/auth-policy+xml".to_owned()),
            if_match: None,
            if_none_match: None,
            body: body.unwrap_or_default().into_bytes(),
        };
        self.turn(shard, None, |machine, now| {
            machine.handle_document(now, request);
        });
    }

    /// A guest asks for a document, as if by HTTP: what stands between HTTP and shards is not in this world.
    pub(crate) fn ask(&mut self, asked: &Asked) -> Told {
        let request = match self.document_request(asked) {
            Ok(request) => request,
            Err((status, fields)) => {
                return Told {
                    status,
                    fields,
                    body: Vec::new(),
                };
            }
        };
        let Some(life) = &self.server.life else {
            return Told {
                status: 503,
                ..Told::default()
            };
        };
        let owner = request.owner.as_deref().unwrap_or("global");
        let shards = life.shards.len() as u16;
        let shard = self.server.partitioner().partition(owner).shard(shards);
        self.told = None;
        self.turn(shard, None, |machine, now| {
            machine.handle_document(now, request);
        });
        let patience = self.at + Duration::from_secs(5);
        self.advance_while(patience, |world| world.told.is_none());
        let told = self.told.take();
        told.map_or_else(Told::default, |answer| as_http(answer, &asked.method))
    }

    fn document_request(&self, asked: &Asked) -> Result<DocumentRequest, Refused> {
        let refused = |status| Err((status, Vec::new()));
        let method = match asked.method.as_str() {
            "GET" | "HEAD" => xdm::Method::Get,
            "PUT" => xdm::Method::Put,
            "DELETE" => xdm::Method::Delete,
            _ => {
                let allow = ("Allow".to_owned(), "GET, HEAD, PUT, DELETE".to_owned());
                return Err((405, vec![allow]));
            }
        };
        let (path, query) = match asked.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (asked.target.as_str(), None),
        };
        let address = match Address::parse(path, query, xdm::usages::default_namespace) {
            Ok(address) => address,
            Err(Bad::Nowhere) => return refused(404),
            Err(_) => return refused(400),
        };
        let directory = Directory::new(&self.settings);
        let canonical = |uri: &str| directory.canonical(&Uri::parse(uri).ok()?);
        let owner = match &address.tree {
            Tree::Global => None,
            Tree::User(xui) => match canonical(xui) {
                Some(owner) => Some(owner),
                None => return refused(404),
            },
        };
        let field = |name| asked.field(name).map(str::to_owned);
        let asserted = field("X-3GPP-Asserted-Identity").unwrap_or_default();
        let Some(by) = canonical(asserted.trim_matches('"')) else {
            return refused(403);
        };
        Ok(DocumentRequest {
            ticket: GUESTS_TICKET,
            by,
            method,
            address,
            owner,
            content_type: field("Content-Type"),
            if_match: field("If-Match"),
            if_none_match: field("If-None-Match"),
            body: asked.body.clone(),
        })
    }

    /// An answer about a document; what people of the world put nobody waits for.
    pub(crate) fn answered(&mut self, answer: DocumentAnswer) {
        if answer.ticket == GUESTS_TICKET {
            self.told = Some(answer);
        }
    }

    /// A change is handed to the store of documents.
    pub(crate) fn keep(&mut self, write: DocumentWrite) {
        let Some(life) = self.server.life.as_ref().map(|life| life.number) else {
            return;
        };
        self.server.keeping.push_back(write);
        let most = match self.at < self.slow_until {
            true => 4_000,
            false => self.plan.commit_ms_max,
        };
        let after = Duration::from_micros(50) + self.server.jitter(most * 1000 + 1);
        self.last_kept = (self.at + after).max(self.last_kept);
        self.schedule_at(self.last_kept, Event::Kept { life });
    }

    /// The store has written the oldest change, unless the disk is full.
    pub(crate) fn document_kept(&mut self) {
        let full = self.at < self.full_until;
        let write = match full {
            true => self.server.keeping.pop_front(),
            false => self.server.keep(),
        };
        let Some(write) = write else {
            return;
        };
        let outcome = match full {
            true => Err("full".to_owned()),
            false => {
                self.learn_rules();
                Ok(())
            }
        };
        self.turn(write.shard, None, |machine, now| {
            machine.handle_kept(now, write.sequence, outcome);
        });
    }

    /// The reference knows the rules that are on the disk: they hold from here on. Whose are others than they were?
    pub(crate) fn learn_rules(&mut self) -> BTreeSet<String> {
        let mut ruled = BTreeSet::new();
        let rules = |name: &&machine::DocumentName| &*name.auid == "pres-rules";
        let documents = self.server.documents.iter();
        let documents = documents.filter(|(name, _)| rules(name));
        let texts = documents.filter_map(|(name, stored)| {
            let owner = name.owner.as_deref()?;
            Some((owner.to_owned(), stored.text.clone()))
        });
        let texts: Vec<_> = texts.collect();
        for number in 0..crate::plan::USERS {
            let presentity = crate::document::user(number);
            let text = texts.iter().find(|(owner, _)| *owner == presentity);
            let rules = text.map_or(
                [Gives::Nothing; crate::plan::USERS as usize],
                |(_, text)| read(text),
            );
            if self.witness.ruled(self.at, &presentity, rules) {
                ruled.insert(presentity);
            }
        }
        ruled
    }
}

/// A status and fields.
type Refused = (u16, Vec<(String, String)>);

/// Requests of guests, one at a time.
const GUESTS_TICKET: u64 = 1;

fn as_http(answer: DocumentAnswer, method: &str) -> Told {
    let mut fields = Vec::new();
    let mut field = |name: &str, value: String| fields.push((name.to_owned(), value));
    if !answer.media_type.is_empty() {
        field("Content-Type", answer.media_type);
    }
    if let Some(tag) = answer.tag {
        field("ETag", format!("\"{tag}\""));
    }
    if !answer.allow.is_empty() {
        field("Allow", answer.allow.to_owned());
    }
    Told {
        status: answer.status,
        fields,
        body: match method {
            "HEAD" => Vec::new(),
            _ => answer.body.into_bytes(),
        },
    }
}

/// What a document of this world says.
fn read(text: &str) -> Rules {
    let rule = |number: usize| {
        let about = format!("<cp:one id=\"{}\"/>", crate::document::user(number as u8));
        text.split("<cp:rule ").find(|rule| rule.contains(&about))
    };
    std::array::from_fn(|number| {
        let Some(rule) = rule(number) else {
            return Gives::Nothing;
        };
        let says = |word: &str| rule.contains(&format!(">{word}<"));
        match () {
            () if says("block") => Gives::Block,
            () if says("confirm") => Gives::Confirm,
            () if says("polite-block") => Gives::PoliteBlock,
            () if rule.contains("provide-all-attributes") => Gives::Everything,
            () => Gives::Services,
        }
    })
}
