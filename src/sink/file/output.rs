//! A file that holds whole lines only.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Sync};
use crate::codec::Target;
use crate::event::Event;
use crate::failure::Failure;

/// How often, and how far apart, a lock is tried: the writer of the last run may be just ending.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Bytes read at a time to find the end of the last whole line.
const STEP_BYTES: u64 = 64 << 10;
/// A last line longer than any that is written here; it is left alone.
const LONGEST_LINE_BYTES: u64 = 256 << 20;

pub(super) struct Output {
    file: File,
    path: PathBuf,
    sync: Sync,
    /// Bytes of whole lines; `None` for what is no regular file and cannot be cut.
    length: Option<u64>,
}

impl Output {
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let path = &config.path;
        let cannot = |error: io::Error| {
            let message = format!("cannot open `{}` to write: {error}", path.display());
            Failure::fatal("file_unwritable", message)
        };
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(cannot)?;
        }
        let mut output = Self {
            file: open(path).map_err(cannot)?,
            path: path.clone(),
            sync: config.sync,
            length: None,
        };
        if output.file.metadata().map_err(cannot)?.is_file() {
            output.lock()?;
            output.length = Some(output.mend(config.append).map_err(cannot)?);
        }
        if let (Sync::Batch, Some(folder)) = (config.sync, folder) {
            // A new file survives a loss of power only with its name.
            File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(cannot)?;
        }
        Ok(output)
    }

    /// Two writers would cut off each other's lines.
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

    /// Leaves whole lines only; says how many bytes they have.
    fn mend(&mut self, append: bool) -> io::Result<u64> {
        if !append {
            self.file.set_len(0)?;
            return Ok(0);
        }
        let length = self.file.metadata()?.len();
        let whole = whole_lines(&mut self.file, length)?;
        if whole == length {
            return Ok(length);
        }
        if self.is_half(whole, length)? {
            let (path, cut) = (self.path.display(), length - whole);
            tracing::warn!(%path, bytes = cut, "cut off half a line that a crash has left");
            self.file.set_len(whole)?;
            return Ok(whole);
        }
        self.file.write_all(b"\n")?;
        Ok(length + 1)
    }

    /// Whether the last line is the beginning of an event. Anything else was not left by a crash of
    /// this sink: it may be somebody's data, and is kept.
    fn is_half(&mut self, from: u64, length: u64) -> io::Result<bool> {
        if length - from > LONGEST_LINE_BYTES {
            return Ok(false);
        }
        let mut line = Vec::new();
        self.file.seek(SeekFrom::Start(from))?;
        (&self.file).take(length - from).read_to_end(&mut line)?;
        let whole = String::from_utf8(line.clone())
            .is_ok_and(|line| Event::parse(line, &Arc::default(), &Arc::default()).is_ok());
        Ok(line.starts_with(b"{") && !whole)
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

impl Target for Output {
    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let mut written = self.file.write_all(lines);
        if written.is_ok() && self.sync == Sync::Batch {
            written = self.file.sync_data();
        }
        match (written, &mut self.length) {
            (Ok(()), Some(length)) => {
                *length += lines.len() as u64;
                Ok(())
            }
            (Ok(()), None) => Ok(()),
            (Err(error), length) => {
                if let Some(length) = length
                    && let Err(cut) = self.file.set_len(*length)
                {
                    let path = self.path.display();
                    tracing::error!(%path, error = %cut, "cannot cut off half a line");
                }
                Err(self.failed(&error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: PathBuf) -> Config {
        Config {
            path,
            append: true,
            sync: Sync::Batch,
        }
    }

    /// What a file that held `before` holds after one more line.
    fn after(before: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        fs::write(&path, before).unwrap();
        let mut output = Output::open(&config(path.clone())).unwrap();
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
        Output::open(&config).unwrap().write(b"{}\n").unwrap();
        Output::open(&config).unwrap().write(b"{}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n{}\n");
        config.append = false;
        drop(Output::open(&config).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_second_writer_and_a_folder_are_turned_away() {
        let folder = tempfile::tempdir().unwrap();
        let reason = |path: PathBuf| {
            let failure = Output::open(&config(path)).err().unwrap();
            let cause = failure.losses()[0].cause.clone();
            (cause.reason, cause.message.into_owned())
        };
        let path = folder.path().join("out");
        let _first = Output::open(&config(path.clone())).unwrap();
        assert_eq!(reason(path).0, "file_in_use");
        let (code, message) = reason(folder.path().to_owned());
        assert_eq!(code, "file_unwritable");
        assert!(message.contains(folder.path().to_str().unwrap()));
    }

    #[test]
    fn a_full_disk_is_named() {
        // The device that is always full; it cannot be cut, which is not tried.
        let mut output = Output::open(&config("/dev/full".into())).unwrap();
        output.sync = Sync::None;
        let failure = output.write(b"{}\n").unwrap_err();
        let cause = &failure.losses()[0].cause;
        assert_eq!(cause.reason, "disk_full");
        assert!(cause.message.contains("/dev/full"));
    }
}
