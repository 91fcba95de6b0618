//! The answer to 401 and 407 (RFC 3261 §22.2, §22.3, RFC 8760 §2.4): who has a password proves who she is, and from then on with
//! each request.

use std::collections::BTreeMap;
use std::fmt;

use machine::Instant;
use sip::digest::{Answer, Challenge};
use sip::{Message, Name};

use crate::agent::{Agent, Usage};
use crate::request::{Draft, Pending};

/// By what name a user is known, and what proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Realms that one agent answers: those of its server and of the proxies before it. Beyond it all are forgotten.
const REALMS_MAX: usize = 8;

/// A request is sent again so often: for each of the servers that ask, and once where a nonce is over.
const PROOFS_MAX: u8 = 4;

/// The challenges that were answered, by the header field of the answer and the realm.
#[derive(Debug, Default)]
pub(crate) struct Challenges(BTreeMap<(Name, String), Held>);

#[derive(Debug)]
struct Held {
    /// As it came.
    value: String,
    count: u32,
}

impl Challenges {
    /// Whether this is news: another nonce than the one that was refused, or the first.
    fn learn(&mut self, name: Name, value: &str, proved: bool) -> bool {
        let Some(challenge) = Challenge::read(value) else {
            return false;
        };
        // RFC 3261 §22.1: who is asked again though her nonce was good has the wrong password.
        if proved && !challenge.stale {
            return false;
        }
        if self.0.len() >= REALMS_MAX {
            self.0.clear();
        }
        let held = Held {
            value: value.to_owned(),
            count: 0,
        };
        self.0.insert((name, challenge.realm.into_owned()), held);
        true
    }

    /// A header field for each realm that asked before.
    fn answers(
        &mut self,
        login: &Login,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> Vec<(Name, String)> {
        let answer = |((name, _), held): (&(Name, String), &mut Held)| {
            held.count = held.count.saturating_add(1);
            let challenge = Challenge::read(&held.value)?;
            let answer = Answer {
                username: &login.username,
                password: &login.password,
                method,
                uri,
                count: held.count,
                cnonce,
            };
            Some((*name, challenge.answer(&answer)))
        };
        self.0.iter_mut().filter_map(answer).collect()
    }
}

impl Agent {
    /// Adds what proves who we are, where somebody asked for it before.
    pub(crate) fn prove(&mut self, draft: &mut Draft) {
        let Some(login) = self.start.login.clone() else {
            return;
        };
        let is_proof = |name: &Name| matches!(name, Name::Authorization | Name::ProxyAuthorization);
        draft.fields.retain(|(name, _)| !is_proof(name));
        let cnonce = self.new_token();
        let answers = self
            .challenges
            .answers(&login, draft.method, &draft.uri, &cnonce);
        draft.fields.extend(answers);
    }

    /// Sends a request that was challenged again, with the proof; gives it back where there is none to give.
    pub(crate) fn prove_again(
        &mut self,
        now: Instant,
        pending: Pending,
        response: &Message<'_>,
    ) -> Option<Pending> {
        let (asks, answers) = match response.status() {
            Some(401) => (Name::WwwAuthenticate, Name::Authorization),
            Some(407) => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return Some(pending),
        };
        if self.start.login.is_none() || pending.draft.proofs >= PROOFS_MAX {
            return Some(pending);
        }
        let fields = &pending.draft.fields;
        let values = response.headers(asks);
        let values = values.filter_map(|value| std::str::from_utf8(value).ok());
        let mut seen: Vec<String> = Vec::new();
        let mut learnt = false;
        for value in values {
            // RFC 8760 §2.4: of each realm the topmost that we know.
            let realm = Challenge::read(value).map(|challenge| challenge.realm.into_owned());
            let Some(realm) = realm.filter(|realm| !seen.contains(realm)) else {
                continue;
            };
            let proved = fields.iter().any(|(name, value)| {
                let same = sip::digest::Credentials::read(value).and_then(Result::ok);
                *name == answers && same.is_some_and(|same| same.realm == realm)
            });
            learnt |= self.challenges.learn(answers, value, proved);
            seen.push(realm);
        }
        // RFC 3261 §22.2: the same request, with the next CSeq.
        let cseq = match self.usages.get_mut(&pending.usage) {
            Some(Usage::Watch(watch)) if watch.dialog.number == pending.dialog => {
                learnt.then(|| watch.dialog.next_cseq())
            }
            Some(Usage::Source(source)) => learnt.then(|| source.next_cseq()),
            _ => None,
        };
        let Some(cseq) = cseq else {
            return Some(pending);
        };
        let draft = Draft {
            cseq,
            proofs: pending.draft.proofs + 1,
            ..pending.draft
        };
        self.send(now, pending.usage, pending.dialog, draft, pending.hop);
        None
    }
}
