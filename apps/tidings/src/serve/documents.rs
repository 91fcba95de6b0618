//! Users' documents for HTTP: who asks, and whose documents are meant.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use authentication::{Failures, NONCES_MAX, Refused, Replay};
use configuration::Configuration;
use node::Clock;
use serde_json::Value;
use shard::settings::{Digest, Handling, Identity, Root, Settings};
use shard::{Believed, Directory, DocumentRequest};
use sip::Uri;
use web::{Asked, Claim, Refusal, Told, Unidentified};
use xml::Bounds;

use crate::client_options::Aor;
use crate::explained::{Outcome, as_json, read_rules};

/// Asks the node's shards, once it runs.
pub(crate) struct Documents {
    roots: Vec<Root>,
    /// Host names of the listeners.
    hosts: Vec<String>,
    node: RwLock<Option<node::Documents>>,
    /// The settings in force, and what follows from them.
    current: RwLock<Arc<Current>>,
    proofs: Mutex<Proofs>,
    clock: Clock,
}

/// What was proved before, and who failed.
struct Proofs {
    replay: Replay,
    failures: Failures,
    /// Makes each nonce another.
    challenges: u64,
}

struct Current {
    settings: Settings,
    directory: Directory,
}

impl Documents {
    pub(crate) fn new(configuration: &Configuration, clock: Clock) -> Self {
        let hosts = configuration
            .http
            .iter()
            .map(|bind| bind.address.ip().to_string());
        let own = configuration
            .sip
            .iter()
            .filter_map(|bind| bind.advertise_host.clone());
        Self {
            roots: configuration.settings.xcap_roots.clone(),
            hosts: hosts.chain(own).collect(),
            node: RwLock::new(None),
            current: RwLock::new(Arc::new(Current::of(&configuration.settings))),
            proofs: Mutex::new(Proofs {
                replay: Replay::new(NONCES_MAX),
                failures: Failures::default(),
                challenges: 0,
            }),
            clock,
        }
    }

    /// Whether there are any.
    pub(crate) fn is_served(&self) -> bool {
        !self.roots.is_empty()
    }

    /// The node takes requests; `None`: no longer.
    pub(crate) fn begin(&self, node: Option<node::Documents>) {
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = node;
    }

    /// A reload.
    pub(crate) fn set(&self, settings: &Settings) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Current::of(settings));
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Current {
    fn of(settings: &Settings) -> Self {
        Self {
            directory: Directory::new(settings),
            settings: settings.clone(),
        }
    }

    /// RFC 4825 §5.5 leaves the form of an XUI open: `sip:alice@example.com`, `tel:+1…`, or either without its scheme.
    fn canonical(&self, xui: &str) -> Option<String> {
        let canonical = self.anybody(xui)?;
        self.directory.domain(&canonical).map(|_| canonical)
    }

    /// Who is meant, of whatever domain.
    fn anybody(&self, text: &str) -> Option<String> {
        let typed = Aor::parse(text).ok()?;
        self.directory.canonical(&Uri::parse(&typed.uri).ok()?)
    }

    /// The domain of whose documents are meant; the first for everybody's.
    fn domain(&self, owner: Option<&str>) -> &str {
        let own = owner.and_then(|owner| self.directory.domain(owner));
        let own = own.map(|domain| domain.name.as_str());
        let first = self.settings.domains.first();
        own.or(first.map(|domain| domain.name.as_str()))
            .unwrap_or_default()
    }

    /// The identities that a trusted peer asserts: in quotes, with commas (TS 24.109 §5.2.3.2).
    fn asserted(&self, value: &str) -> Vec<String> {
        let named = value.split(',').map(|one| one.trim().trim_matches('"'));
        named.filter_map(|one| self.canonical(one)).collect()
    }
}

impl Documents {
    /// Why a watcher sees what she sees.
    pub(crate) fn explain(
        &self,
        presentity: &str,
        watcher: &str,
        rules: Option<&[u8]>,
    ) -> Result<Value, Refusal> {
        let current = self.current();
        let unknown = || Refusal::new(404, "Not Found", format!("{presentity} is no user here"));
        let entity = current.canonical(presentity).ok_or_else(unknown)?;
        let about = match watcher {
            "anonymous" => None,
            text => Some(current.anybody(text).ok_or_else(|| {
                let why = format!("{text} is no address, nor anonymous");
                Refusal::new(400, "Bad Request", why)
            })?),
        };
        let rules = rules
            .map(|bytes| {
                let limits = &current.settings.limits;
                let bounds = Bounds {
                    depth_max: limits.xml_depth_max,
                    nodes_max: limits.xml_nodes_max,
                };
                read_rules(bytes, &bounds)
            })
            .transpose();
        let rules = rules.map_err(|why| Refusal::new(422, "Unprocessable Content", why))?;
        let node = self
            .node
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let shown = about.clone().unwrap_or_else(|| "anonymous".to_owned());
        let explained = node
            .and_then(|node| {
                let rules = rules.map(|ruleset| ("the rules that were sent".to_owned(), ruleset));
                node.explain(entity.clone(), about, rules)
            })
            .ok_or_else(unknown)?;
        let mut value = as_json(&Outcome {
            watcher: shown.strip_prefix("sip:").unwrap_or(&shown),
            decision: &explained.decision,
            default: Some(match explained.handling {
                Handling::Allow => "allow",
                Handling::Confirm => "confirm",
                Handling::PoliteBlock => "polite-block",
                Handling::Block => "block",
            }),
            is_presentity: explained.is_presentity,
            published: Some(&explained.whole),
            seen: explained.seen.as_deref(),
            withheld: &explained.withheld,
        });
        let identity = &current.settings.identity;
        value["subscribes"] = explained.believed.is_some().into();
        value["presentity"] = entity.into();
        value["identity_from"] = identity_from(identity, explained.believed).into();
        Ok(value)
    }

    /// RFC 7616: who asks proves it.
    fn proved(
        &self,
        current: &Current,
        digest: &Digest,
        claim: &Claim<'_>,
    ) -> Result<String, Unidentified> {
        let now = self.clock.now();
        let source = claim.peer.ip();
        let most = current
            .settings
            .limits
            .auth_failures_per_minute_per_source_max;
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = source.to_canonical().is_loopback();
        if let Some(seconds) = proofs
            .failures
            .wait(now.monotonic, source, most)
            .filter(|_| !is_free)
        {
            return Err(Unidentified::TooOften(seconds));
        }
        let request = authentication::Request {
            method: claim.method,
            is_uri: &|uri| {
                uri == claim.target || uri.ends_with(claim.target) && uri.contains("://")
            },
        };
        let refused = match authentication::verify(
            digest,
            claim.authorization,
            &request,
            now.wall,
            &mut proofs.replay,
        ) {
            Ok(aor) => {
                let intended = claim.intended.map(|intended| current.asserted(intended));
                return match intended {
                    // Hers are one user: an alias is the same canonical address.
                    Some(intended) if !intended.iter().any(|one| one == aor) => {
                        Err(Unidentified::Forbidden(
                            "the identity that is intended is another user's".to_owned(),
                        ))
                    }
                    _ => Ok(aor.to_owned()),
                };
            }
            Err(Refused::Malformed(why)) => return Err(Unidentified::Malformed(why.to_owned())),
            Err(refused) => refused,
        };
        if refused == Refused::Wrong {
            proofs.failures.failed(now.monotonic, source);
        }
        let domain = current.domain(claim.owner);
        proofs.challenges += 1;
        // Shards count from below.
        let unique = u64::MAX - proofs.challenges;
        Err(Unidentified::Challenged(authentication::challenges(
            digest,
            digest.realm(domain),
            now.wall,
            unique,
            refused,
        )))
    }
}

/// What it was for who subscribes, what it could be for who does not.
fn identity_from(identity: &Identity, believed: Option<Believed>) -> Vec<&'static str> {
    let name = |believed| match believed {
        Believed::Asserted => "what a trusted peer asserts",
        Believed::Digest => "Digest",
        Believed::From => "From",
    };
    let could = [
        Some(Believed::Asserted),
        identity.digest.is_some().then_some(Believed::Digest),
        identity.from_is_identity.then_some(Believed::From),
    ];
    match believed {
        Some(believed) => vec![name(believed)],
        None => could.into_iter().flatten().map(name).collect(),
    }
}

impl web::Documents for Documents {
    fn roots(&self) -> Vec<String> {
        self.roots.iter().map(|root| root.path.clone()).collect()
    }

    fn body_bytes_max(&self) -> usize {
        self.current().settings.limits.document_bytes_max as usize
    }

    fn is_our_host(&self, host: &str) -> bool {
        let current = self.current();
        let domains = current.settings.domains.iter();
        let served =
            domains.flat_map(|domain| std::iter::once(&domain.name).chain(&domain.aliases));
        let roots = self.roots.iter().filter_map(|root| {
            let (_, authority) = root.authority.as_deref()?.split_once("://")?;
            Some(
                authority
                    .rsplit_once(':')
                    .map_or(authority, |(host, _)| host),
            )
        });
        self.hosts
            .iter()
            .chain(served)
            .map(String::as_str)
            .chain(roots)
            .any(|own| own.eq_ignore_ascii_case(host))
    }

    fn canonical(&self, xui: &str) -> Option<String> {
        self.current().canonical(xui)
    }

    fn identify(&self, claim: &Claim<'_>) -> Result<String, Unidentified> {
        let current = self.current();
        let identity = &current.settings.identity;
        let peer = claim.peer.ip();
        let is_trusted = identity
            .trusted_peers
            .iter()
            .any(|network| network.contains(peer));
        if let (true, Some(asserted)) = (is_trusted, claim.asserted) {
            let asserted = current.asserted(asserted);
            let intended = claim
                .intended
                .and_then(|intended| current.asserted(intended).into_iter().next());
            // One of hers is meant: the one that she intends, else the one whose document it is.
            let meant = match &intended {
                Some(intended) => asserted.iter().find(|one| *one == intended),
                None => asserted
                    .iter()
                    .find(|one| Some(one.as_str()) == claim.owner)
                    .or(asserted.first()),
            };
            return meant.cloned().ok_or_else(|| {
                Unidentified::Forbidden(
                    "what is asserted is no identity here, or not the one that is intended"
                        .to_owned(),
                )
            });
        }
        if let Some(digest) = &identity.digest
            && (claim.authorization.is_some() || !identity.from_is_identity)
        {
            return self.proved(&current, digest, claim);
        }
        if identity.from_is_identity {
            // Everybody on this machine is whoever she says; a document of everybody's is asked for by nobody in particular.
            return Ok(claim.owner.unwrap_or_default().to_owned());
        }
        Err(Unidentified::Forbidden(
            "no trusted peer asserts who you are, and nothing else says so here".to_owned(),
        ))
    }

    fn ask(&self, asked: Asked) -> Pin<Box<dyn Future<Output = Told> + Send>> {
        let node = self
            .node
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Box::pin(async move {
            let busy = |why: &str| Told {
                status: 503,
                body: why.to_owned(),
                ..Told::default()
            };
            let Some(node) = node else {
                return busy("the server is starting or stopping");
            };
            let request = DocumentRequest {
                ticket: 0,
                by: asked.by,
                method: asked.method,
                address: asked.address,
                owner: asked.owner,
                content_type: asked.content_type,
                if_match: asked.if_match,
                if_none_match: asked.if_none_match,
                body: asked.body,
            };
            let Some(answer) = node.ask(request) else {
                return busy("too many requests wait");
            };
            match answer.await {
                Ok(answer) => Told {
                    status: answer.status,
                    media_type: answer.media_type,
                    tag: answer.tag,
                    body: answer.body,
                    allow: answer.allow,
                },
                Err(_) => busy("the server is stopping"),
            }
        })
    }
}
