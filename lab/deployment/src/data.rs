//! The data folder as somebody with an editor sees it: where something is stored, and how to damage it.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much of a file is read at once. A journal is written from its front; the first piece without any byte ends what is looked at.
const PIECE: usize = 64 * 1024;

/// Every file of a folder, with those of its folders, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
    {
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_dir() {
            files.extend(self::files(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// What was written of a file, without the zeros that it was prepared with.
pub fn written(file: &Path) -> Vec<u8> {
    let mut open = fs::File::open(file).expect("a file of the data folder");
    let (mut content, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let length = open
            .read(&mut piece)
            .expect("reading a file of the data folder");
        let end = piece[..length]
            .iter()
            .rposition(|&byte| byte != 0)
            .map(|last| last + 1);
        if length == 0 || end.is_none() {
            let end = content
                .iter()
                .rposition(|&byte: &u8| byte != 0)
                .map_or(0, |last| last + 1);
            content.truncate(end);
            return content;
        }
        content.extend_from_slice(&piece[..length]);
    }
}

/// The newest file in the data folder that holds these bytes, and where in it they stand first.
#[track_caller]
pub fn holding(data: &Path, bytes: &[u8]) -> (PathBuf, usize) {
    let place = |file: PathBuf| {
        let at = written(&file)
            .windows(bytes.len())
            .position(|window| window == bytes)?;
        Some((file, at))
    };
    files(data)
        .into_iter()
        .filter_map(place)
        .next_back()
        .expect("a file of the data folder that holds it")
}

/// Writes over what is there.
pub fn overwrite(file: &Path, at: usize, bytes: &[u8]) {
    let mut open = fs::OpenOptions::new()
        .write(true)
        .open(file)
        .expect("a file of the data folder");
    open.seek(SeekFrom::Start(at as u64))
        .expect("a place in it");
    open.write_all(bytes).expect("writing over it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_and_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(&file, [b"some words".to_vec(), vec![0; 3 * PIECE]].concat()).unwrap();
        assert_eq!(written(&file), b"some words");
        assert_eq!(holding(folder.path(), b"words"), (file.clone(), 5));
        overwrite(&file, 5, b"sw");
        assert_eq!(written(&file), b"some swrds");
    }
}
