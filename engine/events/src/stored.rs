//! How records are written: little-endian numbers, length-prefixed bytes; a first byte says what follows.

use machine::Wall;

use crate::fingerprint::{Fingerprint, LastChange};

/// A stored object that does not read as what this version writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

/// Room that a record begins with besides its texts: enough for every kind, so that none is moved while it is written.
const RECORD_BYTES: usize = 144;

/// Writes one record.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// A record whose first byte is `kind`.
    pub fn new(kind: u8) -> Self {
        Self::with_texts(kind, 0)
    }

    /// One that will hold texts of so many bytes together.
    pub fn with_texts(kind: u8, texts: usize) -> Self {
        let mut bytes = Vec::with_capacity(RECORD_BYTES + texts);
        bytes.push(kind);
        Self(bytes)
    }

    /// One byte.
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Four bytes.
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes.
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A point in wall time.
    pub fn wall(self, value: Wall) -> Self {
        self.u64(value.as_millis())
    }

    /// Which request changed it and when.
    pub fn change(self, value: LastChange) -> Self {
        self.u64(value.fingerprint.0).wall(value.at)
    }

    /// Length, then the bytes.
    pub fn bytes(self, value: &[u8]) -> Self {
        let mut this = self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        this.0.extend_from_slice(value);
        this
    }

    /// What was written.
    pub fn end(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one record.
#[derive(Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Reads `record` from its beginning.
    pub const fn new(record: &'a [u8]) -> Self {
        Self(record)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Unreadable("record too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, Unreadable> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, Unreadable> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Eight bytes where the record goes on; else 0.
    pub fn u64_if_any(&mut self) -> Result<u64, Unreadable> {
        if self.0.is_empty() {
            return Ok(0);
        }
        self.u64()
    }

    /// A point in wall time.
    pub fn wall(&mut self) -> Result<Wall, Unreadable> {
        self.u64().map(Wall::from_millis)
    }

    /// Which request changed it and when.
    pub fn change(&mut self) -> Result<LastChange, Unreadable> {
        Ok(LastChange {
            fingerprint: Fingerprint(self.u64()?),
            at: self.wall()?,
        })
    }

    /// Length-prefixed bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    /// Length-prefixed text.
    pub fn text(&mut self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable("text that is not UTF-8"))
    }
}
