//! Finding the intact records of a segment, whatever else lies in it.
//!
//! Where bytes are no record, the next header that was written for this segment is searched for.
//! Memory: one record, which is paid for by bytes that are there.

use std::io;
use std::sync::Arc;

use super::format::{MAX_PLAIN, RECORD_HEADER, RECORD_MAGIC, RecordHeader, Salt};
use super::storage::{StoredFile, read_full};
use crate::journal::format::Id;
use crate::seal::{KeyId, Keyring, Sealed};

/// Bytes looked through at a time.
const WINDOW: usize = 64 << 10;
/// No block of LZ4 unpacks to more than this many times its size.
const LZ4_RATIO: usize = 255;

/// A file that is read from front to back.
pub(super) struct Walk {
    salt: Salt,
    at: u64,
    end: u64,
    /// Bytes that were passed over because they are no intact record.
    pub skipped: u64,
}

/// A record with an intact header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub at: u64,
    pub header: RecordHeader,
}

impl Walk {
    /// From `at` up to `end`, which is at most the file's length.
    pub fn new(salt: Salt, at: u64, end: u64) -> Self {
        Self {
            salt,
            at,
            end,
            skipped: 0,
        }
    }

    /// The file has grown.
    pub fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// The next record is looked for here again.
    pub fn back_to(&mut self, at: u64) {
        self.at = at;
    }

    /// Where the next record is looked for.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next record whose header is intact and whose payload lies inside the file; the walk
    /// stands behind it then. `None` at the end.
    pub fn next(&mut self, file: &dyn StoredFile) -> io::Result<Option<Found>> {
        let mut bytes = [0; RECORD_HEADER];
        let read = read_full(file, self.at, &mut bytes[..self.room(RECORD_HEADER)])?;
        if let Some(found) = self.take(self.at, &bytes[..read]) {
            return Ok(Some(found));
        }
        self.search(file)
    }

    fn room(&self, wanted: usize) -> usize {
        self.end.saturating_sub(self.at).min(wanted as u64) as usize
    }

    fn take(&mut self, at: u64, bytes: &[u8]) -> Option<Found> {
        let header = RecordHeader::read(bytes, self.salt)?;
        let after = at.checked_add(header.length())?;
        (after <= self.end).then(|| {
            self.at = after;
            Found { at, header }
        })
    }

    fn search(&mut self, file: &dyn StoredFile) -> io::Result<Option<Found>> {
        let start = self.at;
        let mut window = vec![0; self.room(WINDOW)];
        while self.room(1) > 0 {
            let room = self.room(window.len());
            let read = read_full(file, self.at, &mut window[..room])?;
            let window = &window[..read];
            for hit in memchr::memmem::find_iter(window, &RECORD_MAGIC) {
                if window.len() - hit < RECORD_HEADER {
                    break;
                }
                let at = self.at + hit as u64;
                if let Some(found) = self.take(at, &window[hit..]) {
                    self.skipped += at - start;
                    return Ok(Some(found));
                }
            }
            // A header that begins in this window's last bytes is found in the next one.
            if read <= RECORD_HEADER {
                break;
            }
            self.at += (read - RECORD_HEADER + 1) as u64;
        }
        self.at = self.end;
        self.skipped += self.end.saturating_sub(start);
        Ok(None)
    }
}

/// Why a record's payload cannot be had.
#[derive(Debug)]
pub(super) enum BadPayload {
    /// It is not what was written.
    Damaged,
    /// It was sealed with a key that is not there.
    UnknownKey(Option<KeyId>),
    /// The file cannot be read there.
    Io(io::Error),
}

/// The plain payload of a record.
pub(super) fn payload(
    file: &dyn StoredFile,
    found: &Found,
    id: &Id,
    keys: Option<&Keyring>,
) -> Result<Vec<u8>, BadPayload> {
    let header = &found.header;
    let stored = stored(file, found)?;
    let opened = match (header.sealed, keys) {
        (false, _) => stored,
        (true, None) => return Err(BadPayload::UnknownKey(named_key(&stored))),
        (true, Some(keys)) => {
            keys.open(&context(id, header), &stored)
                .map_err(|sealed| match sealed {
                    Sealed::UnknownKey(key) => BadPayload::UnknownKey(Some(key)),
                    Sealed::Damaged => BadPayload::Damaged,
                })?
        }
    };
    let plain = header.plain as usize;
    if !header.compressed {
        return match opened.len() == plain {
            true => Ok(opened),
            false => Err(BadPayload::Damaged),
        };
    }
    // What is allocated here is in proportion to what lies on the disk.
    if plain > MAX_PLAIN || plain > opened.len().saturating_mul(LZ4_RATIO) + 64 {
        return Err(BadPayload::Damaged);
    }
    match lz4_flex::block::decompress(&opened, plain) {
        Ok(bytes) if bytes.len() == plain => Ok(bytes),
        _ => Err(BadPayload::Damaged),
    }
}

/// The payload as it lies there, held against its checksum.
pub(super) fn stored(file: &dyn StoredFile, found: &Found) -> Result<Vec<u8>, BadPayload> {
    // The walk has seen that the file is at least that long.
    let mut stored = vec![0; found.header.stored as usize];
    let at = found.at + RECORD_HEADER as u64;
    let read = read_full(file, at, &mut stored).map_err(BadPayload::Io)?;
    if read < stored.len() || crc32c::crc32c(&stored) != found.header.crc {
        return Err(BadPayload::Damaged);
    }
    Ok(stored)
}

fn named_key(sealed: &[u8]) -> Option<KeyId> {
    sealed.first_chunk().copied().map(KeyId::from_bytes)
}

/// What a sealed payload is bound to: its place in the journal, whatever segment it lies in.
pub(super) fn context(id: &Id, header: &RecordHeader) -> Vec<u8> {
    let mut context = Vec::with_capacity(40);
    context.extend_from_slice(b"journal");
    context.extend_from_slice(id);
    context.extend_from_slice(&header.first.to_le_bytes());
    context.extend_from_slice(&header.events.to_le_bytes());
    context
}

/// A file in which what cannot be read reads as zeros, so that the rest can be had.
pub(super) struct Lenient(pub Arc<dyn StoredFile>);

/// Disks fail by sectors; this is the largest of them.
const SECTOR: usize = 4096;

impl StoredFile for Lenient {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // Up to the end of the sector, so that a bad one takes nothing else along.
        let room = SECTOR - at as usize % SECTOR;
        let length = buffer.len().min(room);
        let buffer = &mut buffer[..length];
        self.0.read_at(at, buffer).or_else(|_| {
            buffer.fill(0);
            let rest = self.0.length()?.saturating_sub(at);
            Ok(buffer.len().min(rest as usize))
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
