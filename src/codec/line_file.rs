//! A file that holds whole lines only.
//!
//! **The lock.** A writer holds the file's lock shared for as long as it lives, and whoever opens the
//! file to write needs it exclusively for a moment: so there is one writer. For each append the
//! writer takes it exclusively. Whoever holds it shared besides (`letters::file`, which takes lines
//! out) knows that nothing is appended meanwhile, and may give the file's name to another one: the
//! writer finds that out under the lock, before each append, and goes on with what has the name now.
//! The same happens when the file is moved away or removed by hand (a rotation of logs).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Target;
use crate::event::Event;
use crate::failure::Failure;

/// How often, and how far apart, a lock is tried: the writer of the last run may be just ending.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// How long an append waits for whoever rewrites the file, and how often it looks.
const REWRITE_WAIT: Duration = Duration::from_secs(10);
const REWRITE_PAUSE: Duration = Duration::from_millis(2);
/// How often the file may be exchanged between two looks at it.
const EXCHANGES: u32 = 16;
/// Bytes read at a time to find the end of the last whole line.
const STEP_BYTES: u64 = 64 << 10;
/// A last line longer than any that is written here; it is left alone.
const LONGEST_LINE_BYTES: u64 = 256 << 20;

/// When lines count as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineSync {
    /// When the operating system has them.
    #[default]
    None,
    /// When they are on the disk. Batches that wait share one flush.
    Batch,
}

/// How the file is opened.
#[derive(Clone, Debug)]
pub struct LineFileSettings {
    /// The file. Missing folders are made.
    pub path: PathBuf,
    /// Keep what is there already; false empties it.
    pub append: bool,
    /// When lines count as written.
    pub sync: LineSync,
    /// Whether a last line without its line break is what a crash has left of one of ours. Anything
    /// else may be somebody's data, and is kept.
    pub is_half: fn(&[u8]) -> bool,
}

/// Whether this is the beginning of an event.
pub fn is_half_event(line: &[u8]) -> bool {
    let whole = String::from_utf8(line.to_vec())
        .is_ok_and(|line| Event::parse(line, &Arc::default(), &Arc::default()).is_ok());
    line.starts_with(b"{") && !whole
}

/// The file, open.
pub struct LineFile {
    file: File,
    path: PathBuf,
    sync: LineSync,
    is_half: fn(&[u8]) -> bool,
    /// False for a pipe or a device: it has no lock, and cannot be cut.
    regular: bool,
}

impl LineFile {
    /// Opens or makes it, and mends what a crash has left.
    ///
    /// # Errors
    /// `Fatal` when it cannot be made, read or written, or when something else writes to it.
    pub fn open(settings: &LineFileSettings) -> Result<Self, Failure> {
        let path = &settings.path;
        let cannot = |error: io::Error| unwritable(path, &error);
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(cannot)?;
        }
        let output = Self::of(settings)?;
        if let (LineSync::Batch, Some(folder)) = (settings.sync, folder) {
            // A new file survives a loss of power only with its name.
            File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(cannot)?;
        }
        Ok(output)
    }

    /// Whatever has this name now, as its only writer.
    fn of(settings: &LineFileSettings) -> Result<Self, Failure> {
        let path = &settings.path;
        let cannot = |error: io::Error| unwritable(path, &error);
        for _ in 0..EXCHANGES {
            let file = open(path).map_err(cannot)?;
            let regular = file.metadata().map_err(cannot)?.is_file();
            let mut output = Self {
                file,
                path: path.clone(),
                sync: settings.sync,
                is_half: settings.is_half,
                regular,
            };
            if !regular {
                return Ok(output);
            }
            output.lock()?;
            if output.is_at_its_place().map_err(cannot)? {
                output.mend(settings.append).map_err(cannot)?;
                output.release();
                return Ok(output);
            }
        }
        Err(exchanged(path))
    }

    /// Two writers would mix their lines.
    fn lock(&self) -> Result<(), Failure> {
        for _ in 0..LOCK_TRIES {
            match self.file.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                // A file system without locks: then there is no protection.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
            }
        }
        let path = self.path.display();
        let message = format!("`{path}` is in use: another sink or program writes to it");
        Err(Failure::fatal("file_in_use", message))
    }

    /// Ours, but others may copy it. Does not wait: who has the lock now gives it back soon.
    fn release(&self) {
        let _ = self.file.try_lock_shared();
    }

    /// Takes the file for an append: nobody copies it meanwhile, and it is the one of its name.
    fn take(&mut self) -> Result<(), Failure> {
        if !self.regular {
            return Ok(());
        }
        for _ in 0..EXCHANGES {
            self.wait_for_turn()?;
            // Looked at under the lock, also after an exchange: there may have been one more.
            if self.is_at_its_place().map_err(|it| self.failed(&it))? {
                return Ok(());
            }
            // What is there now is somebody's data, also where the first one was to be emptied.
            *self = Self::of(&LineFileSettings {
                path: self.path.clone(),
                append: true,
                sync: self.sync,
                is_half: self.is_half,
            })?;
            let path = self.path.display();
            tracing::info!(%path, "the file was exchanged; going on with the one that has its name");
        }
        Err(exchanged(&self.path))
    }

    fn wait_for_turn(&self) -> Result<(), Failure> {
        let begin = Instant::now();
        while let Err(TryLockError::WouldBlock) = self.file.try_lock() {
            if begin.elapsed() > REWRITE_WAIT {
                let path = self.path.display();
                let message = format!("`{path}` is being rewritten by another program");
                return Err(Failure::transient("file_in_use", message));
            }
            std::thread::sleep(REWRITE_PAUSE);
        }
        Ok(())
    }

    /// Whether the file still has its name.
    fn is_at_its_place(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leaves whole lines only.
    fn mend(&mut self, append: bool) -> io::Result<()> {
        if !append {
            return self.file.set_len(0);
        }
        let length = self.file.metadata()?.len();
        let whole = whole_lines(&mut self.file, length)?;
        if whole == length {
            return Ok(());
        }
        if self.is_half(whole, length)? {
            let (path, cut) = (self.path.display(), length - whole);
            tracing::warn!(%path, bytes = cut, "cut off half a line that a crash has left");
            return self.file.set_len(whole);
        }
        self.file.write_all(b"\n")
    }

    /// Whether a crash of this program has left the last line.
    fn is_half(&mut self, from: u64, length: u64) -> io::Result<bool> {
        if length - from > LONGEST_LINE_BYTES {
            return Ok(false);
        }
        let mut line = Vec::new();
        self.file.seek(SeekFrom::Start(from))?;
        (&self.file).take(length - from).read_to_end(&mut line)?;
        Ok((self.is_half)(&line))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let path = self.path.display();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                let message = format!("no room for more in `{path}`: {error}");
                Failure::fatal("disk_full", message)
            }
            _ => Failure::fatal("write_failed", format!("cannot write to `{path}`: {error}")),
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot open `{}` to write: {error}", path.display());
    Failure::fatal("file_unwritable", message)
}

fn exchanged(path: &Path) -> Failure {
    let path = path.display();
    let message = format!("`{path}` is exchanged again and again while it is opened");
    Failure::fatal("file_unwritable", message)
}

/// In append mode, so that nothing that is there is ever overwritten.
fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path);
    match opened {
        // A pipe or a device that can only be written.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            OpenOptions::new().append(true).open(path)
        }
        opened => opened,
    }
}

/// Bytes up to the last line break, found from the end.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut bytes = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP_BYTES);
        file.seek(SeekFrom::Start(start))?;
        bytes.clear();
        file.take(end - start).read_to_end(&mut bytes)?;
        if let Some(at) = memchr::memrchr(b'\n', &bytes) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl Target for LineFile {
    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.take()?;
        let written = self.append(lines);
        if self.regular {
            self.release();
        }
        written
    }
}

impl LineFile {
    /// All lines or none, as far as it can be had.
    fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let before = match self.regular {
            true => Some(self.file.metadata().map_err(|it| self.failed(&it))?.len()),
            false => None,
        };
        let mut written = self.file.write_all(lines);
        if written.is_ok() && self.sync == LineSync::Batch {
            written = self.file.sync_data();
        }
        written.map_err(|error| {
            if let Some(before) = before
                && let Err(cut) = self.file.set_len(before)
            {
                let path = self.path.display();
                tracing::error!(%path, error = %cut, "cannot cut off half a line");
            }
            self.failed(&error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: PathBuf) -> LineFileSettings {
        LineFileSettings {
            path,
            append: true,
            sync: LineSync::Batch,
            is_half: is_half_event,
        }
    }

    /// What a file that held `before` holds after one more line.
    fn after(before: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        fs::write(&path, before).unwrap();
        let mut output = LineFile::open(&config(path.clone())).unwrap();
        output.write(b"{\"n\":9}\n").unwrap();
        fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn half_a_line_is_cut_off_and_what_is_not_ours_is_kept() {
        assert_eq!(after(""), "{\"n\":9}\n");
        assert_eq!(after("{\"n\":1}\n"), "{\"n\":1}\n{\"n\":9}\n");
        assert_eq!(after("{\"n\":1}\n{\"n\":"), "{\"n\":1}\n{\"n\":9}\n");
        assert_eq!(after("{\"n\":"), "{\"n\":9}\n");
        assert_eq!(after("{\"n\":1}"), "{\"n\":1}\n{\"n\":9}\n");
        assert_eq!(after("a letter"), "a letter\n{\"n\":9}\n");
    }

    #[test]
    fn the_last_line_break_is_found_however_far_from_the_end() {
        let half = format!("{{\"n\":\"{}", "x".repeat(3 * STEP_BYTES as usize));
        assert_eq!(after(&format!("{{}}\n{half}")), "{}\n{\"n\":9}\n");
    }

    #[test]
    fn makes_missing_folders_and_empties_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/out.ndjson");
        let mut config = config(path.clone());
        LineFile::open(&config).unwrap().write(b"{}\n").unwrap();
        LineFile::open(&config).unwrap().write(b"{}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n{}\n");
        config.append = false;
        drop(LineFile::open(&config).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_second_writer_and_a_folder_are_turned_away() {
        let folder = tempfile::tempdir().unwrap();
        let reason = |path: PathBuf| {
            let failure = LineFile::open(&config(path)).err().unwrap();
            let cause = failure.losses()[0].cause.clone();
            (cause.reason, cause.message.into_owned())
        };
        let path = folder.path().join("out");
        let _first = LineFile::open(&config(path.clone())).unwrap();
        assert_eq!(reason(path).0, "file_in_use");
        let (code, message) = reason(folder.path().to_owned());
        assert_eq!(code, "file_unwritable");
        assert!(message.contains(folder.path().to_str().unwrap()));
    }

    #[test]
    fn a_file_that_was_moved_away_or_removed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let mut output = LineFile::open(&config(path.clone())).unwrap();
        output.write(b"{\"n\":1}\n").unwrap();
        fs::rename(&path, folder.path().join("out.1")).unwrap();
        output.write(b"{\"n\":2}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":2}\n");
        // What somebody else has put there is kept, and still nobody else may write to it.
        fs::write(folder.path().join("other"), "{\"n\":0}\n").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        output.write(b"{\"n\":3}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":0}\n{\"n\":3}\n");
        assert!(LineFile::open(&config(path.clone())).is_err());
    }

    #[test]
    fn an_append_waits_for_whoever_copies_the_file_and_goes_to_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("out"), folder.path().join("copy"));
        let mut output = LineFile::open(&config(path.clone())).unwrap();
        output.write(b"{\"n\":1}\n").unwrap();
        let old = File::open(&path).unwrap();
        old.lock_shared().unwrap();
        let appender = std::thread::spawn(move || output.write(b"{\"n\":2}\n"));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(50) {
            assert_eq!(old.metadata().unwrap().len(), 8, "it did not wait");
            std::thread::yield_now();
        }
        fs::write(&copy, "{\"n\":0}\n").unwrap();
        fs::rename(&copy, &path).unwrap();
        old.unlock().unwrap();
        appender.join().unwrap().unwrap();
        let lines = fs::read_to_string(&path).unwrap();
        assert_eq!(lines, "{\"n\":0}\n{\"n\":2}\n");
        assert_eq!(old.metadata().unwrap().len(), 8);
    }

    #[test]
    fn nothing_is_lost_while_lines_are_taken_out() {
        use std::sync::atomic::AtomicUsize;
        use std::sync::atomic::Ordering::Relaxed;

        use crate::letters::{Found, LetterFile, Shelf};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters.ndjson");
        let line = |n: u32| format!("{{\"id\":\"{n}\",\"reason\":\"r\",\"node\":\"n\"}}\n");
        let mut output = LineFile::open(&config(path.clone())).unwrap();
        output.sync = LineSync::None;
        let rewritten = Arc::new(AtomicUsize::new(0));
        let seen = rewritten.clone();
        let (rounds, lines) = (10, 200);
        let appender = std::thread::spawn(move || {
            for round in 0..rounds {
                for n in 0..lines {
                    output.write(line(round * lines + n).as_bytes()).unwrap();
                }
                // However fast it is: the two meet in each round.
                while seen.load(Relaxed) <= round as usize {
                    std::thread::yield_now();
                }
            }
        });
        let shelf = LetterFile::new(&path);
        let mut taken = std::collections::HashSet::new();
        loop {
            let over = appender.is_finished();
            let mut marks = std::collections::HashSet::new();
            for found in shelf.letters().unwrap() {
                let Found::Letter(kept) = found.unwrap() else {
                    panic!("half a letter")
                };
                assert!(
                    taken.insert(kept.id),
                    "it was taken out, and is there again"
                );
                marks.insert(kept.mark);
            }
            assert_eq!(shelf.remove(&marks).unwrap(), marks.len() as u64);
            rewritten.fetch_add(usize::from(!marks.is_empty()), Relaxed);
            if over {
                break;
            }
        }
        appender.join().unwrap();
        assert_eq!(taken.len(), (rounds * lines) as usize);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_full_disk_is_named() {
        // The device that is always full; it cannot be cut, which is not tried.
        let mut output = LineFile::open(&config("/dev/full".into())).unwrap();
        output.sync = LineSync::None;
        let failure = output.write(b"{}\n").unwrap_err();
        let cause = &failure.losses()[0].cause;
        assert_eq!(cause.reason, "disk_full");
        assert!(cause.message.contains("/dev/full"));
    }
}
