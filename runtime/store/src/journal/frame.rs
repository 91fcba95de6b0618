//! Frames and records as bytes. All numbers are little-endian.
//!
//! ```text
//! frame   0 magic │ 4 length of the records │ 8 crc │ 12 starts │ 16 sequence │ 24 durable │ 32 oldest │ 36 zero │ 40 records …
//! record  0 key │ 8 kind (2 bits), length (30 bits) │ 12 crc │ 16 bytes …
//! ```
//!
//! A frame starts at a multiple of 8. Its crc covers all of it, and begins with a salt of the store's hash key and the
//! segment's number: what a peer puts into a document can't pass for a frame, nor can a frame in another segment's file.
//! A record has a crc of its own, so that one can be read alone and a damaged frame can say which of its records are whole.

use crc32fast::Hasher;

pub(crate) const HEADER_BYTES: usize = 40;
pub(crate) const RECORD_HEADER_BYTES: usize = 16;
/// 2^30: one batch beyond it would be a million changes in one turn of a shard.
pub(crate) const FRAME_BYTES_MAX: u64 = 1 << 30;

const MAGIC: u32 = u32::from_le_bytes(*b"TdF1");
const CRC_AT: usize = 8;
const LENGTH_BITS: u32 = 30;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

/// What a record does, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put = 1,
    Append = 2,
    Remove = 3,
}

/// The fields of a frame besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The life of the store that wrote it.
    pub(crate) starts: u32,
    /// 1, 2, 3 … through all lives.
    pub(crate) sequence: u64,
    /// The newest frame that was promised to be durable when this one was written.
    pub(crate) durable: u64,
    /// The oldest segment that still counts; what is older may be deleted.
    pub(crate) oldest: u32,
}

/// A whole frame, its checksum verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) head: Head,
    pub(crate) records: &'a [u8],
}

/// One record, its checksum verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) key: u64,
    pub(crate) kind: Kind,
    pub(crate) bytes: &'a [u8],
}

/// What the checksums of one segment begin with.
pub(crate) fn salt(hash_key: &[u8; 16], segment: u32) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(hash_key);
    hasher.update(&segment.to_le_bytes());
    hasher.finalize()
}

/// Bytes that a frame takes, up to where the next one may start.
pub(crate) const fn size(record_bytes: usize) -> usize {
    (HEADER_BYTES + record_bytes).next_multiple_of(8)
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of `bytes`, if there is a whole one.
    pub(crate) fn read(bytes: &'a [u8], salt: u32) -> Option<Self> {
        let length = Self::announced(bytes)?;
        let frame = bytes.get(..HEADER_BYTES.checked_add(length)?)?;
        let (header, records) = frame.split_at(HEADER_BYTES);
        if u32_at(header, CRC_AT)? != frame_crc(salt, header, records) {
            return None;
        }
        let head = Head {
            starts: u32_at(header, 12)?,
            sequence: u64_at(header, 16)?,
            durable: u64_at(header, 24)?,
            oldest: u32_at(header, 32)?,
        };
        Some(Self { head, records })
    }

    /// The length of the records that a header announces; nothing when there is no header.
    pub(crate) fn announced(bytes: &[u8]) -> Option<usize> {
        (u32_at(bytes, 0)? == MAGIC).then_some(u32_at(bytes, 4)? as usize)
    }

    pub(crate) const fn size(&self) -> usize {
        size(self.records.len())
    }
}

impl<'a> Record<'a> {
    /// The record at the beginning of `bytes`, and how many bytes it takes. `Err` carries that number, where it is
    /// believable, for a record whose checksum is wrong.
    pub(crate) fn read(bytes: &'a [u8], salt: u32) -> Result<(Self, usize), Option<usize>> {
        let (Some(key), Some(kind_length), Some(crc)) =
            (u64_at(bytes, 0), u32_at(bytes, 8), u32_at(bytes, 12))
        else {
            return Err(None);
        };
        let kind = match kind_length >> LENGTH_BITS {
            1 => Kind::Put,
            2 => Kind::Append,
            3 => Kind::Remove,
            _ => return Err(None),
        };
        let size = RECORD_HEADER_BYTES + (kind_length & LENGTH_MASK) as usize;
        let Some(body) = bytes.get(RECORD_HEADER_BYTES..size) else {
            return Err(None);
        };
        if crc != record_crc(salt, &bytes[..12], body) {
            return Err(Some(size));
        }
        Ok((
            Self {
                key,
                kind,
                bytes: body,
            },
            size,
        ))
    }
}

/// A frame that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    buffer: Vec<u8>,
}

impl Filling {
    /// Bytes up to now, the header included.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len().max(HEADER_BYTES)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.len() <= HEADER_BYTES
    }

    /// Adds a record; says where in the frame it begins. `bytes` must be shorter than `FRAME_BYTES_MAX`.
    pub(crate) fn push(&mut self, salt: u32, key: u64, kind: Kind, bytes: &[u8]) -> usize {
        if self.buffer.is_empty() {
            self.buffer.resize(HEADER_BYTES, 0);
        }
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&key.to_le_bytes());
        let kind_length = (kind as u32) << LENGTH_BITS | bytes.len() as u32 & LENGTH_MASK;
        self.buffer.extend_from_slice(&kind_length.to_le_bytes());
        let crc = record_crc(salt, &self.buffer[at..], bytes);
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        at
    }

    /// The finished frame. Call `clear` once it is written.
    pub(crate) fn finish(&mut self, salt: u32, head: Head) -> &[u8] {
        self.buffer.resize(self.len(), 0);
        let length = (self.buffer.len() - HEADER_BYTES) as u32;
        let header = &mut self.buffer[..HEADER_BYTES];
        header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[12..16].copy_from_slice(&head.starts.to_le_bytes());
        header[16..24].copy_from_slice(&head.sequence.to_le_bytes());
        header[24..32].copy_from_slice(&head.durable.to_le_bytes());
        header[32..36].copy_from_slice(&head.oldest.to_le_bytes());
        let crc = frame_crc(
            salt,
            &self.buffer[..HEADER_BYTES],
            &self.buffer[HEADER_BYTES..],
        );
        self.buffer[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        self.buffer.resize(self.buffer.len().next_multiple_of(8), 0);
        &self.buffer
    }

    /// Begins the next frame. A burst's memory is given back.
    pub(crate) fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 4 << 20;
        if self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
    }
}

fn frame_crc(salt: u32, header: &[u8], records: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(&header[..CRC_AT]);
    hasher.update(&header[CRC_AT + 4..]);
    hasher.update(records);
    hasher.finalize()
}

fn record_crc(salt: u32, header: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(header);
    hasher.update(bytes);
    hasher.finalize()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at + 8)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}
