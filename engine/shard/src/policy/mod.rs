//! Who may see what: the rules that a presentity keeps, against one watcher. What is decided is explained by the same functions.

mod copies;
mod explain;
mod lists;
mod references;
mod waiting;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use documents::common_policy::{Condition, Except, Rule, Ruleset, Who};
use documents::pidf::Presence;
use documents::pres_rules::{Permission, SubHandling};
use documents::pub_rules;
use events::{EventState, Given, Permanent, Sight, watcher};
use hashbrown::HashMap;
use machine::settings::{Handling, Root};
use machine::{DocumentName, Instant, Partition, Partitioner, Wall};
use presence::authorization::{self, Asking, Decision, Document, Index, Permissions, Seen};
use xdm::usages::{OMA_PRES_RULES, PIDF_MANIPULATION, PRES_RULES, PUB_RULES, RESOURCE_LISTS};
use xml::Bounds;

use crate::directory::Directory;
use crate::documents::{Documents, Shelf};
use crate::shard::Shard;

pub use copies::{OwnersLists, Table, Told};
pub use explain::{Explained, Question};
pub(crate) use waiting::Effect;

use copies::{Copies, Readers};
use lists::{ListCache, Lookup};
use references::{References, is_referring};
use waiting::Waiting;

/// Who asks and is not to be known (RFC 3323 §4.1.1.3): she has no identity that a rule could mean.
pub(crate) const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// Validities that are looked at before the shard looks at its sockets again.
const ALARMS_PER_TURN: usize = 64;

/// What decisions need besides documents; all of it is made from them and from what is published.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    /// Rules as they are read, of whoever was asked for since they changed.
    rules: HashMap<Arc<str>, Arc<Rules>>,
    /// Those of whoever keeps no documents: nearly everybody's, asked for with every SUBSCRIBE.
    no_rules: Arc<Rules>,
    lists: ListCache,
    references: References,
    copies: Copies,
    readers: Readers,
    waiting: Waiting,
    /// By their tickets, those that wait.
    questions: BTreeMap<u64, Question>,
    /// The spheres of those whose rules ask for them.
    spheres: HashMap<Arc<str>, Option<String>>,
    /// When a validity begins or ends, by presentity: the watchers of each are decided again then.
    alarms: BTreeSet<(Wall, Arc<str>)>,
    alarm_of: BTreeMap<Arc<str>, Wall>,
}

/// The rules of one presentity: all documents together (RFC 5025 §9.7).
#[derive(Debug, Default)]
struct Rules {
    documents: Vec<(String, Ruleset)>,
    /// Of all of them, where many will be decided about.
    index: Option<Index>,
    asks_for_sphere: bool,
}

/// Everything that a decision reads.
pub(crate) struct Judge<'s> {
    pub(crate) directory: &'s Directory,
    pub(crate) documents: &'s Documents,
    pub(crate) policy: &'s mut Policy,
    partitioner: Partitioner,
    own: (u16, u16),
    roots: &'s [Root],
    now: Wall,
}

impl Policy {
    /// How many entries there are of what is remembered beside the documents.
    pub(crate) fn remembered(&self) -> usize {
        self.alarms.len() + self.waiting.len()
    }

    /// Nothing waits for lists.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.len() == 0
    }

    fn alarm(&mut self, presentity: &str, at: Wall) {
        if self.alarm_of.get(presentity).is_some_and(|set| *set <= at) {
            return;
        }
        self.quiet(presentity);
        let presentity: Arc<str> = presentity.into();
        self.alarm_of.insert(presentity.clone(), at);
        self.alarms.insert((at, presentity));
    }

    fn quiet(&mut self, presentity: &str) {
        if let Some((presentity, at)) = self.alarm_of.remove_entry(presentity) {
            self.alarms.remove(&(at, presentity));
        }
    }

    fn next_alarm(&self) -> Option<Wall> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// A reload: names may mean others, roots may be others.
    fn forget(&mut self) {
        self.rules.clear();
        self.lists.clear();
    }
}

impl Judge<'_> {
    /// What the presentity's rules give a watcher; `None`: she is not served here any more.
    pub(crate) fn given(&mut self, presentity: &str, watcher: &str) -> Option<Given> {
        let domain = self.directory.domain(presentity)?;
        if domain.presence.presentities_listed_only && !self.directory.is_listed(presentity) {
            return None;
        }
        let default_handling = domain.presence.default_handling;
        // The presentity always sees her own presence whole.
        if watcher::is(watcher, presentity) {
            return Some(Given::whole(Handling::Allow));
        }
        let rules = self.rules(presentity);
        if rules.documents.is_empty() {
            return Some(Given::whole(default_handling));
        }
        let decision = self.decision(presentity, watcher, &rules, rules.index.as_ref());
        Some(match decision.handling {
            None => Given::whole(default_handling),
            Some(SubHandling::Allow) => {
                let partitioner = self.partitioner;
                let seen = Seen::new(decision.permissions, |text| partitioner.hash(text));
                let sight: Arc<dyn Sight> = Arc::new(seen);
                Given {
                    handling: Handling::Allow,
                    sight: Some(sight),
                }
            }
            Some(handling) => Given::whole(handling_of(handling)),
        })
    }

    /// What the rules say about a watcher, and when they may say something else. `index`: nothing of the rules that cannot mean her.
    fn decision(
        &mut self,
        presentity: &str,
        watcher: &str,
        rules: &Rules,
        index: Option<&Index>,
    ) -> Decision {
        let identities: Vec<String> = match watcher {
            ANONYMOUS => Vec::new(),
            watcher => watcher::identities(watcher).map(str::to_owned).collect(),
        };
        let documents: Vec<Document<'_>> = rules
            .documents
            .iter()
            .map(|(name, ruleset)| Document { name, ruleset })
            .collect();
        let sphere = self.policy.spheres.get(presentity).cloned().flatten();
        let asking = Asking {
            identities: &identities,
            sphere: sphere.as_deref(),
            now: self.now,
            canonical: &as_read,
            lists: &self.lookup(),
        };
        let decision = match index {
            Some(index) => authorization::decide_by(&asking, &documents, index),
            None => authorization::decide(&asking, &documents),
        };
        if let Some(until) = decision.until.and_then(|until| u64::try_from(until).ok()) {
            self.policy.alarm(presentity, Wall::from_millis(until));
        }
        decision
    }

    fn lookup(&self) -> Lookup<'_> {
        Lookup {
            directory: self.directory,
            documents: self.documents,
            partitioner: self.partitioner,
            own: self.own,
            roots: self.roots,
            copies: &self.policy.copies,
            cache: &self.policy.lists,
        }
    }

    fn rules(&mut self, presentity: &str) -> Arc<Rules> {
        if let Some(known) = self.policy.rules.get(presentity) {
            return known.clone();
        }
        let Some(shelf) = self.documents.of(presentity) else {
            return self.policy.no_rules.clone();
        };
        let rules = Arc::new(read_rules(shelf, self.directory));
        if !rules.documents.is_empty() {
            self.policy.rules.insert(presentity.into(), rules.clone());
        }
        rules
    }

    /// Her rules as they would be with this ruleset in place of the document that `rules` commands keep.
    fn as_if_kept(&mut self, presentity: &str, name: &str, ruleset: &Ruleset) -> Arc<Rules> {
        let place = format!("{}/index", PRES_RULES.auid);
        let mut ruleset = ruleset.clone();
        let rules = ruleset.rules.iter_mut();
        rules.for_each(|rule| make_canonical(rule, self.directory));
        let kept = self.rules(presentity);
        let others = kept.documents.iter().filter(|(name, _)| *name != place);
        let documents: Vec<_> = std::iter::once((name.to_owned(), ruleset))
            .chain(others.cloned())
            .collect();
        Arc::new(Rules::of(documents, None))
    }

    /// RFC 5025 §3.1.2, from all that is published. Whether it is another than it was.
    fn learn_sphere(&mut self, presentity: &str, events: &EventState) -> bool {
        if !self.rules(presentity).asks_for_sphere {
            self.policy.spheres.remove(presentity);
            return false;
        }
        self.observe_sphere(presentity, events)
    }

    /// The same, whether her rules ask for it or not.
    fn observe_sphere(&mut self, presentity: &str, events: &EventState) -> bool {
        let published: Vec<Presence> = events
            .publications_of("presence", presentity)
            .filter_map(|body| Presence::read(body, &Bounds::TRUSTED).ok())
            .collect();
        let permanent = events.permanent_of("presence", presentity);
        let permanent =
            permanent.and_then(|said| Presence::read(said.body.as_bytes(), &Bounds::TRUSTED).ok());
        let sphere = authorization::sphere(&published, permanent.as_ref());
        let before = self
            .policy
            .spheres
            .insert(presentity.into(), sphere.clone());
        before.flatten() != sphere
    }

    /// What a presentity's own rules let a source publish for her (OMA); `None`: they say nothing of it.
    pub(crate) fn may_publish(&mut self, presentity: &str, source: &str) -> Option<MayPublish> {
        let shelf = self.documents.of(presentity)?;
        let rules = read_rulesets(shelf, PUB_RULES.auid, self.directory);
        let rules = Rules {
            documents: rules,
            index: None,
            asks_for_sphere: false,
        };
        let decision = self.decision(presentity, source, &rules, None);
        let all = rules.documents.iter().flat_map(|(_, set)| &set.rules);
        let applying = all.zip(&decision.rules).filter(|(_, said)| said.applies);
        let mut may = None;
        for (rule, _) in applying {
            let so_far = may.take().unwrap_or(MayPublish::Nothing);
            // RFC 4745 §10: what one rule grants comes to what the others grant.
            may = Some(
                match pub_rules::allows(rule).then(|| pub_rules::content(rule)) {
                    None => so_far,
                    Some(None) => MayPublish::Everything,
                    Some(Some(granted)) => so_far.and(granted),
                },
            );
        }
        may
    }
}

impl Shard {
    /// What decides, and whom it decides about.
    pub(crate) fn judge_and_events(&mut self) -> (Judge<'_>, &mut EventState) {
        let judge = Judge {
            directory: &self.directory,
            documents: &self.documents,
            policy: &mut self.policy,
            partitioner: self.partitioner,
            own: (self.index, self.shards),
            roots: &self.settings.xcap_roots,
            now: self.now.wall,
        };
        (judge, &mut self.events)
    }

    /// What a watcher who asks now is given.
    pub(crate) fn given(&mut self, presentity: &str, watcher: &str) -> Option<Given> {
        let (mut judge, events) = self.judge_and_events();
        judge.learn_sphere(presentity, events);
        judge.given(presentity, watcher)
    }

    /// Every document and every publication is there: spheres and references are known before anybody is decided about.
    pub(crate) fn learn_from_documents(&mut self) {
        let owners: Vec<Arc<str>> = self.documents.owners().cloned().collect();
        for owner in owners {
            self.note_references(&owner);
            let (mut judge, events) = self.judge_and_events();
            let shelf = judge.documents.of(&owner);
            // The rules of those who are not asked for are not read.
            if shelf.is_some_and(|shelf| rules_mention(shelf, "sphere")) {
                judge.learn_sphere(&owner, events);
            }
        }
        self.policy.copies.table = None;
    }

    /// A document took effect: whoever sees by it is decided again in this step.
    pub(crate) fn document_changed(&mut self, name: &DocumentName) {
        let owner: Arc<str> = name.owner.clone().unwrap_or_default();
        if *name.auid == *RESOURCE_LISTS.auid {
            self.lists_changed(&owner);
            self.tell_readers(&owner);
        } else if is_rules(&name.auid) {
            self.policy.rules.remove(&owner);
            self.policy.quiet(&owner);
            self.note_references(&owner);
            let (mut judge, events) = self.judge_and_events();
            judge.learn_sphere(&owner, events);
            self.redecide_one(&owner);
        } else if is_referring(&name.auid) {
            self.note_references(&owner);
        } else if *name.auid == *PIDF_MANIPULATION.auid {
            self.permanent_changed(&owner);
        }
    }

    /// Lists of this owner are others: whoever decides by them is decided again in this step.
    fn lists_changed(&mut self, owner: &Arc<str>) {
        self.policy.lists.forget(owner);
        for dependant in self.policy.references.dependants(owner) {
            let roots = self.policy.references.roots(&dependant);
            self.follow_references(&dependant, roots);
            self.redecide_one(&dependant);
        }
    }

    /// Everybody's lists as they are when the process starts. Before `restored`.
    pub fn restore_lists(&mut self, table: Arc<Table>) {
        self.policy.copies.table = Some(table);
    }

    fn partition_of(&self, owner: &str) -> Partition {
        lists::partition_of(&self.partitioner, owner)
    }

    /// Every document is there: what users say of themselves for good belongs to what is composed.
    pub(crate) fn restore_permanent(&mut self) {
        for owner in self.documents.owners() {
            if let Some(said) = self.documents.of(owner).and_then(permanent) {
                let presence = self.directory.presence(owner);
                self.events
                    .restore_permanent("presence", owner, &presence, said);
            }
        }
    }

    /// RFC 4827: a source that never lapses, below all that is published.
    fn permanent_changed(&mut self, owner: &str) {
        let said = self.documents.of(owner).and_then(permanent);
        let presence = self.directory.presence(owner);
        self.events
            .handle_permanent("presence", owner, &presence, said);
        self.follow_spheres();
    }

    fn redecide_one(&mut self, presentity: &str) {
        let now = self.now;
        let (mut judge, events) = self.judge_and_events();
        events.redecide_one(now, presentity, |presentity, watcher| {
            judge.given(presentity, watcher)
        });
    }

    /// A reload: everybody is decided again.
    pub(crate) fn redecide_all(&mut self) {
        self.policy.forget();
        self.learn_from_documents();
        let now = self.now;
        let (mut judge, events) = self.judge_and_events();
        events.redecide(now, |presentity, watcher| judge.given(presentity, watcher));
    }

    /// What was published may have put a presentity into another sphere.
    pub(crate) fn follow_spheres(&mut self) {
        for presentity in self.events.take_touched() {
            if !self.policy.spheres.contains_key(&presentity) {
                continue;
            }
            let (mut judge, events) = self.judge_and_events();
            if judge.learn_sphere(&presentity, events) {
                self.redecide_one(&presentity);
            }
        }
    }

    /// Validities that began or ended.
    pub(crate) fn follow_validities(&mut self) {
        for _ in 0..ALARMS_PER_TURN {
            match self.policy.alarms.first() {
                Some((at, presentity)) if *at <= self.now.wall => {
                    let presentity = presentity.clone();
                    self.policy.quiet(&presentity);
                    self.redecide_one(&presentity);
                }
                _ => return,
            }
        }
    }

    /// When a validity begins or ends, by the clock that deadlines use.
    pub(crate) fn next_validity(&self) -> Option<Instant> {
        let at = self.policy.next_alarm()?;
        Some(self.now.monotonic + at.since(self.now.wall))
    }
}

/// What somebody may publish for another.
#[derive(Clone, Debug)]
pub(crate) enum MayPublish {
    Nothing,
    /// No more than this.
    Only(Permissions),
    Everything,
}

impl MayPublish {
    fn and(self, granted: Vec<Permission>) -> Self {
        let mut permissions = match self {
            Self::Everything => return self,
            Self::Only(permissions) => permissions,
            Self::Nothing => Permissions::default(),
        };
        granted
            .into_iter()
            .for_each(|permission| permissions.grant(permission));
        Self::Only(permissions)
    }

    /// Why a body is refused. What is published is what was sent or nothing, or its entity-tag would name what nobody wrote.
    pub(crate) fn refuses(&self, body: &[u8], bounds: &Bounds) -> Option<String> {
        let permissions = match self {
            Self::Nothing => return Some(String::new()),
            Self::Everything => return None,
            Self::Only(permissions) => permissions,
        };
        // What does not read is refused for that.
        let presence = Presence::read(body, bounds).ok()?;
        let (_, withheld) = authorization::filter(&presence, permissions);
        let first = withheld.first()?;
        let what: String = first
            .what
            .chars()
            .take_while(|c| *c != ' ')
            .take(64)
            .collect();
        Some(format!("Not allowed to publish {what} for this user"))
    }
}

/// The usages whose documents together are a presentity's rules, in the order in which they are explained.
const RULES: [&str; 2] = [PRES_RULES.auid, OMA_PRES_RULES.auid];

fn is_rules(auid: &str) -> bool {
    RULES.contains(&auid)
}

/// What a user says of herself for good (RFC 4827 §5: the usage's one document).
fn permanent(shelf: &Shelf) -> Option<Permanent> {
    let document = shelf.get(PIDF_MANIPULATION.auid, PIDF_MANIPULATION.document?)?;
    Some(Permanent {
        body: document.text.clone(),
        modified: document.modified,
    })
}

/// Whether a word stands in the rules at all.
fn rules_mention(shelf: &Shelf, word: &str) -> bool {
    let mut all = RULES.into_iter().flat_map(|auid| shelf.under(auid));
    all.any(|(_, document)| document.text.contains(word))
}

fn read_rules(shelf: &Shelf, directory: &Directory) -> Rules {
    let documents: Vec<(String, Ruleset)> = RULES
        .into_iter()
        .flat_map(|auid| read_rulesets(shelf, auid, directory))
        .collect();
    let rulesets = documents.iter().map(|(_, ruleset)| ruleset);
    let index = Index::new(rulesets, as_read);
    Rules::of(documents, Some(index))
}

impl Rules {
    fn of(documents: Vec<(String, Ruleset)>, index: Option<Index>) -> Self {
        let rules = documents.iter().flat_map(|(_, ruleset)| &ruleset.rules);
        let mut conditions = rules.flat_map(|rule| &rule.conditions);
        Self {
            asks_for_sphere: conditions.any(|condition| matches!(condition, Condition::Sphere(_))),
            index,
            documents,
        }
    }
}

fn read_rulesets(shelf: &Shelf, auid: &str, directory: &Directory) -> Vec<(String, Ruleset)> {
    let read = shelf.under(auid).map(|(path, document)| {
        // What was kept was read before: a document that does not read says nothing.
        let ruleset = Ruleset::read(document.text.as_bytes(), &Bounds::TRUSTED);
        let mut ruleset = ruleset.unwrap_or_default();
        for rule in &mut ruleset.rules {
            make_canonical(rule, directory);
        }
        (format!("{auid}/{path}"), ruleset)
    });
    read.collect()
}

/// Whoever is meant by a URI that means nobody: no canonical address is empty.
const NOBODY: String = String::new();

/// Names are compared as canonical addresses of record; once for all watchers.
fn make_canonical(rule: &mut Rule, directory: &Directory) {
    let settle = |uri: &mut String| *uri = directory.canonical_text(uri).unwrap_or(NOBODY);
    for condition in &mut rule.conditions {
        let Condition::Identity(all) = condition else {
            continue;
        };
        for who in all {
            match who {
                Who::One(one) => settle(one),
                Who::Many { except, .. } => {
                    for except in except {
                        if let Except::One(one) = except {
                            settle(one);
                        }
                    }
                }
                Who::Unknown(_) => {}
            }
        }
    }
}

/// Names in rules were made canonical when they were read.
#[allow(
    clippy::unnecessary_wraps,
    reason = "whoever decides asks for one that may not be there"
)]
fn as_read(name: &str) -> Option<Cow<'_, str>> {
    Some(name.into())
}

pub(crate) const fn handling_of(handling: SubHandling) -> Handling {
    match handling {
        SubHandling::Block => Handling::Block,
        SubHandling::Confirm => Handling::Confirm,
        SubHandling::PoliteBlock => Handling::PoliteBlock,
        SubHandling::Allow => Handling::Allow,
    }
}
