//! A server that runs, as operators see it: status, readiness, reload, drain.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use configuration::{Changes, Configuration, Overrides};
use machine::Wall;
use node::{Clock, Node, Readiness};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use web::{Administration, Refusal};

use super::calendar::rfc3339;
use super::documents::Documents;
use super::logs::Logs;
use super::metrics;
use super::systemd::Systemd;

/// How often the node is asked whether it still can; a failed one takes nothing meanwhile.
const FAILURE_EVERY: Duration = Duration::from_millis(100);

/// What a server is made of before its node runs.
pub(crate) struct Begin {
    pub(crate) configuration: Configuration,
    pub(crate) overrides: Overrides,
    pub(crate) readiness: Readiness,
    pub(crate) http: Vec<SocketAddr>,
    pub(crate) logs: Logs,
    pub(crate) systemd: Systemd,
    pub(crate) drain: mpsc::Sender<()>,
    pub(crate) clock: Clock,
}

/// The server.
pub(crate) struct Running {
    pub(crate) clock: Clock,
    pub(crate) systemd: Systemd,
    /// Where HTTP is spoken.
    pub(crate) http: Vec<SocketAddr>,
    pub(crate) documents: Arc<Documents>,
    overrides: Overrides,
    readiness: Readiness,
    logs: Logs,
    drain: mpsc::Sender<()>,
    /// What the process began with: what waits for a restart still holds as it was then.
    began: Configuration,
    reloads: Mutex<Reloads>,
    node: RwLock<Option<Node>>,
    listeners: OnceLock<Vec<Value>>,
}

/// What reloads did.
struct Reloads {
    current: Configuration,
    waiting: Vec<String>,
    succeeded: u64,
    failed: u64,
    last_successful: bool,
    last: Wall,
}

impl Running {
    pub(crate) fn new(begin: Begin) -> Self {
        let reloads = Reloads {
            current: begin.configuration.clone(),
            waiting: Vec::new(),
            succeeded: 0,
            failed: 0,
            last_successful: true,
            last: begin.clock.now().wall,
        };
        Self {
            clock: begin.clock,
            systemd: begin.systemd,
            http: begin.http,
            documents: Arc::new(Documents::new(&begin.configuration, begin.clock)),
            overrides: begin.overrides,
            readiness: begin.readiness,
            logs: begin.logs,
            drain: begin.drain,
            began: begin.configuration,
            reloads: Mutex::new(reloads),
            node: RwLock::new(None),
            listeners: OnceLock::new(),
        }
    }

    pub(crate) fn is_loopback_only(&self) -> bool {
        self.began.is_loopback_only()
    }

    /// The node takes requests.
    pub(crate) fn begin(&self, node: Node) {
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
        self.systemd.ready();
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
        let reading = configuration::read(self.began.file.as_deref(), &self.overrides).map_err(
            |problems| {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                lines
                    .iter()
                    .for_each(|line| tracing::error!("reload: {line}"));
                let mut refusal = Refusal::new(
                    422,
                    "Unprocessable Content",
                    "the configuration is bad; what was in force still is",
                );
                refusal.members.insert("problems".to_owned(), json!(lines));
                refusal
            },
        )?;
        let mut new = reading.configuration;
        let mut waiting = self.began.changes(&new).waiting;
        let Changes { mut taken, .. } = reloads.current.changes(&new);
        // The reader allows it for the listeners of the file; those that are open may be others until a restart.
        if new.settings.identity.from_is_identity && !self.began.is_loopback_only() {
            new.settings.identity.from_is_identity = false;
            taken.retain(|key| key != "identity.from_is_identity");
            waiting.push("identity.from_is_identity".to_owned());
        }
        self.with_node(|node| node.reload(new.settings.clone()));
        self.documents.set(&new.settings);
        self.logs.change(&new.log);
        let warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
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
            "http": self.http.iter().map(ToString::to_string).collect::<Vec<_>>(),
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
