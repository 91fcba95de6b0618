//! What was found, as values, as JSON and as a table.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::load::Phase;
use crate::plan::{FanOut, Operation};
use crate::process::Drops;
use crate::wrong::Wrong;

/// The machine's limit.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    /// Length of each datagram.
    pub datagram_bytes: usize,
    /// Datagrams received and sent back.
    pub pairs: u64,
    /// In so long.
    pub seconds: f64,
    /// CPU time of the thread that sent them back.
    pub server_nanos: u64,
    /// CPU time of ours.
    pub own_nanos: u64,
}

impl Echo {
    /// CPU time of one datagram received and sent back, in microseconds.
    pub fn micros(&self) -> f64 {
        per(self.server_nanos, self.pairs)
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        Self {
            mean: histogram.mean(),
            p50: histogram.percentile(50.0),
            p90: histogram.percentile(90.0),
            p99: histogram.percentile(99.0),
            p999: histogram.percentile(99.9),
            max: histogram.max(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "mean": self.mean, "p50": self.p50, "p90": self.p90,
            "p99": self.p99, "p99_9": self.p999, "max": self.max,
        })
    }
}

/// One operation in one loop.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What was done.
    pub operation: Operation,
    /// Of which shape.
    pub shape: Option<FanOut>,
    /// Operations a second that were offered; none in a closed loop.
    pub offered: Option<f64>,
    /// Measured time.
    pub seconds: f64,
    /// Operations that ended well in it.
    pub operations: u64,
    /// NOTIFYs that came in it.
    pub notifies: u64,
    /// Messages that we sent and received.
    pub messages: u64,
    /// From the request, or when it was due, to the last message of the operation.
    pub latency: Latency,
    /// From the request that changed what a watcher sees to her NOTIFY.
    pub notify_latency: Latency,
    /// CPU time of the server's threads; none where its processes are not known.
    pub server_nanos: Option<u64>,
    /// The kernel's part of it, to 10 ms.
    pub server_system_nanos: u64,
    /// The server's busiest thread.
    pub server_busiest_nanos: u64,
    /// CPU time of ours.
    pub own_nanos: u64,
    /// Requests that we sent again.
    pub retransmitted: u64,
    /// NOTIFYs that came again with the same CSeq.
    pub repeated_notifies: u64,
    /// NOTIFYs whose CSeq left some out.
    pub cseq_gaps: u64,
    /// Dropped by the kernel.
    pub drops: Drops,
    /// Everything that was wrong.
    pub wrong: Wrong,
    /// The echo's CPU time for a pair, the mean of just before and just after, in microseconds.
    pub echo_micros: Option<f64>,
}

impl Measured {
    pub(crate) fn new(
        operation: Operation,
        shape: Option<FanOut>,
        offered: Option<f64>,
        phase: &Phase,
        knows_server: bool,
        wrong: Wrong,
    ) -> Self {
        let counted = &phase.counted;
        Self {
            operation,
            shape,
            offered,
            seconds: phase.seconds,
            operations: counted.operations,
            notifies: counted.notifies,
            messages: counted.messages,
            latency: Latency::of(&counted.latency),
            notify_latency: Latency::of(&counted.notify_latency),
            server_nanos: knows_server.then_some(phase.server.nanos),
            server_system_nanos: phase.server.system_nanos,
            server_busiest_nanos: phase.server.busiest_nanos,
            own_nanos: phase.own_nanos,
            retransmitted: counted.retransmitted,
            repeated_notifies: counted.repeated_notifies,
            cseq_gaps: counted.cseq_gaps,
            drops: phase.drops,
            wrong,
            echo_micros: None,
        }
    }

    /// `fan-out 100x100`.
    pub fn name(&self) -> String {
        match self.shape {
            Some(shape) => format!("{} {shape}", self.operation.name()),
            None => self.operation.name().to_owned(),
        }
    }

    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds.max(0.001)
    }

    /// What one costs: a NOTIFY and its 200 of a fan-out (with its share of the PUBLISH), else the whole operation.
    pub fn units(&self) -> u64 {
        if self.operation.counts_notifies() {
            self.notifies
        } else {
            self.operations
        }
    }

    /// The server's CPU time for one unit, in microseconds.
    pub fn server_micros(&self) -> Option<f64> {
        Some(per(self.server_nanos?, self.units()))
    }

    /// That, as a multiple of the echo's pair.
    pub fn ratio(&self) -> Option<f64> {
        let echo = self.echo_micros.filter(|echo| *echo > 0.0)?;
        (self.units() > 0).then(|| Some(self.server_micros()? / echo))?
    }

    /// What the ratio should not exceed.
    pub const fn mark(&self) -> Option<f64> {
        match self.operation {
            Operation::FanOut => Some(3.0),
            Operation::Subscribe | Operation::Fetch => Some(6.0),
            _ => None,
        }
    }

    /// How much of a core the busiest thread of the server used: near 1 it is saturated.
    pub fn saturation(&self) -> f64 {
        self.server_busiest_nanos as f64 / 1e9 / self.seconds.max(0.001)
    }

    fn json(&self) -> Value {
        json!({
            "operation": self.operation.name(),
            "presentities": self.shape.map(|shape| shape.presentities),
            "watchers": self.shape.map(|shape| shape.watchers),
            "loop": if self.offered.is_some() { "open" } else { "closed" },
            "offered_per_second": self.offered,
            "seconds": self.seconds,
            "operations": self.operations,
            "operations_per_second": self.rate(),
            "notifies": self.notifies,
            "messages": self.messages,
            "latency_us": self.latency.json(),
            "notify_latency_us": self.operation.counts_notifies().then(|| self.notify_latency.json()),
            "server_cpu_us_per_operation": self.server_nanos.map(|nanos| per(nanos, self.operations)),
            "server_cpu_us_per_unit": self.server_micros(),
            "unit": if self.operation.counts_notifies() { "NOTIFY and 200" } else { "operation" },
            "ratio_to_echo": self.ratio(),
            "echo_cpu_us_per_pair": self.echo_micros,
            "mark": self.mark(),
            "server_cpu_system_part": self.server_nanos.map(|nanos| self.server_system_nanos as f64 / nanos.max(1) as f64),
            "server_busiest_thread": self.saturation(),
            "server_cpu_us_per_message": self.server_nanos.map(|nanos| per(nanos, self.messages)),
            "own_cpu_us_per_message": per(self.own_nanos, self.messages),
            "retransmitted_requests": self.retransmitted,
            "repeated_notifies": self.repeated_notifies,
            "cseq_gaps": self.cseq_gaps,
            "kernel_drops": {
                "server_socket": self.drops.server_socket,
                "own_sockets": self.drops.own_sockets,
                "machine_receive_buffer": self.drops.receive_buffer,
                "machine_send_buffer": self.drops.send_buffer,
            },
            "wrong": wrong_json(&self.wrong),
        })
    }
}

/// What the server's memory grew by.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// During which operation.
    pub operation: Operation,
    /// Publications or subscriptions made.
    pub objects: u64,
    /// Resident bytes more than before. What is remembered for retransmissions (32 s on UDP) is part of it.
    pub bytes: u64,
}

/// Subscriptions over a stop and a start.
#[derive(Clone, Debug)]
pub struct Restored {
    /// How many.
    pub subscriptions: u64,
    /// From the start of the process until it is ready, as we saw it.
    pub start_ms: u64,
    /// The same start with an empty folder.
    pub empty_start_ms: u64,
    /// Resident bytes after the start, beyond those of the server that had only the publications.
    pub bytes: u64,
    /// Everything that was wrong when each presentity then published once.
    pub wrong: Wrong,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How the server was run, for the reader.
    pub server: String,
    /// By what messages went.
    pub carrier: &'static str,
    /// The machine's limit.
    pub echo: Option<Echo>,
    /// Each operation in each loop.
    pub measured: Vec<Measured>,
    /// Memory of publications and subscriptions.
    pub memory: Vec<Memory>,
    /// What was restored.
    pub restored: Option<Restored>,
}

impl Report {
    /// Everything that was wrong.
    pub fn wrong(&self) -> Wrong {
        let mut wrong = Wrong::default();
        for measured in &self.measured {
            wrong.join(&measured.wrong);
        }
        if let Some(restored) = &self.restored {
            wrong.join(&restored.wrong);
        }
        wrong
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let echo = self.echo.as_ref();
        json!({
            "server": self.server,
            "transport": self.carrier,
            "echo": echo.map(|echo| json!({
                "datagram_bytes": echo.datagram_bytes,
                "pairs": echo.pairs,
                "pairs_per_second": echo.pairs as f64 / echo.seconds.max(0.001),
                "cpu_us_per_pair": echo.micros(),
                "busy": echo.server_nanos as f64 / 1e9 / echo.seconds.max(0.001),
                "own_cpu_us_per_pair": per(echo.own_nanos, echo.pairs),
            })),
            "operations": self.measured.iter().map(Measured::json).collect::<Vec<_>>(),
            "memory": self.memory.iter().map(|memory| json!({
                "operation": memory.operation.name(),
                "objects": memory.objects,
                "bytes_each": memory.bytes.checked_div(memory.objects),
            })).collect::<Vec<_>>(),
            "restored": self.restored.as_ref().map(|restored| json!({
                "subscriptions": restored.subscriptions,
                "start_ms": restored.start_ms,
                "empty_start_ms": restored.empty_start_ms,
                "bytes_each": restored.bytes.checked_div(restored.subscriptions),
                "wrong": wrong_json(&restored.wrong),
            })),
            "wrong": wrong_json(&self.wrong()),
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut out = format!("{}, {}\n", self.server, self.carrier);
        if let Some(echo) = &self.echo {
            let _ = writeln!(
                out,
                "echo of {} bytes: {:.1} us of CPU a pair at first, {:.0} pairs/s; a ratio is to the echo just before and after its operation",
                echo.datagram_bytes,
                echo.micros(),
                echo.pairs as f64 / echo.seconds.max(0.001)
            );
        }
        out.push('\n');
        out.push_str(HEADINGS);
        for measured in &self.measured {
            out.push_str(&measured.line());
            out.push('\n');
        }
        out.push('\n');
        for memory in &self.memory {
            let each = memory.bytes.checked_div(memory.objects).unwrap_or(0);
            let _ = writeln!(
                out,
                "memory after {}: {each} bytes each for {}, transactions of the last 32 s included",
                memory.operation.name(),
                memory.objects
            );
        }
        if let Some(restored) = &self.restored {
            let each = restored
                .bytes
                .checked_div(restored.subscriptions.max(1))
                .unwrap_or(0);
            let _ = writeln!(
                out,
                "restored {} subscriptions: ready after {} ms (an empty folder: {} ms), {each} bytes of memory each",
                restored.subscriptions, restored.start_ms, restored.empty_start_ms
            );
        }
        out.push_str(&wrong_text(&self.wrong()));
        out
    }
}

/// The columns of a table.
pub(crate) const HEADINGS: &str = "operation           loop        per second     p50 us   p99 us  p99.9 us  CPU us each  x echo  mark  busy  own/server CPU  wrong\n";

impl Measured {
    /// One line of a table.
    pub fn line(&self) -> String {
        let optional = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let own = self
            .server_nanos
            .filter(|nanos| *nanos > 0)
            .map(|nanos| self.own_nanos as f64 / nanos as f64);
        let latency = &self.latency;
        format!(
            "{:<19} {:<9} {:>12.0} {:>10} {:>8} {:>9} {:>12} {:>7} {:>5} {:>5.2} {:>15} {:>6}",
            self.name(),
            if self.offered.is_some() {
                "open"
            } else {
                "closed"
            },
            self.rate(),
            latency.p50,
            latency.p99,
            latency.p999,
            optional(self.server_micros(), 2),
            optional(self.ratio(), 2),
            optional(self.mark(), 0),
            self.saturation(),
            optional(own, 2),
            self.wrong.total(),
        )
    }
}

/// Microseconds each.
fn per(nanos: u64, count: u64) -> f64 {
    nanos as f64 / 1000.0 / count.max(1) as f64
}

fn wrong_json(wrong: &Wrong) -> Value {
    json!({
        "total": wrong.total(),
        "kinds": wrong.iter().map(|(kind, count, example)| json!({
            "what": kind.name(), "count": count, "first": example,
        })).collect::<Vec<_>>(),
        "statuses": wrong.statuses().map(|(method, status, count)| json!({
            "method": method, "status": status, "count": count,
        })).collect::<Vec<_>>(),
    })
}

fn wrong_text(wrong: &Wrong) -> String {
    if wrong.total() == 0 {
        return "nothing wrong\n".to_owned();
    }
    let mut out = format!("WRONG: {}\n", wrong.total());
    for (kind, count, example) in wrong.iter() {
        let _ = writeln!(out, "  {count} x {}, first: {example}", kind.name());
    }
    out
}
