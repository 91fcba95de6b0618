//! What std does not offer of Linux sockets: batches, port groups, wake-ups, readiness.
//!
//! This is the only module of the project with `unsafe`; everything it gives is safe to use.
#![allow(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, eventfd, poll and two socket options have no safe interface in std or socket2"
)]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams received or sent by one system call.
pub const BATCH: usize = 64;

/// The largest datagram there is: room for it makes truncation impossible.
pub const DATAGRAM_BYTES_MAX: usize = 65_536;

/// What we ask the kernel to hold for one socket and direction. 4 MiB hold some 5000 short answers by kernel accounting.
pub const BUFFER_BYTES_WANTED: usize = 4 * 1024 * 1024;

/// A UDP socket that never blocks; IPv6 sockets take IPv6 only.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: Socket,
}

/// What the kernel granted for one socket, in bytes as it counts them (its own overhead included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// SO_RCVBUF as read back.
    pub receive_bytes: usize,
    /// SO_SNDBUF as read back.
    pub send_bytes: usize,
}

impl Buffers {
    /// Whether less was granted than `BUFFER_BYTES_WANTED` asks for (the kernel doubles what it grants).
    pub const fn is_small(&self) -> bool {
        self.receive_bytes < 2 * BUFFER_BYTES_WANTED || self.send_bytes < 2 * BUFFER_BYTES_WANTED
    }
}

impl DatagramSocket {
    /// Binds `count` sockets to one address, so that as many threads share its port, in this order of index.
    ///
    /// The first is bound alone, so an address that anybody else has is `AddrInUse`, also where that other would share
    /// it; only then the port is opened for the rest of the group.
    pub fn bind_group(address: SocketAddr, count: u16) -> io::Result<Vec<Self>> {
        let first = Self::unbound(address)?;
        first.socket.bind(&address.into())?;
        let address = first.local_address()?;
        let mut group = vec![first];
        if count > 1 {
            group[0].socket.set_reuse_port(true)?;
        }
        for _ in 1..count {
            let next = Self::unbound(address)?;
            next.socket.set_reuse_port(true)?;
            next.socket.bind(&address.into())?;
            group.push(next);
        }
        Ok(group)
    }

    fn unbound(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM.nonblocking(),
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        Ok(Self { socket })
    }

    /// Where it is bound, with the port that was given.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Asks for `bytes` in each direction – beyond the system's bound where this process may – and reads back what was
    /// granted.
    pub fn enlarge_buffers(&self, bytes: usize) -> io::Result<Buffers> {
        // Refusals are no errors: what counts is what is read back.
        if set_option(
            self.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            &(bytes as libc::c_int),
        )
        .is_err()
        {
            let _ = self.socket.set_recv_buffer_size(bytes);
        }
        if set_option(
            self.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            &(bytes as libc::c_int),
        )
        .is_err()
        {
            let _ = self.socket.set_send_buffer_size(bytes);
        }
        Ok(Buffers {
            receive_bytes: self.socket.recv_buffer_size()?,
            send_bytes: self.socket.send_buffer_size()?,
        })
    }

    /// Lets `program` choose the socket of this port group for each datagram (its result is the index).
    pub fn attach_steering(&self, program: &[Instruction]) -> io::Result<()> {
        let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let filter: Vec<libc::sock_filter> = program
            .iter()
            .map(|i| libc::sock_filter {
                code: i.code,
                jt: i.jump_true,
                jf: i.jump_false,
                k: i.operand,
            })
            .collect();
        let program = libc::sock_fprog {
            len: length,
            filter: filter.as_ptr().cast_mut(),
        };
        // The kernel reads `len` instructions behind the pointer during the call; `filter` outlives it.
        set_option(
            self.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            &program,
        )
    }

    /// Sends up to `BATCH` datagrams, each a head and a body; returns how many the kernel took.
    ///
    /// With `trains`, neighbours of one length to one address, and a shorter one behind them, travel as one through the
    /// kernel (UDP_SEGMENT) and part at the far end of it: on the wire nothing differs.
    ///
    /// An error concerns the first of them, or the train that it leads: `WouldBlock` means wait until writable, anything
    /// else that this one cannot go out, or that trains can't.
    pub fn send_batch<'a>(
        &self,
        datagrams: impl Iterator<Item = (SocketAddr, &'a [u8], &'a [u8])>,
        trains: bool,
    ) -> io::Result<usize> {
        let mut addresses: [MaybeUninit<Address>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
        let mut vectors: [MaybeUninit<[libc::iovec; 2]>; BATCH] =
            [const { MaybeUninit::uninit() }; BATCH];
        let mut controls: [MaybeUninit<SegmentControl>; BATCH] =
            [const { MaybeUninit::uninit() }; BATCH];
        let mut headers: [MaybeUninit<libc::mmsghdr>; BATCH] =
            [const { MaybeUninit::uninit() }; BATCH];
        let mut runs = [Run::NONE; BATCH];
        let (mut count, mut last_to) = (0, None);
        for ((to, head, body), vector) in datagrams.zip(&mut vectors) {
            let vector = vector.write([to_vector(head), to_vector(body)]);
            let bytes = head.len() + body.len();
            if trains
                && last_to == Some(to)
                && let Some(run) = runs[..count].last_mut()
                && run.take(bytes)
            {
                continue;
            }
            last_to = Some(to);
            let (address, length) = Address::from_std(to);
            let header = message_header(addresses[count].write(address), length, vector);
            headers[count].write(header);
            runs[count] = Run {
                datagrams: 1,
                bytes,
                ended: false,
            };
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        couple(&mut headers, &runs[..count], &mut vectors, &mut controls);
        // SAFETY: the first `count` headers are initialised and point into `addresses`, `vectors`, `controls` and the
        // caller's slices, which all outlive the call; sendmmsg reads them and writes only `msg_len` of each header.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            let sent = runs.iter().take(sent as usize);
            Ok(sent.map(|run| run.datagrams).sum())
        }
    }
}

/// Neighbours of one length to one address; the last may be shorter.
#[derive(Clone, Copy)]
struct Run {
    datagrams: usize,
    /// Of each but the last.
    bytes: usize,
    /// A shorter one was the last.
    ended: bool,
}

impl Run {
    const NONE: Self = Self {
        datagrams: 0,
        bytes: 0,
        ended: false,
    };

    /// Whether one of `bytes` could be added.
    ///
    /// A train may not be longer than a datagram can be, nor its parts than a packet, which is 1500 bytes on most links: the
    /// kernel cuts trains into packets and no packets into fragments.
    const fn take(&mut self, bytes: usize) -> bool {
        const PACKET_BYTES_MAX: usize = 1452;
        const TRAIN_BYTES_MAX: usize = 65_000;
        let fits = !self.ended
            && 0 < bytes
            && bytes <= self.bytes
            && self.bytes <= PACKET_BYTES_MAX
            && (self.datagrams + 1) * self.bytes <= TRAIN_BYTES_MAX;
        if fits {
            self.datagrams += 1;
            self.ended = bytes < self.bytes;
        }
        fits
    }
}

/// Makes trains of runs: one header for all vectors of a run, which follow each other, and where to part them. As many headers are
/// initialised as there are runs.
fn couple(
    headers: &mut [MaybeUninit<libc::mmsghdr>],
    runs: &[Run],
    vectors: &mut [MaybeUninit<[libc::iovec; 2]>],
    controls: &mut [MaybeUninit<SegmentControl>],
) {
    let mut rest = vectors;
    for ((header, run), control) in headers.iter_mut().zip(runs).zip(controls) {
        let (own, others) = rest.split_at_mut(run.datagrams);
        rest = others;
        if run.datagrams > 1 {
            let control = control.write(SegmentControl::of(run.bytes as u16));
            // SAFETY: the caller has written a header for each run.
            let header = unsafe { header.assume_init_mut() };
            header.msg_hdr.msg_iov = own.as_mut_ptr().cast();
            header.msg_hdr.msg_iovlen = (2 * run.datagrams) as _;
            header.msg_hdr.msg_control = (&raw mut *control).cast();
            header.msg_hdr.msg_controllen = size_of::<SegmentControl>() as _;
        }
    }
}

/// What tells the kernel where to part a train: one control message, its value and what aligns the next.
#[repr(C)]
struct SegmentControl {
    header: libc::cmsghdr,
    bytes: u16,
    rest: [u8; 6],
}

const _: () = assert!(size_of::<SegmentControl>().is_multiple_of(align_of::<libc::cmsghdr>()));

impl SegmentControl {
    fn of(bytes: u16) -> Self {
        // SAFETY: a `cmsghdr` of zeros is valid: it has only numbers. Built so because some targets pad it privately.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        Self {
            header,
            bytes,
            rest: [0; 6],
        }
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Room for one received batch, used again for each: 4 MiB of address space, of which only touched pages are resident.
pub struct Receiver {
    memory: Vec<u8>,
    senders: [Address; BATCH],
    lengths: [u32; BATCH],
    count: usize,
    full: bool,
}

impl Receiver {
    /// Empty room.
    pub fn new() -> Self {
        Self {
            memory: vec![0; BATCH * DATAGRAM_BYTES_MAX],
            senders: [Address::NONE; BATCH],
            lengths: [0; BATCH],
            count: 0,
            full: false,
        }
    }

    /// Receives what waits, at most `BATCH` datagrams; 0 when nothing does. What was received before is gone.
    pub fn receive(&mut self, socket: &DatagramSocket) -> io::Result<usize> {
        // After a small batch only a few slots are set up: most calls bring one or two datagrams.
        let slots = (self.count * 2).clamp(8, BATCH);
        self.count = 0;
        self.full = false;
        let mut vectors: [MaybeUninit<[libc::iovec; 1]>; BATCH] =
            [const { MaybeUninit::uninit() }; BATCH];
        let mut headers: [MaybeUninit<libc::mmsghdr>; BATCH] =
            [const { MaybeUninit::uninit() }; BATCH];
        let room = self
            .memory
            .chunks_exact_mut(DATAGRAM_BYTES_MAX)
            .zip(&mut self.senders);
        for ((chunk, sender), (vector, header)) in
            room.zip(vectors.iter_mut().zip(&mut headers)).take(slots)
        {
            let vector = vector.write([libc::iovec {
                iov_base: chunk.as_mut_ptr().cast(),
                iov_len: chunk.len(),
            }]);
            header.write(message_header(
                sender,
                size_of::<Address>() as libc::socklen_t,
                vector,
            ));
        }
        // SAFETY: the first `slots` headers are initialised; each points to its own `DATAGRAM_BYTES_MAX` bytes of
        // `memory` and its own `Address`, both borrowed mutably by this function for longer than the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                slots as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if received < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock {
                Ok(0)
            } else {
                Err(error)
            };
        }
        self.count = received as usize;
        self.full = self.count == slots;
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(self.count) {
            // SAFETY: the first `slots` headers were initialised above, and `count <= slots`.
            *length = unsafe { header.assume_init_ref() }.msg_len;
        }
        Ok(self.count)
    }

    /// Whether the last `receive` filled every slot it had set up: more may wait.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// The datagrams of the last `receive`, with their source addresses.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let slots = self
            .memory
            .chunks_exact(DATAGRAM_BYTES_MAX)
            .zip(&self.senders)
            .zip(&self.lengths);
        slots
            .take(self.count)
            .filter_map(|((chunk, sender), length)| {
                Some((sender.to_std()?, chunk.get(..*length as usize)?))
            })
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// One instruction of a classic BPF program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip when a condition holds.
    pub jump_true: u8,
    /// Instructions to skip when it doesn't.
    pub jump_false: u8,
    /// The operand.
    pub operand: u32,
}

/// Wakes one thread that waits in `Poller::wait`; any thread may do it.
#[derive(Debug)]
pub struct Waker {
    event: File,
}

impl Waker {
    /// A waker that nobody has used.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes two numbers and touches no memory of ours.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self {
            event: File::from(descriptor),
        })
    }

    /// Makes it readable. Waking twice is waking once.
    pub fn wake(&self) {
        // The only failure is a counter at its maximum: then it is readable anyway.
        let _ = (&self.event).write(&1_u64.to_ne_bytes());
    }

    /// Makes it unreadable again.
    pub fn clear(&self) {
        // The only failure is that it wasn't readable.
        let _ = (&self.event).read(&mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Waits until one of a few descriptors is ready.
#[derive(Default)]
pub struct Poller {
    entries: Vec<libc::pollfd>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller")
            .field("entries", &self.entries.len())
            .finish()
    }
}

impl Poller {
    /// Forgets every descriptor.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds a descriptor to wait for; the index asks about it afterwards.
    pub fn add(&mut self, source: &impl AsFd, writable_too: bool) -> usize {
        let events = if writable_too {
            libc::POLLIN | libc::POLLOUT
        } else {
            libc::POLLIN
        };
        self.entries.push(libc::pollfd {
            fd: source.as_fd().as_raw_fd(),
            events,
            revents: 0,
        });
        self.entries.len() - 1
    }

    /// Waits at most `timeout`, for ever without one; without any descriptor until it is over.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(timeout.subsec_nanos()),
        });
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the pointer and the length are those of one initialised vector, which ppoll writes `revents` of, the timeout
        // is one that outlives the call or none, and no signal mask is given. A descriptor closed meanwhile is answered by POLLNVAL.
        let ready = unsafe {
            libc::ppoll(
                self.entries.as_mut_ptr(),
                self.entries.len() as libc::nfds_t,
                timeout,
                std::ptr::null(),
            )
        };
        if ready >= 0 {
            return Ok(());
        }
        for entry in &mut self.entries {
            entry.revents = 0;
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Whether there is something to read (or an error to fetch by reading).
    pub fn is_readable(&self, index: usize) -> bool {
        self.entries
            .get(index)
            .is_some_and(|entry| entry.revents & !libc::POLLOUT != 0)
    }

    /// Whether writing would not block.
    pub fn is_writable(&self, index: usize) -> bool {
        self.entries
            .get(index)
            .is_some_and(|entry| entry.revents & libc::POLLOUT != 0)
    }
}

/// Asks for as many open descriptors as this process may have, and says how many those are.
pub fn raise_descriptors_max() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes one `rlimit`, which `limit` is.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = libc::rlimit {
        rlim_cur: limit.rlim_max,
        rlim_max: limit.rlim_max,
    };
    // SAFETY: setrlimit reads one `rlimit`, which `wanted` is.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
        limit = wanted;
    }
    Ok(limit.rlim_cur)
}

fn set_option<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, which the kernel only reads, during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A socket address as the kernel writes it; which of the two is told by the family, which both begin with.
#[derive(Clone, Copy)]
#[repr(C)]
union Address {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Address {
    const NONE: Self = Self {
        v6: libc::sockaddr_in6 {
            sin6_family: libc::AF_UNSPEC as libc::sa_family_t,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        },
    };

    fn from_std(address: SocketAddr) -> (Self, libc::socklen_t) {
        let mut raw = Self::NONE;
        match address {
            SocketAddr::V4(v4) => {
                raw.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                (raw, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                raw.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: v6.ip().octets(),
                    },
                    sin6_scope_id: v6.scope_id(),
                };
                (raw, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    fn to_std(self) -> Option<SocketAddr> {
        // SAFETY: every `Address` begins as `NONE`, so all its 28 bytes are initialised, and every bit pattern is valid
        // for both members, which are plain numbers.
        let (v4, v6) = unsafe { (self.v4, self.v6) };
        match libc::c_int::from(v6.sin6_family) {
            libc::AF_INET => {
                let address = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(address, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Some(SocketAddrV6::new(address, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

fn to_vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn message_header<const N: usize>(
    address: &mut Address,
    length: libc::socklen_t,
    vector: &mut [libc::iovec; N],
) -> libc::mmsghdr {
    // SAFETY: a `mmsghdr` of zeros is valid: numbers are 0 and pointers null. Built so because some targets have
    // private padding fields that cannot be named.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = (&raw mut *address).cast();
    header.msg_hdr.msg_namelen = length;
    header.msg_hdr.msg_iov = vector.as_mut_ptr();
    header.msg_hdr.msg_iovlen = N as _;
    header
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
