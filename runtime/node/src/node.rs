//! Starts the threads in the right order, and ends them so that nothing acknowledged is lost and none is left behind.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use machine::{Instant, Wall};
use shard::settings::{Listener, ListenerId, Settings, Transport};
use shard::{Room, Shard};
use store::documents::{self, Keeper};
use store::{Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::watch;
use transport::socket::Buffers;
use transport::{StreamCounts, Streams};

use crate::crew::Crew;
use crate::documents::Documents;
use crate::engine::{Engine, Owner};
use crate::kernel::{self, UdpStatus};
use crate::mailbox::{Mailbox, Notice, Order};
use crate::readiness::Readiness;
use crate::resolver::Resolver;
use crate::room;
use crate::shared::{Routing, Shared, StreamInbox, lock};
use crate::start::{self, IoThreads, Start, StartError, system};
use crate::tally::Tally;
use crate::thread::Hands;

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
    /// UDP as the kernel sees it, by listener.
    pub udp: Vec<UdpStatus>,
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
    documents: Arc<dyn documents::Documents>,
    streams: Streams,
    threads: Vec<JoinHandle<()>>,
    /// Gone once the node has stopped.
    io: Option<IoThreads>,
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
            settings,
            shards,
            io_threads,
            mut store,
            documents,
            clock,
            readiness,
            observer,
        } = start;
        let shards = start::number_of_shards(shards);
        let (bound, unanswered_max) = start::take_sockets(&settings.listeners, shards)?;
        let settings = begun(settings, &bound.listeners);
        let identity = store.identity();
        let io = IoThreads::new(io_threads)?;
        let (failing, failure) = watch::channel(None);
        let routing = Routing {
            settings: Arc::clone(&settings),
            owner: E::owner(identity.hash_key, shards, &settings),
        };
        let shared = Arc::new(Shared::new(
            clock,
            mailboxes(shards)?,
            identity.hash_key,
            routing,
            (readiness.clone(), observer),
            failing,
        ));
        let streams = streams(&io, &shared, &settings);

        let ports = start::ports(bound.udp, shards);
        let crew = Crew::hire::<E>(&shared, &settings, shards, identity, unanswered_max, ports)?;
        crew.documents(&shared.partitioner, documents.documents()?, shards);
        crew.replay(store.as_mut(), shards)?;
        let documents = documents.start(Arc::clone(&shared) as Arc<dyn Keeper>)?;
        let store = store.start(Arc::clone(&shared) as Arc<dyn store::Observer>)?;
        let resolver = Resolver::new(io.handle(), clock, Arc::clone(&shared.mailboxes));
        let threads = crew.go(|| Hands {
            store: Arc::clone(&store),
            documents: Arc::clone(&documents),
            streams: streams.clone(),
            resolver: resolver.clone(),
        })?;
        let node = Self {
            shared,
            store,
            documents,
            streams,
            threads,
            io: Some(io),
            failure,
            readiness,
            listeners: bound.listeners,
            buffers: bound.buffers,
            since: clock.now().wall,
            room: Arc::new(Mutex::new(Room::Plenty)),
            orders: AtomicU64::new(0),
            hash_key: identity.hash_key,
            owner: E::owner,
        };
        if let Err(error) = node.open(bound.tcp) {
            // The start's own error says more than one of closing.
            let _ = node.store.close();
            return Err(error);
        }
        node.readiness.set(Ok(()));
        Ok(node)
    }

    fn open(&self, tcp: Vec<(ListenerId, TcpListener)>) -> Result<(), StartError> {
        for (id, socket) in tcp {
            self.streams.open(id, socket).map_err(system("listening"))?;
        }
        let watch = room::watch_room(
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

    /// Where documents and users are kept.
    pub fn kept(&self) -> Arc<dyn documents::Documents> {
        Arc::clone(&self.documents)
    }

    /// Where users' documents are asked for.
    pub fn documents(&self) -> Documents {
        Documents(Arc::clone(&self.shared))
    }

    /// Whether it takes requests.
    pub const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The runtime of streams and look-ups; HTTP may live there too. It ends with the node.
    pub fn runtime(&self) -> Handle {
        // It is only gone when the node is.
        self.io
            .as_ref()
            .map_or_else(Handle::current, IoThreads::handle)
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
            .set_bounds(start::bounds(&settings, start::connections_max()));
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
            udp: self.udp_status(),
            store: self.store.status(),
            memory_bytes: room::resident_bytes(),
            memory_bytes_max: room::bytes_max(settings.limits.memory_bytes_max),
            room: *lock(&self.room),
        }
    }

    fn udp_status(&self) -> Vec<UdpStatus> {
        let of = |(listener, buffers): &(ListenerId, Buffers)| {
            let bound = self.listeners.get(usize::from(listener.0))?.bound;
            let kernel_dropped = kernel::dropped(bound);
            Some(UdpStatus {
                listener: *listener,
                buffers: *buffers,
                kernel_dropped,
            })
        };
        self.buffers.iter().filter_map(of).collect()
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
        self.documents.close();
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
        self.io = None;
    }
}

/// How long shards get for their last commit, and peers for the last bytes, when the deadline has passed.
const LAST_ORDERS_MAX: Duration = Duration::from_millis(500);

/// With the addresses that the system gave.
fn begun(mut settings: Settings, listeners: &[Listener]) -> Arc<Settings> {
    settings.listeners = listeners.to_vec();
    settings.number = settings.number.max(1);
    Arc::new(settings)
}

fn mailboxes(shards: u16) -> Result<Arc<[Mailbox]>, StartError> {
    let mailboxes: io::Result<Vec<Mailbox>> = (0..shards).map(|_| Mailbox::new()).collect();
    Ok(mailboxes.map_err(system("making a wake-up"))?.into())
}

fn streams(io: &IoThreads, shared: &Arc<Shared>, settings: &Settings) -> Streams {
    let listeners = settings.listeners.iter().enumerate();
    let tcp = listeners.filter(|(_, listener)| listener.transport == Transport::Tcp);
    Streams::new(
        io.handle(),
        Arc::new(StreamInbox(Arc::clone(shared))),
        start::bounds(settings, start::connections_max()),
        tcp.map(|(index, listener)| (ListenerId(index as u16), listener.bound)),
    )
}

impl Drop for Node {
    fn drop(&mut self) {
        self.abandon();
    }
}
