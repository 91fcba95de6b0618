//! The bytes of one segment's file. What was allocated and never written isn't read: a nearly empty journal opens at once.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// A file's bytes up to where only holes follow, which read as zeros.
#[derive(Debug)]
pub(crate) struct Content {
    bytes: Vec<u8>,
    length: usize,
}

impl Content {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let written = end_of_data(&file, length).min(length);
        rustix::fs::seek(&file, SeekFrom::Start(0))?;
        let mut bytes = Vec::with_capacity(written as usize);
        file.take(written).read_to_end(&mut bytes)?;
        // A file that became shorter meanwhile: what is there is all there is.
        let length = if (bytes.len() as u64) < written {
            bytes.len()
        } else {
            length as usize
        };
        Ok(Self { bytes, length })
    }

    /// Bytes of the file.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// The bytes that were read; behind them there are zeros up to `len`.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads on when `end` is behind what was read.
    pub(crate) fn reach(&mut self, end: usize) {
        if end > self.bytes.len() {
            self.bytes.resize(self.length, 0);
        }
    }
}

/// Where the last hole begins; the file's end where the filesystem doesn't tell.
fn end_of_data(file: &File, length: u64) -> u64 {
    let mut end = 0;
    loop {
        let data = match seek(file, SeekFrom::Data(end)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return end,
            Err(_) => return length,
        };
        match seek(file, SeekFrom::Hole(data)) {
            Ok(hole) if hole > end => end = hole,
            _ => return length,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::journal::log::allocate;

    const LENGTH: usize = 1 << 22;

    #[test]
    fn what_was_never_written_is_not_read_and_counts_as_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        let file = File::create(&path).unwrap();
        allocate(&file, LENGTH as u64).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(b"later", 300_000).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut content = Content::read(&path).unwrap();
        assert_eq!((content.len(), whole.len()), (LENGTH, LENGTH));
        let read = content.bytes().len();
        assert!(read >= 300_005);
        if read == LENGTH {
            println!("skipped: this filesystem doesn't tell where its files have holes");
        } else {
            assert!(read < LENGTH / 2, "{read}");
        }
        assert_eq!(content.bytes(), &whole[..read]);
        content.reach(LENGTH);
        assert_eq!(content.bytes(), whole);
    }

    #[test]
    fn empty_files_and_files_without_holes_are_read_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"x", &[7; 100_000]] {
            let path = folder.path().join("segment");
            std::fs::write(&path, bytes).unwrap();
            let mut content = Content::read(&path).unwrap();
            assert_eq!(content.bytes(), bytes);
            content.reach(content.len() + 1);
            assert_eq!((content.bytes(), content.len()), (bytes, bytes.len()));
        }
    }
}
