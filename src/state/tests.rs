mod sealed;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt;
use redb::{Database, StorageBackend};

use super::*;

fn put(key: &str, value: &str) -> Op {
    Op::Put {
        key: key.into(),
        value: value.into(),
    }
}

fn newer(key: &str, version: u64, value: &str) -> Op {
    Op::PutNewer {
        key: key.into(),
        version,
        value: value.into(),
    }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

fn place(key: &str, value: &str) -> Checkpoint {
    Checkpoint {
        key: key.into(),
        value: value.into(),
    }
}

fn rows(table: &Table) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut rows = BTreeMap::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.insert(text(key), text(value));
    };
    table.scan(&mut visit).unwrap();
    rows
}

fn expect<const N: usize>(table: &Table, expected: [(&str, &str); N]) {
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(rows(table), BTreeMap::from(expected));
}

fn reason(failure: &Failure) -> &'static str {
    failure.losses()[0].cause.reason
}

/// What both forms promise; the store is handed back for a second look after a restart.
async fn keeps_the_promises(store: &Store) {
    let (a, b) = (store.table("a"), store.table("ab"));
    a.note(1, put("bx", "1"));
    a.note(2, put("y", "2"));
    b.note(2, put("x", "3"));
    assert_eq!(store.pending(), 3);
    expect(&a, []);

    let source: Arc<str> = "exports".into();
    let commit = store.commit(vec![2], vec![(source.clone(), place("f1", "10"))]);
    commit.await.unwrap();
    expect(&a, [("y", "2")]);
    expect(&b, [("x", "3")]);
    assert_eq!(store.pending(), 1);

    // Without anything to write a commit takes nothing along, not even what may go at any time.
    a.note_soon(delete("y"));
    store.commit(vec![2, 7], vec![]).await.unwrap();
    expect(&a, [("y", "2")]);
    store.commit(vec![1], vec![]).await.unwrap();
    expect(&a, [("bx", "1")]);

    let places = vec![
        (source.clone(), place("f2", "5")),
        (source, place("f1", "11")),
    ];
    store.commit(vec![], places).await.unwrap();
    assert_eq!(
        store.checkpoint("exports", b"f1").await.unwrap().unwrap(),
        b"11"
    );
    assert_eq!(store.checkpoint("exports", b"f3").await.unwrap(), None);
    assert_eq!(store.checkpoint("export", b"sf1").await.unwrap(), None);
    let found = store.first_checkpoint(&["nobody", "exports", "exports2"], b"f2");
    assert_eq!(found.await.unwrap().unwrap(), b"5");
    let found = store.first_checkpoint(&["nobody", "export"], b"f2");
    assert_eq!(found.await.unwrap(), None);
    let both = [place("f1", "11"), place("f2", "5")];
    assert_eq!(store.checkpoints("exports").await.unwrap(), both);

    // An empty place is one that is forgotten.
    for value in ["1", ""] {
        let forgotten = vec![(Arc::from("exports"), place("f3", value))];
        store.commit(vec![], forgotten).await.unwrap();
    }
    assert_eq!(store.checkpoints("exports").await.unwrap(), both);

    // Versions decide, not the order of the commits.
    let clocks = store.table("clocks");
    clocks.note(10, newer("k", 2, "two"));
    clocks.note(11, newer("k", 3, "three"));
    store.commit(vec![11], vec![]).await.unwrap();
    store.commit(vec![10], vec![]).await.unwrap();
    expect(&clocks, [("k", "three")]);
    clocks.note(12, newer("k", 3, "again"));
    store.commit(vec![12], vec![]).await.unwrap();
    expect(&clocks, [("k", "three")]);

    // A version that was seen is removed, a newer one is not.
    let older = |version| Op::DeleteOlder {
        key: b"k".to_vec(),
        version,
    };
    clocks.note_soon(older(2));
    clocks.note(12, newer("gone", 7, ""));
    clocks.note(
        12,
        Op::DeleteOlder {
            key: b"gone".to_vec(),
            version: 7,
        },
    );
    store.commit(vec![12], vec![]).await.unwrap();
    expect(&clocks, [("k", "three")]);

    // What is released goes with the next commit, whichever that is.
    clocks.note(13, put("r", "1"));
    store.release(13);
    store.commit(vec![13], vec![]).await.unwrap();
    assert_eq!(store.pending(), 1);
    clocks.note(14, put("s", "1"));
    store.commit(vec![14], vec![]).await.unwrap();
    expect(&clocks, [("k", "three"), ("r", "1"), ("s", "1")]);
    assert_eq!(store.pending(), 0);
}

#[tokio::test]
async fn memory_keeps_the_promises() {
    keeps_the_promises(&Store::memory()).await;
    assert!(!Store::memory().is_durable());
    let store = Store::memory_durable();
    keeps_the_promises(&store).await;
    assert!(store.is_durable());
}

#[tokio::test]
async fn disk_keeps_the_promises_and_finds_all_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/state");
    let store = Store::open(&dir, None).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("state.redb")), 0o600);
    keeps_the_promises(&store).await;
    store.table("a").note(99, put("never", "committed"));
    let seed = store.seed();
    drop(store);

    let store = Store::open(&dir, None).unwrap();
    assert_eq!(store.seed(), seed);
    expect(&store.table("a"), [("bx", "1")]);
    expect(
        &store.table("clocks"),
        [("k", "three"), ("r", "1"), ("s", "1")],
    );
    assert_eq!(store.checkpoints("exports").await.unwrap().len(), 2);
    assert_ne!(Store::memory().seed(), Store::memory().seed());
}

#[tokio::test]
async fn says_that_another_process_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let failure = Store::open(dir.path(), None).unwrap_err();
    assert_eq!(reason(&failure), "state_locked");
    assert!(failure.to_string().contains("another process uses"));
    drop(store);
    Store::open(dir.path(), None).unwrap();
}

#[tokio::test]
async fn many_changes_without_a_delivery_do_not_wait_for_ever() {
    let store = Store::memory();
    for n in 0..5000 {
        store.table("t").note_soon(put(&n.to_string(), ""));
    }
    store.commit(vec![1], vec![]).await.unwrap();
    assert_eq!(store.pending(), 0);
}

/// Every kind of damage is a failure that names the file, or is repaired: never a panic.
#[tokio::test]
async fn damage_is_a_failure_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.redb");
    let store = Store::open(dir.path(), None).unwrap();
    for n in 0..2000 {
        store
            .table("t")
            .note(1, put(&n.to_string(), &"v".repeat(40)));
    }
    store.commit(vec![1], vec![]).await.unwrap();
    drop(store);
    let whole = std::fs::read(&file).unwrap();

    let look = || {
        let store = Store::open(dir.path(), None)?;
        let mut sound = true;
        let mut visit = |_: &[u8], value: &[u8]| sound &= value == [b'v'; 40];
        store.table("t").scan(&mut visit)?;
        store.checkpoints("s").now_or_never().unwrap()?;
        Ok::<bool, Failure>(sound)
    };
    let mut damaged: Vec<Vec<u8>> = vec![b"not a database".to_vec(), vec![0; 8192]];
    damaged.extend([1, 100, 511, 5000, whole.len() / 2].map(|n| whole[..n].to_vec()));
    for part in 0..64 {
        let mut bytes = whole.clone();
        let at = part * whole.len() / 64;
        let end = whole.len().min(at + 300);
        bytes[at..end].fill(0xA5);
        damaged.push(bytes);
    }
    let mut refused = 0;
    for bytes in damaged {
        std::fs::write(&file, bytes).unwrap();
        match look() {
            Ok(sound) => assert!(sound, "handed out what was never put in"),
            Err(failure) => {
                refused += 1;
                assert_eq!(reason(&failure), "state_corrupt", "{failure}");
                assert!(failure.to_string().contains("state.redb"), "{failure}");
            }
        }
    }
    eprintln!("{refused} refused");
    assert!(refused >= 7, "only {refused} refused");
    std::fs::write(&file, whole).unwrap();
    assert!(look().unwrap());
}

/// A file whose writes fail while the disk is "full", and which is not synced while it is "busy".
#[derive(Clone, Debug, Default)]
struct Trouble {
    full: Arc<AtomicBool>,
    busy: Arc<Mutex<()>>,
    syncs: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Failing {
    file: redb::backends::FileBackend,
    trouble: Trouble,
}

impl Trouble {
    fn store(&self, dir: &Path) -> Store {
        let trouble = self.clone();
        let opener = move |path: &Path| -> Result<Database, redb::Error> {
            let mut options = std::fs::OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false);
            let backend = Failing {
                file: redb::backends::FileBackend::new(file.open(path)?)?,
                trouble: trouble.clone(),
            };
            Ok(Database::builder().create_with_backend(backend)?)
        };
        let disk = Disk::open_with(dir.join("state.redb"), Box::new(opener), None);
        Store::on_disk(disk.unwrap()).unwrap()
    }
}

impl Failing {
    fn space(&self) -> std::io::Result<()> {
        match self.trouble.full.load(Ordering::SeqCst) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.space()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.space()?;
        self.trouble.syncs.fetch_add(1, Ordering::SeqCst);
        drop(self.trouble.busy.lock().unwrap());
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.space()?;
        self.file.write(offset, data)
    }
    fn close(&self) -> std::io::Result<()> {
        self.file.close()
    }
}

#[tokio::test]
async fn a_full_disk_is_fatal_and_what_was_noted_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let trouble = Trouble::default();
    let store = trouble.store(dir.path());
    let table = store.table("t");
    table.note(1, put("a", "1"));
    store.commit(vec![1], vec![]).await.unwrap();

    table.note(2, put("a", "2"));
    table.note_soon(put("b", "1"));
    trouble.full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let failure = store.commit(vec![2], vec![]).await.unwrap_err();
        assert_eq!(reason(&failure), "state_io");
        assert_eq!(failure.kind(), crate::failure::Kind::Fatal);
    }
    // What comes later is made after what failed.
    table.note(2, put("a", "3"));
    assert_eq!(store.pending(), 3);
    trouble.full.store(false, Ordering::SeqCst);
    expect(&table, [("a", "1")]);
    store.commit(vec![2], vec![]).await.unwrap();
    expect(&table, [("a", "3"), ("b", "1")]);
    assert_eq!(store.pending(), 0);
}

#[tokio::test]
async fn a_look_does_not_wait_for_a_commit_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let trouble = Trouble::default();
    let store = trouble.store(dir.path());
    let row = |value| vec![("s".into(), place("k", value))];
    store.commit(Vec::new(), row("1")).await.unwrap();

    let (busy, syncs) = (
        trouble.busy.lock().unwrap(),
        trouble.syncs.load(Ordering::SeqCst),
    );
    let mut commit = std::pin::pin!(store.commit(Vec::new(), row("2")));
    while trouble.syncs.load(Ordering::SeqCst) == syncs {
        assert!(commit.as_mut().now_or_never().is_none());
        std::thread::yield_now();
    }
    let (looking, (said, answer)) = (store.clone(), std::sync::mpsc::channel());
    std::thread::spawn(move || said.send(looking.checkpoint("s", b"k").now_or_never()));
    let found = answer.recv_timeout(std::time::Duration::from_secs(20));
    drop(busy);
    assert_eq!(found.unwrap().unwrap().unwrap().unwrap(), b"1");
    commit.await.unwrap();
    assert_eq!(store.checkpoint("s", b"k").await.unwrap().unwrap(), b"2");
}

#[tokio::test]
async fn callers_share_a_transaction_and_each_gets_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let commits = (0..1000u64).map(|delivery| {
        store
            .table("t")
            .note(delivery, put(&delivery.to_string(), ""));
        store.commit(vec![delivery], vec![])
    });
    for answer in futures::future::join_all(commits).await {
        answer.unwrap();
    }
    assert_eq!(rows(&store.table("t")).len(), 1000);
}
