//! The bytes of a segment: its header, and the header in front of each record.
//!
//! ```text
//! segment := header (64)  record*
//! header  := magic 8 | version 4 | flags 4 | journal 16 | number 8 | first 8 | key 8 | 0 4 | crc 4
//! record  := magic 4 | stored 4 | plain 4 | events 4 | first 8 | crc 4 | flags 1 | 0 7 | crc 4
//!            payload (`stored` bytes)
//! ```
//!
//! Numbers are little-endian; checksums are CRC-32C. A record's header is summed up together with
//! the journal's id and the segment's number, so that a piece of another file, which a disk may
//! show after a power cut, is never taken for a record of this one.

use crate::seal::KeyId;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 64;
/// Bytes of a record's header.
pub(super) const RECORD_HEADER: usize = 40;
/// The version that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;
/// Longest plain payload of a record: one event of the greatest length, and what is known of it.
pub(super) const MAX_PLAIN: usize = (256 << 20) + (16 << 20);

const SEGMENT_MAGIC: [u8; 8] = *b"\x89TLSEG\r\n";
/// Begins with a byte that no UTF-8 text has: plain bodies hold no false starts.
pub(super) const RECORD_MAGIC: [u8; 4] = [0xf7, b'T', b'R', 0xf5];

const FLAG_SEALED: u32 = 1;
const FLAG_DROPPED: u32 = 2;

/// Names a journal: 16 random bytes, made once.
pub type Id = [u8; 16];

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub id: Id,
    pub number: u64,
    /// Sequence number of its first event. Records of older segments from there on do not count.
    pub first: u64,
    /// The key that its records are sealed with.
    pub key: Option<KeyId>,
    /// Its events, and all up to the next segment, were dropped because the buffer was full.
    pub dropped: bool,
}

/// Why a segment's header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Damaged,
    /// Whole, and of a version that this one does not know.
    Newer(u32),
}

impl SegmentHeader {
    pub fn bytes(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        let sealed = if self.key.is_some() { FLAG_SEALED } else { 0 };
        let dropped = if self.dropped { FLAG_DROPPED } else { 0 };
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(sealed | dropped).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.id);
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.key.map(KeyId::bytes).unwrap_or_default());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn read(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes: &[u8; SEGMENT_HEADER] = bytes
            .first_chunk::<SEGMENT_HEADER>()
            .ok_or(BadHeader::Damaged)?;
        if bytes[..8] != SEGMENT_MAGIC || u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return Err(BadHeader::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(BadHeader::Newer(version));
        }
        let flags = u32_at(bytes, 12);
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[16..32]);
        let key = u64_at(bytes, 48).to_le_bytes();
        Ok(Self {
            id,
            number: u64_at(bytes, 32),
            first: u64_at(bytes, 40),
            key: (flags & FLAG_SEALED != 0).then_some(KeyId::from_bytes(key)),
            dropped: flags & FLAG_DROPPED != 0,
        })
    }
}

/// Where a checksum of this segment's record headers begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Salt(u32);

impl Salt {
    pub fn new(id: &Id, number: u64) -> Self {
        let crc = crc32c::crc32c(id);
        Self(crc32c::crc32c_append(crc, &number.to_le_bytes()))
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// Bytes of the payload as it lies there.
    pub stored: u32,
    /// Bytes of the payload when it is opened and decompressed.
    pub plain: u32,
    /// How many events; at least one.
    pub events: u32,
    /// Sequence number of the first.
    pub first: u64,
    /// Of the payload as it lies there.
    pub crc: u32,
    pub compressed: bool,
    pub sealed: bool,
}

impl RecordHeader {
    pub fn bytes(&self, salt: Salt) -> [u8; RECORD_HEADER] {
        let mut bytes = [0; RECORD_HEADER];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.stored.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.plain.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.events.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.crc.to_le_bytes());
        bytes[28] = u8::from(self.compressed) | u8::from(self.sealed) << 1;
        let crc = crc32c::crc32c_append(salt.0, &bytes[..36]);
        bytes[36..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` for anything but a header that was written for this segment.
    pub fn read(bytes: &[u8], salt: Salt) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        let crc = crc32c::crc32c_append(salt.0, &bytes[..36]);
        if bytes[..4] != RECORD_MAGIC || u32_at(bytes, 36) != crc {
            return None;
        }
        let header = Self {
            stored: u32_at(bytes, 4),
            plain: u32_at(bytes, 8),
            events: u32_at(bytes, 12),
            first: u64_at(bytes, 16),
            crc: u32_at(bytes, 24),
            compressed: bytes[28] & 1 != 0,
            sealed: bytes[28] & 2 != 0,
        };
        let counts = header.first.checked_add(u64::from(header.events)).is_some();
        (counts && header.events > 0 && header.plain as usize <= MAX_PLAIN).then_some(header)
    }

    /// The sequence number after its last event.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.events)
    }

    /// Bytes of header and payload.
    pub fn length(&self) -> u64 {
        RECORD_HEADER as u64 + u64::from(self.stored)
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// The name of a segment's file.
pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number:020}.log")
}

/// The number in the name of a segment's file.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}
