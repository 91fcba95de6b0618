//! The loop: sockets, time, signals and typed lines into the agent; what it wants done, done.

use std::future::pending;
use std::io::{self, BufRead, Read};
use std::net::SocketAddr;
use std::time::Duration;

use agent::{Agent, Event, Hop, Login, Output, Start, Transport};
use machine::Instant;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::connections::{Arrival as ByStream, Connections};
use crate::datagrams::{Arrival as ByDatagram, Datagrams, PORTS_TRIED_MAX};

/// RFC 3261 §18.1.1's fallback to UDP should not keep a person waiting.
const CONNECT_FOR_SIZE_MAX: Duration = Duration::from_millis(500);
/// Where TCP was asked for, there is nothing to fall back to.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A longer line is cut there.
const LINE_BYTES_MAX: u64 = 65_536;

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the hop.
    Sent,
    /// From the hop.
    Received,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent has nothing left to do, or the handler had enough.
    Done,
    /// The handler gave up waiting, or nobody is at any of the addresses.
    NoAnswer,
    /// A second interrupt.
    Interrupted,
}

/// What a command does with its agent.
pub trait Handler {
    /// Everything is open: publish, watch. With several addresses to try it may be called again, for a fresh agent.
    fn begin(&mut self, agent: &mut Agent, now: Instant);
    /// Something to show.
    fn event(&mut self, agent: &mut Agent, now: Instant, event: Event);
    /// A line was typed; asked for only where `wants_lines`.
    fn line(&mut self, _agent: &mut Agent, _now: Instant, _line: &str) {}
    /// Whether standard input is read.
    fn wants_lines(&self) -> bool {
        false
    }
    /// The time to wait for an answer is over: whether to give up.
    fn give_up(&mut self) -> bool;
    /// The first interrupt: end in good order.
    fn interrupt(&mut self, agent: &mut Agent, now: Instant) {
        agent.stop_all(now);
    }
    /// Whether it had enough, whatever the agent still does.
    fn is_done(&self) -> bool {
        false
    }
    /// A message went by.
    fn trace(&mut self, _direction: Direction, _hop: Hop, _bytes: &[u8]) {}
}

/// Who we are and where the server may be.
#[derive(Clone, Debug)]
pub struct Driver {
    /// Our address of record.
    pub identity: String,
    /// How to talk to the server.
    pub transport: Transport,
    /// Its addresses: the next is tried when nobody is at one. Never empty.
    pub addresses: Vec<SocketAddr>,
    /// The value of User-Agent.
    pub user_agent: String,
    /// What proves who we are, to whoever asks.
    pub login: Option<Login>,
    /// When `Handler::give_up` is asked.
    pub timeout: Duration,
    /// The time.
    pub clock: Clock,
}

/// How an attempt at one address ended.
enum Attempt {
    Over(Outcome),
    NobodyThere,
}

impl Driver {
    /// Runs until it is over. An error is ours: no socket, no signal handler.
    pub fn run(&self, handler: &mut dyn Handler) -> io::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let outcome = runtime.block_on(self.attempt_each(handler));
        // The thread that reads standard input may sit there for ever.
        runtime.shutdown_background();
        outcome
    }

    async fn attempt_each(&self, handler: &mut dyn Handler) -> io::Result<Outcome> {
        let mut inputs = Inputs::new(handler.wants_lines())?;
        let mut unusable = None;
        for (index, address) in self.addresses.iter().enumerate() {
            let is_last = index + 1 == self.addresses.len();
            match self.attempt(*address, is_last, handler, &mut inputs).await {
                Ok(Attempt::Over(outcome)) => return Ok(outcome),
                Ok(Attempt::NobodyThere) => {}
                // No route of this family, for instance; another address may do.
                Err(error) => unusable = Some(error),
            }
        }
        unusable.map_or(Ok(Outcome::NoAnswer), Err)
    }

    async fn attempt(
        &self,
        server: SocketAddr,
        is_last: bool,
        handler: &mut dyn Handler,
        inputs: &mut Inputs,
    ) -> io::Result<Attempt> {
        let (datagrams, listener) = open(server).await?;
        let start = Start {
            identity: self.identity.clone(),
            server: Hop {
                transport: self.transport,
                address: server,
            },
            local: datagrams.local()?,
            user_agent: self.user_agent.clone(),
            seed: self.clock.seed(),
            login: self.login.clone(),
        };
        let (connections, by_stream) = Connections::new();
        let server = start.server;
        let agent = Agent::new(start);
        let line = Line {
            driver: self,
            server,
            agent,
            datagrams,
            connections,
            heard: false,
        };
        line.run(listener, by_stream, is_last, handler, inputs)
            .await
    }
}

/// One UDP socket and a TCP listener on the same port of the address that reaches the server.
async fn open(server: SocketAddr) -> io::Result<(Datagrams, TcpListener)> {
    let mut failure = io::Error::other("no free port");
    for _ in 0..PORTS_TRIED_MAX {
        let datagrams = Datagrams::open(server)?;
        match TcpListener::bind(datagrams.local()?).await {
            Ok(listener) => return Ok((datagrams, listener)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Signals and lines: they outlast an attempt.
struct Inputs {
    interrupt: Signal,
    terminate: Signal,
    interrupts: u8,
    lines: Option<mpsc::Receiver<String>>,
}

impl Inputs {
    fn new(wants_lines: bool) -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            interrupts: 0,
            lines: wants_lines.then(read_lines),
        })
    }

    /// May be called off and asked again: nothing is lost.
    async fn next(&mut self) -> Input {
        let Self {
            interrupt,
            terminate,
            interrupts,
            lines,
        } = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            line = next_line(lines) => return Input::Line(line),
        }
        *interrupts = interrupts.saturating_add(1);
        Input::Signal
    }
}

async fn next_line(lines: &mut Option<mpsc::Receiver<String>>) -> String {
    if let Some(receiver) = lines {
        if let Some(line) = receiver.recv().await {
            return line;
        }
        // The end of standard input is no reason to end.
        *lines = None;
    }
    pending().await
}

enum Input {
    Signal,
    Line(String),
}

/// A thread, since reading standard input blocks and can't be called off.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match stdin
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line)
            {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if sender
                        .blocking_send(String::from_utf8_lossy(&line).trim().to_owned())
                        .is_err()
                    {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

/// One agent on its sockets.
struct Line<'d> {
    driver: &'d Driver,
    server: Hop,
    agent: Agent,
    datagrams: Datagrams,
    connections: Connections,
    /// Anything came from anybody.
    heard: bool,
}

impl Line<'_> {
    async fn run(
        mut self,
        listener: TcpListener,
        mut by_stream: mpsc::Receiver<ByStream>,
        is_last: bool,
        handler: &mut dyn Handler,
        inputs: &mut Inputs,
    ) -> io::Result<Attempt> {
        let (mut everybody, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
        let clock = self.driver.clock;
        let mut patience = Some(clock.now() + self.driver.timeout);
        handler.begin(&mut self.agent, clock.now());
        let mut unreachable = self.settle(handler).await;
        loop {
            while let Some(hop) = unreachable.pop() {
                if hop == self.server && !self.heard && !is_last {
                    return Ok(Attempt::NobodyThere);
                }
                self.agent.handle_unreachable(clock.now(), hop);
                unreachable.extend(self.settle(handler).await);
            }
            if self.agent.is_idle() || handler.is_done() {
                self.connections.finish(&mut by_stream).await;
                return Ok(Attempt::Over(Outcome::Done));
            }
            let timer = self.agent.poll_timeout();
            tokio::select! {
                arrival = self.datagrams.receive(&mut everybody, &mut from_server) => match arrival {
                    Ok((is_anybodys, ByDatagram::Datagram(length, from))) => {
                        let buffer = if is_anybodys { &everybody } else { &from_server };
                        let hop = Hop { transport: Transport::Udp, address: from };
                        self.receive(handler, hop, buffer.get(..length).unwrap_or_default());
                    }
                    Ok((_, ByDatagram::Refused)) => {
                        unreachable.push(Hop { transport: Transport::Udp, address: self.server.address });
                    }
                    Err(_) => {} // Passing; what is lost is asked for again.
                },
                Some(arrival) = by_stream.recv() => match arrival {
                    ByStream::Message(peer, bytes) => {
                        self.receive(handler, Hop { transport: Transport::Tcp, address: peer }, &bytes);
                    }
                    ByStream::Closed(peer, number) => {
                        if self.connections.closed(peer, number) {
                            unreachable.push(Hop { transport: Transport::Tcp, address: peer });
                        }
                    }
                },
                Ok((stream, peer)) = listener.accept() => self.connections.accept(stream, peer),
                () = sleep_until(clock, timer) => self.agent.handle_timeout(clock.now()),
                () = sleep_until(clock, patience) => {
                    patience = None;
                    if handler.give_up() {
                        return Ok(Attempt::Over(Outcome::NoAnswer));
                    }
                }
                input = inputs.next() => match input {
                    Input::Line(line) => handler.line(&mut self.agent, clock.now(), &line),
                    Input::Signal if inputs.interrupts > 1 => return Ok(Attempt::Over(Outcome::Interrupted)),
                    Input::Signal => handler.interrupt(&mut self.agent, clock.now()),
                },
            }
            unreachable.extend(self.settle(handler).await);
        }
    }

    fn receive(&mut self, handler: &mut dyn Handler, from: Hop, bytes: &[u8]) {
        self.heard = true;
        handler.trace(Direction::Received, from, bytes);
        self.agent
            .handle_message(self.driver.clock.now(), from, bytes);
    }

    /// Does what the agent wants; the hops that nothing could be sent to.
    async fn settle(&mut self, handler: &mut dyn Handler) -> Vec<Hop> {
        let mut unreachable = Vec::new();
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Send { hop, bytes } => {
                    handler.trace(Direction::Sent, hop, &bytes);
                    let left = match hop.transport {
                        Transport::Udp => self.datagrams.send(hop.address, &bytes).await.is_ok(),
                        Transport::Tcp => {
                            let chosen = self.server.transport == Transport::Tcp;
                            let connect_max = if chosen {
                                CONNECT_MAX
                            } else {
                                CONNECT_FOR_SIZE_MAX
                            };
                            self.connections.send(hop.address, bytes, connect_max)
                        }
                    };
                    if !left {
                        unreachable.push(hop);
                    }
                }
                Output::Show(event) => {
                    handler.event(&mut self.agent, self.driver.clock.now(), event)
                }
            }
        }
        unreachable
    }
}

async fn sleep_until(clock: Clock, at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(clock.deadline(at)).await,
        None => pending().await,
    }
}
