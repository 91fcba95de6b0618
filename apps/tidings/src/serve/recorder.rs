//! `--trace-ladder FILE`: what a running server receives, sends and does, drawn as a ladder, again and again while it runs.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ladder::{Actor, Arrival, Point, PointKind, Room, Trace, What};
use machine::{Cause, Instant, Now};
use node::{Happening, Observer};
use shard::{ConnectionId, Destination, Flow, Send};
use sip::Message;

use super::logs::Lines;
use crate::terminal::CREDENTIALS;

/// How often the file is written while something changes.
const EVERY: Duration = Duration::from_secs(1);
/// 5 000 entries, 8 MiB of them at most, and as much again while they are written; names of 8 192 peers, more than these entries can be
/// about. The oldest are forgotten, and counted.
const ROOM: Room = Room {
    entries_max: 5_000,
    bytes_max: 8 << 20,
    actors_max: 8_192,
};
/// Connections whose peers are known by number: 4 096 × 50 bytes. Beyond it the oldest are known no more.
const CONNECTIONS_MAX: usize = 4_096;

/// What is in the file, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Svg,
    Trace,
}

impl Form {
    fn of(file: &Path) -> Self {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => Self::Svg,
            Some("jsonl") => Self::Trace,
            _ => Self::Text,
        }
    }

    fn draw(self, trace: &Trace) -> String {
        match self {
            Self::Text => trace.text(),
            Self::Svg => trace.svg(),
            Self::Trace => ladder::write(trace),
        }
    }
}

/// Writes down what happens, and the file from time to time.
pub(crate) struct Recorder {
    recording: Arc<Recording>,
    /// Dropped, it lets the thread write once more and end.
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// What is shared with those who tell it.
struct Recording {
    page: Page,
    told: Mutex<Told>,
    changed: AtomicBool,
}

/// The file.
struct Page {
    file: PathBuf,
    form: Form,
}

/// What was told so far.
struct Told {
    trace: Trace,
    /// Kept for the first peer, so that the server stands between peers.
    first: Option<Actor>,
    server: Actor,
    peers: BTreeMap<SocketAddr, Peer>,
    connections: BTreeMap<ConnectionId, SocketAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    actor: Actor,
    /// Its column bears a user's name.
    is_named: bool,
}

impl Recorder {
    /// Begins with an empty picture. An error says why there can be none at this place.
    pub(crate) fn begin(file: &Path, title: &str) -> Result<Self, String> {
        let page = Page {
            file: file.to_owned(),
            form: Form::of(file),
        };
        let mut trace = Trace::new(title).with_room(ROOM);
        let (first, server) = (trace.actor("nobody yet"), trace.actor("server"));
        let why = |error: io::Error| {
            format!(
                "--trace-ladder {}: {error}; a file in a folder that may be written would be right",
                file.display()
            )
        };
        page.check()
            .and_then(|()| page.write(&trace))
            .map_err(why)?;
        let recording = Arc::new(Recording {
            page,
            told: Mutex::new(Told {
                trace,
                first: Some(first),
                server,
                peers: BTreeMap::new(),
                connections: BTreeMap::new(),
            }),
            changed: AtomicBool::new(false),
        });
        let (stop, stopped) = sync_channel(1);
        let shared = Arc::clone(&recording);
        let thread = std::thread::Builder::new()
            .name("ladder".to_owned())
            .spawn(move || shared.keep_writing(&stopped))
            .map_err(why)?;
        Ok(Self {
            recording,
            stop,
            thread,
        })
    }

    /// Told of everything in a node, and telling the logs what they want to know.
    pub(crate) fn observer(&self, lines: Arc<Lines>) -> Arc<dyn Observer> {
        Arc::new(Observing {
            recording: Arc::clone(&self.recording),
            lines,
        })
    }

    /// Writes what happened last, and ends.
    pub(crate) fn finish(self) {
        drop(self.stop);
        // A thread that broke a promise has ended the process already.
        let _ = self.thread.join();
    }
}

impl Recording {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_writing(&self, stopped: &Receiver<()>) {
        let mut works = true;
        loop {
            let ends = stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
            if self.changed.swap(false, Ordering::Relaxed) {
                // A copy, so that no shard waits for the drawing.
                let trace = self.told().trace.clone();
                let written = self.page.write(&trace);
                if let (Err(error), true) = (&written, works) {
                    tracing::warn!(file = %self.page.file.display(), "--trace-ladder can't be written: {error}");
                }
                works = written.is_ok();
            }
            if ends {
                return;
            }
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told());
        self.changed.store(true, Ordering::Relaxed);
    }
}

impl Page {
    /// What is there and is no file (a device, a pipe) would be replaced by one; what is no ladder is somebody's.
    fn check(&self) -> io::Result<()> {
        match self.file.symlink_metadata() {
            Ok(there) if !there.is_file() => {
                Err(io::Error::other("it is there and is no ordinary file"))
            }
            Ok(there) if there.len() > 0 && !self.is_ours()? => Err(io::Error::other(
                "it is there and is no ladder; another name would be right",
            )),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether what is there begins as what we write.
    fn is_ours(&self) -> io::Result<bool> {
        let mut begin = Vec::new();
        std::fs::File::open(&self.file)?
            .take(64)
            .read_to_end(&mut begin)?;
        let ours: [&[u8]; 3] = [b"tidings ", b"<svg xmlns=", b"{\"ladder\":"];
        Ok(ours.iter().any(|ours| begin.starts_with(ours)))
    }

    /// Whoever looks sees one whole picture or the one before.
    fn write(&self, trace: &Trace) -> io::Result<()> {
        let mut name = self
            .file
            .file_name()
            .ok_or_else(|| io::Error::other("it has no name"))?
            .to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = self.file.with_file_name(name);
        // Messages say who talks with whom: for the owner's eyes. A new file, so that nobody's link is followed.
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new);
        let written = opened.and_then(|mut file| file.write_all(self.form.draw(trace).as_bytes()));
        let done = written.and_then(|()| std::fs::rename(&new, &self.file));
        if done.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        done
    }
}

impl Told {
    fn peer(&mut self, address: SocketAddr) -> Peer {
        if let Some(peer) = self.peers.get(&address) {
            return *peer;
        }
        if self.trace.actors().len() >= ROOM.actors_max {
            self.forget_idle_peers();
        }
        let actor = match self.first.take() {
            Some(first) => {
                self.trace.rename(first, &address.to_string());
                first
            }
            None => self.trace.actor(&address.to_string()),
        };
        let is_named = self.trace.actors().len() > ROOM.actors_max;
        let peer = Peer { actor, is_named };
        if !is_named {
            self.peers.insert(address, peer);
        }
        peer
    }

    /// Peers of which no entry is remembered.
    fn forget_idle_peers(&mut self) {
        let moved = self.trace.forget_idle(&[self.server]);
        self.server = moved.get(&self.server).copied().unwrap_or(self.server);
        self.peers.retain(|_, peer| {
            let now = moved.get(&peer.actor);
            peer.actor = now.copied().unwrap_or(peer.actor);
            now.is_some()
        });
    }

    /// A peer is better known by the user for whom it speaks.
    fn name(&mut self, address: SocketAddr, bytes: &[u8]) {
        let Some(peer) = self.peers.get_mut(&address).filter(|peer| !peer.is_named) else {
            return;
        };
        let message = Message::parse(bytes).ok().filter(Message::is_request);
        let from = message.and_then(|message| message.from().ok());
        let user = from
            .and_then(|from| from.uri.split_once(':'))
            .and_then(|(_, rest)| rest.split_once('@'));
        if let Some((user, _)) = user {
            peer.is_named = true;
            self.trace.rename(peer.actor, &format!("{user} {address}"));
        }
    }

    fn place(&self, to: Destination) -> (Option<SocketAddr>, &'static str) {
        match to {
            Destination::Datagram { to, .. } => (Some(to), "udp"),
            Destination::Connection {
                connection,
                otherwise,
                ..
            } => (
                self.connections.get(&connection).copied().or(otherwise),
                "tcp",
            ),
            Destination::Stream { to, .. } => (Some(to), "tcp"),
        }
    }

    fn message(
        &mut self,
        at: Instant,
        (from, to): (Actor, Actor),
        over: &str,
        bytes: &[u8],
        cause: Cause,
    ) {
        let what = What::Message {
            from,
            to,
            over: over.to_owned(),
            bytes: hidden(bytes),
            arrival: Arrival::Unknown,
            cause: cause.is_known().then(|| cause.to_string()),
        };
        self.trace.push(at.as_micros(), what);
    }
}

/// Tells both: the recorder everything, the logs what they want.
struct Observing {
    recording: Arc<Recording>,
    lines: Arc<Lines>,
}

impl Observer for Observing {
    fn wants_events(&self) -> bool {
        true
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn happened(&self, now: Now, cause: Cause, event: &Happening) {
        if self.lines.wants_events() {
            self.lines.happened(now, cause, event);
        }
        self.recording.tell(|told| {
            let server = told.server;
            let mut point = Point::new(PointKind::Event, Some(server), event.kind().name);
            event
                .fields(&mut |name, value| point.fields.push((name.to_owned(), value.to_string())));
            point.cause = cause.is_known().then(|| cause.to_string());
            told.trace
                .push(now.monotonic.as_micros(), What::Point(point));
        });
    }

    fn received(&self, now: Now, cause: Cause, flow: &Flow, bytes: &[u8]) {
        self.recording.tell(|told| {
            let peer = told.peer(flow.peer).actor;
            told.name(flow.peer, bytes);
            if let Some(connection) = flow.connection {
                told.connections.insert(connection, flow.peer);
                if told.connections.len() > CONNECTIONS_MAX {
                    told.connections.pop_first();
                }
            }
            let over = flow.transport.name().to_ascii_lowercase();
            let server = told.server;
            told.message(now.monotonic, (peer, server), &over, bytes, cause);
        });
    }

    fn sent(&self, now: Now, send: &Send) {
        self.recording.tell(|told| {
            let (address, over) = told.place(send.to);
            let peer = match address {
                Some(address) => told.peer(address).actor,
                None => told.trace.actor("somebody"),
            };
            let bytes = [send.head.as_slice(), &send.body].concat();
            let server = told.server;
            told.message(now.monotonic, (server, peer), over, &bytes, send.cause);
        });
    }
}

/// The message without what is a secret, or as good as one.
fn hidden(bytes: &[u8]) -> Vec<u8> {
    let Ok(message) = Message::parse(bytes) else {
        // What cannot be read may hold anything.
        let start = bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        return start
            .get(..start.len().min(80))
            .unwrap_or_default()
            .to_vec();
    };
    let is_secret = |name: &[u8]| {
        CREDENTIALS.iter().any(|secret| {
            secret
                .text()
                .as_bytes()
                .eq_ignore_ascii_case(name.trim_ascii())
        })
    };
    if !message.fields().any(|(name, _)| is_secret(name)) {
        return bytes.to_vec();
    }
    let start = message
        .head()
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty());
    let mut out = start.unwrap_or_default().trim_ascii().to_vec();
    for (name, value) in message.fields() {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(if is_secret(name) { b"(hidden)" } else { value });
    }
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(message.body());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden() {
        let message = b"PUBLISH sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nauthorization: Digest username=\"a\",\r\n response=\"abc\"\r\n\
            Proxy-Authorization: Basic c2VjcmV0\r\nContent-Length: 4\r\n\r\n<a/>";
        let text = String::from_utf8(hidden(message)).unwrap();
        assert!(!text.contains("abc") && !text.contains("c2Vj"), "{text}");
        assert_eq!(text.matches("(hidden)").count(), 2);
        assert!(text.ends_with("\r\n\r\n<a/>"), "{text}");
        let garbage = b"no SIP at all\r\nAuthorization: Basic c2VjcmV0\r\n\r\n";
        assert_eq!(hidden(garbage), b"no SIP at all\r");
        let plain = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n";
        assert_eq!(hidden(plain), plain);
    }

    #[test]
    fn peers_of_long_ago_make_room_for_new_ones() {
        let mut trace = Trace::new("t").with_room(ROOM);
        let (first, server) = (trace.actor("nobody yet"), trace.actor("server"));
        let mut told = Told {
            trace,
            first: Some(first),
            server,
            peers: BTreeMap::new(),
            connections: BTreeMap::new(),
        };
        let address = |number: u32| SocketAddr::new(std::net::Ipv4Addr::from(number).into(), 5060);
        for number in 0..20_000 {
            let peer = told.peer(address(number)).actor;
            told.message(
                Instant::from_micros(u64::from(number)),
                (peer, told.server),
                "udp",
                b"hello",
                Cause::NONE,
            );
        }
        assert!(told.peers.len() < ROOM.actors_max, "{}", told.peers.len());
        let text = ladder::write(&told.trace);
        let last = text.lines().last().unwrap();
        assert!(
            last.contains("\"from\":\"0.0.78.31:5060\"") && last.contains("\"to\":\"server\""),
            "{last}"
        );
        assert_eq!(told.trace.entries().count(), ROOM.entries_max);
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_device_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ladder.svg");
        let recorder = Recorder::begin(&file, "first").unwrap();
        recorder
            .recording
            .tell(|told| told.trace.note(0, None, "something"));
        recorder.finish();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("<svg ") && text.contains("something"),
            "{text}"
        );
        let there: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(there.len(), 1, "{there:?}");
        for place in ["/dev/null", "/no/such/folder/ladder.svg", "/"] {
            let why = Recorder::begin(Path::new(place), "no").err().unwrap();
            assert!(
                why.starts_with(&format!("--trace-ladder {place}: ")),
                "{why}"
            );
        }
    }
}
