//! The few things a journal asks of a file system.
//!
//! A [`Storage`] is one folder. Names are relative to it; `damaged/…` is the one folder inside.
//! What a file or a folder holds is durable only after its own sync: that is all a journal relies
//! on, and what its tests take away from it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

/// Name of the file whose lock says that a process uses the folder; it holds that process's id.
const LOCK: &str = "lock";

/// One folder.
pub trait Storage: Send + Sync {
    /// Takes the lock, making the folder where it is missing; `None` when another has it. It is
    /// given back when the value is dropped.
    ///
    /// # Errors
    /// As the system's.
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>>;

    /// The process that has the lock, if any, as it wrote its id.
    fn locked_by(&self) -> Option<u32>;

    /// Names and lengths of the files in a folder (`""`: this one); empty where it is missing.
    ///
    /// # Errors
    /// As the system's.
    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>>;

    /// Makes a new file, for its owner only.
    ///
    /// # Errors
    /// As the system's; also when it is there already.
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>>;

    /// Opens a file that is there, to read, and to write where that is said.
    ///
    /// # Errors
    /// As the system's.
    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StoredFile>>;

    /// Makes a folder's entries durable.
    ///
    /// # Errors
    /// As the system's.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Makes a folder, unless it is there.
    ///
    /// # Errors
    /// As the system's.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// As the system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The whole path, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file.
pub trait StoredFile: Send + Sync {
    /// Writes all of the bytes at the end.
    ///
    /// # Errors
    /// As the system's; a part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes all of the bytes at this place.
    ///
    /// # Errors
    /// As the system's; a part may have been written.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads what is there, up to the buffer's length; 0 at the end.
    ///
    /// # Errors
    /// As the system's.
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// As the system's.
    fn length(&self) -> io::Result<u64>;

    /// Cuts it off.
    ///
    /// # Errors
    /// As the system's.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes what it holds durable.
    ///
    /// # Errors
    /// As the system's; nothing can be said then about what was written since the last sync.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of this path; it need not be there.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn make(path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // The entry of the new folder must survive, or all that is in it is gone.
        match path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            Some(parent) => File::open(parent)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }
}

impl Storage for Folder {
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Self::make(&self.0)?;
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join(LOCK))?;
        match rustix::fs::flock(&options, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let mut file = options;
        file.set_len(0)?;
        // For people only: a full disk must not keep a journal from being read.
        let _ = file.write_all(format!("{}\n", std::process::id()).as_bytes());
        Ok(Some(Box::new(file)))
    }

    fn locked_by(&self) -> Option<u32> {
        let file = File::open(self.0.join(LOCK)).ok()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            _ => return None,
        }
        let mut text = String::new();
        file.take(32).read_to_string(&mut text).ok()?;
        // Locked, by whomever: 0 stands for a process that could not write its id.
        Some(text.trim().parse().unwrap_or(0))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(self.0.join(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Names that are no text are none of a journal's.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            match entry.metadata() {
                Ok(data) if data.is_file() => found.push((name, data.len())),
                Ok(_) => {}
                // Removed meanwhile, by the process that uses the folder.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        found.sort();
        Ok(found)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Box::new(options.open(self.0.join(name))?))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StoredFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(write);
        Ok(Box::new(options.open(self.0.join(name))?))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.0.join(folder))?.sync_all()
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        Self::make(&self.0.join(folder))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl StoredFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.metadata()?.len();
        self.write_all_at(bytes, end)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Fills the buffer from this place as far as the file goes; says how much there was.
pub(super) fn read_full(file: &dyn StoredFile, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(at + filled as u64, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes that lie only in memory: what a fuzzer made, or a file that cannot be read to its end.
impl StoredFile for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (start, end) = (at as usize, at as usize + bytes.len());
        self.resize(self.len().max(end), 0);
        self[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let rest = rest.unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        Vec::truncate(self, length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
