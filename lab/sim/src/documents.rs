//! Presentities who keep documents: their requests, the twin of the store, and what follows.

use std::collections::BTreeSet;
use std::time::Duration;

use machine::{DocumentName, DocumentWrite};
use shard::DocumentRequest;
use xcap::Address;
use xdm::usages::{PIDF_MANIPULATION, PRES_RULES, Usage};

use crate::document::permanent;
use crate::rules::{Gives, Rules, document};
use crate::world::{Event, World};

impl World {
    /// A presentity puts her rules, or deletes them where nobody is mentioned.
    pub(crate) fn put_rules(&mut self, presentity: &str, rules: Rules) {
        self.put_document(presentity, &PRES_RULES, document(&rules));
    }

    /// A presentity puts what she keeps of herself for good, or deletes it.
    pub(crate) fn put_permanent(&mut self, presentity: &str, says: Option<u64>) {
        let text = says.map(|says| permanent(presentity, says));
        self.put_document(presentity, &PIDF_MANIPULATION, text);
    }

    fn put_document(&mut self, presentity: &str, usage: &Usage, body: Option<String>) {
        let Some(life) = &self.server.life else {
            return;
        };
        let path = format!("{}/users/{presentity}/index", usage.auid);
        let Ok(address) = Address::parse(&path, None, xdm::usages::default_namespace) else {
            return;
        };
        let shards = life.shards.len() as u16;
        let shard = self
            .server
            .partitioner()
            .partition(presentity)
            .shard(shards);
        let request = DocumentRequest {
            ticket: 0,
            by: presentity.to_owned(),
            method: match body {
                Some(_) => xdm::Method::Put,
                None => xdm::Method::Delete,
            },
            address,
            owner: Some(presentity.to_owned()),
            content_type: Some(usage.media_type.to_owned()),
            if_match: None,
            if_none_match: None,
            body: body.unwrap_or_default().into_bytes(),
        };
        self.turn(shard, None, |machine, now| {
            machine.handle_document(now, request);
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
                self.learn_documents();
                Ok(())
            }
        };
        self.turn(write.shard, None, |machine, now| {
            machine.handle_kept(now, write.sequence, outcome);
        });
    }

    /// The reference knows the documents that are on the disk: they hold from here on. Whose are others than they were?
    pub(crate) fn learn_documents(&mut self) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for number in 0..crate::plan::USERS {
            let presentity = crate::document::user(number);
            let kept = |usage: &Usage| {
                let mut documents = self.server.documents.iter();
                let is_it = |name: &DocumentName| {
                    name.owner.as_deref() == Some(&presentity) && *name.auid == *usage.auid
                };
                let found = documents.find(|(name, _)| is_it(name));
                found.map(|(_, stored)| stored.clone())
            };
            let rules = kept(&PRES_RULES)
                .map_or([Gives::Nothing; crate::plan::USERS as usize], |stored| {
                    read(&stored.text)
                });
            let permanent = kept(&PIDF_MANIPULATION);
            let ruled = self.witness.ruled(self.at, &presentity, rules);
            if self.witness.keeps(self.at, &presentity, permanent) || ruled {
                changed.insert(presentity);
            }
        }
        changed
    }
}

/// What a document of this world says.
fn read(text: &str) -> Rules {
    let rule = |number: usize| {
        text.split("<cp:rule ")
            .find(|rule| rule.starts_with(&format!("id=\"r{number}\"")))
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
