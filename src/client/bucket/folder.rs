//! A local folder as a bucket: for tests, for what was copied down, for drop folders.
//!
//! Keys are paths below the folder, with `/` between their parts. Links to files are followed, links
//! to folders are not (they may lead in a circle), and what has a name that is no UTF-8 has no key.

use std::cmp::Ordering;
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{Listing, Object, PAGE, ReadError};
use crate::failure::Failure;

/// Most entries of one folder, all of which are held while it is listed.
const MOST_ENTRIES: usize = 2_000_000;

/// A folder.
#[derive(Clone)]
pub(super) struct Folder(pub(super) Arc<Path>);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.into())
    }

    pub(super) fn list(&self, prefix: String, after: Option<String>) -> Listing {
        let walk = Walk {
            root: self.0.clone(),
            prefix,
            after,
            stack: None,
        };
        Box::pin(futures::stream::try_unfold(walk, |walk| async move {
            blocking(move || walk.page()).await
        }))
    }

    pub(super) async fn head(&self, key: &str) -> Result<Object, ReadError> {
        let (path, key) = (self.path(key)?, key.to_owned());
        blocking(move || {
            let metadata = fs::metadata(path).map_err(|error| of_file(&error))?;
            match metadata.is_file() {
                true => Ok(object(key, &metadata)),
                false => Err(ReadError::Gone),
            }
        })
        .await
    }

    pub(super) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        version: Option<&str>,
    ) -> Result<Bytes, ReadError> {
        let path = self.path(key)?;
        let version = version.map(str::to_owned);
        blocking(move || read(&path, range, version.as_deref())).await
    }

    /// The file of a key; a key that leads elsewhere is nobody's.
    fn path(&self, key: &str) -> Result<PathBuf, ReadError> {
        let bad = |part: &str| matches!(part, "" | "." | "..") || part.contains('\0');
        match key.split('/').any(bad) {
            true => Err(ReadError::Gone),
            false => Ok(self.0.join(key)),
        }
    }
}

async fn blocking<T: Send + 'static, E: From<Failure> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        let message = "reading the folder was broken off";
        Err(Failure::transient("bucket_request", message).into())
    })
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        ReadError::Failed(failure)
    }
}

fn read(path: &Path, range: Range<u64>, version: Option<&str>) -> Result<Bytes, ReadError> {
    // Opening a pipe would wait for somebody to write into it.
    let before = fs::metadata(path).map_err(|error| of_file(&error))?;
    if !before.is_file() {
        return Err(ReadError::Gone);
    }
    let file = File::open(path).map_err(|error| of_file(&error))?;
    let before = file.metadata().map_err(|error| of_file(&error))?;
    if version.is_some_and(|version| version != self::version(&before)) {
        return Err(ReadError::Changed);
    }
    if range.end > before.len() {
        return Err(ReadError::Failed(Failure::rejected(
            "object_range",
            "the object is shorter than the range that was asked for",
        )));
    }
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Changed,
            _ => of_file(&error),
        })?;
    let after = file.metadata().map_err(|error| of_file(&error))?;
    // Somebody wrote while it was read: what was read may be half of each.
    match self::version(&after) == self::version(&before) {
        true => Ok(bytes.into()),
        false => Err(ReadError::Changed),
    }
}

fn of_file(error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Gone,
        io::ErrorKind::PermissionDenied => ReadError::Denied(denied()),
        kind => ReadError::Failed(unreadable(kind)),
    }
}

fn denied() -> Failure {
    let message = "the folder or a file in it may not be read by this user";
    Failure::fatal("bucket_denied", message)
}

fn unreadable(kind: io::ErrorKind) -> Failure {
    Failure::transient(
        "bucket_request",
        format!("the folder cannot be read: {kind}"),
    )
}

/// The time of the last change to its nanosecond, the length, and which file it is.
fn version(metadata: &Metadata) -> String {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    format!("{seconds}.{nanos:09}-{}-{}", metadata.len(), metadata.ino())
}

fn object(key: String, metadata: &Metadata) -> Object {
    let seconds = metadata.mtime().saturating_mul(1_000_000);
    Object {
        key,
        size: metadata.len(),
        modified_micros: seconds.saturating_add(metadata.mtime_nsec() / 1_000),
        version: version(metadata),
    }
}

/// A listing under way: the folders from the root to where it is, each with what is left of it.
struct Walk {
    root: Arc<Path>,
    prefix: String,
    after: Option<String>,
    stack: Option<Vec<std::vec::IntoIter<String>>>,
}

impl Walk {
    fn page(mut self) -> Result<Option<(Vec<Object>, Self)>, Failure> {
        let mut stack = match self.stack.take() {
            Some(stack) => stack,
            None => vec![self.enter("", true)?],
        };
        let mut page = Vec::new();
        while let Some(top) = stack.last_mut() {
            let Some(key) = top.next() else {
                stack.pop();
                continue;
            };
            if key.ends_with('/') {
                let inner = self.enter(&key, false)?;
                stack.push(inner);
                continue;
            }
            let Ok(metadata) = fs::metadata(self.root.join(&key)) else {
                // Gone since the folder was read, or a link to nothing.
                continue;
            };
            page.push(object(key, &metadata));
            if page.len() == PAGE as usize {
                break;
            }
        }
        if page.is_empty() {
            return Ok(None);
        }
        self.stack = Some(stack);
        Ok(Some((page, self)))
    }

    /// What is of interest in a folder, in the order of keys: a folder stands where its `/` puts it.
    fn enter(&self, folder: &str, is_root: bool) -> Result<std::vec::IntoIter<String>, Failure> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_root => {
                return Ok(Vec::new().into_iter());
            }
            Err(error) => return Err(of_folder(&error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(error.kind()))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let key = match kind.is_dir() {
                true => format!("{folder}{name}/"),
                false => format!("{folder}{name}"),
            };
            let is_file = || {
                kind.is_file()
                    || (kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|m| m.is_file()))
            };
            if self.wants(&key) && (kind.is_dir() || is_file()) {
                found.push(key);
            }
            if found.len() > MOST_ENTRIES {
                let message = "a folder holds more than two million entries";
                return Err(Failure::fatal("bucket_too_large", message));
            }
        }
        found.sort_unstable();
        Ok(found.into_iter())
    }

    /// Whether the file, or anything in the folder, may have the prefix and come after the mark.
    fn wants(&self, key: &str) -> bool {
        let is_folder = key.ends_with('/');
        let prefixed = key.starts_with(&self.prefix) || (is_folder && self.prefix.starts_with(key));
        let later = self.after.as_deref().is_none_or(|after| {
            key.cmp(after) == Ordering::Greater || (is_folder && after.starts_with(key))
        });
        prefixed && later
    }
}

fn of_folder(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Failure::fatal("bucket_missing", "there is no such folder")
        }
        io::ErrorKind::PermissionDenied => denied(),
        kind => unreadable(kind),
    }
}
