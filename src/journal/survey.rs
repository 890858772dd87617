//! What a folder holds at the start: its segments, in order, and how far each counts.

use std::collections::VecDeque;
use std::io;

use super::cursor::{self, Mark};
use super::format::{BadHeader, Id, SEGMENT_HEADER, Salt, SegmentHeader, VERSION, segment_number};
use super::room::DAMAGED;
use super::storage::{Storage, StoredFile, read_full};
use super::walk::{self, Walk};
use super::{book::Segment, ranges::Ranges};
use crate::failure::Failure;

/// Numbers of segments and of events stay below: they are only ever counted up.
const MOST: u64 = 1 << 62;

/// A folder as it was found.
pub(super) struct Survey {
    pub id: Id,
    /// The hint, where there is one that belongs to these files.
    pub mark: Option<Mark>,
    /// In order; what counts of each ends where the next one begins.
    pub segments: VecDeque<Segment>,
    /// Files that are none of this journal's segments, or of which nothing counts: file and reason.
    pub strange: Vec<(String, &'static str)>,
    /// The sequence number after the last event.
    pub end: u64,
    /// The next segment's number.
    pub number: u64,
    /// What was dropped by an earlier process because the buffer was full.
    pub dropped: Ranges,
}

/// A file with what its header says.
struct Headed {
    number: u64,
    name: String,
    bytes: u64,
    header: Option<SegmentHeader>,
}

/// Looks through a folder; `None` when there is no journal in it. Reads headers, and the last
/// segment. Changes nothing.
pub(super) fn survey(storage: &dyn Storage) -> Result<Option<Survey>, Failure> {
    let mark = cursor::read(storage);
    let headed = headers(storage)?;
    let Some((id, mark)) = identity(&headed, mark) else {
        let strange = headed
            .into_iter()
            .map(|one| (one.name, "it has no readable header"));
        let strange: Vec<_> = strange.collect();
        return if strange.is_empty() {
            Ok(None)
        } else {
            Ok(Some(Survey::of_strangers(strange)?))
        };
    };
    let mut survey = Survey {
        id,
        number: mark.map_or(1, |mark| mark.number.max(1)),
        mark,
        segments: VecDeque::new(),
        strange: Vec::new(),
        end: 0,
        dropped: Ranges::default(),
    };
    for one in headed {
        survey.number = survey.number.max(one.number + 1);
        survey.take(storage, one)?;
    }
    survey.count_numbers(storage)?;
    survey.keep_what_counts();
    survey.end = survey.find_end(storage)?;
    for index in 0..survey.segments.len() {
        let limit = survey.limit(index);
        let segment = &survey.segments[index];
        if segment.dropped {
            survey.dropped.insert(segment.first, limit);
        }
    }
    Ok(Some(survey))
}

fn headers(storage: &dyn Storage) -> Result<Vec<Headed>, Failure> {
    let files = storage
        .list("")
        .map_err(|error| failed(storage, "", &error))?;
    let mut headed = Vec::new();
    for (name, bytes) in files {
        let Some(number) = segment_number(&name).filter(|number| *number < MOST) else {
            continue;
        };
        let header = match header_of(storage, &name) {
            Ok(header) => header,
            // Removed meanwhile by the process that uses the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(storage, &name, &error)),
        };
        let header = match header {
            Ok(header) if header.first < MOST => Some(header),
            Ok(_) | Err(BadHeader::Damaged) => None,
            Err(BadHeader::Newer(version)) => return Err(newer(storage, &name, version)),
        };
        headed.push(Headed {
            number,
            name,
            bytes,
            header,
        });
    }
    headed.sort_by_key(|one| one.number);
    Ok(headed)
}

fn header_of(storage: &dyn Storage, name: &str) -> io::Result<Result<SegmentHeader, BadHeader>> {
    let file = storage.open(name, false)?;
    let mut bytes = [0; SEGMENT_HEADER];
    // A header that cannot be read is as good as none; the records may be whole.
    let read = read_full(&*file, 0, &mut bytes).unwrap_or(0);
    Ok(SegmentHeader::read(&bytes[..read]))
}

/// Whose files these are: the hint's, unless all headers say otherwise.
fn identity(headed: &[Headed], mark: Option<Mark>) -> Option<(Id, Option<Mark>)> {
    let mut ids = headed.iter().filter_map(|one| Some(one.header?.id));
    let last = ids.clone().next_back();
    match mark {
        Some(mark) if last.is_none() || ids.any(|id| id == mark.id) => Some((mark.id, Some(mark))),
        _ => last.map(|id| (id, None)),
    }
}

impl Survey {
    /// The sequence number after the last event that this segment speaks for.
    pub fn limit(&self, index: usize) -> u64 {
        let next = self.segments.get(index + 1);
        next.map_or(self.end, |next| next.first)
    }

    fn of_strangers(strange: Vec<(String, &'static str)>) -> Result<Self, Failure> {
        let numbers = strange.iter().filter_map(|(name, _)| segment_number(name));
        Ok(Self {
            number: numbers.max().unwrap_or(0) + 1,
            strange,
            ..Self::fresh()?
        })
    }

    /// A journal that begins now.
    pub fn fresh() -> Result<Self, Failure> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| {
            Failure::fatal(
                "no_randomness",
                format!("the system has no randomness: {error}"),
            )
        })?;
        Ok(Self {
            id,
            mark: None,
            segments: VecDeque::new(),
            strange: Vec::new(),
            end: 0,
            number: 1,
            dropped: Ranges::default(),
        })
    }

    fn take(&mut self, storage: &dyn Storage, one: Headed) -> Result<(), Failure> {
        let Headed {
            number,
            name,
            bytes,
            header,
        } = one;
        let first = match &header {
            Some(header) if header.id == self.id && header.number == number => header.first,
            Some(_) => {
                self.strange.push((name, "it is of another journal"));
                return Ok(());
            }
            // The records may be whole all the same, and say where they belong.
            None => match first_of(storage, &name, &self.id, number, bytes) {
                Ok(Some(first)) if first < MOST => first,
                Ok(_) => {
                    self.strange
                        .push((name, "it has no readable header and no record"));
                    return Ok(());
                }
                Err(error) => return Err(failed(storage, &name, &error)),
            },
        };
        self.segments.push_back(Segment {
            number,
            name,
            first,
            bytes,
            key: header.and_then(|header| header.key),
            dropped: header.is_some_and(|header| header.dropped),
            damaged: header.is_none(),
        });
        Ok(())
    }

    /// A name in `damaged/` is not used again.
    fn count_numbers(&mut self, storage: &dyn Storage) -> Result<(), Failure> {
        let damaged = storage.list(DAMAGED);
        let damaged = damaged.map_err(|error| failed(storage, DAMAGED, &error))?;
        for (name, _) in damaged {
            let number = name.get(..32).and_then(segment_number);
            let number = number.filter(|number| *number < MOST).unwrap_or(0);
            self.number = self.number.max(number + 1);
        }
        Ok(())
    }

    /// A later segment says by its first number where the earlier ones end. One that begins behind
    /// that holds only what failed to be written.
    fn keep_what_counts(&mut self) {
        let mut limit = u64::MAX;
        let mut kept = VecDeque::with_capacity(self.segments.len());
        for segment in self.segments.drain(..).rev() {
            if segment.first > limit {
                self.strange
                    .push((segment.name, "its events were never answered"));
                continue;
            }
            limit = segment.first;
            kept.push_front(segment);
        }
        self.segments = kept;
    }

    /// The sequence number after the last intact record; what was synced once counts, too.
    fn find_end(&self, storage: &dyn Storage) -> Result<u64, Failure> {
        let synced = self.mark.map_or(0, |mark| mark.synced.min(MOST));
        let Some(last) = self.segments.back() else {
            return Ok(synced);
        };
        let end = end_of(storage, last, &self.id);
        let end = end.map_err(|error| failed(storage, &last.name, &error))?;
        Ok(end.max(synced))
    }
}

/// Nothing was written into the file, or nothing but zeros in its first page.
pub(super) fn is_blank(storage: &dyn Storage, name: &str) -> bool {
    let mut bytes = [0; 4096];
    let read = storage
        .open(name, false)
        .and_then(|file| read_full(&*file, 0, &mut bytes));
    read.is_ok_and(|read| bytes[..read].iter().all(|byte| *byte == 0))
}

/// The first sequence number in a segment without a header.
fn first_of(
    storage: &dyn Storage,
    name: &str,
    id: &Id,
    number: u64,
    bytes: u64,
) -> io::Result<Option<u64>> {
    let file = storage.open(name, false)?;
    let mut walk = Walk::new(Salt::new(id, number), 0, bytes);
    Ok(walk.next(&*file)?.map(|found| found.header.first))
}

fn end_of(storage: &dyn Storage, segment: &Segment, id: &Id) -> io::Result<u64> {
    let file: std::sync::Arc<dyn StoredFile> = storage.open(&segment.name, false)?.into();
    let file = walk::Lenient(file);
    let salt = Salt::new(id, segment.number);
    let mut walk = Walk::new(salt, SEGMENT_HEADER as u64, segment.bytes);
    let mut end = segment.first;
    while let Some(found) = walk.next(&file)? {
        // The last write may have been torn behind its header.
        if found.header.end() < MOST && walk::stored(&file, &found).is_ok() {
            end = end.max(found.header.end());
        }
    }
    Ok(end)
}

pub(super) fn failed(storage: &dyn Storage, name: &str, error: &io::Error) -> Failure {
    let path = storage.path(name);
    let text = format!("cannot use the buffer `{}`: {error}", path.display());
    Failure::fatal("buffer_io", text)
}

fn newer(storage: &dyn Storage, name: &str, version: u32) -> Failure {
    let path = storage.path(name);
    let text = format!(
        "the buffer's segment `{}` has format {version}, this version reads {VERSION}",
        path.display()
    );
    Failure::fatal("buffer_format", text)
}
