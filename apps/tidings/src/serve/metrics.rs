//! Counters and gauges as OpenMetrics text, for whoever collects them.

use std::fmt::Write as _;

use machine::happening::Value;
use node::{Happenings, Status};

/// Everything, as of now.
pub(crate) fn text(version: &str, status: Option<&Status>, reloaded: bool) -> String {
    let mut out = String::new();
    gauge(
        &mut out,
        "tidings_build_info",
        "Always 1.",
        &format!("{{version=\"{version}\"}}"),
        1,
    );
    gauge(
        &mut out,
        "tidings_config_last_reload_successful",
        "1 where the last reload took the file over.",
        "",
        u64::from(reloaded),
    );
    if let Some(status) = status {
        state(&mut out, status);
        traffic(&mut out, status);
        happenings(&mut out, &sum(status));
    }
    out.push_str("# EOF\n");
    out
}

/// What happened in all shards together.
pub(crate) fn sum(status: &Status) -> Happenings {
    let mut all = Happenings::default();
    status
        .shards
        .iter()
        .for_each(|tally| all.add(&tally.happened));
    all
}

fn state(out: &mut String, status: &Status) {
    let of = |count: fn(&node::Tally) -> usize| -> u64 {
        status.shards.iter().map(|tally| count(tally) as u64).sum()
    };
    for (name, about, value) in [
        (
            "tidings_publications",
            "Live publications.",
            of(|tally| tally.counts.publications),
        ),
        (
            "tidings_subscriptions",
            "Live subscriptions.",
            of(|tally| tally.counts.subscriptions),
        ),
        (
            "tidings_presentities",
            "Presentities that are published for or watched.",
            of(|tally| tally.counts.presentities),
        ),
        (
            "tidings_connections",
            "Open stream connections.",
            status.streams.open,
        ),
        (
            "tidings_memory_bytes",
            "Resident memory.",
            status.memory_bytes,
        ),
        (
            "tidings_store_disk_bytes",
            "Bytes of the store's files.",
            status.store.disk_bytes,
        ),
    ] {
        gauge(out, name, about, "", value);
    }
}

fn traffic(out: &mut String, status: &Status) {
    let of = |count: fn(&node::Tally) -> u64| status.shards.iter().map(count).sum::<u64>();
    for (name, about, count) in [
        (
            "tidings_datagrams_received",
            "Datagrams received.",
            of(|tally| tally.datagrams_received),
        ),
        (
            "tidings_datagrams_sent",
            "Datagrams sent.",
            of(|tally| tally.datagrams_sent),
        ),
        (
            "tidings_datagrams_kernel_dropped",
            "Datagrams that the kernel dropped since our buffer was full.",
            status.udp.iter().map(|udp| udp.kernel_dropped).sum(),
        ),
        (
            "tidings_commits",
            "Batches handed to the store.",
            of(|tally| tally.commits),
        ),
        (
            "tidings_sources_refused",
            "Requests over their source's rate, answered 503.",
            of(|tally| tally.sources_refused) + status.stream_sources.sources_refused,
        ),
    ] {
        head(out, name, "counter", about);
        let _ = writeln!(out, "{name}_total {count}");
    }
}

fn happenings(out: &mut String, happenings: &Happenings) {
    let mut last = "";
    for (kind, labels, count) in happenings.counts() {
        let Some(metric) = kind.metric else { continue };
        let family = metric.strip_suffix("_total").unwrap_or(metric);
        if last != metric {
            let about: String = kind.about.concat();
            head(out, family, "counter", about.trim());
            last = metric;
        }
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(*value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(out, "{metric}{labels} {count}");
    }
}

fn gauge(out: &mut String, name: &str, about: &str, labels: &str, value: u64) {
    head(out, name, "gauge", about);
    let _ = writeln!(out, "{name}{labels} {value}");
}

fn head(out: &mut String, name: &str, kind: &str, about: &str) {
    let about = about.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {about}");
}

fn escaped(value: Value<'_>) -> String {
    value
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_a_type_before_it_and_the_end_is_marked() {
        let text = text("1", None, true);
        assert!(text.ends_with("# EOF\n"));
        let mut happened = String::new();
        happenings(&mut happened, &Happenings::default());
        // What has labels has no sample before it happens; everything else counts from 0.
        assert!(
            happened.contains("# TYPE tidings_notifies_sent counter\n"),
            "{happened}"
        );
        assert!(
            happened.contains("\ntidings_notifies_sent_total 0\n"),
            "{happened}"
        );
        assert!(!happened.contains("tidings_requests_refused"), "{happened}");
        for out in [&text, &happened] {
            let mut family = "";
            for line in out.lines().filter(|line| *line != "# EOF") {
                if let Some(declared) = line.strip_prefix("# TYPE ") {
                    family = declared.split(' ').next().unwrap_or_default();
                }
                let rest = line
                    .strip_prefix("# TYPE ")
                    .or(line.strip_prefix("# HELP "));
                assert!(rest.unwrap_or(line).starts_with(family), "{line}");
            }
        }
    }

    #[test]
    fn a_label_ends_where_it_should() {
        assert_eq!(escaped(Value::Text("a\"b\\c\nd")), "a\\\"b\\\\c\\nd");
    }
}
