//! What a shard has decided and the store must hold before anybody hears of it.

use bytes::Bytes;

use crate::Partition;

/// Names one stored object for ever: the partition in the upper 12 bits, a number below that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

impl Key {
    /// Numbers use the lower 52 bits: 20 bits count of starts, 32 bits counter within one life of a shard.
    pub const NUMBER_MAX: u64 = (1 << 52) - 1;

    /// The key of `number` (at most `NUMBER_MAX`) in `partition`.
    pub const fn new(partition: Partition, number: u64) -> Self {
        Self((partition.number() as u64) << 52 | number & Self::NUMBER_MAX)
    }

    /// Whose shard owns it.
    pub const fn partition(self) -> Partition {
        match Partition::new((self.0 >> 52) as u16) {
            Some(partition) => partition,
            None => unreachable!(),
        }
    }

    /// The number within the partition.
    pub const fn number(self) -> u64 {
        self.0 & Self::NUMBER_MAX
    }

    /// As stored.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// As stored.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The object begins anew with these bytes; what was appended before is gone.
    Put(Bytes),
    /// These bytes follow what is stored (a refresh writes what changed). On an object that isn't there: ignored.
    Append(Bytes),
    /// The object ends.
    Remove,
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which object.
    pub key: Key,
    /// What happens to it.
    pub op: Op,
}

/// What one shard decided since its last batch: durable as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which shard made it.
    pub shard: u16,
    /// 1, 2, 3 … for each shard in each life; reported back when durable.
    pub sequence: u64,
    /// In order.
    pub records: Vec<Record>,
    /// Nobody waits for it: it may ride with the next batch that somebody waits for.
    pub lazy: bool,
}
