//! The certificates that a configuration names: read, judged, shown to who connects, looked at again while the server runs.

use std::path::Path;

use configuration::{
    Configuration, Named, Pair, Problem, Problems, Secure, Severity, Tls, VerifyClient,
};
use machine::Wall;
use tls::{Acceptor, Authorities, Clients, Identity, Part, Setup, Source};

/// Within so many days of its end a certificate is complained of: two weeks are time enough for a person.
const ENDS_SOON_DAYS: u64 = 14;

/// What a listener of HTTP says that it speaks inside (RFC 7301).
const HTTP: &[u8] = b"http/1.1";

/// The listeners that speak TLS.
pub(crate) struct Certificates {
    /// In the order of `configuration.http`.
    listeners: Vec<Option<(Secure, Acceptor)>>,
}

impl Certificates {
    /// Reads what the listeners need. The second: what is doubtful.
    pub(crate) fn open(
        configuration: &Configuration,
        now: Wall,
    ) -> Result<(Self, Vec<Problem>), Problems> {
        let mut reading = Reading::new(now);
        let general = reading.general(configuration);
        let mut listeners = Vec::new();
        for bind in &configuration.http {
            let Some(secure) = &bind.secure else {
                listeners.push(None);
                continue;
            };
            let setup = reading.setup(secure, &general);
            let acceptor = setup.and_then(|(setup, ca)| reading.say(Acceptor::new(setup), ca));
            listeners.push(acceptor.map(|acceptor| (secure.clone(), acceptor)));
        }
        let problems = reading.finish()?;
        Ok((Self { listeners }, problems))
    }

    pub(crate) fn acceptor(&self, listener: usize) -> Option<Acceptor> {
        let (_, acceptor) = self.listeners.get(listener)?.as_ref()?;
        Some(acceptor.clone())
    }

    /// Reads all of it again, by a newer configuration of the same listeners: all or nothing is taken over. The result: what is
    /// doubtful.
    pub(crate) fn look(
        &self,
        configuration: &Configuration,
        now: Wall,
    ) -> Result<Vec<Problem>, Problems> {
        let mut reading = Reading::new(now);
        let general = reading.general(configuration);
        let mut found = Vec::new();
        for (secure, acceptor) in self.listeners.iter().flatten() {
            // A file that has no [tls] any more has no such listener either, and waits for a restart.
            if *secure == Secure::General && configuration.tls.pair.is_none() {
                continue;
            }
            let setup = reading.setup(secure, &general);
            found.extend(setup.map(|(setup, ca)| (acceptor, setup, ca)));
        }
        if reading.has_errors() {
            return reading.finish();
        }
        for (acceptor, setup, ca) in found {
            reading.say(acceptor.replace(setup), ca);
        }
        reading.finish()
    }
}

/// What is wrong with the certificates of a configuration, or doubtful.
pub(crate) fn examine(configuration: &Configuration, now: Wall) -> Problems {
    match Certificates::open(configuration, now) {
        Ok((_, doubtful)) => Problems(doubtful),
        Err(problems) => problems,
    }
}

/// What `[tls]` and the domains have.
struct General<'c> {
    tls: &'c Tls,
    identity: Option<Identity>,
    domains: Vec<(String, Identity)>,
}

struct Reading {
    now: u64,
    problems: Vec<Problem>,
}

impl Reading {
    fn new(now: Wall) -> Self {
        Self {
            now: now.as_millis() / 1000,
            problems: Vec::new(),
        }
    }

    fn has_errors(&self) -> bool {
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        self.problems.iter().any(is_error)
    }

    fn finish(self) -> Result<Vec<Problem>, Problems> {
        match self.has_errors() {
            true => Err(Problems(self.problems)),
            false => Ok(self.problems),
        }
    }

    /// What came of it; else it is a problem of this file.
    fn say<T>(&mut self, done: Result<T, String>, at: Option<&Named>) -> Option<T> {
        done.map_err(|why| {
            self.problems
                .extend(at.map(|at| at.problem(why, Severity::Error)));
        })
        .ok()
    }

    fn general<'c>(&mut self, configuration: &'c Configuration) -> General<'c> {
        let tls = &configuration.tls;
        let identity = tls.pair.as_ref().and_then(|pair| self.identity(pair));
        let mut domains = Vec::new();
        for (name, pair) in &configuration.domain_pairs {
            let Some(identity) = self.identity(pair) else {
                continue;
            };
            let below = format!(".{name}");
            let is_its = |host: &String| host == name || host.ends_with(&below);
            if !identity.names.iter().any(is_its) {
                let names = match identity.names.as_slice() {
                    [] => "no host name at all".to_owned(),
                    names => names.join(", "),
                };
                let why =
                    format!("is for {names}, and for nothing of {name}: nobody will be shown it");
                self.problems
                    .push(pair.certificate.problem(why, Severity::Warning));
            }
            domains.push((name.clone(), identity));
        }
        General {
            tls,
            identity,
            domains,
        }
    }

    fn identity(&mut self, pair: &Pair) -> Option<Identity> {
        let source = Source {
            certificate: pair.certificate.path.clone(),
            key: pair.key.path.clone(),
        };
        let identity = match Identity::read(&source, self.now) {
            Ok(identity) => identity,
            Err(faults) => {
                for fault in faults {
                    let at = match fault.part {
                        Part::Key => &pair.key,
                        Part::Certificate | Part::Authorities => &pair.certificate,
                    };
                    self.problems
                        .push(at.problem(fault.message, Severity::Error));
                }
                return None;
            }
        };
        let days = identity.not_after_seconds.saturating_sub(self.now) / 86_400;
        if days < ENDS_SOON_DAYS {
            let why = format!(
                "{}: ends in {days} days; write a new one there, it is looked at each minute",
                source.certificate.display()
            );
            self.problems
                .push(pair.certificate.problem(why, Severity::Warning));
        }
        Some(identity)
    }

    /// What a listener shows and wants, and where it is written whom it believes.
    fn setup<'a>(
        &mut self,
        secure: &'a Secure,
        general: &'a General<'_>,
    ) -> Option<(Setup, Option<&'a Named>)> {
        let (tls, identity) = match secure {
            Secure::General => (general.tls, general.identity.clone()),
            Secure::Own(tls) => (
                &**tls,
                tls.pair.as_ref().and_then(|pair| self.identity(pair)),
            ),
        };
        let clients = match tls.verify_client {
            VerifyClient::None => Clients::Unasked,
            VerifyClient::Optional => Clients::Optional(self.authorities(tls)?),
            VerifyClient::Required => Clients::Required(self.authorities(tls)?),
        };
        let setup = Setup {
            default: identity?,
            domains: general.domains.clone(),
            clients,
            protocols: vec![HTTP.to_vec()],
        };
        let at = tls
            .ca
            .as_ref()
            .or(tls.pair.as_ref().map(|pair| &pair.certificate));
        Some((setup, at))
    }

    fn authorities(&mut self, tls: &Tls) -> Option<Authorities> {
        let file = tls.ca.as_ref().map(|ca| Path::new(&ca.path));
        let read = tls::authorities(file).map_err(|fault| fault.message);
        self.say(read, tls.ca.as_ref())
    }
}
