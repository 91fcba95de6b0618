//! A server that runs, as operators see it: status, readiness, reload, drain.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use configuration::{Changes, Configuration, HttpBind, Overrides, Problems};
use machine::Wall;
use machine::settings::Settings;
use node::{Clock, Node, Readiness};
use serde_json::{Value, json};
use store::documents::{User, UserError};
use tokio::sync::mpsc;
use web::{Administration, Page, Refusal};

use super::calendar::rfc3339;
use super::documents::Documents;
use super::logs::Logs;
use super::metrics;
use super::systemd::Systemd;
use crate::certificates::Certificates;
use crate::users::{self, Wanted, in_force};

/// How often the node is asked whether it still can; a failed one takes nothing meanwhile.
const FAILURE_EVERY: Duration = Duration::from_millis(100);

/// What a server is made of before its node runs.
pub(crate) struct Begin {
    pub(crate) configuration: Configuration,
    pub(crate) overrides: Overrides,
    pub(crate) certificates: Certificates,
    pub(crate) readiness: Readiness,
    pub(crate) http: Vec<SocketAddr>,
    pub(crate) logs: Logs,
    pub(crate) systemd: Systemd,
    pub(crate) drain: mpsc::Sender<()>,
    pub(crate) clock: Clock,
    /// The users of the store, and what nonces are made with.
    pub(crate) users: Vec<User>,
    pub(crate) nonce_key: [u8; 32],
}

/// The server.
pub(crate) struct Running {
    pub(crate) clock: Clock,
    pub(crate) systemd: Systemd,
    /// Where HTTP is spoken.
    pub(crate) http: Vec<SocketAddr>,
    pub(crate) documents: Arc<Documents>,
    pub(crate) certificates: Certificates,
    overrides: Overrides,
    readiness: Readiness,
    logs: Logs,
    drain: mpsc::Sender<()>,
    /// What the process began with: what waits for a restart still holds as it was then.
    began: Configuration,
    nonce_key: [u8; 32],
    reloads: Mutex<Reloads>,
    node: RwLock<Option<Node>>,
    listeners: OnceLock<Vec<Value>>,
}

/// What reloads did.
struct Reloads {
    /// As the file has it, without the users of the store.
    current: Configuration,
    /// Those.
    users: Vec<User>,
    waiting: Vec<String>,
    succeeded: u64,
    failed: u64,
    last_successful: bool,
    last: Wall,
    /// What was said of the certificates the last time: not every minute again.
    of_certificates: Vec<String>,
}

impl Running {
    pub(crate) fn new(begin: Begin) -> Self {
        let settings = in_force(&begin.configuration.settings, &begin.users, begin.nonce_key);
        let documents = Documents::new(&begin.configuration, begin.clock);
        documents.set(&settings);
        let reloads = Reloads {
            current: begin.configuration.clone(),
            users: begin.users,
            waiting: Vec::new(),
            succeeded: 0,
            failed: 0,
            last_successful: true,
            last: begin.clock.now().wall,
            of_certificates: Vec::new(),
        };
        Self {
            clock: begin.clock,
            systemd: begin.systemd,
            http: begin.http,
            documents: Arc::new(documents),
            certificates: begin.certificates,
            overrides: begin.overrides,
            readiness: begin.readiness,
            logs: begin.logs,
            drain: begin.drain,
            began: begin.configuration,
            nonce_key: begin.nonce_key,
            reloads: Mutex::new(reloads),
            node: RwLock::new(None),
            listeners: OnceLock::new(),
        }
    }

    pub(crate) fn is_loopback_only(&self) -> bool {
        self.began.is_loopback_only()
    }

    /// The node takes requests. Only then is it told: who hears of it asks at once.
    pub(crate) fn begin(&self, node: Node, tell: impl FnOnce(&Node)) {
        let listeners = node
            .listeners()
            .iter()
            .zip(&self.began.sip)
            .map(|(listener, bind)| {
                json!({
                    "role": bind.role.name(),
                    "transport": listener.transport.name().to_ascii_lowercase(),
                    "address": listener.bound.to_string(),
                    "advertise": format!("{}:{}", listener.advertise_host, listener.advertise_port),
                })
            });
        let _ = self.listeners.set(listeners.collect());
        self.documents.begin(Some(node.documents()));
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = Some(node);
        let node = self.node.read().unwrap_or_else(PoisonError::into_inner);
        node.as_ref().map(tell);
        self.systemd.ready();
    }

    fn http_addresses(&self, spoken: impl Fn(&HttpBind) -> bool) -> Vec<String> {
        let listeners = self.began.http.iter().zip(&self.http);
        let spoken = listeners.filter(|(bind, _)| spoken(bind));
        spoken.map(|(_, address)| address.to_string()).collect()
    }

    /// The node, to be stopped; nobody else can ask it from now on.
    pub(crate) fn take(&self) -> Option<Node> {
        self.documents.begin(None);
        self.node
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Hands every watcher away; true when that was done in time.
    pub(crate) fn drain_node(&self, deadline: Duration) -> bool {
        self.with_node(|node| node.drain(deadline)).unwrap_or(true)
    }

    /// Waits until only a new start helps, and says why.
    pub(crate) async fn failed(&self) -> String {
        loop {
            if let Some(why) = self.with_node(Node::failure).flatten() {
                return why;
            }
            tokio::time::sleep(FAILURE_EVERY).await;
        }
    }

    pub(crate) fn drain_seconds_max(&self) -> u32 {
        self.reloads().current.drain_seconds_max
    }

    fn with_node<T>(&self, deed: impl FnOnce(&Node) -> T) -> Option<T> {
        self.node
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(deed)
    }

    fn reloads(&self) -> MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings that shards begin with.
    pub(crate) fn settings(&self) -> Settings {
        let reloads = self.reloads();
        in_force(&reloads.current.settings, &reloads.users, self.nonce_key)
    }

    fn put_in_force(&self, settings: &Settings, users: &[User]) {
        let settings = in_force(settings, users, self.nonce_key);
        self.documents.set(&settings);
        self.with_node(|node| node.reload(settings));
    }

    /// Changes the users of the store and puts what came of it in force; waits for the disk.
    fn change_users<T>(
        &self,
        reloads: &mut Reloads,
        change: impl FnOnce(&dyn store::documents::Documents) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let starting = "the server is starting or stopping";
        let kept = self.with_node(Node::kept);
        let kept = kept.ok_or_else(|| Refusal::new(409, "Conflict", starting))?;
        let changed = change(kept.as_ref())?;
        reloads.users = kept.users().map_err(|error| unkept(&error))?;
        self.put_in_force(&reloads.current.settings, &reloads.users);
        Ok(changed)
    }

    /// Reads the configuration again. A bad one changes nothing, is logged and counted.
    pub(crate) fn reload_now(&self) -> Result<Value, Refusal> {
        let mut reloads = self.reloads();
        if self.with_node(|_| ()).is_none() {
            return Err(Refusal::new(
                409,
                "Conflict",
                "the server is starting or stopping",
            ));
        }
        self.systemd.reloading();
        let outcome = self.reload_with(&mut reloads);
        reloads.last = self.clock.now().wall;
        reloads.last_successful = outcome.is_ok();
        match &outcome {
            Ok(_) => reloads.succeeded += 1,
            Err(_) => reloads.failed += 1,
        }
        self.systemd.ready();
        outcome
    }

    fn reload_with(&self, reloads: &mut Reloads) -> Result<Value, Refusal> {
        let reading = configuration::read(self.began.file.as_deref(), &self.overrides)
            .map_err(|problems| bad(&problems))?;
        let mut new = reading.configuration;
        let looked = self.certificates.look(&new, self.clock.now().wall);
        let doubtful = looked.map_err(|problems| bad(&problems))?;
        let mut waiting = self.began.changes(&new).waiting;
        let Changes { mut taken, .. } = reloads.current.changes(&new);
        // The reader allows it for the listeners of the file; those that are open may be others until a restart.
        if new.settings.identity.from_is_identity && !self.began.is_loopback_only() {
            new.settings.identity.from_is_identity = false;
            taken.retain(|key| key != "identity.from_is_identity");
            waiting.push("identity.from_is_identity".to_owned());
        }
        self.put_in_force(&new.settings, &reloads.users);
        self.logs.change(&new.log);
        let warnings = reading.warnings.iter().chain(&doubtful);
        let warnings: Vec<String> = warnings.map(ToString::to_string).collect();
        warnings
            .iter()
            .for_each(|warning| tracing::warn!("{warning}"));
        tracing::info!(
            taken = taken.join(" "),
            waiting = waiting.join(" "),
            "configuration reloaded"
        );
        reloads.current = new;
        reloads.waiting.clone_from(&waiting);
        Ok(json!({ "taken": taken, "waiting": waiting, "warnings": warnings }))
    }
}

impl Running {
    /// Takes over certificates that were written anew. Bad ones change nothing and are told once.
    pub(crate) fn look_at_certificates(&self) {
        let mut reloads = self.reloads();
        let looked = self
            .certificates
            .look(&reloads.current, self.clock.now().wall);
        let (said, is_bad) = match &looked {
            Ok(doubtful) => (doubtful, false),
            Err(problems) => (&problems.0, true),
        };
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        if said == reloads.of_certificates {
            return;
        }
        for line in &said {
            match is_bad {
                true => tracing::error!("{line}; the certificates that are in force still are"),
                false => tracing::warn!("{line}"),
            }
        }
        reloads.of_certificates = said;
    }
}

/// A reload that changed nothing.
fn bad(problems: &Problems) -> Refusal {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines
        .iter()
        .for_each(|line| tracing::error!("reload: {line}"));
    let why = "the configuration is bad; what was in force still is";
    let mut refusal = Refusal::new(422, "Unprocessable Content", why);
    refusal.members.insert("problems".to_owned(), json!(lines));
    refusal
}

impl Administration for Running {
    fn readiness(&self) -> Result<(), String> {
        self.readiness.get().map_err(str::to_owned)
    }

    fn status(&self) -> Value {
        let state = self.readiness.get().err().unwrap_or("ready");
        let reloads = self.reloads();
        let mut object = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "node": reloads.current.node_name.clone().unwrap_or_else(host_name),
            "state": state,
            "listeners": self.listeners.get(),
            "http": self.http_addresses(|bind| bind.secure.is_none()),
            "https": self.http_addresses(|bind| bind.secure.is_some()),
            "data": self.began.data,
            "configuration": {
                "file": self.began.file,
                "reloads": reloads.succeeded,
                "reloads_failed": reloads.failed,
                "last_reload_successful": reloads.last_successful,
                "last_read": rfc3339(reloads.last),
                "waiting": reloads.waiting,
            },
        });
        drop(reloads);
        if let Some(status) = self.with_node(Node::status) {
            add(&mut object, &status, self.clock.now().wall);
        }
        object
    }

    fn metrics(&self) -> String {
        let reloaded = self.reloads().last_successful;
        let status = self.with_node(Node::status);
        metrics::text(env!("CARGO_PKG_VERSION"), status.as_ref(), reloaded)
    }

    fn reload(&self) -> Result<Value, Refusal> {
        self.reload_now()
    }

    fn explain(
        &self,
        presentity: &str,
        watcher: &str,
        rules: Option<&[u8]>,
    ) -> Result<Value, Refusal> {
        self.documents.explain(presentity, watcher, rules)
    }

    fn users(&self, page: &Page) -> Result<Value, Refusal> {
        let reloads = self.reloads();
        Ok(users::page(&reloads.current.settings, &reloads.users, page))
    }

    fn user(&self, aor: &str) -> Result<Option<Value>, Refusal> {
        let reloads = self.reloads();
        Ok(users::one(&reloads.current.settings, &reloads.users, aor))
    }

    fn put_user(&self, aor: &str, text: &str, exists: Option<bool>) -> Result<Value, Refusal> {
        let bad = |why: String| Refusal::new(400, "Bad Request", why);
        let mut reloads = self.reloads();
        let settings = &reloads.current.settings;
        let wanted = Wanted::read(text).map_err(bad)?;
        let aor = users::canonical(aor, Some(settings)).map_err(bad)?;
        if let Some(other) = settings.identity.aliases.get(&aor) {
            let why = format!(
                "{aor} is {other} by the configuration, whose entry wins: change it there, then: tidings reload"
            );
            return Err(Refusal::new(409, "Conflict", why));
        }
        let was = reloads.users.iter().find(|user| user.aor == aor);
        if exists.is_some_and(|exists| exists != was.is_some()) {
            let why = match was {
                Some(_) => {
                    format!("{aor} is a user already; another password: tidings user passwd")
                }
                None => format!("{aor} is no user of the store"),
            };
            return Err(Refusal::new(412, "Precondition Failed", why));
        }
        let user = wanted.user(&aor, was, Some(settings)).map_err(bad)?;
        let shown = users::shown(&user);
        self.change_users(&mut reloads, |kept| {
            kept.put_user(user).map_err(|error| match error {
                UserError::Taken(what) => Refusal::new(409, "Conflict", what),
                UserError::Store(error) => unkept(&error),
            })
        })?;
        tracing::info!(aor, "a user was put");
        Ok(shown)
    }

    fn remove_user(&self, aor: &str) -> Result<Value, Refusal> {
        let mut reloads = self.reloads();
        let settings = &reloads.current.settings;
        let canonical = users::canonical(aor, Some(settings));
        let aor = canonical.unwrap_or_else(|_| aor.to_owned());
        let removed = self.change_users(&mut reloads, |kept| {
            kept.remove_user(&aor).map_err(|error| unkept(&error))
        })?;
        if !removed {
            let why = format!("{aor} is no user of the store");
            return Err(Refusal::new(404, "Not Found", why));
        }
        tracing::info!(aor, "a user was removed");
        Ok(json!({ "removed": aor }))
    }

    fn drain(&self) -> Result<Value, Refusal> {
        if self.with_node(|_| ()).is_none() {
            return Err(Refusal::new(
                409,
                "Conflict",
                "the server is starting or stopping",
            ));
        }
        // A full channel: it was asked already.
        let _ = self.drain.try_send(());
        Ok(json!({ "draining": true }))
    }
}

/// The store couldn't; it goes on.
fn unkept(error: &store::StoreError) -> Refusal {
    tracing::error!(%error, "users could not be kept");
    Refusal::new(507, "Insufficient Storage", error.to_string())
}

/// What only a running node knows.
fn add(object: &mut Value, status: &node::Status, now: Wall) {
    let sum = |count: fn(&node::Counts) -> u64| -> u64 {
        status.shards.iter().map(|tally| count(&tally.counts)).sum()
    };
    object["since"] = rfc3339(status.since).into();
    object["uptime_seconds"] = now.since(status.since).as_secs().into();
    object["shards"] = status.shards.len().into();
    object["publications"] = sum(|counts| counts.publications as u64).into();
    object["subscriptions"] = sum(|counts| counts.subscriptions as u64).into();
    object["presentities"] = sum(|counts| counts.presentities as u64).into();
    object["connections"] = status.streams.open.into();
    object["memory_bytes"] = status.memory_bytes.into();
    object["memory_bytes_max"] = status.memory_bytes_max.into();
    object["takes_new_state"] = (status.room == node::Room::Plenty).into();
    let happened = metrics::sum(status);
    object["notifies_sent"] = happened.of("notify.sent").into();
    object["requests_accepted"] = happened.of("request.accepted").into();
    object["requests_refused"] = happened.of("request.refused").into();
    let store = &status.store;
    object["store"] = json!({
        "objects": store.objects,
        "live_bytes": store.live_bytes,
        "disk_bytes": store.disk_bytes,
        "segments": store.segments,
        "queued_bytes": store.queued_bytes,
        "syncs": store.syncs,
    });
}

/// As the kernel knows it.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}
