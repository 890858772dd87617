//! Looking at a journal from outside: what is in it, and in which state. Changes nothing, and works
//! while a process uses the folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::book::Segment;
use super::decode::Payload;
use super::format::{BadHeader, Id, SEGMENT_HEADER, Salt, SegmentHeader};
use super::room::DAMAGED;
use super::storage::{Folder, Storage, StoredFile};
use super::survey::{Survey, failed, survey};
use super::walk::{self, BadPayload, Found, Lenient, Walk};
use crate::failure::Failure;
use crate::seal::{KeyId, Keyring};

/// What lies in a journal's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The journal's id; `None` where there is no journal.
    pub id: Option<Id>,
    /// In order.
    pub segments: Vec<SegmentReport>,
    /// Everything below is settled, as the hint in the folder says. A checkpoint in a state store
    /// may say more.
    pub settled: u64,
    /// The sequence number after the last event.
    pub end: u64,
    /// Intact events that are not settled.
    pub pending_events: u64,
    /// Bytes on disk of the records that hold them.
    pub pending_bytes: u64,
    /// The process that uses the folder; 0 for one that could not write its id.
    pub locked_by_process: Option<u32>,
    /// Files in `damaged/`, with their bytes.
    pub damaged: Vec<(String, u64)>,
    /// Files that look like segments and are none of this journal's, with the reason.
    pub strange: Vec<(String, &'static str)>,
}

/// What one segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentReport {
    /// Name of the file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Sequence number of its first event.
    pub first: u64,
    /// Intact events.
    pub events: u64,
    /// Intact records.
    pub records: u64,
    /// Records among them that are compressed.
    pub compressed: u64,
    /// The same, sealed.
    pub sealed: u64,
    /// Intact events behind the settled place, and the bytes of their records.
    pub pending: (u64, u64),
    /// Bytes between intact records that are none. The torn tail of the last write is not counted.
    pub damaged_bytes: u64,
    /// Events that should be there and are not.
    pub lost_events: u64,
    /// The key that its header names.
    pub sealed_with: Option<KeyId>,
    /// Records sealed with a key that is not given: they could be held against their checksums only.
    pub unopened: u64,
    /// Its events were dropped because the buffer was full.
    pub dropped: bool,
    /// Its header can be read.
    pub is_headed: bool,
}

/// Looks at the journal in this folder. With keys, sealed records are opened, too.
///
/// # Errors
/// Fatal: the folder cannot be read (`buffer_io`), or was written by a newer version
/// (`buffer_format`).
pub fn inspect(dir: &Path, keys: Option<&Keyring>) -> Result<Inspection, Failure> {
    inspect_on(&Folder::new(dir), keys)
}

/// The same over any storage.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_on(storage: &dyn Storage, keys: Option<&Keyring>) -> Result<Inspection, Failure> {
    let damaged = storage.list(DAMAGED);
    let damaged = damaged.map_err(|error| failed(storage, DAMAGED, &error))?;
    let mut inspection = Inspection {
        id: None,
        segments: Vec::new(),
        settled: 0,
        end: 0,
        pending_events: 0,
        pending_bytes: 0,
        locked_by_process: storage.locked_by(),
        damaged,
        strange: Vec::new(),
    };
    let Some(survey) = survey(storage)? else {
        return Ok(inspection);
    };
    let oldest = survey.segments.front().map_or(0, |segment| segment.first);
    let is_known = survey.mark.is_some() || !survey.segments.is_empty();
    inspection.id = is_known.then_some(survey.id);
    inspection.settled = survey.mark.map_or(oldest, |mark| mark.settled);
    inspection.end = survey.end;
    for index in 0..survey.segments.len() {
        let report = match report(storage, &survey, index, inspection.settled, keys) {
            // Removed meanwhile by the process that uses it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            report => report.map_err(|error| failed(storage, "", &error))?,
        };
        inspection.pending_events += report.pending.0;
        inspection.pending_bytes += report.pending.1;
        inspection.segments.push(report);
    }
    inspection.strange = survey.strange;
    Ok(inspection)
}

fn report(
    storage: &dyn Storage,
    survey: &Survey,
    index: usize,
    settled: u64,
    keys: Option<&Keyring>,
) -> io::Result<SegmentReport> {
    let segment = &survey.segments[index];
    let limit = survey.limit(index);
    let file = Lenient(Arc::from(storage.open(&segment.name, false)?));
    let mut report = SegmentReport {
        file: segment.name.clone(),
        bytes: segment.bytes,
        first: segment.first,
        sealed_with: segment.key,
        dropped: segment.dropped,
        is_headed: !segment.damaged,
        ..SegmentReport::default()
    };
    if segment.dropped {
        return Ok(report);
    }
    let mut records = Records::new(&survey.id, segment, limit);
    let mut place = segment.first;
    while let Some(found) = records.next(&file)? {
        // A write that was torn behind its header was never answered.
        if found.header.end() > survey.end {
            continue;
        }
        let opened = walk::payload(&file, &found, &survey.id, keys);
        if !report.count(&found, opened.map(drop)) {
            continue;
        }
        let end = found.header.end().min(limit);
        let start = found.header.first.max(place).min(end);
        report.lost_events += found.header.first.saturating_sub(place);
        report.events += end - start;
        if end > settled {
            report.pending.0 += end - start.max(settled).min(end);
            report.pending.1 += found.header.length();
        }
        place = place.max(end);
    }
    report.lost_events += limit.saturating_sub(place);
    let is_last = index + 1 == survey.segments.len();
    report.damaged_bytes += records.skipped(is_last);
    Ok(report)
}

impl SegmentReport {
    /// Counts a record; `false` for one that is not intact.
    fn count(&mut self, found: &Found, opened: Result<(), BadPayload>) -> bool {
        match opened {
            Ok(()) => {}
            Err(BadPayload::UnknownKey(_)) => self.unopened += 1,
            Err(BadPayload::Damaged | BadPayload::Io(_)) => {
                self.damaged_bytes += found.header.length();
                return false;
            }
        }
        self.records += 1;
        self.compressed += u64::from(found.header.compressed);
        self.sealed += u64::from(found.header.sealed);
        true
    }
}

/// The records of a segment that count.
pub(super) struct Records {
    walk: Walk,
    limit: u64,
    /// Bytes passed over before the last record that was found.
    between: u64,
}

impl Records {
    pub fn new(id: &Id, segment: &Segment, limit: u64) -> Self {
        let salt = Salt::new(id, segment.number);
        // Without a header the first record may lie anywhere.
        let start = if segment.damaged {
            0
        } else {
            SEGMENT_HEADER as u64
        };
        Self {
            walk: Walk::new(salt, start, segment.bytes),
            limit,
            between: 0,
        }
    }

    pub fn next(&mut self, file: &dyn StoredFile) -> io::Result<Option<Found>> {
        let found = self.walk.next(file)?;
        let found = found.filter(|found| found.header.first < self.limit);
        if found.is_some() {
            self.between = self.walk.skipped;
        }
        Ok(found)
    }

    /// Bytes that were no record; what lies behind the last one counts only where that is said.
    pub fn skipped(&self, is_tail_torn: bool) -> u64 {
        if is_tail_torn {
            self.between
        } else {
            self.walk.skipped
        }
    }
}

/// Reads a segment from memory, records, payloads, events and all, and says what it held. For any
/// bytes: it ends, and takes memory only in proportion to them (LZ4 unpacks to 255 times its size).
pub fn read_segment(bytes: &[u8], keys: Option<&Keyring>) -> Result<SegmentReport, u32> {
    let mut report = SegmentReport {
        bytes: bytes.len() as u64,
        ..SegmentReport::default()
    };
    let header = match SegmentHeader::read(bytes) {
        Ok(header) => header,
        Err(BadHeader::Newer(version)) => return Err(version),
        Err(BadHeader::Damaged) => {
            report.damaged_bytes = report.bytes;
            return Ok(report);
        }
    };
    report.is_headed = true;
    report.first = header.first;
    report.sealed_with = header.key;
    report.dropped = header.dropped;
    let file = bytes.to_vec();
    let salt = Salt::new(&header.id, header.number);
    let mut walk = Walk::new(salt, SEGMENT_HEADER as u64, report.bytes);
    let mut place = header.first;
    while let Ok(Some(found)) = walk.next(&file) {
        let read = walk::payload(&file, &found, &header.id, keys).and_then(|plain| {
            let payload = Payload::read(plain, found.header.events);
            let (batch, refused) =
                payload
                    .ok_or(BadPayload::Damaged)?
                    .events(0, usize::MAX, &Arc::default());
            report.events += (batch.len() + refused.len()) as u64;
            Ok(())
        });
        if report.count(&found, read) {
            report.lost_events = report
                .lost_events
                .saturating_add(found.header.first.saturating_sub(place));
            place = place.max(found.header.end());
        }
    }
    report.damaged_bytes += walk.skipped;
    Ok(report)
}
