//! The file `cursor`: how far a journal is settled and synced, as a hint.
//!
//! Two slots are written in turn, each with its checksum: one is whole at any moment. It is not
//! synced but before a segment is removed, so a power cut may bring back an older state of it. What
//! it says was true when it was written, so an older state leads to repeats and never to a loss.

use std::io;

use super::format::{Id, u32_at, u64_at};
use super::storage::{Storage, StoredFile, read_full};

const NAME: &str = "cursor";
const MAGIC: [u8; 8] = *b"\x89TLCUR\r\n";
const SLOT: usize = 64;

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub id: Id,
    /// Grows by one with each write: the greater one of two is the newer.
    pub turn: u64,
    /// Everything below is settled.
    pub settled: u64,
    /// Everything below was synced once: what is missing of it is a loss.
    pub synced: u64,
    /// The next segment's number is at least this.
    pub number: u64,
}

impl Mark {
    fn bytes(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.id);
        bytes[24..32].copy_from_slice(&self.turn.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.settled.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SLOT] = bytes.first_chunk()?;
        if bytes[..8] != MAGIC || u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return None;
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[8..24]);
        let mark = Self {
            id,
            turn: u64_at(bytes, 24),
            settled: u64_at(bytes, 32),
            synced: u64_at(bytes, 40),
            number: u64_at(bytes, 48),
        };
        (mark.settled <= mark.synced).then_some(mark)
    }
}

/// The newest whole slot; `None` where there is none.
pub(super) fn read(storage: &dyn Storage) -> Option<Mark> {
    let file = storage.open(NAME, false).ok()?;
    let mut bytes = [0; 2 * SLOT];
    let length = read_full(&*file, 0, &mut bytes).ok()?;
    let slots = bytes[..length].chunks(SLOT).filter_map(Mark::read);
    slots.max_by_key(|mark| mark.turn)
}

/// The file, to write.
pub(super) struct Cursor {
    file: Option<Box<dyn StoredFile>>,
    last: Mark,
}

impl Cursor {
    /// Goes on behind `last`.
    pub fn new(last: Mark) -> Self {
        Self { file: None, last }
    }

    /// Writes what is new. What goes wrong is passed over: it is a hint.
    pub fn write(&mut self, storage: &dyn Storage, settled: u64, synced: u64, number: u64) {
        let mark = Mark {
            turn: self.last.turn + 1,
            settled,
            synced,
            number,
            ..self.last
        };
        let unchanged = Mark {
            turn: self.last.turn,
            ..mark
        };
        if unchanged != self.last && self.try_write(storage, mark).is_ok() {
            self.last = mark;
        }
    }

    fn try_write(&mut self, storage: &dyn Storage, mark: Mark) -> io::Result<()> {
        let file = self.open(storage)?;
        file.write_at(mark.turn % 2 * SLOT as u64, &mark.bytes())
    }

    fn open(&mut self, storage: &dyn Storage) -> io::Result<&mut Box<dyn StoredFile>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => storage.open(NAME, true).or_else(|_| storage.create(NAME))?,
        };
        Ok(self.file.insert(file))
    }

    /// Makes the last state durable, as well as it goes; it may be that of an earlier process.
    pub fn sync(&mut self, storage: &dyn Storage) {
        let synced = self.open(storage).and_then(|file| file.sync());
        if let Err(error) = synced.and_then(|()| storage.sync_folder("")) {
            tracing::debug!(%error, "the cursor of a buffer could not be synced");
        }
    }
}
