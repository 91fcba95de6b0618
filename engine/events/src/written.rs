//! Records of one turn until they are committed: their bytes in one piece, so that a batch is one allocation, whichever
//! thread lets it go.

use bytes::Bytes;
use machine::{Key, Op, Record};

/// A turn that writes much is seldom followed by one that writes as much.
const ROOM_MAX: usize = 64 << 10;

/// What happens to an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Put,
    Append,
    Remove,
}

/// Records in order.
#[derive(Debug, Default)]
pub(crate) struct Written {
    bytes: Vec<u8>,
    /// Of which object, what, and where its bytes end.
    records: Vec<(Key, Kind, usize)>,
    /// Somebody waits for one of them.
    is_awaited: bool,
}

impl Written {
    /// Whether somebody waits for one of them.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds one that an acknowledgement waits for.
    pub(crate) fn push(&mut self, key: Key, kind: Kind, bytes: &[u8]) {
        self.is_awaited = true;
        self.push_lazily(key, kind, bytes);
    }

    /// Adds one that nobody waits for: in its order all the same, or an older word about an object would come after a newer.
    pub(crate) fn push_lazily(&mut self, key: Key, kind: Kind, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.records.push((key, kind, self.bytes.len()));
    }

    /// Gives all, and begins anew with room for as much.
    pub(crate) fn take(&mut self) -> Vec<Record> {
        self.is_awaited = false;
        let room = Vec::with_capacity(self.bytes.len().min(ROOM_MAX));
        let bytes = Bytes::from(std::mem::replace(&mut self.bytes, room));
        let mut start = 0;
        let records = self.records.drain(..).map(|(key, kind, end)| {
            let own = bytes.slice(start..end);
            start = end;
            let op = match kind {
                Kind::Put => Op::Put(own),
                Kind::Append => Op::Append(own),
                Kind::Remove => Op::Remove,
            };
            Record { key, op }
        });
        records.collect()
    }
}
