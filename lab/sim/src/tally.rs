//! What a world did to those who live in it: so that nobody takes a calm one for a test.

use std::collections::BTreeMap;
use std::fmt;

/// Counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams sent, by anybody.
    pub datagrams: u64,
    /// Of these, so many never arrived.
    pub lost: u64,
    /// So many arrived twice.
    pub doubled: u64,
    /// So many arrived seconds late.
    pub late: u64,
    /// Connections that broke in the middle of a message.
    pub torn_connections: u64,
    /// Deaths of the server.
    pub crashes: u64,
    /// Its ends in good order.
    pub stops: u64,
    /// Batches that were not known to be durable in a crash, and were.
    pub batches_kept: u64,
    /// And were not.
    pub batches_lost: u64,
    /// Steps of the wall clock.
    pub wall_steps: u64,
    /// Answers that left, of the server and of proxies on the way: to which method, with which status.
    pub answers: BTreeMap<(String, u16), u64>,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in [
            (&mut self.datagrams, other.datagrams),
            (&mut self.lost, other.lost),
            (&mut self.doubled, other.doubled),
            (&mut self.late, other.late),
            (&mut self.torn_connections, other.torn_connections),
            (&mut self.crashes, other.crashes),
            (&mut self.stops, other.stops),
            (&mut self.batches_kept, other.batches_kept),
            (&mut self.batches_lost, other.batches_lost),
            (&mut self.wall_steps, other.wall_steps),
        ] {
            *own += more;
        }
        for (answer, count) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} datagrams: {} lost, {} twice, {} seconds late; {} connections cut in mid-message; {} wall clock steps",
            self.datagrams,
            self.lost,
            self.doubled,
            self.late,
            self.torn_connections,
            self.wall_steps
        )?;
        writeln!(
            f,
            "{} crashes ({} unconfirmed batches kept, {} lost), {} clean stops",
            self.crashes, self.batches_kept, self.batches_lost, self.stops
        )?;
        for method in ["PUBLISH", "SUBSCRIBE"] {
            let of_method = self.answers.iter().filter(|(answer, _)| answer.0 == method);
            let answers: Vec<String> = of_method
                .map(|(answer, count)| format!("{} {count}", answer.1))
                .collect();
            writeln!(f, "{method} answered: {}", answers.join(", "))?;
        }
        Ok(())
    }
}
