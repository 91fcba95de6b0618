//! Documents that users keep: every one of a user whom this shard owns, and what requests do to them (RFC 4825). A change takes effect
//! once the store has it; until then the owner's further changes wait, so that conditions are judged by what is there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use machine::{DocumentName, DocumentWrite, Limits, Now, Partitioner, StoredDocument, Wall};
use xcap::{Address, Condition, Conflict, Tree, Verdict};
use xdm::usages::{self, RESOURCE_LISTS, Usage};
use xdm::{Bounds, Change, Entry, Method, Stored};

use crate::outputs::Output;
use crate::policy::Effect;
use crate::shard::{Duty, Room, Shard};

/// What a client of XCAP asks for, as HTTP brought it.
#[derive(Clone, Debug)]
pub struct DocumentRequest {
    /// Names the request in its answer.
    pub ticket: u64,
    /// Canonical address of record of who asks, as it was authenticated; empty: nobody; or `OPERATOR`.
    pub by: String,
    /// GET and HEAD, PUT, DELETE.
    pub method: Method,
    /// What it is about.
    pub address: Address,
    /// Canonical address of record of whose document it is; `None`: of the global tree.
    pub owner: Option<String>,
    /// Content-Type, without its parameters.
    pub content_type: Option<String>,
    /// As it came, several lines joined by commas.
    pub if_match: Option<String>,
    /// As it came, several lines joined by commas.
    pub if_none_match: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Whoever runs the server asks: no address of record is this.
pub const OPERATOR: &str = "operator";

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentAnswer {
    /// Of which request.
    pub ticket: u64,
    /// HTTP status.
    pub status: u16,
    /// Media type of the body; empty where there is none.
    pub media_type: String,
    /// Entity-tag of the whole document as it is after the request, without quotes.
    pub tag: Option<String>,
    /// The body; for HEAD the one that is not sent.
    pub body: String,
    /// The methods that are possible, for a 405; else empty.
    pub allow: &'static str,
}

/// Changes of one owner that wait for the one on its way: ten clients of hers with ten requests each.
const WAITING_MAX: usize = 100;

/// The longest path of a document below its usage: it is kept as a key.
const PATH_BYTES_MAX: usize = 512;

/// Which of one owner's documents: usage and path.
type Place = (Arc<str>, Arc<str>);

/// The documents of one user, or of the global tree.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) documents: BTreeMap<Place, StoredDocument>,
    /// A change is with the store.
    kept: Option<Kept>,
    /// Requests for changes that wait for it.
    waiting: VecDeque<DocumentRequest>,
}

/// A change that the store has not confirmed, and what is said then.
#[derive(Debug)]
struct Kept {
    write: DocumentWrite,
    answer: DocumentAnswer,
}

/// Every document of the users of one shard; the global tree's under the empty name.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    shelves: HashMap<Arc<str>, Shelf>,
    /// The newest change handed to the store, and whose each is that it has not confirmed.
    sequence: u64,
    unconfirmed: VecDeque<(u64, Arc<str>)>,
}

impl Documents {
    /// One user's documents. The global tree's: of the empty name.
    pub(crate) fn of(&self, owner: &str) -> Option<&Shelf> {
        self.shelves.get(owner)
    }

    pub(crate) fn restore(&mut self, name: DocumentName, content: StoredDocument) {
        self.put(&name, Some(content));
    }

    /// Whose documents there are.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &Arc<str>> {
        self.shelves.keys()
    }

    fn shelf(&mut self, owner: &str) -> &mut Shelf {
        self.shelves.entry_ref(owner).or_default()
    }

    /// What it was before.
    fn put(
        &mut self,
        name: &DocumentName,
        content: Option<StoredDocument>,
    ) -> Option<StoredDocument> {
        let shelf = self.shelf(name.owner.as_deref().unwrap_or_default());
        let place = (name.auid.clone(), name.path.clone());
        match content {
            Some(content) => shelf.documents.insert(place, content),
            None => shelf.documents.remove(&place),
        }
    }

    /// An owner who has nothing, and of whom nothing is on its way, is forgotten.
    fn release(&mut self, owner: &str) {
        let is_idle = self.shelves.get(owner).is_some_and(|shelf| {
            shelf.documents.is_empty() && shelf.kept.is_none() && shelf.waiting.is_empty()
        });
        if is_idle {
            self.shelves.remove(owner);
        }
    }

    /// Nothing waits for the store.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    /// How many requests wait, for themselves or for the store.
    pub(crate) fn waiting(&self) -> usize {
        let waiting = self.shelves.values().map(|shelf| shelf.waiting.len());
        waiting.sum::<usize>() + self.unconfirmed.len()
    }
}

impl Shelf {
    pub(crate) fn get(&self, auid: &str, path: &str) -> Option<&StoredDocument> {
        let place = (Arc::from(auid), Arc::from(path));
        self.documents.get(&place)
    }

    /// All documents of one usage, by path.
    pub(crate) fn under<'s>(
        &'s self,
        auid: &str,
    ) -> impl Iterator<Item = (&'s Arc<str>, &'s StoredDocument)> + use<'s> {
        let auid: Arc<str> = auid.into();
        let from = (auid.clone(), Arc::from(""));
        self.documents
            .range(from..)
            .take_while(move |((of, _), _)| *of == auid)
            .map(|((_, path), document)| (path, document))
    }
}

impl Shard {
    /// A document of a user of this shard, as the store has it. Before `restored`.
    pub fn restore_document(&mut self, name: DocumentName, content: StoredDocument) {
        self.documents.restore(name, content);
    }

    /// A request for a document of a user of this shard, or of the global tree.
    pub fn handle_document(&mut self, now: Now, request: DocumentRequest) {
        self.begin(now);
        self.document(request);
    }

    /// The store has a change, or could not keep it: in the order of `Output::Keep`. Now it takes effect, and what follows is decided; but
    /// what leads to lists of other shards waits until they are here.
    pub fn handle_kept(&mut self, now: Now, sequence: u64, outcome: Result<(), String>) {
        self.begin(now);
        let front = self.documents.unconfirmed.front();
        if front.is_none_or(|(next, _)| *next != sequence) {
            return;
        }
        let Some((_, owner)) = self.documents.unconfirmed.pop_front() else {
            return;
        };
        let Err(_) = outcome else {
            return self.take_effect(&owner, false);
        };
        if let Some(Kept { write, answer }) = self.documents.shelf(&owner).kept.take() {
            let before = self.documents.of(&owner);
            let before = before.and_then(|of| of.get(&write.name.auid, &write.name.path));
            let answer = DocumentAnswer {
                tag: before.map(|stored| stored.tag.to_string()),
                ..plain(answer.ticket, 500)
            };
            self.outputs.push_back(Output::Answered(answer));
        }
        self.go_on(&owner);
    }

    /// A change of this owner's, which is durable, holds from now on; or once the lists that it leads to are here, unless it `is_late`.
    pub(crate) fn take_effect(&mut self, owner: &Arc<str>, is_late: bool) {
        if let Some(kept) = self.documents.shelf(owner).kept.take() {
            let name = &kept.write.name;
            let before = self.documents.put(name, kept.write.content.clone());
            if !is_late && self.waits_for_lists(name) {
                self.documents.put(name, before);
                self.documents.shelf(owner).kept = Some(kept);
                return;
            }
            self.document_changed(name);
            self.outputs.push_back(Output::Answered(kept.answer));
        }
        self.waits_no_longer(&Effect::Kept(owner.clone()));
        self.go_on(owner);
    }

    /// Whoever waited is judged by what is there now; the first that changes something is on its way again.
    fn go_on(&mut self, owner: &str) {
        while let Some(next) = self.next_waiting(owner) {
            self.document(next);
        }
        self.documents.release(owner);
    }

    fn next_waiting(&mut self, owner: &str) -> Option<DocumentRequest> {
        let shelf = self.documents.shelf(owner);
        let free = shelf.kept.is_none();
        free.then(|| shelf.waiting.pop_front()).flatten()
    }

    /// Answers a request, sends its change to the store, or lets it wait.
    fn document(&mut self, request: DocumentRequest) {
        let ticket = request.ticket;
        let owner = request.owner.clone().unwrap_or_default();
        match self.judge(request) {
            Judged::Answered(answer) => self.outputs.push_back(Output::Answered(answer)),
            Judged::Waits(request) => {
                let shelf = self.documents.shelf(&owner);
                if shelf.waiting.len() < WAITING_MAX {
                    shelf.waiting.push_back(request);
                } else {
                    self.outputs.push_back(Output::Answered(plain(ticket, 503)));
                }
            }
            Judged::Changes(name, content, answer) => {
                self.documents.sequence += 1;
                let sequence = self.documents.sequence;
                let write = DocumentWrite {
                    shard: self.index,
                    sequence,
                    name,
                    content,
                };
                let owner: Arc<str> = owner.as_str().into();
                self.documents
                    .unconfirmed
                    .push_back((sequence, owner.clone()));
                self.documents.shelf(&owner).kept = Some(Kept {
                    write: write.clone(),
                    answer,
                });
                self.outputs.push_back(Output::Keep(write));
            }
        }
    }

    fn judge(&mut self, request: DocumentRequest) -> Judged {
        let ticket = request.ticket;
        if let Some(status) = self.forbids(&request) {
            return Judged::Answered(plain(ticket, status));
        }
        if let Some((media_type, text)) = self.made(&request) {
            let tag = format!("{:016x}", self.partitioner.hash(text.as_bytes()));
            return Judged::Answered(read_made(&request, media_type, &text, tag));
        }
        let Some(usage) = usages::find(&request.address.auid) else {
            return Judged::Answered(plain(ticket, 404));
        };
        let owner = request.owner.as_deref().unwrap_or_default();
        let shelf = self.documents.of(owner);
        let changes = request.method != Method::Get;
        if changes && shelf.is_some_and(|shelf| shelf.kept.is_some()) {
            return Judged::Waits(request);
        }
        let path = request.address.document.as_str();
        let existing = shelf.and_then(|shelf| shelf.get(usage.auid, path));
        let stored = existing.map(|document| Stored {
            text: &document.text,
            tag: &document.tag,
        });
        let answer = xdm::handle(
            usage,
            &xdm::Request {
                method: request.method,
                address: &request.address,
                content_type: request.content_type.as_deref(),
                body: &request.body,
                condition: condition(&request),
                owner: request.owner.as_deref(),
            },
            stored,
            &bounds(&self.settings.limits, usage),
        );
        let tag = existing.map(|document| document.tag.to_string());
        let content = match answer.change {
            // It is read, or refused, or is what it was before: then it is as durable as before.
            Change::None => None,
            Change::Put(text) if stored.is_some_and(|stored| stored.text == text) => None,
            Change::Put(text) => Some(Some(text)),
            Change::Delete => Some(None),
        };
        let mut answered = DocumentAnswer {
            ticket,
            status: answer.status,
            media_type: answer.media_type.to_owned(),
            tag,
            body: answer.body,
            allow: answer.allow,
        };
        let Some(content) = content else {
            return Judged::Answered(answered);
        };
        let documents = shelf.map_or(0, |shelf| shelf.documents.len());
        let adds = content.is_some() && existing.is_none();
        if let Some(refused) = self.refuses_change(ticket, content.is_some(), adds, documents) {
            return Judged::Answered(refused);
        }
        let name = name_of(&request, usage);
        let number = self.events.next_number();
        let content = content.map(|text| stored_as(text, number, self.now.wall, &self.partitioner));
        answered.tag = content.as_ref().map(|content| content.tag.to_string());
        Judged::Changes(name, content, answered)
    }

    /// What holds before anybody looks at the document: who may, whose it can be.
    fn forbids(&self, request: &DocumentRequest) -> Option<u16> {
        let reads = request.method == Method::Get;
        let is_known = matches!(
            request.address.auid.as_str(),
            "xcap-caps" | usages::DIRECTORY
        ) || usages::find(&request.address.auid).is_some();
        if !is_known {
            return Some(404);
        }
        match (&request.address.tree, request.owner.as_deref()) {
            // RFC 4825 §6.2: everybody reads the global tree. Whoever runs the server keeps lists there.
            (Tree::Global, None) if reads => None,
            (Tree::Global, None)
                if request.by == OPERATOR && request.address.auid == RESOURCE_LISTS.auid =>
            {
                None
            }
            (Tree::Global, None) => Some(403),
            (Tree::User(_), Some(owner)) if owner == request.by => self.keeps_none_of(owner),
            (Tree::User(_), Some(_)) => Some(403),
            // A user whom nobody here serves.
            _ => Some(404),
        }
        .or_else(|| (request.address.document.len() > PATH_BYTES_MAX).then_some(414))
    }

    /// Why there can be no documents of this user here.
    fn keeps_none_of(&self, owner: &str) -> Option<u16> {
        let Some(domain) = self.directory.domain(owner) else {
            return Some(404);
        };
        if domain.presence.presentities_listed_only && !self.directory.is_listed(owner) {
            return Some(404);
        }
        // While a reload renames users a request may come to who owned her before.
        let partition = self.partitioner.partition(owner);
        (partition.shard(self.shards) != self.index).then_some(503)
    }

    /// Why nothing can be kept now. `documents`: how many she has.
    fn refuses_change(
        &self,
        ticket: u64,
        puts: bool,
        adds: bool,
        documents: usize,
    ) -> Option<DocumentAnswer> {
        let full = puts && self.room != Room::Plenty;
        if self.duty == Duty::Stopping || full {
            return Some(plain(ticket, 503));
        }
        let most = self.settings.limits.documents_per_user_max as usize;
        (adds && documents >= most).then(|| too_many(ticket, most))
    }

    /// A document that nobody keeps: what the server can do, what the user has.
    fn made(&self, request: &DocumentRequest) -> Option<(&'static str, String)> {
        let address = &request.address;
        match (
            address.auid.as_str(),
            &address.tree,
            address.document.as_str(),
        ) {
            ("xcap-caps", Tree::Global, "index") => {
                Some((usages::XCAP_CAPS.1, usages::capabilities()))
            }
            (usages::DIRECTORY, Tree::User(xui), "directory.xml") => {
                let owner = request.owner.as_deref().unwrap_or_default();
                let text = self.documents.of(owner).map(|shelf| listed(shelf, xui));
                let text = text.unwrap_or_else(|| xdm::directory(&[], None));
                Some((usages::DIRECTORY_MEDIA_TYPE, text))
            }
            _ => None,
        }
    }
}

/// What comes of a request at first.
enum Judged {
    Answered(DocumentAnswer),
    Waits(DocumentRequest),
    Changes(DocumentName, Option<StoredDocument>, DocumentAnswer),
}

fn plain(ticket: u64, status: u16) -> DocumentAnswer {
    DocumentAnswer {
        ticket,
        status,
        media_type: String::new(),
        tag: None,
        body: String::new(),
        allow: "",
    }
}

fn too_many(ticket: u64, most: usize) -> DocumentAnswer {
    let conflict = Conflict::Constraint(format!("this user has {most} documents already"));
    DocumentAnswer {
        media_type: xcap::ERROR.to_owned(),
        body: conflict.write(),
        ..plain(ticket, 409)
    }
}

fn condition(request: &DocumentRequest) -> Condition<'_> {
    Condition {
        if_match: request.if_match.as_deref(),
        if_none_match: request.if_none_match.as_deref(),
    }
}

fn name_of(request: &DocumentRequest, usage: &Usage) -> DocumentName {
    DocumentName {
        owner: request.owner.as_deref().map(Into::into),
        auid: usage.auid.into(),
        path: request.address.document.as_str().into(),
    }
}

fn bounds(limits: &Limits, usage: &Usage) -> Bounds {
    // What is composed for good is no larger than what is published for a while.
    let composed = usage.auid == usages::PIDF_MANIPULATION.auid;
    let body = if composed {
        limits.body_bytes_max
    } else {
        u32::MAX
    };
    Bounds {
        bytes_max: limits.document_bytes_max.min(body) as usize,
        xml: xml::Bounds {
            depth_max: limits.xml_depth_max,
            nodes_max: limits.xml_nodes_max,
        },
        list_entries_max: limits.list_entries_max as usize,
    }
}

/// RFC 4825 §8.5: a tag that no other content of the document ever had, also where a number came again because the journal was begun
/// anew without the documents.
fn stored_as(text: String, number: u64, now: Wall, partitioner: &Partitioner) -> StoredDocument {
    let (wall, at) = (now.as_millis().to_le_bytes(), number.to_le_bytes());
    let hash = partitioner.hash_of([text.as_bytes(), &wall[..], &at[..]]);
    StoredDocument {
        text: text.into(),
        tag: format!("{hash:016x}{number:x}").into(),
        modified: now,
    }
}

/// GET of what is made: all of it, or a node of it.
fn read_made(
    request: &DocumentRequest,
    media_type: &'static str,
    text: &str,
    tag: String,
) -> DocumentAnswer {
    let ticket = request.ticket;
    if request.method != Method::Get {
        return DocumentAnswer {
            allow: "GET, HEAD",
            ..plain(ticket, 405)
        };
    }
    let found = match &request.address.node {
        None => Some((media_type, text.to_owned())),
        Some(node) => {
            let kind = match node.terminal {
                xml::Terminal::Element => xcap::ELEMENT,
                xml::Terminal::Attribute(_) => xcap::ATTRIBUTE,
                xml::Terminal::Namespaces => xcap::NAMESPACES,
            };
            match xml::Source::new(text).map(|source| source.find(node)) {
                Some(xml::Found::One(body)) => Some((kind, body)),
                _ => None,
            }
        }
    };
    let verdict = condition(request).judge(Some(&tag), found.is_some(), true);
    let mut answer = match (found, verdict) {
        (None, _) => plain(ticket, 404),
        (_, Verdict::NotModified) => plain(ticket, 304),
        (_, Verdict::Failed) => plain(ticket, 412),
        (Some((media_type, body)), Verdict::Go) => DocumentAnswer {
            media_type: media_type.to_owned(),
            body,
            ..plain(ticket, 200)
        },
    };
    answer.tag = Some(tag);
    answer
}

/// OMA XDM Core 6.7: everything that a user has.
fn listed(shelf: &Shelf, xui: &str) -> String {
    let texts: Vec<(String, String)> = shelf
        .documents
        .iter()
        .map(|((auid, path), document)| {
            let address = Address {
                auid: auid.to_string(),
                tree: Tree::User(xui.to_owned()),
                document: path.to_string(),
                node: None,
                node_text: String::new(),
                query: String::new(),
                root: String::new(),
            };
            let millis = i64::try_from(document.modified.as_millis()).unwrap_or(i64::MAX);
            (address.ancestor(0), documents::timestamp::format(millis))
        })
        .collect();
    let entries: Vec<Entry<'_>> = shelf
        .documents
        .iter()
        .zip(&texts)
        .map(|(((auid, _), document), (uri, modified))| Entry {
            auid,
            uri,
            tag: &document.tag,
            last_modified: modified,
            size: document.text.len(),
        })
        .collect();
    xdm::directory(&entries, None)
}
