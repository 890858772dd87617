//! Making room: segments whose events are settled go, and under `drop_oldest` those that nobody
//! has read yet.

use std::io;

use super::book::{Book, Core, Segment};
use super::cursor::Cursor;
use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::storage::Storage;

/// The folder for segments in which something could not be read.
pub(super) const DAMAGED: &str = "damaged";

/// Removes the segments whose events are all below `settled`, which the cursor says already. What
/// cannot be removed is tried again the next time.
pub(super) fn remove_settled(core: &Core, cursor: &mut Cursor, settled: u64) {
    let mut synced = false;
    loop {
        let book = core.lock();
        let removable = book.limit(0) <= settled && !(book.active && book.segments.len() == 1);
        let segment = book.segments.front().filter(|_| removable).cloned();
        drop(book);
        let Some(segment) = segment else { return };
        if !synced {
            // After a power cut the missing segment must not look like a loss.
            cursor.sync(&*core.storage);
            synced = true;
        }
        let removed = match segment.damaged {
            true => {
                let (path, kept) = (core.storage.path(&segment.name), core.storage.path(DAMAGED));
                tracing::warn!(path = %path.display(), kept = %kept.display(), "a damaged segment is settled and set aside");
                set_aside(&*core.storage, &segment.name, core.policy.max_size)
            }
            false => core.storage.remove(&segment.name),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = core.storage.path(&segment.name);
                tracing::warn!(path = %path.display(), %error, "cannot remove a settled segment");
                return;
            }
            _ => {}
        }
        let mut book = core.lock();
        book.segments.pop_front();
        core.show(&book);
    }
}

/// Moves a file into `damaged/`, where at most `most` bytes are kept: the oldest go first.
pub(super) fn set_aside(storage: &dyn Storage, name: &str, most: u64) -> io::Result<()> {
    let mut kept = storage.list(DAMAGED)?;
    move_aside(storage, name)?;
    let mut bytes: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
    // Names begin with the segment's number.
    kept.sort();
    for (name, length) in kept {
        if bytes <= most {
            break;
        }
        storage.remove(&format!("{DAMAGED}/{name}"))?;
        bytes -= length;
    }
    Ok(())
}

/// Moves a file into `damaged/`, under a name that is free there.
pub(super) fn move_aside(storage: &dyn Storage, name: &str) -> io::Result<()> {
    storage.create_folder(DAMAGED)?;
    let kept = storage.list(DAMAGED)?;
    let mut target = name.to_owned();
    let mut copy = 1;
    while kept.iter().any(|(known, _)| *known == target) {
        copy += 1;
        target = format!("{name}.{copy}");
    }
    storage.rename(name, &format!("{DAMAGED}/{target}"))?;
    storage.sync_folder(DAMAGED)?;
    storage.sync_folder("")
}

/// The segment that `drop_oldest` would take: the first that nobody has begun to read.
pub(super) fn oldest(book: &Book) -> Option<usize> {
    let droppable = |(index, segment): &(usize, &Segment)| {
        let read = segment.first < book.taken || book.reading == Some(segment.number);
        !read && !segment.dropped && book.limit(*index) > segment.first
    };
    let mut all = book.segments.iter().enumerate();
    all.find(droppable).map(|(index, _)| index)
}

/// Drops the oldest segment that was not read. Its place is kept by a header that says so, for the
/// next start; where the one before it says it already, the file goes.
pub(super) fn drop_oldest(core: &Core) -> io::Result<()> {
    let mut book = core.lock();
    let Some(index) = oldest(&book) else {
        return Ok(());
    };
    if index + 1 == book.segments.len() {
        book.active = false;
    }
    let (first, limit) = (book.segments[index].first, book.limit(index));
    let events = book.gone.insert(first, limit);
    book.forget_memory();
    let follows = index > 0 && book.segments[index - 1].dropped;
    let segment = match follows {
        true => book.segments.remove(index),
        false => {
            let segment = &mut book.segments[index];
            segment.dropped = true;
            let before = segment.clone();
            segment.bytes = SEGMENT_HEADER as u64;
            Some(before)
        }
    };
    core.show(&book);
    drop(book);
    core.meter.dropped("buffer_oldest", events);
    core.arrived.notify_one();
    let Some(segment) = segment else {
        return Ok(());
    };
    match follows {
        true => core.storage.remove(&segment.name),
        false => mark_dropped(core, &segment),
    }
}

fn mark_dropped(core: &Core, segment: &Segment) -> io::Result<()> {
    let header = SegmentHeader {
        id: core.id,
        number: segment.number,
        first: segment.first,
        key: segment.key,
        dropped: true,
    };
    let mut file = core.storage.open(&segment.name, true)?;
    file.write_at(0, &header.bytes())?;
    file.truncate(SEGMENT_HEADER as u64)
}
