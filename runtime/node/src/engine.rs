//! What the node asks of a shard: the methods of `shard::Shard`, so that tests can put another in its place.

use std::net::IpAddr;
use std::sync::Arc;

use machine::{Cause, DocumentName, Instant, Key, Now, StoredDocument};
use shard::settings::Settings;
use shard::{
    Counts, Dispatch, DocumentRequest, Flow, Output, Question, Room, Shard, Start, Table, Told,
    Undeliverable,
};
use sip::Message;

/// Which shard a message belongs to; the same answer on every thread.
pub(crate) type Owner = Box<dyn Fn(&Message<'_>) -> u16 + Send + Sync>;

/// See `shard::Shard` for what each method means. Built, used and dropped on one thread.
pub(crate) trait Engine: Sized + 'static {
    fn owner(hash_key: [u8; 16], shards: u16, settings: &Settings) -> Owner;
    fn new(start: Start) -> Self;
    fn restore(&mut self, key: Key, ops: Vec<Vec<u8>>) -> Result<(), String>;
    fn restore_document(&mut self, name: DocumentName, content: StoredDocument);
    fn restore_lists(&mut self, table: Arc<Table>);
    fn restored(&mut self, now: Now);
    fn handle_document(&mut self, now: Now, request: DocumentRequest);
    fn handle_kept(&mut self, now: Now, sequence: u64, outcome: Result<(), String>);
    fn handle_told(&mut self, now: Now, from: u16, told: Told);
    fn handle_explain(&mut self, now: Now, question: Question);
    fn handle_datagram(&mut self, now: Now, flow: &Flow, bytes: &[u8]);
    fn handle_oversized(&mut self, now: Now, flow: &Flow, head: &[u8], status: u16);
    fn handle_durable(&mut self, now: Now, sequence: u64);
    fn handle_undeliverable(&mut self, now: Now, token: u64, why: Undeliverable);
    fn handle_resolved(&mut self, now: Now, name: &str, addresses: &[IpAddr]);
    fn handle_settings(&mut self, now: Now, settings: Arc<Settings>);
    fn handle_room(&mut self, room: Room);
    fn handle_stop(&mut self, now: Now);
    fn handle_drain(&mut self, now: Now);
    fn is_quiet(&self) -> bool;
    fn end(&mut self, now: Now);
    fn handle_timeout(&mut self, now: Now);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_output(&mut self) -> Option<Output>;
    fn give_back(&mut self, head: Vec<u8>);
    fn counts(&self) -> Counts;
    fn cause(&self) -> Cause;
}

impl Engine for Shard {
    fn owner(hash_key: [u8; 16], shards: u16, settings: &Settings) -> Owner {
        let dispatch = Dispatch::new(hash_key, shards, settings);
        Box::new(move |message| dispatch.shard(message))
    }

    fn new(start: Start) -> Self {
        Self::new(start)
    }

    fn restore(&mut self, key: Key, ops: Vec<Vec<u8>>) -> Result<(), String> {
        self.restore(key, ops)
    }

    fn restore_document(&mut self, name: DocumentName, content: StoredDocument) {
        self.restore_document(name, content)
    }

    fn restore_lists(&mut self, table: Arc<Table>) {
        self.restore_lists(table)
    }

    fn restored(&mut self, now: Now) {
        self.restored(now)
    }

    fn handle_document(&mut self, now: Now, request: DocumentRequest) {
        self.handle_document(now, request)
    }

    fn handle_kept(&mut self, now: Now, sequence: u64, outcome: Result<(), String>) {
        self.handle_kept(now, sequence, outcome)
    }

    fn handle_told(&mut self, now: Now, from: u16, told: Told) {
        self.handle_told(now, from, told)
    }

    fn handle_explain(&mut self, now: Now, question: Question) {
        self.handle_explain(now, question)
    }

    fn handle_datagram(&mut self, now: Now, flow: &Flow, bytes: &[u8]) {
        self.handle_datagram(now, flow, bytes)
    }

    fn handle_oversized(&mut self, now: Now, flow: &Flow, head: &[u8], status: u16) {
        self.handle_oversized(now, flow, head, status)
    }

    fn handle_durable(&mut self, now: Now, sequence: u64) {
        self.handle_durable(now, sequence)
    }

    fn handle_undeliverable(&mut self, now: Now, token: u64, why: Undeliverable) {
        self.handle_undeliverable(now, token, why)
    }

    fn handle_resolved(&mut self, now: Now, name: &str, addresses: &[IpAddr]) {
        self.handle_resolved(now, name, addresses)
    }

    fn handle_settings(&mut self, now: Now, settings: Arc<Settings>) {
        self.handle_settings(now, settings)
    }

    fn handle_room(&mut self, room: Room) {
        self.handle_room(room)
    }

    fn handle_stop(&mut self, now: Now) {
        self.handle_stop(now)
    }

    fn handle_drain(&mut self, now: Now) {
        self.handle_drain(now)
    }

    fn is_quiet(&self) -> bool {
        self.is_quiet()
    }

    fn end(&mut self, now: Now) {
        self.end(now)
    }

    fn handle_timeout(&mut self, now: Now) {
        self.handle_timeout(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }

    fn give_back(&mut self, head: Vec<u8>) {
        self.give_back(head)
    }

    fn counts(&self) -> Counts {
        self.counts()
    }

    fn cause(&self) -> Cause {
        self.cause()
    }
}
