//! Which files `trunkline test` is about.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use crate::config::FILE_BYTES;

/// Most files that are looked at.
const MOST_FILES: usize = 10_000;
/// Most entries of folders that are looked at, so that a wrong folder does not take for ever.
const MOST_ENTRIES: usize = 1_000_000;
/// Deepest nesting of folders.
const DEEPEST: usize = 32;

/// The files that are named, and those in folders and of patterns that have tests, each once.
///
/// # Errors
/// In words: a pattern is none, there is nothing of it, or there is too much.
pub(super) fn found(said: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for said in said {
        let text = said.to_string_lossy();
        // A file that is really there is meant, whatever characters its name has.
        let is_pattern = !said.exists() && text.contains(['*', '?', '[', '{']);
        let more = match (said.is_dir(), is_pattern) {
            (true, _) => tested(said, &|path| is_yaml(path))?,
            (_, true) => matching(said, &text)?,
            // One that is not there is told as every command tells it.
            _ => vec![said.clone()],
        };
        if more.is_empty() {
            return Err(format!("`{text}`: no file in it has tests"));
        }
        files.extend(more);
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn matching(said: &Path, text: &str) -> Result<Vec<PathBuf>, String> {
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|error| format!("`{text}` is no pattern: {}", error.kind()))?;
    let matcher = glob.compile_matcher();
    // From the last folder before the first part with a character of a pattern.
    let plain = |part: &Path| !part.to_string_lossy().contains(['*', '?', '[', '{']);
    let parts = said.components().map(|it| PathBuf::from(it.as_os_str()));
    let root: PathBuf = parts.take_while(|part| plain(part)).collect();
    tested(&root, &|path| matcher.is_match(path))
}

fn is_yaml(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ending == "yaml" || ending == "yml"
}

/// Files below a folder that have tests, in the order of their names. Links to folders are not followed:
/// they could be circles.
fn tested(root: &Path, is_meant: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let (mut open, mut seen) = (vec![(root.to_owned(), 0)], 0);
    while let Some((folder, depth)) = open.pop() {
        let shown = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => &folder,
        };
        let entries = fs::read_dir(shown);
        let entries = entries.map_err(|error| format!("`{}`: {error}", shown.display()))?;
        for entry in entries.flatten() {
            seen += 1;
            if found.len() >= MOST_FILES || seen > MOST_ENTRIES {
                return Err(format!("`{}`: there are too many files", root.display()));
            }
            let path = folder.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEEPEST => open.push((path, depth + 1)),
                Ok(kind) if !kind.is_dir() && is_meant(&path) && has_tests(&path) => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether it is a file with a section `tests`: others in a folder may be anything. It need not be YAML
/// that can be read: then that is what there is to be told.
fn has_tests(path: &Path) -> bool {
    // Opening a pipe would wait for its writer for ever.
    if !fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() <= FILE_BYTES as u64) {
        return false;
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| {
        let most = FILE_BYTES as u64 + 1;
        file.take(most).read_to_end(&mut bytes)
    });
    let is_section = |line: &[u8]| line.starts_with(b"tests:") || line.starts_with(b"\"tests\":");
    read.is_ok() && bytes.split(|byte| *byte == b'\n').any(is_section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_patterns_hold_those_with_tests_and_names_stand_for_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("deep/er")).unwrap();
        for name in ["b.yaml", "a.yml", "deep/er/c.yaml", "no.txt"] {
            fs::write(at(name), "version: 1\ntests: []\n").unwrap();
        }
        fs::write(at("compose.yaml"), "services: {}\n# tests:\n").unwrap();
        std::os::unix::fs::symlink(folder.path(), at("deep/circle")).unwrap();
        let all = found(&[folder.path().to_owned(), at("b.yaml")]).unwrap();
        assert_eq!(all, [at("a.yml"), at("b.yaml"), at("deep/er/c.yaml")]);
        let of = |pattern: &str| found(&[at(pattern)]);
        assert_eq!(of("*.yaml").unwrap(), [at("b.yaml")]);
        assert_eq!(
            of("**/*.yaml").unwrap(),
            [at("b.yaml"), at("deep/er/c.yaml")]
        );
        assert_eq!(of("compose.yaml").unwrap(), [at("compose.yaml")]);
        assert!(
            of("*.json")
                .unwrap_err()
                .contains("no file in it has tests")
        );
        assert!(of("[").unwrap_err().contains("no pattern"));
        assert!(found(&[at("gone")]).is_ok(), "told when it is read");
    }
}
