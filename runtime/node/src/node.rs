//! Starts the threads in the right order, and ends them so that nothing acknowledged is lost and none is left behind.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use machine::{Instant, Key, Partition, Wall};
use shard::settings::{Listener, ListenerId, Settings, Transport};
use shard::{Room, Shard};
use store::{Identity, Recovered, Store, StoreError};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use transport::socket::{self, Buffers};
use transport::udp::Port;
use transport::{Bounds, StreamCounts, Streams, steering};

use crate::bind::{self, BindError, Bound};
use crate::clock::Clock;
use crate::engine::{Engine, Owner};
use crate::mailbox::{Mailbox, Notice, Order};
use crate::memory;
use crate::resolver::Resolver;
use crate::shared::{Routing, Shared, StreamInbox, lock};
use crate::tally::Tally;
use crate::thread::{Hands, Thread};

/// Objects handed to a shard at once while restoring.
const RESTORE_CHUNK: usize = 256;

/// How often memory and disk are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Descriptors kept for files, UDP sockets and HTTP.
const DESCRIPTORS_RESERVED: u64 = 256;

/// Stream connections at most, whatever the system would allow: 50 000 × 4 KiB of task and framing = 200 MB.
const CONNECTIONS_MAX: u64 = 50_000;

/// How long the runtime's own threads get to end; one that waits for the system's resolver can't be hurried.
const RUNTIME_END_MAX: Duration = Duration::from_secs(2);

/// What a node begins with.
pub struct Start {
    /// What the operator decided. `listeners` say where to bind; port 0 is any free one, and an `advertise_port` of 0
    /// becomes the port that was given.
    pub settings: Settings,
    /// Threads that decide; 0: one per core that this process may use.
    pub shards: u16,
    /// Threads that serve streams, look names up, and whatever the program spawns on `Node::runtime`; 0: one.
    pub io_threads: usize,
    /// Opened, not yet started.
    pub store: Box<dyn Recovered>,
    /// The clock that everything shares.
    pub clock: Clock,
    /// Says to others when the node is ready; may be asked before `Node::start` returns.
    pub readiness: Readiness,
}

/// Whether the node takes requests; clones are the same. Begins with "starting".
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<Result<(), &'static str>>>);

impl Readiness {
    /// Not ready: starting.
    pub fn new() -> Self {
        Self(Arc::new(RwLock::new(Err("starting"))))
    }

    /// Ready, or why not: "starting", "draining", "stopping", "failed".
    pub fn get(&self) -> Result<(), &'static str> {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, value: Result<(), &'static str>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a node did not start. Nothing is left behind.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be taken.
    Bind(BindError),
    /// The system refused a thread, a descriptor or the like.
    System {
        /// What we wanted.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// The store could not be read, or not begun.
    Store(StoreError),
    /// An object in the store was not understood.
    Restore {
        /// Which shard refused.
        shard: u16,
        /// The object and why.
        why: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => write!(f, "{error}"),
            Self::System { doing, error } => write!(f, "{doing}: {error}"),
            Self::Store(error) => write!(f, "{error}"),
            Self::Restore { shard, why } => write!(f, "restoring shard {shard}: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System { doing, error }
}

/// What runs, since when, and how it is.
#[derive(Clone, Debug)]
pub struct Status {
    /// When it became ready.
    pub since: Wall,
    /// Ready, or why not.
    pub readiness: Result<(), &'static str>,
    /// The settings in force.
    pub settings: u64,
    /// Each shard.
    pub shards: Vec<Tally>,
    /// What the streams' side refused before any shard: only `sources_*` count.
    pub stream_sources: Tally,
    /// Stream connections.
    pub streams: StreamCounts,
    /// What the kernel holds for UDP, by listener.
    pub buffers: Vec<(ListenerId, Buffers)>,
    /// The store.
    pub store: store::Status,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Its bound; 0: none is known.
    pub memory_bytes_max: u64,
    /// Whether new state is taken.
    pub room: Room,
}

/// How a stop went.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Everything owed was sent and answered before the deadline.
    pub quiet: bool,
    /// The last commits are durable; else why not.
    pub store: Result<(), StoreError>,
}

/// A running presence node. Dropping it without `stop` is what a crash would be, but for the threads.
pub struct Node {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    streams: Streams,
    threads: Vec<JoinHandle<()>>,
    runtime: Option<Runtime>,
    failure: watch::Receiver<Option<String>>,
    readiness: Readiness,
    listeners: Vec<Listener>,
    buffers: Vec<(ListenerId, Buffers)>,
    since: Wall,
    room: Arc<Mutex<Room>>,
    orders: AtomicU64,
    hash_key: [u8; 16],
    owner: fn([u8; 16], u16, &Settings) -> Owner,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Binds every socket, restores every object, and only then reads and accepts. Blocks until ready.
    ///
    /// # Errors
    /// What could not be had. Nothing is left behind.
    pub fn start(start: Start) -> Result<Self, StartError> {
        Self::start_with::<Shard>(start)
    }

    pub(crate) fn start_with<E: Engine>(start: Start) -> Result<Self, StartError> {
        let Start {
            mut settings,
            shards,
            io_threads,
            mut store,
            clock,
            readiness,
        } = start;
        let shards = number_of_shards(shards);
        let Bound {
            listeners,
            udp,
            tcp,
            buffers,
        } = bind::bind(&settings.listeners, shards)?;
        settings.listeners.clone_from(&listeners);
        settings.number = settings.number.max(1);
        warn_of_small_buffers(&buffers, &listeners);
        let is_steered = steer(&udp, &listeners, shards);
        let unanswered_max = unanswered_max(&buffers, shards, is_steered);

        let identity = store.identity();
        let settings = Arc::new(settings);
        let runtime = build_runtime(io_threads)?;
        let mailboxes: Arc<[Mailbox]> = (0..shards)
            .map(|_| Mailbox::new())
            .collect::<io::Result<Vec<_>>>()
            .map_err(system("making a wake-up"))?
            .into();
        let routing = Routing {
            settings: Arc::clone(&settings),
            owner: E::owner(identity.hash_key, shards, &settings),
        };
        let (failing, failure) = watch::channel(None);
        let shared = Arc::new(Shared::new(
            clock,
            Arc::clone(&mailboxes),
            identity.hash_key,
            routing,
            failing,
        ));
        let local = listeners
            .iter()
            .enumerate()
            .filter(|(_, listener)| listener.transport == Transport::Tcp);
        let streams = Streams::new(
            runtime.handle().clone(),
            Arc::new(StreamInbox(Arc::clone(&shared))),
            bounds(&settings, connections_max()),
            local.map(|(index, listener)| (ListenerId(index as u16), listener.bound)),
        );

        let crew = Crew::hire::<E>(
            &shared,
            &settings,
            shards,
            identity,
            unanswered_max,
            ports(udp, shards),
        )?;
        crew.replay(store.as_mut(), shards)?;
        let store = store.start(Arc::clone(&shared) as Arc<dyn store::Observer>)?;
        let resolver = Resolver::new(runtime.handle().clone(), clock, mailboxes);
        let threads = crew.go(|| Hands {
            store: Arc::clone(&store),
            streams: streams.clone(),
            resolver: resolver.clone(),
        })?;
        let mut node = Self {
            shared,
            store,
            streams,
            threads,
            runtime: Some(runtime),
            failure,
            readiness,
            listeners,
            buffers,
            since: clock.now().wall,
            room: Arc::new(Mutex::new(Room::Plenty)),
            orders: AtomicU64::new(0),
            hash_key: identity.hash_key,
            owner: E::owner,
        };
        if let Err(error) = node.open(tcp) {
            node.abandon();
            return Err(error);
        }
        node.readiness.set(Ok(()));
        Ok(node)
    }

    fn open(&self, tcp: Vec<(ListenerId, std::net::TcpListener)>) -> Result<(), StartError> {
        for (id, socket) in tcp {
            self.streams.open(id, socket).map_err(system("listening"))?;
        }
        let watch = watch_room(
            Arc::clone(&self.shared),
            Arc::clone(&self.store),
            Arc::clone(&self.room),
        );
        self.runtime().spawn(watch);
        Ok(())
    }

    /// Where it listens, by `ListenerId`, with the ports that were given.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Whether it takes requests.
    pub const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The runtime of streams and look-ups; HTTP may live there too. It ends with the node.
    pub fn runtime(&self) -> Handle {
        // It is only gone while the node is being stopped, which takes the node.
        self.runtime
            .as_ref()
            .map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Waits until something breaks that only a new start mends, and says what. The process then exits with 1.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the node is gone".to_owned(),
        }
    }

    /// The same without waiting.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Other settings from now on, in every shard. The listeners stay, and the number is the next one, which is returned.
    pub fn reload(&self, mut settings: Settings) -> u64 {
        let number = self.shared.routing().settings.number + 1;
        settings.number = number;
        settings.listeners.clone_from(&self.listeners);
        let settings = Arc::new(settings);
        self.streams
            .set_bounds(bounds(&settings, connections_max()));
        let shards = self.shared.mailboxes.len() as u16;
        let owner = (self.owner)(self.hash_key, shards, &settings);
        self.shared.set_routing(Routing {
            settings: Arc::clone(&settings),
            owner,
        });
        for mailbox in self.shared.mailboxes.iter() {
            mailbox.post(Notice::Settings(Arc::clone(&settings)));
        }
        number
    }

    #[cfg(test)]
    pub(crate) fn shared_settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.routing().settings)
    }

    /// What runs, since when, and how it is.
    pub fn status(&self) -> Status {
        let settings = Arc::clone(&self.shared.routing().settings);
        Status {
            since: self.since,
            readiness: self.readiness.get(),
            settings: settings.number,
            shards: self
                .shared
                .tallies
                .iter()
                .map(|tally| lock(tally).clone())
                .collect(),
            stream_sources: self.shared.stream_tally(),
            streams: self.streams.counts(),
            buffers: self.buffers.clone(),
            store: self.store.status(),
            memory_bytes: memory::resident_bytes(),
            memory_bytes_max: memory::bytes_max(settings.limits.memory_bytes_max),
            room: *lock(&self.room),
        }
    }

    /// Hands every watcher away and waits until that is done, at most `deadline`; true when it is. `stop` comes next.
    pub fn drain(&self, deadline: Duration) -> bool {
        self.readiness.set(Err("draining"));
        self.carry_out(Order::Drain, true, self.shared.clock.monotonic() + deadline)
    }

    /// Sends what is owed, makes the last commits durable, closes everything and joins every thread; what is not done
    /// by the `deadline` is left to the next start. Blocks.
    pub fn stop(mut self, deadline: Duration) -> Stopped {
        self.readiness.set(Err("stopping"));
        let until = self.shared.clock.monotonic() + deadline;
        let quiet = self.carry_out(Order::Stop, true, until);
        self.carry_out(Order::End, false, until + LAST_ORDERS_MAX);
        let store = self.store.close();
        let left = until.since(self.shared.clock.monotonic());
        self.end_streams(left.max(LAST_ORDERS_MAX));
        self.abandon();
        Stopped { quiet, store }
    }

    fn carry_out(&self, order: Order, quiet: bool, until: Instant) -> bool {
        let number = self.orders.fetch_add(1, Ordering::Relaxed) + 1;
        self.shared.order(order, number);
        self.shared.await_progress(number, quiet, until)
    }

    fn end_streams(&self, deadline: Duration) {
        let (done, is_done) = channel::<()>();
        let streams = self.streams.clone();
        // Waited for by a channel: this may be called from a thread of another runtime, where blocking on ours is not allowed.
        self.runtime().spawn(async move {
            let _ = tokio::time::timeout(deadline, streams.stop()).await;
            drop(done);
        });
        let _ = is_done.recv();
    }

    /// Ends every thread, whatever is left undone.
    fn abandon(&mut self) {
        let number = self.orders.fetch_add(1, Ordering::Relaxed) + 1;
        self.shared.order(Order::Exit, number);
        for thread in self.threads.drain(..) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
        if let Some(runtime) = self.runtime.take() {
            end_runtime(runtime);
        }
    }
}

/// How long shards get for their last commit, and peers for the last bytes, when the deadline has passed.
const LAST_ORDERS_MAX: Duration = Duration::from_millis(500);

impl Drop for Node {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn number_of_shards(wanted: u16) -> u16 {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let shards = if wanted > 0 {
        usize::from(wanted)
    } else {
        cores()
    };
    u16::try_from(shards)
        .unwrap_or(u16::MAX)
        .clamp(1, SHARDS_MAX)
}

/// More shards than this would leave a shard few of the 4096 partitions.
const SHARDS_MAX: u16 = 256;

fn build_runtime(threads: usize) -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name("tidings-io")
        .enable_all()
        .build()
        .map_err(system("starting the threads for streams"))
}

/// Ends a runtime from wherever we are: on a thread of its own, because a runtime's threads may not wait for another's.
fn end_runtime(runtime: Runtime) {
    let ending = std::thread::Builder::new()
        .name("tidings-end".to_owned())
        .spawn(move || runtime.shutdown_timeout(RUNTIME_END_MAX));
    if let Ok(ending) = ending {
        let _ = ending.join();
    }
}

fn warn_of_small_buffers(buffers: &[(ListenerId, Buffers)], listeners: &[Listener]) {
    for (id, granted) in buffers.iter().filter(|(_, granted)| granted.is_small()) {
        let address = listeners
            .get(usize::from(id.0))
            .map(|listener| listener.bound.to_string());
        tracing::warn!(
            listener = address,
            receive_bytes = granted.receive_bytes,
            send_bytes = granted.send_bytes,
            "small kernel buffers: bursts will be lost; raise net.core.rmem_max and net.core.wmem_max to 4194304"
        );
    }
}

/// Answers to our requests come to the shard that sent them, where the kernel lets us say so; false where it doesn't.
fn steer(
    udp: &[(ListenerId, Vec<socket::DatagramSocket>)],
    listeners: &[Listener],
    shards: u16,
) -> bool {
    let mut is_steered = true;
    if shards < 2 {
        return is_steered;
    }
    for (id, group) in udp {
        let (Some(listener), Some(first)) = (listeners.get(usize::from(id.0)), group.first())
        else {
            continue;
        };
        let with_port = format!("{}:{}", listener.advertise_host, listener.advertise_port);
        let program = steering::program(&[&with_port, &listener.advertise_host], shards);
        if let Err(error) = first.attach_steering(&program) {
            tracing::info!(listener = %listener.bound, %error, "no steering: answers may take a detour between threads");
            is_steered = false;
        }
    }
    is_steered
}

/// How many answers a shard may be owed at once: as many as one socket's buffer holds, so that none is lost there.
fn unanswered_max(buffers: &[(ListenerId, Buffers)], shards: u16, is_steered: bool) -> u32 {
    let Some(bytes) = buffers
        .iter()
        .map(|(_, granted)| granted.receive_bytes)
        .min()
    else {
        return UNANSWERED_ON_STREAMS;
    };
    // Without steering the answers of all shards may come to one socket (one peer address, one hash).
    let sharers = if is_steered { 1 } else { usize::from(shards) };
    u32::try_from(bytes / ANSWER_BYTES / sharers)
        .unwrap_or(u32::MAX)
        .clamp(UNANSWERED_MIN, UNANSWERED_MAX)
}

/// What the kernel counts for one short answer: some 500 bytes and its own overhead.
const ANSWER_BYTES: usize = 1280;

/// Even the smallest buffer leaves a window that keeps a hop busy.
const UNANSWERED_MIN: u32 = 64;

/// 65 536 × 40 B in flight, whatever the buffer.
const UNANSWERED_MAX: u32 = 65_536;

/// Where only streams are served the connection's queue is the bound; this one keeps memory in hand.
const UNANSWERED_ON_STREAMS: u32 = 8_192;

/// Each shard's ports, from each listener's sockets.
fn ports(udp: Vec<(ListenerId, Vec<socket::DatagramSocket>)>, shards: u16) -> Vec<Vec<Port>> {
    let mut ports: Vec<Vec<Port>> = (0..shards).map(|_| Vec::new()).collect();
    for (id, group) in udp {
        for (ports, socket) in ports.iter_mut().zip(group) {
            ports.push(Port::new(id, socket));
        }
    }
    ports
}

fn connections_max() -> usize {
    let descriptors = socket::raise_descriptors_max().unwrap_or(1024);
    let max = descriptors
        .saturating_sub(DESCRIPTORS_RESERVED)
        .clamp(64, CONNECTIONS_MAX);
    usize::try_from(max).unwrap_or(usize::MAX)
}

fn bounds(settings: &Settings, connections_max: usize) -> Bounds {
    let limits = &settings.limits;
    Bounds {
        head_bytes_max: limits.head_bytes_max as usize,
        body_bytes_max: limits.body_bytes_max as usize,
        queue_bytes_max: limits.connection_queue_bytes_max as usize,
        per_source_max: limits.connections_per_source_max,
        connections_max,
        ..Bounds::default()
    }
}

/// Compares memory and disk with their bounds once a second, and tells the shards when the answer changes.
async fn watch_room(shared: Arc<Shared>, store: Arc<dyn Store>, room: Arc<Mutex<Room>>) {
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    loop {
        ticks.tick().await;
        let max = memory::bytes_max(shared.routing().settings.limits.memory_bytes_max);
        let before = *lock(&room);
        let now = judge_room(before, store.room(), memory::resident_bytes(), max);
        if now == before {
            continue;
        }
        match now {
            Room::Full(what) => tracing::warn!(what, "new state is refused"),
            Room::Plenty => tracing::info!("new state is taken again"),
        }
        *lock(&room) = now;
        for mailbox in shared.mailboxes.iter() {
            mailbox.post(Notice::Room(now));
        }
    }
}

/// Full at the bound, plenty again at 95 % of it, so that it doesn't flicker.
fn judge_room(before: Room, store: bool, resident: u64, max: u64) -> Room {
    let bound = if before == Room::Full("memory") {
        max / 100 * 95
    } else {
        max
    };
    if !store {
        Room::Full("disk")
    } else if max > 0 && resident > bound {
        Room::Full("memory")
    } else {
        Room::Plenty
    }
}

type Objects = Vec<(Key, Vec<Vec<u8>>)>;

/// The shards' threads while they restore: each builds its shard itself, so a shard never changes threads.
struct Crew {
    threads: Vec<JoinHandle<()>>,
    objects: Vec<SyncSender<Objects>>,
    restored: Receiver<Result<(), (u16, String)>>,
    go: Vec<Sender<Hands>>,
}

impl Crew {
    fn hire<E: Engine>(
        shared: &Arc<Shared>,
        settings: &Arc<Settings>,
        shards: u16,
        identity: Identity,
        unanswered_max: u32,
        ports: Vec<Vec<Port>>,
    ) -> Result<Self, StartError> {
        let (told, restored) = channel();
        let mut crew = Self {
            threads: Vec::new(),
            objects: Vec::new(),
            restored,
            go: Vec::new(),
        };
        for (index, ports) in (0..shards).zip(ports) {
            let (objects, take_objects) = sync_channel::<Objects>(4);
            let (go, take_hands) = channel();
            let (shared, settings, told) = (Arc::clone(shared), Arc::clone(settings), told.clone());
            let seed = random_seed().map_err(system("asking for randomness"))?;
            let work = move || {
                let _guard = Guard {
                    shared: Arc::clone(&shared),
                    index,
                };
                let now = shared.clock.now();
                let Identity { hash_key, starts } = identity;
                let start = shard::Start {
                    index,
                    shards,
                    starts,
                    hash_key,
                    seed,
                    settings,
                    unanswered_max,
                    now,
                };
                let mut engine = E::new(start);
                let outcome = restore(&mut engine, &take_objects).map_err(|why| (index, why));
                drop(take_objects);
                let is_restored = outcome.is_ok();
                if is_restored {
                    engine.restored(shared.clock.now());
                }
                let _ = told.send(outcome);
                drop(told);
                // Without hands the start was given up.
                let Ok(hands) = take_hands.recv() else { return };
                if let Err(why) =
                    Thread::new(engine, index, Arc::clone(&shared), hands, ports).run()
                {
                    shared.fail(why);
                }
            };
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(work);
            crew.threads
                .push(thread.map_err(system("starting a shard's thread"))?);
            crew.objects.push(objects);
            crew.go.push(go);
        }
        Ok(crew)
    }

    /// Gives every object to its shard, and waits until all have taken theirs.
    fn replay(&self, store: &mut dyn Recovered, shards: u16) -> Result<(), StartError> {
        let mut chunks: Vec<Objects> = (0..shards).map(|_| Vec::new()).collect();
        let send = |shard: usize, chunk: &mut Objects| {
            // A shard that has given up says why by `restored`.
            let _ = self.objects[shard].send(std::mem::take(chunk));
        };
        store.replay(&mut |key, ops| {
            let partition: Partition = key.partition();
            let shard = usize::from(partition.shard(shards));
            chunks[shard].push((key, ops));
            if chunks[shard].len() >= RESTORE_CHUNK {
                send(shard, &mut chunks[shard]);
            }
        })?;
        for (shard, chunk) in chunks.iter_mut().enumerate() {
            send(shard, chunk);
            // An empty chunk ends it.
            send(shard, &mut Vec::new());
        }
        for _ in 0..shards {
            match self.restored.recv() {
                Ok(Ok(())) => {}
                Ok(Err((shard, why))) => return Err(StartError::Restore { shard, why }),
                Err(_) => {
                    return Err(StartError::Restore {
                        shard: 0,
                        why: "a shard's thread ended".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Lets them work.
    fn go(mut self, hands: impl Fn() -> Hands) -> Result<Vec<JoinHandle<()>>, StartError> {
        for go in self.go.drain(..) {
            if go.send(hands()).is_err() {
                return Err(StartError::Restore {
                    shard: 0,
                    why: "a shard's thread ended".to_owned(),
                });
            }
        }
        Ok(std::mem::take(&mut self.threads))
    }
}

impl Drop for Crew {
    /// Those that never got hands go home.
    fn drop(&mut self) {
        self.objects.clear();
        self.go.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn restore<E: Engine>(engine: &mut E, objects: &Receiver<Objects>) -> Result<(), String> {
    loop {
        match objects.recv() {
            Ok(chunk) if chunk.is_empty() => return Ok(()),
            Ok(chunk) => {
                for (key, ops) in chunk {
                    engine
                        .restore(key, ops)
                        .map_err(|why| format!("object {:016x}: {why}", key.to_bits()))?;
                }
            }
            Err(_) => return Err("the start was given up".to_owned()),
        }
    }
}

/// Says when a shard's thread ends, and that the node has failed when it ends by a panic.
struct Guard {
    shared: Arc<Shared>,
    index: u16,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared
                .fail(format!("the thread of shard {} panicked", self.index));
        }
        self.shared.report_gone(self.index);
    }
}

/// Randomness from the system.
fn random_seed() -> io::Result<u64> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_at_the_bound_and_begins_again_below_it() {
        assert_eq!(judge_room(Room::Plenty, true, 1000, 1000), Room::Plenty);
        assert_eq!(
            judge_room(Room::Plenty, true, 1001, 1000),
            Room::Full("memory")
        );
        assert_eq!(
            judge_room(Room::Full("memory"), true, 960, 1000),
            Room::Full("memory")
        );
        assert_eq!(
            judge_room(Room::Full("memory"), true, 950, 1000),
            Room::Plenty
        );
        assert_eq!(judge_room(Room::Plenty, false, 0, 1000), Room::Full("disk"));
        assert_eq!(judge_room(Room::Full("disk"), true, 0, 1000), Room::Plenty);
        assert_eq!(judge_room(Room::Plenty, true, u64::MAX, 0), Room::Plenty);
    }

    #[test]
    fn the_window_follows_the_buffer() {
        let buffers = |bytes| {
            vec![(
                ListenerId(0),
                Buffers {
                    receive_bytes: bytes,
                    send_bytes: 0,
                },
            )]
        };
        // Linux's usual default, doubled.
        assert_eq!(unanswered_max(&buffers(425_984), 1, true), 332);
        assert_eq!(unanswered_max(&buffers(425_984), 4, false), 83);
        assert_eq!(unanswered_max(&buffers(1), 1, true), UNANSWERED_MIN);
        assert_eq!(unanswered_max(&buffers(8 << 20), 4, true), 6553);
        assert_eq!(unanswered_max(&[], 4, true), UNANSWERED_ON_STREAMS);
    }

    #[test]
    fn shards_are_within_bounds() {
        assert_eq!(number_of_shards(5), 5);
        assert_eq!(number_of_shards(5000), SHARDS_MAX);
        assert!(number_of_shards(0) >= 1);
    }
}
