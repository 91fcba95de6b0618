//! What a process cost, as Linux tells it: CPU time of its threads, resident memory, datagrams that the kernel dropped.

use std::fs;
use std::path::{Path, PathBuf};

/// Nanoseconds of one tick of `/proc/PID/stat`: USER_HZ is 100 on every Linux that we run on.
const TICK_NANOS: u64 = 10_000_000;

/// CPU time of processes, user and system together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// All threads.
    pub(crate) nanos: u64,
    /// The part of the kernel, in ticks of 10 ms.
    pub(crate) system_nanos: u64,
    /// The busiest thread.
    pub(crate) busiest_nanos: u64,
}

/// The processes and everything they started.
pub fn children(processes: &[u32]) -> Vec<u32> {
    let mut all = processes.to_vec();
    let mut next = 0;
    while let Some(process) = all.get(next).copied() {
        next += 1;
        for task in tasks(process) {
            let path = format!("/proc/{process}/task/{task}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            let new = children
                .split_ascii_whitespace()
                .filter_map(|id| id.parse().ok());
            for child in new {
                if !all.contains(&child) {
                    all.push(child);
                }
            }
        }
    }
    all
}

fn tasks(process: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// CPU time so far of each thread of these processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    threads: Vec<(u32, u64)>,
    system_nanos: u64,
}

impl Usage {
    pub(crate) fn of(processes: &[u32]) -> Self {
        let mut usage = Self::default();
        for process in processes {
            for task in tasks(*process) {
                let path = format!("/proc/{process}/task/{task}");
                usage.threads.push((task, thread_nanos(&path)));
            }
            usage.system_nanos += ticks(&format!("/proc/{process}")).1;
        }
        usage
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Cpu {
        let used = |(task, nanos): &(u32, u64)| {
            let before = earlier.threads.iter().find(|(other, _)| other == task);
            nanos.saturating_sub(before.map_or(0, |(_, nanos)| *nanos))
        };
        Cpu {
            nanos: self.threads.iter().map(used).sum(),
            system_nanos: self.system_nanos.saturating_sub(earlier.system_nanos),
            busiest_nanos: self.threads.iter().map(used).max().unwrap_or(0),
        }
    }
}

/// CPU time of the calling thread so far.
pub(crate) fn own_nanos() -> u64 {
    thread_nanos("/proc/thread-self")
}

/// The calling thread, as `/proc` names it for every thread of this process.
pub(crate) fn own_thread() -> PathBuf {
    let link = fs::read_link("/proc/thread-self").unwrap_or_default();
    Path::new("/proc").join(link)
}

/// CPU time so far of a thread so named.
pub(crate) fn nanos_of(thread: &Path) -> u64 {
    thread_nanos(&thread.to_string_lossy())
}

/// The scheduler's own account, to the nanosecond; where the kernel doesn't keep one, ticks.
fn thread_nanos(path: &str) -> u64 {
    let exact = fs::read_to_string(format!("{path}/schedstat")).ok();
    let exact = exact.and_then(|text| text.split(' ').next()?.parse().ok());
    exact.unwrap_or_else(|| {
        let (user, system) = ticks(path);
        user + system
    })
}

/// User and system time of `stat`.
fn ticks(path: &str) -> (u64, u64) {
    fs::read_to_string(format!("{path}/stat"))
        .ok()
        .and_then(|text| read_ticks(&text))
        .unwrap_or_default()
}

/// The name in brackets may hold anything, brackets too: fields are counted from the last one.
fn read_ticks(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()? * TICK_NANOS, next()? * TICK_NANOS))
}

/// Resident memory of these processes, in bytes.
pub(crate) fn resident_bytes(processes: &[u32]) -> u64 {
    let of = |process: &u32| {
        let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    processes.iter().filter_map(of).sum::<u64>() * 1024
}

/// Datagrams that the kernel dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// At sockets bound to the server's port.
    pub server_socket: u64,
    /// At our own sockets.
    pub own_sockets: u64,
    /// On the whole machine, for want of room in a receive buffer.
    pub receive_buffer: u64,
    /// On the whole machine, for want of room in a send buffer.
    pub send_buffer: u64,
}

impl Drops {
    /// So far; ports as the kernel's tables have them.
    pub(crate) fn read(server: u16, own: &[u16]) -> Self {
        let mut drops = Self::default();
        for table in ["/proc/net/udp", "/proc/net/udp6"] {
            let text = fs::read_to_string(table).unwrap_or_default();
            for (port, count) in text.lines().skip(1).filter_map(read_socket) {
                if port == server {
                    drops.server_socket += count;
                } else if own.contains(&port) {
                    drops.own_sockets += count;
                }
            }
        }
        let text = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
        drops.receive_buffer = read_counter(&text, "RcvbufErrors").unwrap_or(0);
        drops.send_buffer = read_counter(&text, "SndbufErrors").unwrap_or(0);
        drops
    }

    pub(crate) const fn since(&self, earlier: &Self) -> Self {
        Self {
            server_socket: self.server_socket.saturating_sub(earlier.server_socket),
            own_sockets: self.own_sockets.saturating_sub(earlier.own_sockets),
            receive_buffer: self.receive_buffer.saturating_sub(earlier.receive_buffer),
            send_buffer: self.send_buffer.saturating_sub(earlier.send_buffer),
        }
    }
}

/// Local port and drops of a line of `/proc/net/udp`.
fn read_socket(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let port = fields.nth(1)?.rsplit_once(':')?.1;
    let drops = fields.last()?;
    Some((u16::from_str_radix(port, 16).ok()?, drops.parse().ok()?))
}

/// A counter of `/proc/net/snmp`'s two lines on UDP.
fn read_counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split(' ').position(|other| other == name)?;
    values.split(' ').nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 90 0 0 0 12 34 0 0 20 0 4 0";
        assert_eq!(read_ticks(stat), Some((12 * TICK_NANOS, 34 * TICK_NANOS)));
        let line = "  412: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000  0 0 27 2 0000000000000000 17";
        assert_eq!(read_socket(line), Some((5060, 17)));
        let snmp =
            "Tcp: A\nTcp: 1\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 1 22 3\nUdpLite: x\n";
        assert_eq!(read_counter(snmp, "RcvbufErrors"), Some(22));
        assert_eq!(read_counter(snmp, "Nothing"), None);
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let me = [std::process::id()];
        assert!(resident_bytes(&me) > 100_000);
        assert!(!Usage::of(&me).threads.is_empty());
        assert!(children(&me).contains(&me[0]));
    }
}
