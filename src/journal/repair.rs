//! Making a damaged journal whole again, as far as that goes, while no process uses it.
//!
//! A segment with damage is written anew from its intact records, and the original is kept in
//! `damaged/`. A piece in `damaged/` whose events are still due and lie nowhere else (since a disk
//! or a header could not be read once) is taken back.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::book::Segment;
use super::format::{Id, Salt, SegmentHeader, segment_name, segment_number};
use super::inspect::{Inspection, Records, inspect_on};
use super::room::{DAMAGED, move_aside};
use super::storage::{Folder, Storage};
use super::survey::{Survey, failed, survey};
use super::walk::{self, Lenient};
use crate::failure::Failure;
use crate::seal::Keyring;

/// Where a segment is put together before it takes its name.
const DRAFT: &str = "repair.tmp";

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Segments that were written anew: the file, and the events that could not be saved.
    pub rewritten: Vec<(String, u64)>,
    /// Pieces that were taken back from `damaged/`, with their events.
    pub taken_back: Vec<(String, u64)>,
    /// Files that hold nothing of this journal and were moved to `damaged/`.
    pub set_aside: Vec<String>,
    /// Events that are missing now.
    pub lost_events: u64,
}

/// Repairs the journal in this folder.
///
/// # Errors
/// Fatal: a process uses it (`buffer_locked`), it was written by a newer version
/// (`buffer_format`), or it cannot be read or written (`buffer_io`).
pub fn repair(dir: &Path, keys: Option<&Keyring>) -> Result<Repair, Failure> {
    repair_on(&Folder::new(dir), keys)
}

/// The same over any storage.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(storage: &dyn Storage, keys: Option<&Keyring>) -> Result<Repair, Failure> {
    let _lock = super::lock(storage)?;
    let explain = |error: io::Error| failed(storage, "", &error);
    let mut repair = Repair::default();
    let Some(found) = survey(storage)? else {
        return Ok(repair);
    };
    for (name, _) in &found.strange {
        move_aside(storage, name).map_err(explain)?;
        repair.set_aside.push(name.clone());
    }
    take_back(storage, &found, &mut repair).map_err(explain)?;
    let Some(found) = survey(storage)? else {
        return Ok(repair);
    };
    let before = inspect_on(storage, keys)?;
    for (index, segment) in found.segments.iter().enumerate() {
        let Some(report) = before.segments.iter().find(|one| one.file == segment.name) else {
            continue;
        };
        if report.damaged_bytes > 0 || !report.is_headed {
            rewrite(storage, &found, index).map_err(explain)?;
            let lost = report.lost_events;
            repair.rewritten.push((segment.name.clone(), lost));
        }
    }
    repair.lost_events = lost_events(&inspect_on(storage, keys)?);
    Ok(repair)
}

/// What is missing inside of segments and between them.
fn lost_events(inspection: &Inspection) -> u64 {
    inspection.segments.iter().map(|one| one.lost_events).sum()
}

/// Writes a segment anew from its intact records.
fn rewrite(storage: &dyn Storage, survey: &Survey, index: usize) -> io::Result<()> {
    let segment = &survey.segments[index];
    let header = SegmentHeader {
        id: survey.id,
        number: segment.number,
        first: segment.first,
        key: segment.key,
        dropped: segment.dropped,
    };
    let file = Lenient(Arc::from(storage.open(&segment.name, false)?));
    let _ = storage.remove(DRAFT);
    let mut draft = storage.create(DRAFT)?;
    draft.append(&header.bytes())?;
    let mut records = Records::new(&survey.id, segment, survey.limit(index));
    let salt = Salt::new(&survey.id, segment.number);
    while let Some(found) = records.next(&file)? {
        // Sealed payloads are bound to their numbers, not to their file: they are copied as they are.
        if let Ok(stored) = walk::stored(&file, &found) {
            draft.append(&found.header.bytes(salt))?;
            draft.append(&stored)?;
        }
    }
    draft.sync()?;
    move_aside(storage, &segment.name)?;
    storage.rename(DRAFT, &segment.name)?;
    storage.sync_folder("")
}

/// Gives pieces in `damaged/` their names again, where their events are due and lie nowhere else.
fn take_back(storage: &dyn Storage, survey: &Survey, repair: &mut Repair) -> io::Result<()> {
    let mut known: BTreeMap<u64, u64> = (0..survey.segments.len())
        .map(|index| (survey.segments[index].number, survey.segments[index].first))
        .collect();
    let settled = survey.mark.map_or(0, |mark| mark.settled);
    for (file, bytes) in storage.list(DAMAGED)? {
        let Some(number) = file.get(..segment_name(0).len()).and_then(segment_number) else {
            continue;
        };
        let name = format!("{DAMAGED}/{file}");
        let Some((first, end)) = range(storage, &survey.id, &name, number, bytes)? else {
            continue;
        };
        let before = known.range(..number).next_back();
        let after = known.range(number..).next();
        // Between its neighbours, as it was written; the one before it must end where it begins.
        let fits = before.is_none_or(|(_, other)| *other < first)
            && after.is_none_or(|(other, begin)| *other > number && end <= *begin);
        if fits && end > settled && !is_covered(storage, survey, number, first)? {
            storage.rename(&name, &segment_name(number))?;
            storage.sync_folder("")?;
            storage.sync_folder(DAMAGED)?;
            known.insert(number, first);
            repair.taken_back.push((file, end - first));
        }
    }
    Ok(())
}

/// The numbers of the events in a file: the first, and the one after the last.
fn range(
    storage: &dyn Storage,
    id: &Id,
    name: &str,
    number: u64,
    bytes: u64,
) -> io::Result<Option<(u64, u64)>> {
    let file = Lenient(Arc::from(storage.open(name, false)?));
    let piece = Segment::unknown(number, name, bytes);
    let mut records = Records::new(id, &piece, u64::MAX);
    let mut range: Option<(u64, u64)> = None;
    while let Some(found) = records.next(&file)? {
        if walk::stored(&file, &found).is_ok() {
            let first = range.map_or(found.header.first, |(first, _)| first);
            range = Some((first, found.header.end()));
        }
    }
    Ok(range)
}

/// The segment before this number holds the event itself.
fn is_covered(storage: &dyn Storage, survey: &Survey, number: u64, first: u64) -> io::Result<bool> {
    let before = survey.segments.iter().rev().find(|one| one.number < number);
    let Some(before) = before else {
        return Ok(false);
    };
    let range = range(
        storage,
        &survey.id,
        &before.name,
        before.number,
        before.bytes,
    )?;
    Ok(range.is_some_and(|(_, end)| end > first))
}
