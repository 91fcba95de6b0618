//! One suite for every store of documents: what `store::documents` promises. Then what only the file can be asked.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use machine::{DocumentName, DocumentWrite, Random, StoredDocument, Wall};
use proptest::prelude::*;
use store::documents::{
    self, Documents, FILE, Keeper, MemoryDocuments, RecoveredDocuments, User, UserCredentials,
    UserError,
};
use store::{Commit, StoreError};

type Kept = (u16, u64, Result<(), String>);

/// Passes on what it is told.
struct Ear(Mutex<Sender<Kept>>);

impl Keeper for Ear {
    fn kept(&self, shard: u16, sequence: u64, result: Result<(), String>) {
        let _ = self.0.lock().unwrap().send((shard, sequence, result));
    }
}

/// A disk that survives its processes.
enum Disk {
    Memory(MemoryDocuments),
    File(tempfile::TempDir, u32),
}

impl Disk {
    fn both() -> [Self; 2] {
        [
            Self::Memory(MemoryDocuments::new([1; 32])),
            Self::File(tempfile::tempdir().unwrap(), 0),
        ]
    }

    fn folder(&self) -> PathBuf {
        match self {
            Self::Memory(_) => PathBuf::new(),
            Self::File(root, life) => root.path().join(life.to_string()),
        }
    }

    fn open(&self) -> Box<dyn RecoveredDocuments> {
        match self {
            Self::Memory(memory) => memory.open(),
            Self::File(..) => Box::new(documents::open(&self.folder(), Commit::Fsync).unwrap()),
        }
    }

    fn start(&self) -> (Arc<dyn Documents>, Receiver<Kept>) {
        let (ear, heard) = channel();
        (
            self.open().start(Arc::new(Ear(Mutex::new(ear)))).unwrap(),
            heard,
        )
    }

    /// The process ends without a word: another finds the files as they are while the first still runs.
    fn crash(&mut self) {
        let before = self.folder();
        match self {
            Self::Memory(memory) => memory.crash(&mut Random::new(1)),
            Self::File(_, life) => {
                *life += 1;
                let after = self.folder();
                image(&before, &after);
            }
        }
    }
}

/// What a power loss leaves: the file and its log; the index of the log is only memory.
fn image(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for ending in ["", "-wal"] {
        let name = format!("{FILE}{ending}");
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

fn name(owner: &str, path: &str) -> DocumentName {
    DocumentName {
        owner: (!owner.is_empty()).then(|| owner.into()),
        auid: "resource-lists".into(),
        path: path.into(),
    }
}

fn document(text: &str) -> StoredDocument {
    StoredDocument {
        text: text.into(),
        tag: format!("tag-of-{text}").into(),
        modified: Wall::from_millis(1_700_000_000_123),
    }
}

fn write(sequence: u64, name: DocumentName, text: Option<&str>) -> DocumentWrite {
    DocumentWrite {
        shard: 3,
        sequence,
        name,
        content: text.map(document),
    }
}

fn user(aor: &str, username: &str, aliases: &[&str]) -> User {
    User {
        aor: aor.into(),
        aliases: aliases.iter().map(|alias| (*alias).into()).collect(),
        credentials: vec![UserCredentials {
            realm: "example.com".into(),
            username: username.into(),
            ha1_sha256: Some("5".repeat(64)),
            ha1_md5: None,
        }],
    }
}

#[test]
fn what_was_kept_is_there_after_a_crash() {
    for mut disk in Disk::both() {
        let (store, kept) = disk.start();
        let text = "<a>é \u{1F600}\r\n</a>";
        store.submit(write(1, name("sip:a@x", "index"), Some(text)));
        store.submit(write(2, name("", "index"), Some("global")));
        store.submit(write(3, name("sip:a@x", "other"), Some("o")));
        store.submit(write(4, name("sip:a@x", "other"), None));
        for sequence in 1..=4 {
            assert_eq!(kept.recv().unwrap(), (3, sequence, Ok(())));
        }
        disk.crash();
        let expected = vec![
            (name("", "index"), document("global")),
            (name("sip:a@x", "index"), document(text)),
        ];
        assert_eq!(disk.open().documents().unwrap(), expected);
    }
}

#[test]
fn closing_keeps_what_was_submitted_and_a_closed_store_takes_nothing() {
    for disk in Disk::both() {
        let (store, kept) = disk.start();
        for sequence in 1..=50 {
            store.submit(write(
                sequence,
                name("sip:a@x", &sequence.to_string()),
                Some("t"),
            ));
        }
        store.close();
        store.close();
        assert_eq!(
            kept.try_iter().map(|kept| kept.1).collect::<Vec<_>>(),
            (1..=50).collect::<Vec<_>>()
        );
        store.submit(write(51, name("sip:a@x", "late"), Some("t")));
        assert!(kept.try_recv().is_err());
        assert_eq!(disk.open().documents().unwrap().len(), 50);
    }
}

#[test]
fn the_key_of_nonces_stays() {
    for mut disk in Disk::both() {
        let key = disk.open().nonce_key();
        assert_ne!(key, [0; 32]);
        disk.crash();
        assert_eq!(disk.open().nonce_key(), key);
    }
    let other = Disk::File(tempfile::tempdir().unwrap(), 0)
        .open()
        .nonce_key();
    assert_ne!(
        other,
        Disk::File(tempfile::tempdir().unwrap(), 0)
            .open()
            .nonce_key()
    );
}

#[test]
fn users_are_put_replaced_and_removed_while_the_store_is_at_work() {
    for mut disk in Disk::both() {
        let (store, _kept) = disk.start();
        let alice = user("sip:alice@x", "alice", &["tel:+1", "sip:al@x"]);
        let bob = user("sip:bob@x", "bob", &[]);
        store.put_user(bob.clone()).unwrap();
        store.put_user(alice.clone()).unwrap();
        let changed = user("sip:alice@x", "alicia", &["tel:+1"]);
        store.put_user(changed.clone()).unwrap();
        assert_eq!(store.users().unwrap(), [changed.clone(), bob.clone()]);
        // Her old name and alias are free again.
        store
            .put_user(user("sip:carol@x", "alice", &["sip:al@x"]))
            .unwrap();
        assert!(store.remove_user("sip:carol@x").unwrap());
        assert!(!store.remove_user("sip:carol@x").unwrap());
        disk.crash();
        assert_eq!(disk.open().users().unwrap(), [changed, bob]);
    }
}

#[test]
fn what_is_somebody_elses_is_refused_and_changes_nothing() {
    for disk in Disk::both() {
        let (store, _kept) = disk.start();
        store
            .put_user(user("sip:alice@x", "alice", &["tel:+1"]))
            .unwrap();
        store.put_user(user("sip:bob@x", "bob", &[])).unwrap();
        for taken in [
            user("sip:bob@x", "bob", &["tel:+1"]),
            user("sip:bob@x", "bob", &["sip:alice@x"]),
            user("sip:bob@x", "alice", &[]),
            user("tel:+1", "carol", &[]),
        ] {
            let refused = store.put_user(taken);
            let Err(UserError::Taken(what)) = refused else {
                panic!("{refused:?}");
            };
            assert!(what.contains("already"), "{what}");
        }
        assert_eq!(store.users().unwrap()[1], user("sip:bob@x", "bob", &[]));
    }
}

#[test]
fn a_memory_that_crashes_keeps_a_transaction_whole_or_not_at_all() {
    let mut seen = [false; 2];
    for seed in 0..20 {
        let memory = MemoryDocuments::by_hand([1; 32]);
        let (ear, kept) = channel();
        let store = memory.open().start(Arc::new(Ear(Mutex::new(ear)))).unwrap();
        store.submit(write(1, name("sip:a@x", "1"), Some("t")));
        assert!(memory.step());
        assert_eq!(kept.recv().unwrap(), (3, 1, Ok(())));
        store.submit(write(2, name("sip:a@x", "2"), Some("t")));
        store.submit(write(3, name("sip:a@x", "3"), Some("t")));
        memory.crash(&mut Random::new(seed));
        assert!(kept.try_recv().is_err());
        let there = memory.open().documents().unwrap().len();
        assert!(there == 1 || there == 3, "{there}");
        seen[there / 3] = true;
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn a_full_memory_fails_each_change_and_goes_on_when_there_is_room() {
    let memory = MemoryDocuments::new([1; 32]);
    let (ear, kept) = channel();
    let store = memory.open().start(Arc::new(Ear(Mutex::new(ear)))).unwrap();
    memory.set_full(true);
    store.submit(write(1, name("sip:a@x", "1"), Some("t")));
    assert!(kept.recv().unwrap().2.is_err());
    memory.set_full(false);
    store.submit(write(2, name("sip:a@x", "2"), Some("t")));
    assert_eq!(kept.recv().unwrap(), (3, 2, Ok(())));
    assert_eq!(memory.open().documents().unwrap().len(), 1);
}

/// Takes an image of the files at each report, before the next change can be reported.
struct Photographer {
    folder: PathBuf,
    album: PathBuf,
    taken: Mutex<Vec<u64>>,
}

impl Keeper for Photographer {
    fn kept(&self, _: u16, sequence: u64, result: Result<(), String>) {
        result.unwrap();
        image(&self.folder, &self.album.join(sequence.to_string()));
        self.taken.lock().unwrap().push(sequence);
    }
}

#[test]
fn whenever_the_process_is_killed_what_was_reported_is_there() {
    let root = tempfile::tempdir().unwrap();
    let (folder, album) = (root.path().join("data"), root.path().join("album"));
    let recovered = Box::new(documents::open(&folder, Commit::Fsync).unwrap());
    let photographer = Arc::new(Photographer {
        folder,
        album: album.clone(),
        taken: Mutex::new(Vec::new()),
    });
    let store = recovered.start(photographer.clone()).unwrap();
    let writes: Vec<DocumentWrite> = (1..=60)
        .map(|sequence| {
            let text = sequence.to_string().repeat(500);
            let there = (sequence % 5 != 0).then_some(&*text);
            write(
                sequence,
                name("sip:a@x", &(sequence % 7).to_string()),
                there,
            )
        })
        .collect();
    writes.iter().cloned().for_each(|write| store.submit(write));
    store.close();
    let taken = photographer.taken.lock().unwrap().clone();
    assert_eq!(taken, (1..=60).collect::<Vec<_>>());
    for killed_at in taken {
        let found = documents::open(&album.join(killed_at.to_string()), Commit::Fsync).unwrap();
        let found: BTreeMap<_, _> = found.documents().unwrap().into_iter().collect();
        // Some prefix that holds at least what was reported.
        let holds = (killed_at..=60).any(|upto| found == after(&writes, upto));
        assert!(holds, "killed at {killed_at}");
    }
}

fn after(writes: &[DocumentWrite], upto: u64) -> BTreeMap<DocumentName, StoredDocument> {
    let mut all = BTreeMap::new();
    for write in writes.iter().take_while(|write| write.sequence <= upto) {
        match &write.content {
            Some(document) => all.insert(write.name.clone(), document.clone()),
            None => all.remove(&write.name),
        };
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A log that is cut anywhere gives a prefix of the changes.
    #[test]
    fn a_torn_log_gives_a_prefix(cut in 0.0f64..1.0) {
        let root = tempfile::tempdir().unwrap();
        let (folder, torn) = (root.path().join("data"), root.path().join("torn"));
        let recovered = Box::new(documents::open(&folder, Commit::Os).unwrap());
        let (ear, kept) = channel();
        let store = recovered.start(Arc::new(Ear(Mutex::new(ear)))).unwrap();
        let writes: Vec<DocumentWrite> = (1..=8)
            .map(|sequence| write(sequence, name("sip:a@x", &sequence.to_string()), Some("text")))
            .collect();
        for write in &writes {
            store.submit(write.clone());
            kept.recv().unwrap().2.unwrap();
        }
        image(&folder, &torn);
        let log = torn.join(format!("{FILE}-wal"));
        let bytes = std::fs::read(&log).unwrap();
        let length = (bytes.len() as f64 * cut) as usize;
        std::fs::write(&log, &bytes[..length]).unwrap();
        // The tables were there before there was a log.
        let found = documents::open(&torn, Commit::Os).unwrap();
        let found: BTreeMap<_, _> = found.documents().unwrap().into_iter().collect();
        prop_assert!((0..=8).any(|upto| found == after(&writes, upto)));
    }
}

#[test]
fn a_file_of_a_newer_program_is_refused_and_so_is_one_of_another() {
    let root = tempfile::tempdir().unwrap();
    documents::open(root.path(), Commit::Fsync).unwrap();
    let path = root.path().join(FILE);
    let change = |sql: &str| {
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    change("PRAGMA user_version = 2");
    let refused = documents::open(root.path(), Commit::Fsync).unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        documents::examine(root.path())
            .unwrap_err()
            .needs_a_person()
    );
    change("PRAGMA user_version = 1; PRAGMA application_id = 1");
    let refused = documents::open(root.path(), Commit::Fsync).unwrap_err();
    assert!(
        refused.needs_a_person() && refused.to_string().contains("not of this program"),
        "{refused}"
    );
    std::fs::write(
        &path,
        "hello, this is no database, and long enough to look at",
    )
    .unwrap();
    let refused = documents::open(root.path(), Commit::Fsync).unwrap_err();
    assert!(refused.needs_a_person(), "{refused}");
}

#[test]
fn damage_is_named() {
    let root = tempfile::tempdir().unwrap();
    let (ear, _kept) = channel();
    let recovered = Box::new(documents::open(root.path(), Commit::Fsync).unwrap());
    let store = recovered.start(Arc::new(Ear(Mutex::new(ear)))).unwrap();
    for sequence in 1..200 {
        store.submit(write(
            sequence,
            name("sip:a@x", &sequence.to_string()),
            Some(&"x".repeat(900)),
        ));
    }
    store.close();
    assert_eq!(
        documents::examine(root.path()).unwrap().unwrap().documents,
        199
    );
    let path = root.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let refused = documents::examine(root.path()).unwrap_err();
    assert!(
        refused.needs_a_person() && refused.to_string().contains(FILE),
        "{refused}"
    );
}

#[test]
fn only_its_owner_may_read_it() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    let store = documents::open(&folder, Commit::Fsync).unwrap();
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
    drop(store);
}

#[test]
fn a_folder_in_use_is_not_opened_alone() {
    let root = tempfile::tempdir().unwrap();
    let held = documents::open_alone(root.path()).unwrap();
    let refused = documents::open_alone(root.path()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(held);
    documents::open_alone(root.path()).unwrap();
}

#[test]
fn a_backup_is_taken_while_the_store_works_and_restored_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let (ear, kept) = channel();
    let recovered = Box::new(documents::open(&at("data"), Commit::Fsync).unwrap());
    let key = recovered.nonce_key();
    let store = recovered.start(Arc::new(Ear(Mutex::new(ear)))).unwrap();
    store.put_user(user("sip:alice@x", "alice", &[])).unwrap();
    store.submit(write(1, name("sip:a@x", "1"), Some("one")));
    kept.recv().unwrap().2.unwrap();
    let contents = documents::backup(&at("data"), &at("backup")).unwrap();
    assert_eq!(
        (contents.documents, contents.bytes, contents.users),
        (1, 3, 1)
    );
    assert!(
        documents::backup(&at("data"), &at("backup")).is_err(),
        "never written over"
    );
    store.submit(write(2, name("sip:a@x", "2"), Some("two")));
    store.close();

    documents::restore(&at("new"), &at("backup"), false).unwrap();
    let new = documents::open_alone(&at("new")).unwrap();
    assert_eq!(
        new.documents().unwrap(),
        [(name("sip:a@x", "1"), document("one"))]
    );
    assert_eq!((new.nonce_key(), new.users().unwrap().len()), (key, 1));
    drop(new);
    let refused = documents::restore(&at("data"), &at("backup"), false).unwrap_err();
    assert!(refused.to_string().contains("--replace"), "{refused}");
    documents::restore(&at("data"), &at("backup"), true).unwrap();
    assert_eq!(
        documents::open_alone(&at("data"))
            .unwrap()
            .documents()
            .unwrap()
            .len(),
        1
    );
    assert!(documents::restore(&at("new"), &at("nowhere"), true).is_err());
    let held = documents::open_alone(&at("new")).unwrap();
    let refused = documents::restore(&at("new"), &at("backup"), true).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(held);
}

#[test]
fn a_change_that_the_file_refuses_is_reported_and_the_next_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let (ear, kept) = channel();
    let recovered = Box::new(documents::open(root.path(), Commit::Fsync).unwrap());
    let other = rusqlite::Connection::open(root.path().join(FILE)).unwrap();
    // As a full disk would: no page more than there are.
    let full = "CREATE TRIGGER full BEFORE INSERT ON documents WHEN new.path = 'bad' \
        BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END";
    other.execute_batch(full).unwrap();
    let store = recovered.start(Arc::new(Ear(Mutex::new(ear)))).unwrap();
    store.submit(write(1, name("sip:a@x", "bad"), Some("t")));
    let refused = kept.recv().unwrap();
    assert!(refused.2.unwrap_err().contains("disk full"));
    store.submit(write(2, name("sip:a@x", "good"), Some("t")));
    assert_eq!(kept.recv().unwrap(), (3, 2, Ok(())));
    store.close();
    assert_eq!(
        documents::open(root.path(), Commit::Fsync)
            .unwrap()
            .documents()
            .unwrap()
            .len(),
        1
    );
}
