//! Who asks: asserted by a trusted peer, else proved by Digest, else From where permitted (standards C9).

use std::net::IpAddr;

use authentication::{Failures, Refused, Replay};
use events::Rejection;
use events::watcher::Believed;
use machine::settings::Digest;
use machine::{Now, Random};
use sip::{Message, Name, Uri};

use crate::inputs::Flow;
use crate::policy::ANONYMOUS;
use crate::record::Happened;
use crate::shard::Shard;

/// The longest canonical address of a user: each is a key of maps that stand in memory. Beyond it: 414.
pub(crate) const ADDRESS_BYTES_MAX: usize = 1024;

/// What was proved before, and who failed.
pub(crate) struct Proofs {
    replay: Replay,
    failures: Failures,
    /// Makes each nonce another.
    nonces: Random,
}

impl Proofs {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            replay: Replay::default(),
            failures: Failures::default(),
            nonces: Random::new(seed),
        }
    }
}

impl Shard {
    /// Who asks, as `events::watcher` writes her, and how that is known (interfaces: `[identity]`).
    pub(crate) fn identity(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
    ) -> Result<(String, Believed), Rejection> {
        if self.is_trusted(flow) && request.has(Name::PAssertedIdentity) {
            return Ok((self.asserted(request)?, Believed::Asserted));
        }
        let settings = self.settings.clone();
        let believes_from = settings.identity.from_is_identity;
        if let Some(digest) = &settings.identity.digest
            && (!believes_from || request.has(Name::Authorization))
        {
            match self.prove(flow, request, digest) {
                // What she carries is for somebody else's server.
                Err(Refused::Missing) if believes_from => {}
                Ok(aor) => return Ok((self.is_hers(request, aor)?, Believed::Digest)),
                Err(refused) => return Err(self.challenge(flow, request, digest, refused)),
            }
        } else if !believes_from {
            return Err(Rejection::new(403, "Nobody trusted asserts who is asking"));
        }
        let from = request.essentials()?.from;
        let canonical = self
            .directory
            .canonical_of(&from)
            .filter(|canonical| canonical.len() <= ADDRESS_BYTES_MAX)
            .ok_or_else(|| Rejection::new(403, "From is no usable SIP or tel URI"))?;
        Ok((canonical, Believed::From))
    }

    /// RFC 3325 §9.1: one value, or two, a SIP and a tel URI; both are hers, and the SIP one is her name.
    fn asserted(&self, request: &Message<'_>) -> Result<String, Rejection> {
        let mut all: Vec<String> = Vec::new();
        for asserted in request.asserted_identities() {
            let canonical = self
                .directory
                .canonical_of(&asserted?)
                .filter(|canonical| canonical.len() <= ADDRESS_BYTES_MAX)
                .ok_or_else(|| Rejection::new(400, "P-Asserted-Identity is no usable URI"))?;
            if !all.contains(&canonical) {
                all.push(canonical);
            }
            if all.len() > 2 {
                break;
            }
        }
        all.sort_by_key(|canonical| canonical.starts_with("tel:"));
        let is_tel = |at: usize| all.get(at).is_some_and(|one| one.starts_with("tel:"));
        match all.len() {
            1 => Ok(all.remove(0)),
            2 if !is_tel(0) && is_tel(1) => Ok(all.join(" ")),
            _ => Err(Rejection::new(
                400,
                "P-Asserted-Identity is more than a SIP and a tel URI",
            )),
        }
    }

    /// Who watches: who asks, unless she wants not to be known (standards C9; RFC 3323 §4.1.1.3, RFC 3325 §7).
    pub(crate) fn watcher(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
    ) -> Result<(String, Believed), Rejection> {
        let (identity, believed) = self.identity(flow, request)?;
        let from = request.essentials()?.from;
        let from = from.parsed().ok();
        let hides = from.is_some_and(|from| from.host.eq_ignore_ascii_case("anonymous.invalid"))
            || request
                .privacy()
                .any(|word| word.eq_ignore_ascii_case("id"));
        let identity = if hides {
            ANONYMOUS.to_owned()
        } else {
            identity
        };
        Ok((identity, believed))
    }

    pub(crate) fn is_trusted(&self, flow: &Flow) -> bool {
        let listener = self.settings.listeners.get(usize::from(flow.listener.0));
        let peers = listener.and_then(|listener| listener.trusted_peers.as_ref());
        let peers = peers.unwrap_or(&self.settings.identity.trusted_peers);
        peers.iter().any(|network| network.contains(flow.peer.ip()))
    }

    fn prove<'d>(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        digest: &'d Digest,
    ) -> Result<&'d str, Refused> {
        let Now { monotonic, wall } = self.now;
        let is_bounded = self.is_bounded(flow);
        let values = request.headers(Name::Authorization);
        let values = values.filter_map(|value| std::str::from_utf8(value).ok());
        let asked = authentication::Request {
            method: request.method().name(),
            is_uri: &|uri| means_the_same(uri, request.request_uri()),
        };
        let failures_max = self.failures_max();
        let proofs = &mut self.proofs;
        let source: IpAddr = flow.peer.ip();
        if is_bounded
            && request.has(Name::Authorization)
            && proofs
                .failures
                .wait(monotonic, source, failures_max)
                .is_some()
        {
            // Right or not, nobody tells a guesser.
            self.happens(Happened::AuthenticationFailed { why: "too often" });
            return Err(Refused::Wrong);
        }
        let proved = authentication::verify(digest, values, &asked, wall, &mut proofs.replay);
        if is_bounded && proved == Err(Refused::Wrong) {
            proofs.failures.failed(monotonic, source);
        }
        let why = match proved {
            Ok(_) | Err(Refused::Missing) => return proved,
            Err(Refused::Wrong) => "wrong",
            Err(Refused::Stale) => "stale",
            Err(Refused::Malformed(_)) => "malformed",
        };
        self.happens(Happened::AuthenticationFailed { why });
        proved
    }

    /// RFC 3261 §22.1: 401 as a user agent server, never 407; who guesses too often waits.
    fn challenge(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        digest: &Digest,
        refused: Refused,
    ) -> Rejection {
        let reason = match refused {
            Refused::Malformed(why) => return Rejection::new(400, why),
            Refused::Missing => "",
            Refused::Stale => "Nonce is over",
            Refused::Wrong => "Wrong user name or password",
        };
        let failures_max = self.failures_max();
        let now = self.now;
        if refused == Refused::Wrong && self.is_bounded(flow) {
            let source = flow.peer.ip();
            let failures = &mut self.proofs.failures;
            if let Some(seconds) = failures.wait(now.monotonic, source, failures_max) {
                return Rejection::unavailable("Too many wrong passwords", seconds);
            }
        }
        let unique = self.proofs.nonces.next_u64();
        let realm = self.realm(request, digest);
        let challenges = authentication::challenges(digest, realm, now.wall, unique, refused);
        // RFC 8760 §2.3: a header field for each algorithm, the preferred one first.
        challenges
            .into_iter()
            .fold(Rejection::new(401, reason), |rejection, challenge| {
                rejection.with(Name::WwwAuthenticate, challenge)
            })
    }

    /// Her own domain's where she is one of ours, else that of whom she asks for.
    fn realm<'d>(&'d self, request: &Message<'_>, digest: &'d Digest) -> &'d str {
        let from = request.from().ok();
        let from = from.and_then(|from| self.directory.canonical_of(&from));
        let asked = Uri::parse(request.request_uri()).ok();
        let asked = || asked.and_then(|uri| self.directory.canonical(&uri));
        let served = |canonical: String| self.directory.domain(&canonical);
        let domain = from.and_then(served).or_else(|| asked().and_then(served));
        let first = || self.settings.domains.first().map(|domain| &domain.name);
        let name = domain.map(|domain| &domain.name).or_else(first);
        digest.realm(name.map_or("", String::as_str))
    }

    /// Whose password she knows has to be who From says she is, unless From says nothing (RFC 3323 §4.1.1.3).
    fn is_hers(&self, request: &Message<'_>, aor: &str) -> Result<String, Rejection> {
        let from = request.essentials()?.from;
        let is_anonymous = || {
            let host = from.parsed().ok().map(|from| from.host);
            host.is_some_and(|host| host.eq_ignore_ascii_case("anonymous.invalid"))
        };
        if self.directory.canonical_of(&from).as_deref() == Some(aor) || is_anonymous() {
            Ok(aor.to_owned())
        } else {
            Err(Rejection::new(403, "From is not who the password proves"))
        }
    }

    /// Loopback and trusted peers may be wrong as often as they like: many users stand behind them.
    fn is_bounded(&self, flow: &Flow) -> bool {
        !flow.peer.ip().to_canonical().is_loopback() && !self.is_trusted(flow)
    }

    /// This shard's part of them.
    fn failures_max(&self) -> u32 {
        let all = self.settings.limits.auth_failures_per_minute_per_source_max;
        (all / u32::from(self.shards.max(1))).max(1)
    }
}

/// RFC 3261 §22.4 item 5: proxies may have changed how the Request-URI is written, not whom it means.
fn means_the_same(one: &str, other: &str) -> bool {
    let canonical = |text| sip::canonical(&Uri::parse(text).ok()?, |_| false);
    one == other || canonical(one).is_some_and(|one| Some(one) == canonical(other))
}
