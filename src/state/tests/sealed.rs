//! The embedded form with keys.

use redb::ReadableTable;

use super::*;
use crate::seal::Key;

fn key(byte: u8) -> Key {
    Key::parse(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn ring(first: u8, others: &[u8]) -> Option<Keyring> {
    let others = others.iter().copied().map(key).collect();
    Some(Keyring::new(key(first), others).unwrap())
}

/// Whether these bytes lie anywhere in the file.
fn lies_open(dir: &Path, text: &str) -> bool {
    let file = std::fs::read(dir.join("state.redb")).unwrap();
    file.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_sealed_store_keeps_the_promises_and_shows_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), ring(1, &[])).unwrap();
    keeps_the_promises(&store).await;
    store.table("t").note(1, put("k", "+14155551234"));
    let places = vec![("s".into(), place("f", "place-of-s"))];
    store.commit(vec![1], places).await.unwrap();
    let seed = store.seed();
    drop(store);
    assert!(!lies_open(dir.path(), "+1415555") && !lies_open(dir.path(), "place-of"));
    assert!(
        !std::fs::read(dir.path().join("state.redb"))
            .unwrap()
            .windows(16)
            .any(|w| w == seed)
    );

    let store = Store::open(dir.path(), ring(1, &[])).unwrap();
    assert_eq!(store.seed(), seed);
    expect(&store.table("t"), [("k", "+14155551234")]);
    let found = store.checkpoint("s", b"f").await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"place-of-s"[..]));
}

#[tokio::test]
async fn another_key_or_none_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), ring(1, &[])).unwrap());
    for keys in [None, ring(2, &[3])] {
        let failure = Store::open(dir.path(), keys).unwrap_err();
        assert_eq!(reason(&failure), "state_key");
        assert!(
            failure.to_string().contains(&key(1).id().to_string()),
            "{failure}"
        );
    }
    drop(Store::open(dir.path(), ring(1, &[])).unwrap());
}

#[tokio::test]
async fn encryption_is_switched_on_and_keys_are_changed_over_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut seed = None;
    // None, the first key, a new key in front of it, and the new one alone.
    let rings = [None, ring(1, &[]), ring(2, &[1]), ring(2, &[])];
    for (turn, keys) in rings.into_iter().enumerate() {
        let store = Store::open(dir.path(), keys).unwrap();
        assert_eq!(*seed.get_or_insert(store.seed()), store.seed());
        let table = store.table("t");
        if turn > 0 {
            // More rows than one transaction seals anew.
            assert_eq!(rows(&table).len(), 10_000);
            assert_eq!(rows(&table)["versioned"], (turn - 1).to_string());
            let found = store.checkpoint("s", b"f").await.unwrap();
            assert_eq!(found.unwrap(), [turn as u8 - 1]);
        }
        for n in 0..9_999 {
            table.note(1, put(&n.to_string(), "v"));
        }
        table.note(1, newer("versioned", turn as u64 + 1, &turn.to_string()));
        // Versions stay what they were when values are sealed anew.
        table.note(1, newer("versioned", turn as u64, "old"));
        let at = Checkpoint {
            key: b"f".to_vec(),
            value: vec![turn as u8],
        };
        store.commit(vec![1], vec![("s".into(), at)]).await.unwrap();
    }
    let failure = Store::open(dir.path(), ring(1, &[])).unwrap_err();
    assert_eq!(reason(&failure), "state_key");
}

/// A crash while rows are sealed anew: rows of both kinds, and both keys named as in use.
#[tokio::test]
async fn a_change_of_keys_goes_on_where_it_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), ring(1, &[])).unwrap();
    store.table("t").note(1, put("a", "1"));
    store
        .commit(vec![1], vec![("s".into(), place("f", "1"))])
        .await
        .unwrap();
    let seed = store.seed();
    drop(store);

    let before = [key(1).id().bytes()];
    let database = Database::create(dir.path().join("state.redb")).unwrap();
    let values = disk::Values::new(ring(2, &[1]));
    values.begin(&database, &before, seed).unwrap();
    drop(database);

    let failure = Store::open(dir.path(), ring(2, &[])).unwrap_err();
    assert_eq!(reason(&failure), "state_key", "the old key is still needed");
    drop(Store::open(dir.path(), ring(2, &[1])).unwrap());
    let store = Store::open(dir.path(), ring(2, &[])).unwrap();
    expect(&store.table("t"), [("a", "1")]);
    assert_eq!(store.checkpoint("s", b"f").await.unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_value_that_was_moved_or_changed_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), ring(1, &[])).unwrap();
    store.table("t").note(1, put("a", "1"));
    store.table("t").note(1, newer("b", 1, "2"));
    store.commit(vec![1], vec![]).await.unwrap();
    drop(store);
    let definition = redb::TableDefinition::<&[u8], &[u8]>::new("state");
    for (row, other) in [("a", "b"), ("b", "b")] {
        let database = Database::create(dir.path().join("state.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(definition).unwrap();
            let read = |key: &str| table.get(spaced("t", key.as_bytes()).as_slice());
            let kept = read(row).unwrap().unwrap().value().to_vec();
            let mut value = read(other).unwrap().unwrap().value().to_vec();
            if row == other {
                // Its version, which is readable.
                value[8] ^= 1;
            }
            assert_ne!(kept, value);
            table
                .insert(spaced("t", row.as_bytes()).as_slice(), &value[..])
                .unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        let store = Store::open(dir.path(), ring(1, &[])).unwrap();
        let failure = store.table("t").scan(&mut |_, _| {}).unwrap_err();
        assert_eq!(reason(&failure), "state_corrupt");
        // Put right for the next one.
        store.table("t").note(1, put("a", "1"));
        store.commit(vec![1], vec![]).await.unwrap();
    }
}
