//! Values as they lie in the file: as they are, or sealed.
//!
//! A value of `state` begins with its form. Versions stay readable, since writing compares them
//! and need not open anything for that; they are part of what the seal covers.
//! A value of `checkpoints` has no form: in a sealed file all of them are sealed.

use redb::{Database, Error, ReadableDatabase, ReadableTable};

use super::{Bytes, CHECKPOINTS, META, SEALED, STATE};
use crate::seal::{KeyId, Keyring};
use crate::state::{stored, unstored};

/// Forms of a value, besides those that [`stored`] makes.
const SEALED_VALUE: u8 = 2;
const SEALED_VERSION: u8 = 3;

/// Rows that one transaction seals anew, and their bytes: a rotation must not need the memory of
/// the whole store.
const ROWS_AT_ONCE: usize = 4096;
const BYTES_AT_ONCE: usize = 8 << 20;

/// Writes and reads values.
pub(in crate::state) struct Values {
    keys: Option<Keyring>,
}

/// A value in its parts.
enum Form<'a> {
    Plain(Option<u64>, &'a [u8]),
    Sealed(Option<u64>, &'a [u8]),
}

impl Values {
    pub fn new(keys: Option<Keyring>) -> Self {
        Self { keys }
    }

    /// One of these keys that is not in the ring.
    pub fn missing(&self, used: &[[u8; 8]]) -> Option<KeyId> {
        let known = |id: &KeyId| self.keys.iter().flat_map(Keyring::ids).any(|k| k == *id);
        let used = used.iter().copied().map(KeyId::from);
        used.into_iter().find(|id| !known(id))
    }

    /// Whether all that these keys sealed is sealed with the first key of the ring.
    pub fn is_uniform(&self, used: &[[u8; 8]]) -> bool {
        match &self.keys {
            Some(keys) => used == [keys.id().bytes()],
            None => true,
        }
    }

    /// A value for this row.
    pub fn close(&self, row: &[u8], version: Option<u64>, value: &[u8]) -> Vec<u8> {
        let Some(keys) = &self.keys else {
            return stored(version, value);
        };
        let sealed = keys.seal(&of_row(row, version), value);
        let mut bytes = stored(version, &sealed);
        bytes[0] += SEALED_VALUE;
        bytes
    }

    /// The reverse; `None` for what no version of this program wrote.
    pub fn open(&self, row: &[u8], bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(match form(bytes) {
            None => None,
            Some(Form::Plain(_, value)) => Some(value.to_vec()),
            Some(Form::Sealed(version, sealed)) => {
                Some(self.unseal(&of_row(row, version), sealed)?)
            }
        })
    }

    pub fn close_place(&self, row: &[u8], value: &[u8]) -> Vec<u8> {
        match &self.keys {
            Some(keys) => keys.seal(&of_place(row), value),
            None => value.to_vec(),
        }
    }

    pub fn open_place(&self, row: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.keys {
            Some(_) => self.unseal(&of_place(row), bytes),
            None => Ok(bytes.to_vec()),
        }
    }

    /// The seed lies as it is in a plain file, and is sealed in a sealed one.
    pub fn open_seed(&self, bytes: &[u8]) -> Result<[u8; 16], Error> {
        let damaged = |_| Error::Corrupted("seed".into());
        match bytes.try_into() {
            Ok(seed) => Ok(seed),
            Err(_) => self.unseal(b"seed", bytes)?.try_into().map_err(damaged),
        }
    }

    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        // Which keys are needed was looked at before: what does not open is damaged.
        let keys = self.keys.as_ref();
        let opened = keys.and_then(|keys| keys.open(context, sealed).ok());
        opened.ok_or_else(|| Error::Corrupted("a sealed value".into()))
    }

    /// Makes it a file of the ring's first key, in which rows of `before` are left: from here on
    /// both may be there. The few places are sealed at once.
    pub fn begin(
        &self,
        database: &Database,
        before: &[[u8; 8]],
        seed: [u8; 16],
    ) -> Result<(), Error> {
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let first = keys.id().bytes();
        let others = before.iter().filter(|id| **id != first);
        let ids: Vec<u8> = [&first]
            .into_iter()
            .chain(others)
            .flatten()
            .copied()
            .collect();
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let was_plain = before.is_empty();
            meta.insert("format", SEALED.to_be_bytes().as_slice())?;
            meta.insert("keys", ids.as_slice())?;
            meta.insert("seed", keys.seal(b"seed", &seed).as_slice())?;
            let mut places = transaction.open_table(CHECKPOINTS)?;
            let mut anew = Vec::new();
            for row in places.iter()? {
                let (row, value) = row?;
                let plain = match was_plain {
                    true => value.value().to_vec(),
                    false => self.open_place(row.value(), value.value())?,
                };
                anew.push((row.value().to_vec(), self.close_place(row.value(), &plain)));
            }
            for (row, value) in anew {
                places.insert(row.as_slice(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Seals a part of the rows behind `after` anew; the last of them, unless it was the last part.
    pub fn seal_some(&self, database: &Database, after: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(keys) = &self.keys else {
            return Ok(None);
        };
        let (mut anew, mut last, mut bytes) = (Vec::new(), None, 0);
        let rows = database.begin_read()?.open_table(STATE)?;
        for row in rows.range(after..)? {
            let (row, value) = row?;
            if row.value() == after {
                continue;
            }
            if anew.len() == ROWS_AT_ONCE || bytes > BYTES_AT_ONCE {
                last = anew.last().map(|(row, _): &(Vec<u8>, Vec<u8>)| row.clone());
                break;
            }
            let (version, is_current) = match form(value.value()) {
                None => continue,
                Some(Form::Plain(version, _)) => (version, false),
                Some(Form::Sealed(version, sealed)) => {
                    (version, sealed.starts_with(&keys.id().bytes()))
                }
            };
            if !is_current && let Some(plain) = self.open(row.value(), value.value())? {
                let value = self.close(row.value(), version, &plain);
                bytes += value.len();
                anew.push((row.value().to_vec(), value));
            }
        }
        put_all(database, &anew)?;
        Ok(last)
    }

    /// Nothing is left that another key sealed.
    pub fn finish(&self, database: &Database) -> Result<(), Error> {
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let transaction = database.begin_write()?;
        let first = keys.id().bytes();
        transaction
            .open_table(META)?
            .insert("keys", first.as_slice())?;
        Ok(transaction.commit()?)
    }
}

fn put_all(database: &Database, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    let mut state = transaction.open_table::<Bytes, Bytes>(STATE)?;
    for (row, value) in rows {
        state.insert(row.as_slice(), value.as_slice())?;
    }
    drop(state);
    Ok(transaction.commit()?)
}

/// The version of a value of `state`.
pub(super) fn version(bytes: &[u8]) -> Option<u64> {
    match form(bytes)? {
        Form::Plain(version, _) | Form::Sealed(version, _) => version,
    }
}

fn form(bytes: &[u8]) -> Option<Form<'_>> {
    match *bytes.first()? {
        SEALED_VALUE => Some(Form::Sealed(None, &bytes[1..])),
        SEALED_VERSION => {
            let (version, sealed) = bytes[1..].split_first_chunk()?;
            Some(Form::Sealed(Some(u64::from_be_bytes(*version)), sealed))
        }
        _ => unstored(bytes).map(|(version, value)| Form::Plain(version, value)),
    }
}

fn of_row(row: &[u8], version: Option<u64>) -> Vec<u8> {
    let version = version.map_or(Vec::new(), |version| version.to_be_bytes().to_vec());
    // The row comes last: nothing behind it could be taken for a part of it.
    [b"state", &[version.len() as u8][..], &version, row].concat()
}

fn of_place(row: &[u8]) -> Vec<u8> {
    [b"place", row].concat()
}
