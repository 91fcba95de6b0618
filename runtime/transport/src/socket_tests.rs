use super::*;

const SECOND: Duration = Duration::from_secs(5);

fn loopback(v6: bool) -> SocketAddr {
    if v6 {
        (Ipv6Addr::LOCALHOST, 0).into()
    } else {
        (Ipv4Addr::LOCALHOST, 0).into()
    }
}

fn one(v6: bool) -> DatagramSocket {
    DatagramSocket::bind_group(loopback(v6), 1)
        .unwrap()
        .remove(0)
}

/// Whether `socket` has something to read within a time that only a broken test needs.
fn wait_readable(socket: &DatagramSocket) -> bool {
    let mut poller = Poller::default();
    let index = poller.add(socket, false);
    poller.wait(Some(SECOND)).unwrap();
    poller.is_readable(index)
}

/// Without trains: from another machine they arrive parted, but here they would choose one socket of a port group for all.
fn send_all(socket: &DatagramSocket, to: SocketAddr, datagrams: &[(Vec<u8>, Vec<u8>)]) {
    let mut sent = 0;
    while sent < datagrams.len() {
        let rest = datagrams[sent..].iter().map(|(h, b)| (to, &h[..], &b[..]));
        sent += socket.send_batch(rest, false).unwrap();
    }
}

#[test]
fn batches_arrive_whole_in_order_and_with_their_source() {
    for v6 in [false, true] {
        let (here, there) = (one(v6), one(v6));
        let datagrams: Vec<(Vec<u8>, Vec<u8>)> = (0..100)
            .map(|n: usize| (format!("head {n} ").into_bytes(), vec![b'x'; n * 13]))
            .collect();
        send_all(&here, there.local_address().unwrap(), &datagrams);
        let mut receiver = Receiver::new();
        let mut received = Vec::new();
        while received.len() < datagrams.len() {
            assert!(wait_readable(&there));
            let count = receiver.receive(&there).unwrap();
            assert!(count <= BATCH);
            assert_eq!(receiver.datagrams().count(), count);
            received.extend(
                receiver
                    .datagrams()
                    .map(|(from, bytes)| (from, bytes.to_vec())),
            );
        }
        let expected: Vec<_> = datagrams
            .iter()
            .map(|(h, b)| (here.local_address().unwrap(), [&h[..], &b[..]].concat()))
            .collect();
        assert_eq!(received, expected);
        assert_eq!(receiver.receive(&there).unwrap(), 0);
        assert_eq!(receiver.datagrams().count(), 0);
    }
}

#[test]
fn a_train_arrives_as_the_datagrams_it_is_made_of() {
    for v6 in [false, true] {
        let (here, there, other) = (one(v6), one(v6), one(v6));
        let heads: Vec<Vec<u8>> = (0..BATCH)
            .map(|n| format!("head {n:02} ").into_bytes())
            .collect();
        // Long trains, the first with a shorter end, parted by a shorter train and one for somebody else; then what is too long.
        let (long, longer) = ([b'x'; 1200], [b'y'; 1700]);
        let (to, away) = (
            there.local_address().unwrap(),
            other.local_address().unwrap(),
        );
        let datagrams: Vec<(SocketAddr, &[u8], &[u8])> = heads
            .iter()
            .enumerate()
            .map(|(n, head)| match n {
                20 | 21 => (to, &head[..], &b"shorter"[..]),
                22 => (to, &head[..], &b""[..]),
                40 => (away, &head[..], &long[..]),
                60.. => (to, &head[..], &longer[..]),
                _ => (to, &head[..], &long[..]),
            })
            .collect();
        let sent = here.send_batch(datagrams.iter().copied(), true).unwrap();
        assert_eq!(sent, BATCH);
        let mut receiver = Receiver::new();
        let (mut received, mut elsewhere) = (Vec::new(), Vec::new());
        for (socket, bytes, count) in [
            (&there, &mut received, BATCH - 1),
            (&other, &mut elsewhere, 1),
        ] {
            while bytes.len() < count {
                assert!(wait_readable(socket));
                assert!(receiver.receive(socket).unwrap() > 0);
                bytes.extend(receiver.datagrams().map(|(_, bytes)| bytes.to_vec()));
            }
        }
        let expected = |meant: SocketAddr| -> Vec<Vec<u8>> {
            let of = datagrams.iter().filter(|(to, ..)| *to == meant);
            of.map(|(_, head, body)| [*head, *body].concat()).collect()
        };
        assert_eq!((received, elsewhere), (expected(to), expected(away)));
    }
}

#[test]
fn the_largest_datagram_is_not_cut_and_a_larger_one_is_refused() {
    let (here, there) = (one(false), one(false));
    let to = there.local_address().unwrap();
    send_all(&here, to, &[(vec![b'a'; 65_000], vec![b'b'; 507])]);
    assert!(wait_readable(&there));
    let mut receiver = Receiver::new();
    assert_eq!(receiver.receive(&there).unwrap(), 1);
    assert_eq!(receiver.datagrams().next().unwrap().1.len(), 65_507);
    let error = here
        .send_batch(
            [(to, &[b'a'; 65_000][..], &[b'b'; 600][..])].into_iter(),
            true,
        )
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
}

#[test]
fn an_error_stops_the_batch_before_the_datagram_it_is_about() {
    let (here, there) = (one(false), one(false));
    let (to, wrong) = (there.local_address().unwrap(), loopback(true));
    let batch = [
        (to, &b"1"[..], &b""[..]),
        (wrong, &b"2"[..], &b""[..]),
        (to, &b"3"[..], &b""[..]),
    ];
    assert_eq!(here.send_batch(batch.into_iter(), true).unwrap(), 1);
    assert!(here.send_batch(batch[1..].iter().copied(), true).is_err());
    assert_eq!(
        here.send_batch(batch[2..].iter().copied(), true).unwrap(),
        1
    );
    assert_eq!(here.send_batch(std::iter::empty(), true).unwrap(), 0);
}

#[test]
fn a_port_that_somebody_has_is_in_use_even_where_it_could_be_shared() {
    let group = DatagramSocket::bind_group(loopback(false), 3).unwrap();
    let address = group[0].local_address().unwrap();
    assert!(
        group
            .iter()
            .all(|socket| socket.local_address().unwrap() == address)
    );
    for count in [1, 3] {
        let error = DatagramSocket::bind_group(address, count).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
    drop(group);
    assert!(DatagramSocket::bind_group(address, 2).is_ok());
}

#[test]
fn ipv6_sockets_leave_ipv4_to_others() {
    let v6 = DatagramSocket::bind_group((Ipv6Addr::UNSPECIFIED, 0).into(), 1)
        .unwrap()
        .remove(0);
    let port = v6.local_address().unwrap().port();
    // Would be AddrInUse if the IPv6 socket took IPv4 as well. Somebody else may have it by chance: any answer but that.
    match DatagramSocket::bind_group((Ipv4Addr::UNSPECIFIED, port).into(), 1) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::InvalidInput),
    }
    assert!(v6.socket.only_v6().unwrap());
}

#[test]
fn buffers_are_what_the_kernel_says() {
    let socket = one(false);
    let granted = socket.enlarge_buffers(BUFFER_BYTES_WANTED).unwrap();
    assert_eq!(
        granted.receive_bytes,
        socket.socket.recv_buffer_size().unwrap()
    );
    assert!(granted.send_bytes > 0);
    let small = Buffers {
        receive_bytes: 212_992,
        send_bytes: 8 * 1024 * 1024,
    };
    assert!(small.is_small());
}

#[test]
fn a_wake_is_seen_once_and_a_wait_ends_without_one() {
    let waker = Waker::new().unwrap();
    let mut poller = Poller::default();
    let index = poller.add(&waker, false);
    poller.wait(Some(Duration::from_millis(1))).unwrap();
    assert!(!poller.is_readable(index));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            waker.wake();
            waker.wake();
        });
        poller.wait(Some(SECOND)).unwrap();
    });
    assert!(poller.is_readable(index));
    waker.clear();
    poller.wait(Some(Duration::ZERO)).unwrap();
    assert!(!poller.is_readable(index));
}

#[test]
fn a_socket_with_room_is_writable() {
    let socket = one(false);
    let mut poller = Poller::default();
    let index = poller.add(&socket, true);
    poller.wait(Some(SECOND)).unwrap();
    assert!(poller.is_writable(index));
    assert!(!poller.is_readable(index));
    poller.clear();
    assert!(!poller.is_writable(index));
}

#[test]
fn descriptors_are_many() {
    let limit = raise_descriptors_max().unwrap();
    assert!(limit >= 64);
    assert_eq!(raise_descriptors_max().unwrap(), limit);
}

mod steering {
    use machine::Partition;

    use super::*;
    use crate::steering::program;

    const SHARDS: u16 = 3;

    fn group(sent_by: &[&str]) -> Vec<DatagramSocket> {
        let group = DatagramSocket::bind_group(loopback(false), SHARDS).unwrap();
        group[0].attach_steering(&program(sent_by, SHARDS)).unwrap();
        group
    }

    /// How many of `datagrams` each socket of the group got.
    fn spread(group: &[DatagramSocket], datagrams: &[(Vec<u8>, Vec<u8>)]) -> Vec<usize> {
        let client = one(false);
        let mut counts = vec![0; group.len()];
        let mut receiver = Receiver::new();
        for chunk in datagrams.chunks(50) {
            send_all(&client, group[0].local_address().unwrap(), chunk);
            // Loopback delivers within the send, so whatever is to arrive is there.
            for (socket, count) in group.iter().zip(&mut counts) {
                while receiver.receive(socket).unwrap() > 0 {
                    *count += receiver.datagrams().count();
                }
            }
        }
        counts
    }

    fn answer(via: &str, sent_by: &str, digits: &str) -> (Vec<u8>, Vec<u8>) {
        let text = format!(
            "SIP/2.0 200 OK\r\n{via}SIP/2.0/UDP {sent_by};branch=z9hG4bK{digits}-77;rport=5060\r\nCall-ID: 1\r\n\r\n"
        );
        (text.into_bytes(), Vec::new())
    }

    #[test]
    fn answers_come_home_to_the_owner() {
        let names = ["ps.example.com:5060", "ps.example.com"];
        let group = group(&names);
        for number in (0..4096)
            .step_by(37)
            .chain([0, 1365, 1366, 2730, 2731, 4095])
        {
            let partition = Partition::new(number).unwrap();
            let digits = String::from_utf8(partition.digits().to_vec()).unwrap();
            let mut expected = vec![0; usize::from(SHARDS)];
            expected[usize::from(partition.shard(SHARDS))] = 6;
            let mut datagrams = Vec::new();
            for via in ["Via: ", "v: ", "Via:"] {
                datagrams.extend(names.map(|name| answer(via, name, &digits)));
            }
            assert_eq!(spread(&group, &datagrams), expected, "partition {number}");
        }
    }

    #[test]
    fn everything_else_is_spread() {
        let group = group(&["ps.example.com"]);
        let mut datagrams = vec![
            (
                b"PUBLISH sip:alice@example.com SIP/2.0\r\n".to_vec(),
                Vec::new()
            );
            300
        ];
        datagrams.extend(vec![answer("Via: ", "another.example.com", "fff"); 300]);
        datagrams.extend(vec![(b"x".to_vec(), Vec::new()); 300]);
        let counts = spread(&group, &datagrams);
        assert_eq!(counts.iter().sum::<usize>(), 900);
        // 300 each are expected with a deviation of 14: 150 away is out of reach.
        assert!(
            counts.iter().all(|count| (150..450).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn digits_that_are_none_never_leave_the_group() {
        let group = group(&["ps.example.com"]);
        let datagrams = ["zzz", "FFF", "\u{7f}\u{7f}\u{7f}", "..."]
            .map(|digits| answer("Via: ", "ps.example.com", digits));
        assert_eq!(spread(&group, &datagrams).iter().sum::<usize>(), 4);
    }
}
