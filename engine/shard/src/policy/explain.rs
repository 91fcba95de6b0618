//! Why a watcher sees what she sees.

use bytes::Bytes;
use documents::common_policy::Ruleset;
use documents::pidf::Presence;
use events::watcher::{self, Believed};
use machine::Now;
use machine::settings::Handling;
use presence::authorization::{Decision, Permissions, Withheld, shown};
use presence::composition::neutral;
use xml::Bounds;

use super::references::anchors_of;
use super::{ANONYMOUS, Effect, handling_of};
use crate::outputs::Output;
use crate::shard::Shard;

/// What a watcher is given, why, and what she sees.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What the rules say.
    pub decision: Decision,
    /// What becomes of it.
    pub handling: Handling,
    /// No rule applies: `default_handling` decides.
    pub by_default: bool,
    /// She is the presentity herself, who sees everything.
    pub is_presentity: bool,
    /// Everything that is published, composed.
    pub whole: Bytes,
    /// How it was established who her latest subscription is from; `None`: she has none.
    pub believed: Option<Believed>,
    /// What a NOTIFY to the watcher carries; none: she is refused, or it carries nothing yet.
    pub seen: Option<Vec<u8>>,
    /// What she does not, and for want of what.
    pub withheld: Vec<Withheld>,
}

/// Why does this watcher (`None`: an anonymous one) see what she sees of a presentity of this shard?
#[derive(Clone, Debug)]
pub struct Question {
    /// Names the question in its answer.
    pub ticket: u64,
    /// Canonical address of record.
    pub presentity: String,
    /// Likewise.
    pub watcher: Option<String>,
    /// As if these, under this name, were kept as `index` of `pres-rules`; what other documents say counts too (RFC 5025 §9.7).
    pub rules: Option<(String, Ruleset)>,
}

impl Shard {
    /// A question, answered by `Output::Explained`: at once, or when the lists are here that only these rules lead to.
    pub fn handle_explain(&mut self, now: Now, question: Question) {
        self.begin(now);
        let ticket = question.ticket;
        self.policy.questions.insert(ticket, question);
        self.try_answer(ticket, false);
    }

    pub(super) fn try_answer(&mut self, ticket: u64, is_late: bool) {
        let Some(question) = self.policy.questions.remove(&ticket) else {
            return;
        };
        let effect = Effect::Explain(ticket);
        if let (Some((_, rules)), false) = (&question.rules, is_late) {
            let roots: Vec<String> = anchors_of(rules).collect();
            let reach = self.reach(&roots);
            if !reach.missing.is_empty() {
                self.policy.questions.insert(ticket, question);
                return self.policy.waiting.put(effect, self.now, reach);
            }
        }
        let instead = question.rules.as_ref();
        let instead = instead.map(|(name, rules)| (name.as_str(), rules));
        let watcher = question.watcher.as_deref();
        let explained = self.explain(self.now, &question.presentity, watcher, instead);
        let answer = Output::Explained(ticket, explained.map(Box::new));
        self.outputs.push_back(answer);
        self.waits_no_longer(&effect);
    }

    /// Why this watcher (`None`: an anonymous one) sees what she sees of a presentity of this shard. `instead`: as if these
    /// rules were kept in place of what is `index` of `pres-rules`. `None`: she is not served here.
    pub fn explain(
        &mut self,
        now: Now,
        presentity: &str,
        watcher: Option<&str>,
        instead: Option<(&str, &Ruleset)>,
    ) -> Option<Explained> {
        self.now = now;
        let watcher = watcher.unwrap_or(ANONYMOUS);
        let subscriber = self.events.subscriber("presence", presentity, watcher);
        let believed = subscriber.as_ref().map(|(_, believed)| *believed);
        // Whoever subscribes is decided about by all that she was asserted to be.
        let watcher = subscriber.as_ref().map_or(watcher, |(watcher, _)| watcher);
        let is_presentity = watcher::is(watcher, presentity);
        let whole = self.events.composed("presence", presentity);
        let whole = whole.unwrap_or_else(|| neutral(presentity).into());
        let (mut judge, events) = self.judge_and_events();
        judge.learn_sphere(presentity, events);
        let given = judge.given(presentity, watcher)?;
        let domain = judge.directory.domain(presentity)?;
        let default_handling = domain.presence.default_handling;
        let pending_body_is_empty = domain.presence.pending_body_is_empty;
        let rules = match instead {
            None => judge.rules(presentity),
            Some((name, ruleset)) => judge.as_if_kept(presentity, name, ruleset),
        };
        if instead.is_some() && rules.asks_for_sphere {
            judge.observe_sphere(presentity, events);
        }
        let decision = judge.decision(presentity, watcher, &rules, None);
        if instead.is_some() {
            // What only these rules refer to is not remembered.
            judge.policy.lists.clear();
            judge.learn_sphere(presentity, events);
        }
        let handling = match (is_presentity, decision.handling, instead) {
            (false, Some(handling), _) => handling_of(handling),
            (false, None, Some(_)) => default_handling,
            _ => given.handling,
        };
        let by_default = !is_presentity && decision.handling.is_none();
        let permissions = if is_presentity || by_default {
            Permissions::everything()
        } else {
            decision.permissions.clone()
        };
        let presence = Presence::read(&whole, &Bounds::TRUSTED).unwrap_or_default();
        let (seen, withheld) = match handling {
            Handling::Allow => {
                let (seen, withheld) = shown(&presence, presentity, &permissions);
                (Some(seen), withheld)
            }
            hides => (hidden(presentity, hides, pending_body_is_empty), Vec::new()),
        };
        Some(Explained {
            by_default,
            believed,
            is_presentity,
            decision,
            handling,
            whole,
            seen,
            withheld,
        })
    }
}

/// What somebody is told who may not see.
fn hidden(presentity: &str, handling: Handling, pending_body_is_empty: bool) -> Option<Vec<u8>> {
    match handling {
        Handling::PoliteBlock => Some(neutral(presentity)),
        // What she is told while she waits says as little as that nobody is there.
        Handling::Confirm if !pending_body_is_empty => Some(neutral(presentity)),
        _ => None,
    }
}
