//! Reading what is on disk, about one record at a time.

use std::io;
use std::sync::Arc;

use super::book::{Core, Segment};
use super::decode::Payload;
use super::format::{SEGMENT_HEADER, Salt};
use super::storage::StoredFile;
use super::walk::{self, BadPayload, Found, Lenient, Walk};
use crate::event::{Batch, Event, PathSet};
use crate::failure::Failure;
use crate::seal::KeyId;
use crate::stage::Letter;

/// Bytes of text after which no further record is read into the same delivery.
const CHUNK_BYTES: u64 = 1 << 20;

/// What to read.
pub(super) struct Task {
    /// From this event on.
    pub place: u64,
    /// The segment's events end here, whatever else lies in it.
    pub limit: u64,
    /// What follows is in memory.
    pub until: u64,
    /// Read over what cannot be read.
    pub lenient: bool,
    pub segment: Segment,
}

/// What was read.
pub(super) struct Chunk {
    pub segment: Segment,
    pub batch: Batch,
    pub refused: Vec<Letter>,
    /// The sequence number after the last event of the batch.
    pub end: u64,
    /// Where to go on: behind what is known to be lost.
    pub place: u64,
    /// Stretches that are lost, and the byte where the search for them began.
    pub lost: Vec<((u64, u64), u64)>,
}

/// Why nothing was read.
pub(super) enum Trouble {
    /// It may go well the next time.
    Io(Failure),
    Fatal(Failure),
}

/// The reader's place on disk.
pub(super) struct Replay {
    core: Arc<Core>,
    paths: Arc<PathSet>,
    open: Option<Open>,
}

struct Open {
    number: u64,
    lenient: bool,
    file: Arc<dyn StoredFile>,
    walk: Walk,
    /// Events below are behind the walk.
    passed: u64,
}

impl Replay {
    pub fn new(core: Arc<Core>, paths: Arc<PathSet>) -> Self {
        Self {
            core,
            paths,
            open: None,
        }
    }

    /// Reads on from the task's place. After an error the segment is opened anew.
    pub fn read(&mut self, task: &Task) -> Result<Chunk, Trouble> {
        let read = self.try_read(task);
        if read.is_err() {
            self.open = None;
        }
        read
    }

    fn try_read(&mut self, task: &Task) -> Result<Chunk, Trouble> {
        let mut chunk = Chunk {
            segment: task.segment.clone(),
            batch: Batch::default(),
            refused: Vec::new(),
            end: task.place,
            place: task.place,
            lost: Vec::new(),
        };
        let (mut events, mut bytes) = (Vec::new(), 0);
        while chunk.place < task.until
            && events.len() < self.core.policy.batch_events
            && bytes < CHUNK_BYTES
            && chunk.refused.is_empty()
        {
            self.step(task, &mut chunk, &mut events, &mut bytes)?;
            if !chunk.lost.is_empty() {
                // What was lost is told before what follows is handed out.
                break;
            }
        }
        chunk.batch = events.into();
        Ok(chunk)
    }

    /// Takes the next record.
    fn step(
        &mut self,
        task: &Task,
        chunk: &mut Chunk,
        events: &mut Vec<Event>,
        bytes: &mut u64,
    ) -> Result<(), Trouble> {
        let core = self.core.clone();
        let trouble = |error: io::Error| core.unreadable(&task.segment, &error);
        let open = self.open(task, chunk.place).map_err(trouble)?;
        let before = open.walk.at();
        let found = open.walk.next(&*open.file).map_err(trouble)?;
        let Some(found) = found.filter(|found| found.header.first < task.limit) else {
            chunk.lose(task.until, before);
            return Ok(());
        };
        if found.header.end() <= chunk.place {
            return Ok(());
        }
        let first = found.header.first;
        if first > chunk.place {
            // The record itself is taken with the next task.
            open.walk.back_to(found.at);
            chunk.lose(first.min(task.until), before);
            return Ok(());
        }
        let Some(payload) = payload(&core, open, &found, task)? else {
            return Ok(());
        };
        let end = found.header.end().min(task.until);
        open.passed = found.header.end();
        let (skip, keep) = (chunk.place - first, end - first);
        let (batch, refused) = payload.events(skip as usize, keep as usize, &self.paths);
        *bytes += batch.bytes();
        events.extend(batch.into_events());
        chunk.refused.extend(refused);
        (chunk.end, chunk.place) = (end, end);
        Ok(())
    }

    fn open(&mut self, task: &Task, place: u64) -> io::Result<&mut Open> {
        let segment = &task.segment;
        let fits = |open: &Open| {
            open.number == segment.number && open.lenient == task.lenient && open.passed <= place
        };
        let open = match self.open.take().filter(fits) {
            Some(open) => open,
            None => {
                let file: Arc<dyn StoredFile> =
                    self.core.storage.open(&segment.name, false)?.into();
                Open {
                    number: segment.number,
                    lenient: task.lenient,
                    file: if task.lenient {
                        Arc::new(Lenient(file))
                    } else {
                        file
                    },
                    walk: Walk::new(
                        Salt::new(&self.core.id, segment.number),
                        if segment.damaged {
                            0
                        } else {
                            SEGMENT_HEADER as u64
                        },
                        0,
                    ),
                    passed: 0,
                }
            }
        };
        let open = self.open.insert(open);
        open.walk.extend(segment.bytes);
        Ok(open)
    }
}

/// The record's payload; `None` when it is damaged.
fn payload(
    core: &Core,
    open: &Open,
    found: &Found,
    task: &Task,
) -> Result<Option<Payload>, Trouble> {
    match walk::payload(&*open.file, found, &core.id, core.keys.as_ref()) {
        Ok(bytes) => Ok(Payload::read(bytes, found.header.events)),
        Err(BadPayload::Damaged) => Ok(None),
        Err(BadPayload::UnknownKey(key)) => {
            Err(Trouble::Fatal(unknown_key(core, &task.segment, key)))
        }
        Err(BadPayload::Io(error)) => Err(core.unreadable(&task.segment, &error)),
    }
}

fn unknown_key(core: &Core, segment: &Segment, key: Option<KeyId>) -> Failure {
    super::unknown_key(&core.storage.path(&segment.name), key)
}

impl Chunk {
    fn lose(&mut self, to: u64, at: u64) {
        self.lost.push(((self.place, to), at));
        self.place = to;
    }
}

impl Core {
    fn unreadable(&self, segment: &Segment, error: &io::Error) -> Trouble {
        let path = self.storage.path(&segment.name);
        let text = format!(
            "cannot read the buffer's segment `{}`: {error}",
            path.display()
        );
        Trouble::Io(Failure::transient("buffer_io", text))
    }

    /// Counts and tells a loss, unless that was done before.
    pub fn lose(&self, lost: (u64, u64), place: Option<(&Segment, u64)>, what: &str) {
        let mut book = self.lock();
        let count = book.gone.insert(lost.0, lost.1);
        if let Some((segment, _)) = place
            && let Some(known) = book
                .segments
                .iter_mut()
                .find(|one| one.number == segment.number)
        {
            known.damaged = true;
        }
        drop(book);
        if count == 0 {
            return;
        }
        self.meter.dropped("buffer_damaged", count);
        let (name, at) = place.map_or(("", 0), |(segment, at)| (&*segment.name, at));
        let path = self.storage.path(name);
        tracing::warn!(
            buffer = self.meter.name(), path = %path.display(), byte = at, first = lost.0,
            events = count, "{what}: events of the buffer are lost"
        );
    }
}
