//! How much memory this process holds, and how much it may.

use std::fs;
use std::path::{Path, PathBuf};

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
