//! How far the sources are.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// What the sources of a run have read of what there is. Clones share the figures.
#[derive(Clone, Default)]
pub struct Progress(Arc<Figures>);

#[derive(Default)]
struct Figures {
    files_total: AtomicU64,
    files_done: AtomicU64,
    bytes_total: AtomicU64,
    bytes_done: AtomicU64,
    records: AtomicU64,
    files_skipped: AtomicU64,
    bytes_skipped: AtomicU64,
    objects: AtomicBool,
    announced: AtomicBool,
    unbounded: AtomicBool,
}

/// The figures of a [`Progress`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// Files there are to read; `None` when no source knows, or one has no end.
    pub files_total: Option<u64>,
    /// Files read to their end.
    pub files_done: u64,
    /// Bytes there are to read, as stored (compressed files count compressed); `None` as above.
    pub bytes_total: Option<u64>,
    /// Bytes read, as stored.
    pub bytes_done: u64,
    /// Records read, broken ones included.
    pub records: u64,
    /// Of the files that are done, those that an earlier run had read.
    pub files_skipped: u64,
    /// And their bytes: they cost this run no time.
    pub bytes_skipped: u64,
    /// They are called objects, as those of a bucket are.
    pub objects: bool,
}

impl Progress {
    /// A source found this much to read. Adds to what was found before.
    pub fn add_total(&self, files: u64, bytes: u64) {
        self.0.files_total.fetch_add(files, Relaxed);
        self.0.bytes_total.fetch_add(bytes, Relaxed);
        self.0.announced.store(true, Relaxed);
    }

    /// Of what a source found it will find this much again: its connection broke.
    pub fn less_total(&self, files: u64, bytes: u64) {
        take(&self.0.files_total, files);
        take(&self.0.bytes_total, bytes);
    }

    /// `n` bytes will be read again.
    pub fn bytes_undone(&self, n: u64) {
        take(&self.0.bytes_done, n);
    }

    /// A source has no known end (a pipe, a queue, a followed file): there is no total any more.
    pub fn unbounded(&self) {
        self.0.unbounded.store(true, Relaxed);
    }

    /// What is read are objects of a bucket, and called so.
    pub fn of_objects(&self) {
        self.0.objects.store(true, Relaxed);
    }

    /// `n` files were read to their end.
    pub fn files_done(&self, n: u64) {
        self.0.files_done.fetch_add(n, Relaxed);
    }

    /// `n` more bytes were read, as stored.
    pub fn bytes_done(&self, n: u64) {
        self.0.bytes_done.fetch_add(n, Relaxed);
    }

    /// An earlier run had read these files: they are done, and passed over.
    pub fn skipped(&self, files: u64, bytes: u64) {
        self.0.files_skipped.fetch_add(files, Relaxed);
        self.0.bytes_skipped.fetch_add(bytes, Relaxed);
        self.files_done(files);
        self.bytes_done(bytes);
    }

    /// `n` more records were read.
    pub fn records(&self, n: u64) {
        self.0.records.fetch_add(n, Relaxed);
    }

    /// The figures now.
    #[must_use]
    pub fn snapshot(&self) -> ProgressSnapshot {
        let figures = &*self.0;
        let known = figures.announced.load(Relaxed) && !figures.unbounded.load(Relaxed);
        let total = |figure: &AtomicU64| known.then(|| figure.load(Relaxed));
        ProgressSnapshot {
            files_total: total(&figures.files_total),
            files_done: figures.files_done.load(Relaxed),
            bytes_total: total(&figures.bytes_total),
            bytes_done: figures.bytes_done.load(Relaxed),
            records: figures.records.load(Relaxed),
            files_skipped: figures.files_skipped.load(Relaxed),
            bytes_skipped: figures.bytes_skipped.load(Relaxed),
            objects: figures.objects.load(Relaxed),
        }
    }
}

fn take(figure: &AtomicU64, n: u64) {
    let less = |now: u64| Some(now.saturating_sub(n));
    // It always has a new value, so this cannot fail.
    let _ = figure.fetch_update(Relaxed, Relaxed, less);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_unknown_until_announced_and_after_an_endless_source() {
        let progress = Progress::default();
        assert_eq!(progress.snapshot().files_total, None);
        progress.add_total(2, 100);
        progress.clone().add_total(1, 50);
        let snapshot = progress.snapshot();
        assert_eq!(
            (snapshot.files_total, snapshot.bytes_total),
            (Some(3), Some(150))
        );
        progress.unbounded();
        assert_eq!(progress.snapshot().bytes_total, None);
    }
}
