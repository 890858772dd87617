//! Where the values of variables come from. The one place that reads the process environment.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest file that `${file:...}` takes, in bytes: a key or a token, not a data file.
pub const FILE_LIMIT: usize = 64 * 1024;

/// What `${VAR}` and `${file:...}` of a pipeline stand for.
pub trait Variables {
    /// The value of a variable, or `None` if it is not set (or is not Unicode).
    fn get(&self, name: &str) -> Option<String>;

    /// The content of a file, at most [`FILE_LIMIT`] bytes; an error if it is longer, is no
    /// regular file or is not UTF-8.
    fn file(&self, path: &Path) -> io::Result<String>;
}

/// The environment of the process and the files of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment;

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        // Opening a pipe would wait for its writer for ever, so the kind is asked for first.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(FILE_LIMIT as u64 + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() > FILE_LIMIT {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is larger than 64 KiB",
            ));
        }
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
        String::from_utf8(bytes).map_err(invalid)
    }
}

/// Some variables before those of another place.
pub struct Before<'v> {
    /// By name; one without a value is not set, whatever the other place says.
    pub own: &'v [(String, Option<String>)],
    /// The other place. Files are from there.
    pub behind: &'v dyn Variables,
}

impl Variables for Before<'_> {
    fn get(&self, name: &str) -> Option<String> {
        match self.own.iter().find(|(own, _)| own == name) {
            Some((_, value)) => value.clone(),
            None => self.behind.get(name),
        }
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        self.behind.file(path)
    }
}

/// Variables and files from memory, for tests and for checks that must not look outside.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    variables: HashMap<String, String>,
    files: HashMap<PathBuf, String>,
}

impl Fixed {
    /// No variable is set and no file is there.
    pub fn new() -> Fixed {
        Fixed::default()
    }

    /// Sets a variable.
    pub fn with(mut self, name: &str, value: &str) -> Fixed {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts a file in place.
    pub fn with_file(mut self, path: impl Into<PathBuf>, content: &str) -> Fixed {
        self.files.insert(path.into(), content.to_owned());
        self
    }
}

impl Variables for Fixed {
    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such file");
        self.files.get(path).cloned().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_reads_small_regular_text_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "s3cret\n").unwrap();
        assert_eq!(Environment.file(&path).unwrap(), "s3cret\n");
        std::fs::write(&path, vec![b'x'; FILE_LIMIT]).unwrap();
        assert_eq!(Environment.file(&path).unwrap().len(), FILE_LIMIT);
        std::fs::write(&path, vec![b'x'; FILE_LIMIT + 1]).unwrap();
        assert_eq!(
            Environment.file(&path).unwrap_err().to_string(),
            "it is larger than 64 KiB"
        );
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(
            Environment.file(&path).unwrap_err().to_string(),
            "it is not UTF-8 text"
        );
        assert!(Environment.file(folder.path()).is_err(), "a folder");
        assert!(Environment.file(&folder.path().join("none")).is_err());
    }

    #[test]
    fn the_environment_has_variables() {
        assert!(Environment.get("PATH").is_some());
        assert_eq!(Environment.get("TRUNKLINE_SURELY_NOT_SET"), None);
    }
}
