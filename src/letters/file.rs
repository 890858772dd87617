//! A file of dead letters, one in a line.
//!
//! A pipeline that runs may append to the file at any moment. It takes the file's lock exclusively
//! for each append, and looks then whether the file is still the one of that name (`codec::line_file`).
//! Whoever rewrites the file holds the lock shared while the last lines are copied and the copy
//! takes the file's name: nothing is appended in between, and what comes later goes to the copy.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{Found, Kept, Letters, Mark, Shelf};
use crate::failure::Failure;

/// A line beyond this is no letter: it is copied as it is, and never held in memory whole.
const LONGEST_LINE_BYTES: u64 = 256 << 20;
/// How long a lock is waited for, and how often it is tried: a writer that is never idle leaves
/// short gaps only.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_micros(100);
/// How often the rewriting begins anew when somebody else exchanges the file meanwhile.
const TRIES: u32 = 5;

/// Dead letters in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterFile {
    path: PathBuf,
}

impl LetterFile {
    /// The file at this place.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        let path = self.path.display();
        Failure::fatal("letters_failed", format!("cannot {what} `{path}`: {error}"))
    }
}

impl Shelf for LetterFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn letters(&self) -> Result<Letters, Failure> {
        let opened = File::open(&self.path).and_then(|file| Ok((file.metadata()?, file)));
        let (about, file) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Box::new(std::iter::empty()));
            }
            Err(error) => return Err(self.failed("read", &error)),
        };
        if !about.is_file() {
            let path = self.path.display();
            let message = format!("`{path}` is no file whose letters could be read");
            return Err(Failure::fatal("letters_failed", message));
        }
        // What is appended from now on is for the next reading.
        let lines = Lines::new(BufReader::new(file.take(about.len())));
        let this = self.clone();
        Ok(Box::new(Reading { lines, this }))
    }

    fn remove(&self, gone: &HashSet<Mark>) -> Result<u64, Failure> {
        let removed = Rewriting::of(&self.path).and_then(|rewriting| rewriting.run(gone));
        removed.map_err(|error| self.failed("rewrite", &error))
    }
}

struct Reading<R> {
    lines: Lines<R>,
    this: LetterFile,
}

impl<R: BufRead> Iterator for Reading<R> {
    type Item = Result<Found, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let piece = match self.lines.next() {
                Ok(piece) => piece?,
                Err(error) => return Some(Err(self.this.failed("read", &error))),
            };
            let number = self.lines.number;
            let kept = match piece {
                // Half a line is one that is being written, or that a crash has left.
                Piece::Part { last: true } => return None,
                Piece::Part { last: false } => continue,
                Piece::Line if self.lines.text.trim_ascii().is_empty() => continue,
                Piece::Line => Kept::parse(&self.lines.text),
                Piece::End => None,
            };
            return Some(Ok(match kept {
                Some(mut kept) => {
                    kept.place = super::Place {
                        shelf: self.this.name(),
                        line: number,
                    };
                    Found::Letter(Box::new(kept))
                }
                None => Found::Other(number),
            }));
        }
    }
}

impl Mark {
    /// Of a line without its end.
    pub(super) fn of(line: &[u8]) -> Self {
        let digest = Sha256::digest(line);
        let mut mark = [0; 16];
        mark.copy_from_slice(&digest[..16]);
        Self(mark)
    }
}

/// What [`Lines`] has in its text.
#[derive(Debug, PartialEq)]
enum Piece {
    /// A whole line, its end taken off.
    Line,
    /// A part of a line that is too long, or has no end.
    Part { last: bool },
    /// The rest of a line that is too long, with its end.
    End,
}

/// Reads lines within a bound on memory.
struct Lines<R> {
    input: R,
    text: Vec<u8>,
    number: u64,
    /// Bytes of the pieces so far.
    read: u64,
    within: bool,
    longest: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            text: Vec::new(),
            number: 0,
            read: 0,
            within: false,
            longest: LONGEST_LINE_BYTES,
        }
    }

    fn next(&mut self) -> io::Result<Option<Piece>> {
        self.text.clear();
        let read = (&mut self.input)
            .take(self.longest)
            .read_until(b'\n', &mut self.text)?;
        self.read += read as u64;
        if read == 0 {
            return Ok(None);
        }
        self.number += u64::from(!self.within);
        let ended = self.text.last() == Some(&b'\n');
        let whole = ended && !self.within;
        self.within = !ended;
        Ok(Some(match (whole, ended) {
            (true, _) => {
                self.text.pop();
                Piece::Line
            }
            (false, true) => Piece::End,
            (false, false) => Piece::Part {
                last: (read as u64) < self.longest,
            },
        }))
    }
}

/// A copy of the file without some lines, on its way to the file's name.
struct Rewriting {
    path: PathBuf,
    beside: PathBuf,
    copy: File,
}

impl Rewriting {
    /// Begins: one at a time for each file.
    fn of(path: &Path) -> io::Result<Self> {
        // A link stays a link, and what it leads to is rewritten.
        let path = fs::canonicalize(path)?;
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".rewrite");
        let beside = path.with_file_name(name);
        for _ in 0..TRIES {
            let copy = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(&beside)?;
            wait_for(|| copy.try_lock(), "somebody else rewrites it")?;
            // The one who was before us may have given the copy its place.
            if is_at(&copy, &beside)? {
                return Ok(Self { path, beside, copy });
            }
        }
        Err(io::Error::other(
            "somebody else rewrites it again and again",
        ))
    }

    fn run(self, gone: &HashSet<Mark>) -> io::Result<u64> {
        for _ in 0..TRIES {
            if let Some(removed) = self.once(gone)? {
                return Ok(removed);
            }
        }
        let _ = fs::remove_file(&self.beside);
        Err(io::Error::other("it is exchanged again and again"))
    }

    /// `None` when the file was exchanged or cut under our hands.
    fn once(&self, gone: &HashSet<Mark>) -> io::Result<Option<u64>> {
        self.copy.set_len(0)?;
        (&self.copy).seek(SeekFrom::Start(0))?;
        let old = File::open(&self.path)?;
        let mut out = BufWriter::new(&self.copy);
        // The bulk first, while others may append: whole lines stay where they are.
        let settled = {
            let _quiet = Quiet::of(&old)?;
            old.metadata()?.len()
        };
        let (start, mut removed) = copy_lines(&old, (0, settled), gone, &mut out, false)?;
        out.flush()?;
        self.copy.sync_data()?;
        // Then the rest, while nobody may.
        let _quiet = Quiet::of(&old)?;
        let about = old.metadata()?;
        if !is_at(&old, &self.path)? || about.len() < start {
            return Ok(None);
        }
        removed += copy_lines(&old, (start, about.len()), gone, &mut out, true)?.1;
        out.flush()?;
        if removed == 0 {
            fs::remove_file(&self.beside)?;
            return Ok(Some(0));
        }
        self.copy.set_permissions(about.permissions())?;
        // Only root may give files away; for anybody else the owner is the same already.
        let _ = fchown(&self.copy, Some(about.uid()), Some(about.gid()));
        self.copy.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Some(removed))
    }
}

/// Copies lines that are not gone: how far whole lines went, and how many were left out. What has
/// no end is copied only where it is the last.
fn copy_lines(
    mut from: &File,
    (start, end): (u64, u64),
    gone: &HashSet<Mark>,
    out: &mut impl Write,
    rest: bool,
) -> io::Result<(u64, u64)> {
    from.seek(SeekFrom::Start(start))?;
    let mut lines = Lines::new(BufReader::new(from.take(end - start)));
    let (mut whole, mut removed) = (start, 0);
    while let Some(piece) = lines.next()? {
        match piece {
            Piece::Line if gone.contains(&Mark::of(&lines.text)) => removed += 1,
            Piece::Line => {
                out.write_all(&lines.text)?;
                out.write_all(b"\n")?;
            }
            Piece::Part { last: true } if !rest => break,
            Piece::Part { .. } | Piece::End => out.write_all(&lines.text)?,
        }
        whole = start + lines.read;
    }
    Ok((whole, removed))
}

/// The file's lock, shared: nobody appends while it is held.
struct Quiet<'a>(&'a File);

impl<'a> Quiet<'a> {
    fn of(file: &'a File) -> io::Result<Self> {
        wait_for(|| file.try_lock_shared(), "another program holds it")?;
        Ok(Self(file))
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // It goes with the file in any case.
        let _ = self.0.unlock();
    }
}

/// Tries a lock for a while. A file system without locks gives no protection, and no error.
fn wait_for(lock: impl Fn() -> Result<(), TryLockError>, held: &str) -> io::Result<()> {
    let begin = Instant::now();
    loop {
        match lock() {
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
            Err(TryLockError::WouldBlock) if begin.elapsed() > LOCK_WAIT => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, held));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
        }
    }
}

/// Whether the file is still what its name leads to.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(lines: &[&str]) -> HashSet<Mark> {
        lines.iter().map(|line| Mark::of(line.as_bytes())).collect()
    }

    #[test]
    fn only_the_lines_asked_for_are_removed_and_half_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters");
        fs::write(&path, "a\nb\n\nb\nc\nhalf").unwrap();
        let file = LetterFile::new(&path);
        assert_eq!(file.remove(&marks(&["b", "half", "x"])).unwrap(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\n\nc\nhalf");
        assert_eq!(file.remove(&marks(&["x"])).unwrap(), 0);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no copy stays behind");
    }

    #[test]
    fn the_copy_has_the_mode_of_the_file_and_a_link_stays_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&path, "a\nb\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(LetterFile::new(&link).remove(&marks(&["a"])).unwrap(), 1);
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn lines_beyond_the_bound_come_in_pieces() {
        let mut lines = Lines::new(&b"ab\nabcdefgh\ncd\nxyzxyz"[..]);
        lines.longest = 4;
        let mut pieces = Vec::new();
        while let Some(piece) = lines.next().unwrap() {
            pieces.push((lines.number, piece, lines.text.len()));
        }
        let part = |last| Piece::Part { last };
        let expected = [
            (1, Piece::Line, 2),
            (2, part(false), 4),
            (2, part(false), 4),
            (2, Piece::End, 1),
            (3, Piece::Line, 2),
            (4, part(false), 4),
            (4, part(true), 2),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn what_is_no_letter_is_found_by_its_line_and_a_missing_file_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters");
        let file = LetterFile::new(&path);
        assert_eq!(file.letters().unwrap().count(), 0);
        let letter = r#"{"reason":"schema","node":"valid","detail":"no","event":{"a":1.0}}"#;
        fs::write(
            &path,
            format!("no\n\n{letter}\n\u{1}\n{{\"reason\":1}}\n{letter}"),
        )
        .unwrap();
        let mut found = Vec::new();
        for it in file.letters().unwrap() {
            found.push(match it.unwrap() {
                Found::Letter(kept) => (kept.place.line, Some(kept.event.unwrap())),
                Found::Other(line) => (line, None),
            });
        }
        let expected = [
            (1, None),
            (3, Some(r#"{"a":1.0}"#.to_owned())),
            (4, None),
            (5, None),
        ];
        assert_eq!(found, expected);
    }
}
