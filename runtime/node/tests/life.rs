//! One life of a node with the real shard: it answers on every socket, and leaves no thread behind.
//!
//! Alone in its file, because it counts the threads of its process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says so by failing"
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use machine::Limits;
use machine::settings::{Domain, Identity, Listener, Presence, Settings, Transport};
use node::{Clock, Node, Readiness, Start};
use store::Memory;
use store::documents::MemoryDocuments;

const PATIENCE: Duration = Duration::from_secs(10);

fn settings() -> Settings {
    let listener = |transport| Listener {
        transport,
        bound: "127.0.0.1:0".parse().unwrap(),
        advertise_host: "127.0.0.1".to_owned(),
        advertise_port: 0,
        aliases: Vec::new(),
        trusted_peers: None,
        nat: false,
    };
    Settings {
        number: 1,
        domains: vec![Domain {
            name: "example.com".to_owned(),
            aliases: Vec::new(),
            presence: Presence::default(),
        }],
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        identity: Identity {
            from_is_identity: true,
            ..Identity::default()
        },
        limits: Limits::default(),
        path_mtu: 0,
        xcap_roots: Vec::new(),
        hosts: BTreeMap::new(),
    }
}

/// Names of this process's threads but the test harness's own.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut names: Vec<String> = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    names
}

fn options(transport: &str, address: &str, number: u32) -> String {
    format!(
        "OPTIONS sip:user{number}@example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {address};branch=z9hG4bK-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag={number}\r\nTo: <sip:user{number}@example.com>\r\n\
         Call-ID: life-{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

fn hear_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    head
}

#[test]
fn a_node_answers_on_every_socket_and_leaves_no_thread_behind() {
    let before = threads();
    let readiness = Readiness::new();
    assert_eq!(readiness.get(), Err("starting"));
    let node = Node::start(Start {
        settings: settings(),
        shards: 3,
        io_threads: 2,
        store: Memory::new([7; 16]).open().unwrap(),
        clock: Clock::new(),
        readiness: readiness.clone(),
        documents: MemoryDocuments::new([7; 32]).open(),
        observer: Arc::new(()),
    })
    .unwrap();
    assert_eq!(readiness.get(), Ok(()));
    let started = threads();
    for name in ["shard-0", "shard-1", "shard-2", "tidings-io"] {
        assert!(
            started.iter().any(|thread| thread == name),
            "{name}: {started:?}"
        );
    }

    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = TcpStream::connect(node.listeners()[1].bound).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 0..20 {
        let here = datagrams.local_addr().unwrap().to_string();
        datagrams
            .send_to(
                options("UDP", &here, number).as_bytes(),
                node.listeners()[0].bound,
            )
            .unwrap();
        let mut answer = [0; 4096];
        let (length, _) = datagrams.recv_from(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        assert!(answer.contains(&format!("life-{number}\r\n")), "{answer}");

        let here = stream.local_addr().unwrap().to_string();
        stream
            .write_all(options("TCP", &here, number).as_bytes())
            .unwrap();
        let head = hear_head(&mut stream);
        assert!(
            head.starts_with(b"SIP/2.0 200 "),
            "{}",
            String::from_utf8_lossy(&head)
        );
    }

    let stopped = node.stop(PATIENCE);
    assert!(stopped.quiet && stopped.store.is_ok());
    assert_eq!(readiness.get(), Err("stopping"));
    // A joined thread leaves the system's list a moment later.
    let clock = Clock::new();
    let deadline = clock.monotonic() + PATIENCE;
    while threads() != before {
        assert!(
            clock.monotonic() < deadline,
            "{:?} besides {before:?}",
            threads()
        );
        std::thread::yield_now();
    }
}
