//! The thread that writes: whatever waits becomes one group, under one sync.
//!
//! A group lies in one segment and is answered as a whole. After a failed write or sync nothing is
//! known about that file's end: it is never written again, and the next group begins another one,
//! whose header says where the events of the old one end.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::book::{Book, Core, Segment};
use super::cursor::Cursor;
use super::encode::{Group, encode};
use super::entrance::Waiting;
use super::format::{SEGMENT_HEADER, Salt, SegmentHeader, segment_name};
use super::storage::StoredFile;
use super::{WhenFull, room};
use crate::event::Batch;
use crate::failure::Failure;

/// Most batches under one sync.
const GROUP_BATCHES: usize = 1024;
/// Most bytes under one sync, before compression; a larger batch goes alone.
const GROUP_BYTES: u64 = 8 << 20;
/// What an event takes on disk beside its body, at a guess from above.
const EVENT_BYTES: u64 = 64;
/// The same of a group: headers.
const GROUP_OVERHEAD: u64 = 256;

/// The file that is written to.
struct Active {
    file: Box<dyn StoredFile>,
    /// Bytes that were synced.
    length: u64,
    salt: Salt,
}

pub(super) struct Writer {
    core: Arc<Core>,
    active: Option<Active>,
    /// The next segment's number.
    number: u64,
    cursor: Cursor,
    group: Group,
    /// What the group that did not fit takes on disk, once that is known.
    need: u64,
    /// When the group that is gathering began.
    since: Option<Instant>,
    /// The last write failed: the first that goes well is worth a line in the log.
    failing: bool,
}

/// What there is to do.
enum Step {
    Write(Vec<Waiting>),
    /// Write the cursor, remove what is settled.
    Tidy,
    /// Make room by dropping the oldest segment that was not read.
    DropOldest,
    Stop,
}

/// Tells everybody that there is no writer any more, even if it ended by a panic.
struct Ending(Arc<Core>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut book = self.0.lock();
        book.ended = true;
        book.writing = false;
        let lost = std::mem::take(&mut book.line);
        drop(book);
        self.0.arrived.notify_one();
        drop(lost);
    }
}

/// Starts the thread. It ends when the book says stop.
pub(super) fn start(core: Arc<Core>, cursor: Cursor, number: u64) -> io::Result<JoinHandle<()>> {
    let writer = Writer {
        core: core.clone(),
        active: None,
        number,
        cursor,
        group: Group::default(),
        need: 0,
        since: None,
        failing: false,
    };
    let run = move || {
        let _ending = Ending(core);
        writer.run();
    };
    thread::Builder::new()
        .name("buffer-writer".into())
        .spawn(run)
}

/// Waits until something is stirred, or for so long where that is not zero.
fn wait<'a>(core: &'a Core, book: MutexGuard<'a, Book>, left: Duration) -> MutexGuard<'a, Book> {
    if left.is_zero() {
        let stirred = core.stirred.wait(book);
        return stirred.unwrap_or_else(PoisonError::into_inner);
    }
    let stirred = core.stirred.wait_timeout(book, left);
    stirred.unwrap_or_else(PoisonError::into_inner).0
}

/// What a batch takes on disk, uncompressed.
fn weight(batch: &Batch) -> u64 {
    batch.bytes() + EVENT_BYTES * batch.len() as u64 + GROUP_OVERHEAD
}

impl Writer {
    fn run(mut self) {
        loop {
            match self.next_step() {
                Step::Write(group) => self.write(group),
                Step::DropOldest => self.drop_oldest(),
                Step::Tidy => {}
                Step::Stop => break,
            }
            self.tidy();
        }
        self.tidy();
    }

    fn next_step(&mut self) -> Step {
        let core = self.core.clone();
        let mut book = core.lock();
        loop {
            if std::mem::take(&mut book.dirty) {
                return Step::Tidy;
            }
            // Who went away comes again with the same events.
            while book.line.front().is_some_and(|one| one.reply.is_unheard()) {
                book.line.pop_front();
            }
            let mut left = Duration::ZERO;
            if !book.line.is_empty() {
                left = self.lingers(&book);
                if left.is_zero()
                    && let Some(step) = self.admit(&mut book)
                {
                    return step;
                }
            }
            if book.stop {
                return Step::Stop;
            }
            book = wait(&core, book, left);
        }
    }

    /// How long to wait yet for more that can be written with what is there.
    fn lingers(&mut self, book: &Book) -> Duration {
        let since = *self.since.get_or_insert_with(Instant::now);
        let waiting: u64 = book.line.iter().map(|one| weight(&one.batch)).sum();
        if book.stop || waiting >= GROUP_BYTES {
            return Duration::ZERO;
        }
        self.core.policy.sync_wait.saturating_sub(since.elapsed())
    }

    /// Takes the next group out of the line, if there is room for it.
    fn admit(&mut self, book: &mut Book) -> Option<Step> {
        let policy = self.core.policy;
        while let Some(first) = book.line.front() {
            let need = weight(&first.batch).max(self.need);
            if book.bytes() + need <= policy.max_size {
                return Some(Step::Write(self.take_group(book)));
            }
            if book.stored() == 0 {
                // Nothing will make more room: what is settled goes, and then this goes in alone.
                if std::mem::take(&mut book.active) {
                    self.active = None;
                    return Some(Step::Tidy);
                }
                return Some(Step::Write(self.take_group(book)));
            }
            match policy.when_full {
                WhenFull::Block => return None,
                WhenFull::DropNewest => self.drop_newest(book),
                WhenFull::DropOldest => {
                    return room::oldest(book).is_some().then_some(Step::DropOldest);
                }
            }
        }
        None
    }

    fn take_group(&mut self, book: &mut Book) -> Vec<Waiting> {
        let policy = &self.core.policy;
        let room = policy.max_size.saturating_sub(book.bytes());
        let most = room.min(GROUP_BYTES).min(self.core.segment_size);
        let (mut group, mut total) = (Vec::new(), 0);
        while let Some(next) = book.line.front()
            && group.len() < GROUP_BATCHES
        {
            total += weight(&next.batch);
            if !group.is_empty() && total > most {
                break;
            }
            let next = book.line.pop_front();
            group.extend(next.filter(|one| !one.reply.is_unheard()));
        }
        self.since = None;
        book.writing = true;
        group
    }

    fn drop_newest(&mut self, book: &mut Book) {
        self.need = 0;
        let Some(Waiting { batch, reply }) = book.line.pop_front() else {
            return;
        };
        let meter = &self.core.meter;
        meter.received(batch.len() as u64, batch.bytes());
        meter.dropped("buffer_newest", batch.len() as u64);
        // Dropped by a rule: that is an answer.
        reply.send(Ok(()), batch.len() as u64);
    }

    fn drop_oldest(&mut self) {
        let dropped = room::drop_oldest(&self.core);
        // What was written to may be what was dropped.
        if !self.core.lock().active {
            self.active = None;
        }
        let Err(error) = dropped else { return };
        // No room can be made: whoever waits first is told why.
        let path = self.core.storage.path("");
        let text = format!(
            "cannot make room in the buffer `{}`: {error}",
            path.display()
        );
        let first = self.core.lock().line.pop_front();
        if let Some(first) = first {
            let failure = Failure::transient("buffer_io", text);
            first.reply.send(Err(failure), 0);
        }
    }

    fn tidy(&mut self) {
        let book = self.core.lock();
        let (settled, synced) = (book.settled, book.synced);
        drop(book);
        let storage = &*self.core.storage;
        self.cursor.write(storage, settled, synced, self.number);
        room::remove_settled(&self.core, &mut self.cursor, settled);
    }

    fn write(&mut self, waiting: Vec<Waiting>) {
        let book = self.core.lock();
        let (first, stored, bytes) = (book.synced, book.stored(), book.bytes());
        drop(book);
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.length >= self.core.segment_size)
        {
            self.retire();
        }
        let salt = match &self.active {
            Some(active) => active.salt,
            None => Salt::new(&self.core.id, self.number),
        };
        encode(&mut self.group, &self.core, &waiting, first, salt);
        let size = self.group.bytes.len() as u64 + SEGMENT_HEADER as u64;
        if bytes + size > self.core.policy.max_size && stored > 0 {
            // Changes made the bodies longer than they came: now it is known by how much.
            self.need = size.max(self.need + 1);
            let mut book = self.core.lock();
            waiting
                .into_iter()
                .rev()
                .for_each(|one| book.line.push_front(one));
            book.writing = false;
            return;
        }
        self.need = 0;
        let written = if self.group.events == 0 {
            Ok(())
        } else {
            self.persist(first)
        };
        self.answer(waiting, first, written);
    }

    fn retire(&mut self) {
        self.active = None;
        self.core.lock().active = false;
    }

    /// Writes and syncs the group.
    fn persist(&mut self, first: u64) -> io::Result<()> {
        let written = match &mut self.active {
            Some(active) => {
                let written = active.file.append(&self.group.bytes);
                let synced = written.and_then(|()| active.file.sync());
                if synced.is_err() {
                    // Best effort: the next segment's header says the same.
                    let _ = active.file.truncate(active.length);
                }
                synced.map(|()| active.length += self.group.bytes.len() as u64)
            }
            None => self.begin(first),
        };
        if written.is_err() {
            self.retire();
        }
        written
    }

    /// Writes the group into a new segment. Nothing in it is answered before its entry is durable.
    fn begin(&mut self, first: u64) -> io::Result<()> {
        let core = self.core.clone();
        let number = self.number;
        self.number += 1;
        let name = segment_name(number);
        let header = SegmentHeader {
            id: core.id,
            number,
            first,
            key: core.keys.as_ref().map(|keys| keys.id()),
            dropped: false,
        };
        let mut file = core.storage.create(&name)?;
        let written = file
            .append(&header.bytes())
            .and_then(|()| file.append(&self.group.bytes))
            .and_then(|()| file.sync())
            .and_then(|()| core.storage.sync_folder(""));
        if let Err(error) = written {
            // Left there it would be found at the next start to hold nothing that was answered.
            let _ = file.truncate(0);
            let _ = core.storage.remove(&name);
            return Err(error);
        }
        let length = (SEGMENT_HEADER + self.group.bytes.len()) as u64;
        let salt = Salt::new(&core.id, number);
        self.active = Some(Active { file, length, salt });
        let mut book = core.lock();
        book.active = true;
        book.segments.push_back(Segment {
            number,
            name,
            first,
            bytes: 0,
            key: header.key,
            dropped: false,
            damaged: false,
        });
        Ok(())
    }

    fn answer(&mut self, waiting: Vec<Waiting>, first: u64, written: io::Result<()>) {
        let failure = written.err().map(|error| self.explain(&error));
        if failure.is_none() {
            self.record(&waiting, first);
        }
        self.core.lock().writing = false;
        self.core.arrived.notify_one();
        let mut refused = std::mem::take(&mut self.group.refused)
            .into_iter()
            .peekable();
        for (index, Waiting { batch, reply }) in waiting.into_iter().enumerate() {
            let own = refused.next_if(|(of, ..)| *of == index);
            let taken = batch.len() - own.as_ref().map_or(0, |(_, events, _)| *events);
            match (&failure, own) {
                (Some(failure), _) => reply.send(Err(failure.clone()), 0),
                (None, Some((.., refusal))) => reply.send(Err(refusal), taken as u64),
                (None, None) => reply.send(Ok(()), taken as u64),
            }
        }
    }

    /// Notes what was written, and hands it to the outlet.
    fn record(&mut self, waiting: &[Waiting], first: u64) {
        let core = &self.core;
        let taken = std::mem::take(&mut self.group.taken);
        let batches: Vec<Batch> = waiting
            .iter()
            .zip(taken)
            .map(|(one, replaced)| replaced.unwrap_or_else(|| one.batch.clone()))
            .collect();
        for batch in &batches {
            core.meter.received(batch.len() as u64, batch.bytes());
        }
        let mut book = core.lock();
        let mut at = first;
        for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
            let events = batch.len() as u64;
            book.remember(at, batch, &core.policy);
            at += events;
        }
        book.synced = at;
        if let (Some(last), Some(active)) = (book.segments.back_mut(), &self.active) {
            last.bytes = active.length;
        }
        book.stats.syncs += u64::from(at > first);
        book.stats.groups += 1;
        book.stats.events += at - first;
        book.stats.bytes += self.group.bytes.len() as u64;
        core.show(&book);
        drop(book);
        if std::mem::take(&mut self.failing) {
            let path = core.storage.path("");
            tracing::info!(buffer = core.meter.name(), path = %path.display(), "the buffer can be written again");
        }
    }

    fn explain(&mut self, error: &io::Error) -> Failure {
        let path = self.core.storage.path("");
        let text = format!("cannot write the buffer `{}`: {error}", path.display());
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(buffer = self.core.meter.name(), "{text}");
        }
        Failure::transient("buffer_io", text)
    }
}
