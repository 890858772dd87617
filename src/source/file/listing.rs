//! Which files there are to read.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::cursor::{FileId, modified};
use super::{Config, Order};
use crate::failure::Failure;
use crate::source::{glob_reason, globs};

/// Most files that are looked after; what is in memory for each is some hundred bytes.
const MOST_FILES: usize = 100_000;
/// Deepest nesting of folders that is looked into.
const MOST_DEPTH: usize = 64;

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub path: PathBuf,
    pub length: u64,
    pub modified: u64,
    pub id: FileId,
}

impl Found {
    pub(super) fn new(path: PathBuf, metadata: &Metadata) -> Self {
        Self {
            path,
            length: metadata.len(),
            modified: modified(metadata),
            id: id(metadata),
        }
    }

    /// The path as the key of what is kept about the file.
    pub(super) fn key(&self) -> &[u8] {
        self.path.as_os_str().as_encoded_bytes()
    }
}

pub(super) fn id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// What a configuration asks for, made ready.
pub(super) struct Listing {
    root: PathBuf,
    /// Levels of folders below the root that are looked into.
    depth: usize,
    pattern: Option<GlobSet>,
    include: Option<GlobSet>,
    exclude: GlobSet,
    order: Order,
}

/// Whether a path is a pattern that can be used, or none at all.
pub(super) fn check_pattern(path: &Path) -> Result<(), String> {
    if is_pattern(path) {
        matcher(&split(path).1)?;
    }
    Ok(())
}

fn matcher(pattern: &str) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    let mut glob = GlobBuilder::new(pattern);
    set.add(glob.literal_separator(true).build().map_err(glob_reason)?);
    set.build().map_err(glob_reason)
}

/// Whether a path is a pattern.
fn is_pattern(path: &Path) -> bool {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .any(|byte| b"*?[{".contains(byte))
}

impl Listing {
    /// # Errors
    /// When a pattern is none.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let mut listing = Self {
            root: config.path.clone(),
            depth: if config.recursive { MOST_DEPTH } else { 0 },
            pattern: None,
            include: None,
            exclude: globs(&config.exclude)?,
            order: config.order,
        };
        if !config.include.is_empty() {
            listing.include = Some(globs(&config.include)?);
        }
        // A file that is really there is meant, whatever characters its name has.
        if is_pattern(&config.path) && !config.path.exists() {
            let (root, pattern, depth) = split(&config.path);
            (listing.root, listing.depth) = (root, depth);
            listing.pattern = Some(matcher(&pattern)?);
        }
        Ok(listing)
    }

    /// Whether there is anything to look into.
    ///
    /// # Errors
    /// `Fatal` with the path when there is not.
    pub(super) fn probe(&self) -> Result<(), Failure> {
        let path = self.shown();
        match fs::metadata(self.start()) {
            Ok(metadata) if metadata.is_file() || metadata.is_dir() => Ok(()),
            Ok(_) => {
                let message = format!("`{path}` is neither a file nor a folder");
                Err(Failure::fatal("not_a_file", message))
            }
            Err(error) => {
                let message = format!("cannot look into `{path}`: {error}");
                Err(Failure::fatal("input_missing", message))
            }
        }
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.start().display()
    }

    /// The folder of `*.json` is the working directory.
    fn start(&self) -> &Path {
        match self.root.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.root,
        }
    }

    /// The files, in the order to read them. What cannot be looked into is logged and left out.
    ///
    /// # Errors
    /// `Fatal` when there are too many.
    pub(super) fn list(&self) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::new();
        match fs::metadata(self.start()) {
            Ok(metadata) if metadata.is_file() => {
                found.push(Found::new(self.root.clone(), &metadata));
            }
            Ok(_) => self.walk(&mut found)?,
            // Gone since the start: as empty as it would be with its files gone.
            Err(error) => tracing::warn!(path = %self.shown(), %error, "cannot look into this"),
        }
        match self.order {
            Order::Name => found.sort_by(|a, b| a.key().cmp(b.key())),
            Order::Modified => {
                found.sort_by(|a, b| (a.modified, a.key()).cmp(&(b.modified, b.key())));
            }
        }
        Ok(found)
    }

    fn walk(&self, found: &mut Vec<Found>) -> Result<(), Failure> {
        let mut folders = vec![(self.start().to_owned(), 0)];
        let mut seen = 0;
        while let Some((folder, depth)) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!(path = %folder.display(), %error, "cannot look into this folder");
                    continue;
                }
            };
            for entry in entries {
                seen += 1;
                if found.len() >= MOST_FILES || seen > MOST_FILES * 20 {
                    let message = format!("more than {MOST_FILES} files in `{}`", self.shown());
                    return Err(Failure::fatal("too_many_files", message));
                }
                let Ok(entry) = entry else { continue };
                let path = match self.root.as_os_str().is_empty() {
                    true => PathBuf::from(entry.file_name()),
                    false => entry.path(),
                };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && depth < self.depth => {
                        folders.push((path, depth + 1));
                    }
                    Ok(kind) if !kind.is_dir() => found.extend(self.take(path)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A file that is asked for. Links lead to files only: a link to a folder could be a circle.
    fn take(&self, path: PathBuf) -> Option<Found> {
        let below = path.strip_prefix(&self.root).unwrap_or(&path);
        let asked = self.pattern.as_ref().is_none_or(|set| set.is_match(below))
            && self.include.as_ref().is_none_or(|set| set.is_match(below))
            && !self.exclude.is_match(below);
        if !asked {
            return None;
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Some(Found::new(path, &metadata)),
            Ok(metadata) if metadata.is_dir() => None,
            Ok(_) => {
                tracing::warn!(path = %path.display(), "passed over: not a regular file");
                None
            }
            // Removed between the two looks.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "passed over");
                None
            }
        }
    }
}

/// The folder that a pattern begins with, the pattern below it, and how many folders deep it goes.
fn split(path: &Path) -> (PathBuf, String, usize) {
    let parts: Vec<_> = path.components().collect();
    let fixed = parts
        .iter()
        .take_while(|part| !is_pattern(Path::new(part)))
        .count();
    let root: PathBuf = parts[..fixed].iter().collect();
    let pattern: PathBuf = parts[fixed..].iter().collect();
    let pattern = pattern.to_string_lossy().into_owned();
    let depth = match pattern.contains("**") {
        true => MOST_DEPTH,
        false => parts.len() - fixed - 1,
    };
    (root, pattern, depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(config: &Config) -> Vec<String> {
        let found = Listing::new(config).unwrap().list().unwrap();
        let names = found.iter().map(|found| {
            let name = found.path.to_string_lossy().into_owned();
            name.rsplit_once("/in/")
                .map_or(name.clone(), |(_, below)| below.to_owned())
        });
        names.collect()
    }

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("in");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        for name in ["b.json", "a.json", "c.txt", "sub/d.json", "sub/deep/e.json"] {
            fs::write(root.join(name), "{}").unwrap();
        }
        (folder, root)
    }

    #[test]
    fn folders_patterns_and_single_files() {
        let (_folder, root) = tree();
        let mut config = Config::new(root.clone());
        assert_eq!(list(&config), ["a.json", "b.json", "c.txt"]);
        config.recursive = true;
        config.exclude = vec!["c.*".into(), "sub/deep/**".into()];
        assert_eq!(list(&config), ["a.json", "b.json", "sub/d.json"]);
        config.include = vec!["d.json".into()];
        assert_eq!(list(&config), ["sub/d.json"]);
        let of = |pattern: &str| list(&Config::new(root.join(pattern)));
        assert_eq!(of("*.json"), ["a.json", "b.json"]);
        assert_eq!(of("*/*.json"), ["sub/d.json"]);
        assert_eq!(of("**/{d,e}.json"), ["sub/d.json", "sub/deep/e.json"]);
        assert_eq!(of("a.json"), ["a.json"]);
        assert_eq!(of("*.none"), [""; 0]);
    }

    #[test]
    fn links_lead_to_files_and_not_to_folders() {
        let (_folder, root) = tree();
        std::os::unix::fs::symlink(root.join("a.json"), root.join("z.json")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("sub/circle")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling.json")).unwrap();
        let mut config = Config::new(root);
        config.recursive = true;
        config.include = vec!["*.json".into()];
        let expected = [
            "a.json",
            "b.json",
            "sub/d.json",
            "sub/deep/e.json",
            "z.json",
        ];
        assert_eq!(list(&config), expected);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (_folder, root) = tree();
        let reason = |path: PathBuf| {
            let listing = Listing::new(&Config::new(path)).unwrap();
            let failure = listing.probe().unwrap_err();
            failure.losses()[0].cause.clone()
        };
        let cause = reason(root.join("missing"));
        assert_eq!(cause.reason, "input_missing");
        assert!(cause.message.contains("in/missing"));
        assert_eq!(reason(root.join("none/*.json")).reason, "input_missing");
        assert_eq!(reason("/dev/null".into()).reason, "not_a_file");
    }

    #[test]
    fn patterns_are_split_where_they_begin() {
        let of = |path: &str| split(Path::new(path));
        assert_eq!(of("*.json"), (PathBuf::new(), "*.json".into(), 0));
        assert_eq!(of("/a/b*/c"), (PathBuf::from("/a"), "b*/c".into(), 1));
        assert_eq!(of("a/**/c").2, MOST_DEPTH);
    }
}
