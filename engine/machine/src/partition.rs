//! Users map to partitions by a keyed hash that is stored with the data; shards own ranges of partitions.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// How many partitions there are: 12 bits, three hexadecimal digits of a branch or a tag.
pub const PARTITIONS: u16 = 4096;

/// A slice of the users, 0..4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

impl Partition {
    /// The partition with this number, if it is one.
    pub const fn new(number: u16) -> Option<Self> {
        if number < PARTITIONS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number, 0..4096.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Which of `shards` owns it: contiguous ranges, so that any number of shards may open any data folder.
    pub const fn shard(self, shards: u16) -> u16 {
        ((self.0 as u32 * shards as u32) / PARTITIONS as u32) as u16
    }

    /// Three lower-case hexadecimal digits, as written in branches and tags.
    pub fn digits(self) -> [u8; 3] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        [
            HEX[(self.0 >> 8) as usize],
            HEX[(self.0 >> 4 & 15) as usize],
            HEX[(self.0 & 15) as usize],
        ]
    }

    /// Reads the three digits back.
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        let [a, b, c] = digits else { return None };
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(u16::from(digit - b'0')),
            b'a'..=b'f' => Some(u16::from(digit - b'a') + 10),
            _ => None,
        };
        Some(Self(value(*a)? << 8 | value(*b)? << 4 | value(*c)?))
    }
}

/// The keyed hash from a user's canonical address to her partition.
#[derive(Clone, Copy, Debug)]
pub struct Partitioner {
    key: [u8; 16],
}

impl Partitioner {
    /// `key` comes from the store, so that the map is the same in each life.
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The partition of a canonical address of record.
    pub fn partition(&self, canonical: &str) -> Partition {
        Partition((self.hash(canonical.as_bytes()) % u64::from(PARTITIONS)) as u16)
    }

    /// A keyed hash of any bytes, for fingerprints and tags that a peer must not be able to choose.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.hash_of([bytes])
    }

    /// The hash of these pieces one after the other.
    pub fn hash_of<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        for piece in pieces {
            hasher.write(piece);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_round_trip_for_every_partition() {
        for number in 0..PARTITIONS {
            let partition = Partition::new(number).unwrap();
            assert_eq!(Partition::from_digits(&partition.digits()), Some(partition));
        }
        assert_eq!(Partition::new(PARTITIONS), None);
        assert_eq!(Partition::from_digits(b"FFF"), None);
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let partitioner = Partitioner::new(*b"a key for tests.");
        let pieces: [&[u8]; 4] = [b"one", b"", b"and another", b"x"];
        assert_eq!(
            partitioner.hash_of(pieces),
            partitioner.hash(&pieces.concat())
        );
    }

    #[test]
    fn shards_own_contiguous_ranges_that_cover_everything() {
        for shards in 1..=64 {
            let owners: Vec<u16> = (0..PARTITIONS)
                .map(|n| Partition(n).shard(shards))
                .collect();
            assert!(owners.is_sorted());
            assert_eq!(owners[0], 0);
            assert_eq!(owners[PARTITIONS as usize - 1], shards - 1);
        }
    }
}
