//! Presentities who keep documents: their requests, the twin of the store, and what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use machine::{DocumentName, DocumentWrite, StoredDocument};
use scenario::Asked;
use shard::{Directory, DocumentAnswer, DocumentRequest, Told};
use sip::Uri;
use xcap::{Address, Bad, Tree};
use xdm::usages::{PIDF_MANIPULATION, PRES_RULES, RESOURCE_LISTS, Usage};

use crate::breakage::Breakage;
use crate::document::{permanent, user};
use crate::plan::USERS;
use crate::rules::{Gives, KEEPER, Rules, document, lists, lists_path, read_lists};
use crate::world::{Event, World};

impl World {
    /// A presentity puts her rules, or deletes them where nobody is mentioned.
    pub(crate) fn put_rules(&mut self, presentity: &str, rules: Rules) {
        // By lists, what changes is who is in them; the keeper changes those.
        if self.plan.listed {
            let path = lists_path(presentity);
            self.put_document(KEEPER, &RESOURCE_LISTS, &path, lists(&rules));
        } else {
            self.put_document(presentity, &PRES_RULES, "index", document(&rules));
        }
    }

    /// A presentity puts what she keeps of herself for good, or deletes it.
    pub(crate) fn put_permanent(&mut self, presentity: &str, says: Option<u64>) {
        let text = says.map(|says| permanent(presentity, says));
        self.put_document(presentity, &PIDF_MANIPULATION, "index", text);
    }

    fn put_document(&mut self, owner: &str, usage: &Usage, path: &str, body: Option<String>) {
        let Some(life) = &self.server.life else {
            return;
        };
        let path = format!("{}/users/{owner}/{path}", usage.auid);
        let Ok(address) = Address::parse(&path, None, xdm::usages::default_namespace) else {
            return;
        };
        let shards = life.shards.len() as u16;
        let shard = self.server.partitioner().partition(owner).shard(shards);
        let request = DocumentRequest {
            ticket: 0,
            by: owner.to_owned(),
            method: match body {
                Some(_) => xdm::Method::Put,
                None => xdm::Method::Delete,
            },
            address,
            owner: Some(owner.to_owned()),
            content_type: Some(usage.media_type.to_owned()),
            if_match: None,
            if_none_match: None,
            body: body.unwrap_or_default().into_bytes(),
        };
        self.turn(shard, None, |machine, now| {
            machine.handle_document(now, request);
        });
    }

    /// A guest asks for a document, as if by HTTP: what stands between HTTP and shards is not in this world.
    pub(crate) fn ask(&mut self, asked: &Asked) -> scenario::Told {
        let request = match self.document_request(asked) {
            Ok(request) => request,
            Err((status, fields)) => {
                return scenario::Told {
                    status,
                    fields,
                    body: Vec::new(),
                };
            }
        };
        let Some(life) = &self.server.life else {
            return scenario::Told {
                status: 503,
                ..scenario::Told::default()
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
        told.map_or_else(scenario::Told::default, |answer| {
            as_http(answer, &asked.method)
        })
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

    /// A shard says something to another: soon, and not always in order.
    pub(crate) fn tell(&mut self, from: u16, shard: u16, told: Told) {
        let Some(life) = self.server.life.as_ref().map(|life| life.number) else {
            return;
        };
        if self.broken.how == Breakage::KeepsListsForItself && matches!(told, Told::Lists { .. }) {
            return;
        }
        self.note(|| format!("  shard {from} tells shard {shard}: {told:?}"));
        let after = self.server.jitter(5_000);
        let event = Event::ToldShard {
            life,
            from,
            shard,
            told,
        };
        self.schedule(after, event);
    }

    /// It arrives: lists take effect there.
    pub(crate) fn shard_told(&mut self, from: u16, shard: u16, told: Told) {
        if let Told::Lists { lists, .. } = &told {
            let lists = Arc::clone(lists);
            self.learn(Some(shard), |_, path| lists.get(path).cloned());
        }
        self.turn(shard, None, |machine, now| {
            machine.handle_told(now, from, told)
        });
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
                // By lists they hold where those are kept, and elsewhere once they are there.
                let here = self.plan.listed.then_some(write.shard);
                self.learn_kept(here);
                Ok(())
            }
        };
        self.turn(write.shard, None, |machine, now| {
            machine.handle_kept(now, write.sequence, outcome);
        });
    }

    /// The reference knows the documents that are on the disk: they hold from here on. Whose are others than they were?
    pub(crate) fn learn_documents(&mut self) -> BTreeSet<String> {
        self.learn_kept(None)
    }

    fn learn_kept(&mut self, shard: Option<u16>) -> BTreeSet<String> {
        let kept = self.server.documents.iter();
        let is_meant = |name: &DocumentName| matches!(&*name.auid, "pres-rules" | "resource-lists");
        let kept = kept.filter(|(name, _)| is_meant(name));
        let kept = kept.filter_map(|(name, stored)| {
            let owner = name.owner.as_deref()?.to_owned();
            Some(((owner, name.path.to_string()), stored.text.clone()))
        });
        let kept: BTreeMap<_, _> = kept.collect();
        let mut changed = self.learn(shard, |owner, path| {
            kept.get(&(owner.to_owned(), path.to_owned())).cloned()
        });
        for number in 0..USERS {
            let presentity = user(number);
            let permanent = self.permanent_of(&presentity);
            if self.witness.keeps(self.at, &presentity, permanent) {
                changed.insert(presentity);
            }
        }
        changed
    }

    fn permanent_of(&self, presentity: &str) -> Option<StoredDocument> {
        let is_hers = |name: &DocumentName| {
            name.owner.as_deref() == Some(presentity) && *name.auid == *PIDF_MANIPULATION.auid
        };
        let mut documents = self.server.documents.iter();
        let found = documents.find(|(name, _)| is_hers(name));
        found.map(|(_, stored)| stored.clone())
    }

    /// From these documents, about presentities of this shard, or of all.
    fn learn(
        &mut self,
        shard: Option<u16>,
        find: impl Fn(&str, &str) -> Option<Arc<str>>,
    ) -> BTreeSet<String> {
        let shards = self
            .server
            .life
            .as_ref()
            .map(|life| life.shards.len() as u16);
        let mut ruled = BTreeSet::new();
        for number in 0..USERS {
            let presentity = user(number);
            let partition = self.server.partitioner().partition(&presentity);
            if shard.is_some_and(|shard| shards.map(|of| partition.shard(of)) != Some(shard)) {
                continue;
            }
            let rules = if self.plan.listed {
                find(KEEPER, &lists_path(&presentity)).map(|text| read_lists(&text))
            } else {
                find(&presentity, "index").map(|text| read(&text))
            };
            let rules = rules.unwrap_or([Gives::Nothing; USERS as usize]);
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

fn as_http(answer: DocumentAnswer, method: &str) -> scenario::Told {
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
    scenario::Told {
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
