//! Whether there is room for new state: memory against its bound, and what the store says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shard::Room;
use store::Store;

use crate::mailbox::Notice;
use crate::shared::{Shared, lock};

/// How often memory and disk are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Compares memory and disk with their bounds once a second, and tells the shards when the answer changes.
pub(crate) async fn watch_room(shared: Arc<Shared>, store: Arc<dyn Store>, room: Arc<Mutex<Room>>) {
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    loop {
        ticks.tick().await;
        let max = bytes_max(shared.routing().settings.limits.memory_bytes_max);
        let before = *lock(&room);
        let now = judge_room(before, store.room(), resident_bytes(), max);
        if now == before {
            continue;
        }
        // A store that closes takes nothing any more; that is no lack of room to be warned of.
        if shared.is_stopping() {
            return;
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

/// Resident bytes of this process; 0 where the system doesn't say.
pub(crate) fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| kilobytes(&text, "VmRSS:"))
        .unwrap_or(0)
}

/// The bound in force: what is configured, else 80 % of what this process may use; 0 where nothing is known.
pub(crate) fn bytes_max(configured: u64) -> u64 {
    if configured > 0 {
        return configured;
    }
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| kilobytes(&text, "MemTotal:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_files(&groups)
        .iter()
        .filter_map(|path| limit(&fs::read_to_string(path).ok()?))
        .min();
    machine
        .into_iter()
        .chain(group)
        .min()
        .map_or(0, |bytes| bytes / 10 * 8)
}

/// The value of a line like `VmRSS:   1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kilobytes| kilobytes * 1024)
}

/// A control group's bound, unless it is "max".
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Where bounds may stand for a process in these control groups: its own and all above, in both versions.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            files.push(Path::new(root).join(group).join(file));
        }
    }
    files
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
    fn reads_what_the_system_writes() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\nVmData:\t 1 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("1048576\n"), Some(1_048_576));
        assert!(resident_bytes() > 100_000);
        assert_eq!(bytes_max(77), 77);
        assert!(bytes_max(0) > 1 << 20);
    }

    #[test]
    fn every_group_above_counts() {
        let paths: Vec<String> = group_files("0::/a/b\n5:cpu:/c\n7:memory,hugetlb:/d\n")
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            paths,
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory/d/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }
}
