//! Paths into an event's body, and the set of all paths that a pipeline reads.
//!
//! The compiler interns every path that any component names into one [`PathSet`]. The parser then
//! resolves all of them in the same pass that checks the JSON, so that a stage's look-up is one
//! array read, however many stages ask for the same field.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use compact_str::CompactString;

/// Longest path, in segments. The parser's depth limit is larger, so this is about typing errors.
pub const MAX_SEGMENTS: usize = 32;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// `.name` or `."any name"`: the member of an object.
    Key(CompactString),
    /// `[3]`: the element of an array, from 0.
    Index(u32),
    /// `[]`: every element of an array.
    Each,
}

/// A path such as `.data.participants[0].name`; `.` alone is the whole body.
#[derive(Clone)]
pub struct Path {
    segments: Arc<[Segment]>,
    /// Row slot of the interned path, [`NONE`] until a [`PathSet`] took it.
    slot: u32,
}

/// "Not there", in a slot or in a resolved row.
pub(crate) const NONE: u32 = u32::MAX;

impl Path {
    /// The steps, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// A path of plain member names.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let segments = keys
            .into_iter()
            .map(|key| Segment::Key(key.into()))
            .collect();
        Self {
            segments,
            slot: NONE,
        }
    }

    /// True when the path can mean more than one place (`[]` occurs in it).
    pub fn is_multiple(&self) -> bool {
        self.segments.contains(&Segment::Each)
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    fn keys_only(&self) -> Option<impl Iterator<Item = &str>> {
        let all = self
            .segments
            .iter()
            .all(|segment| matches!(segment, Segment::Key(_)));
        all.then(|| {
            self.segments.iter().filter_map(|segment| match segment {
                Segment::Key(key) => Some(key.as_str()),
                _ => None,
            })
        })
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.segments == other.segments
    }
}

impl Eq for Path {}

/// Why a text is not a path, with the character (from 0) at which it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPath {
    /// Offset in characters.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for BadPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "not a path: expected {} at character {}",
            self.expected,
            self.at + 1
        )
    }
}

impl std::error::Error for BadPath {}

impl FromStr for Path {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let chars: Vec<char> = text.chars().collect();
        let fail = |at, expected| Err(BadPath { at, expected });
        if chars.is_empty() {
            return fail(0, "`.` and a field name");
        }
        let mut segments = Vec::new();
        let mut at = 0;
        while at < chars.len() {
            if segments.len() == MAX_SEGMENTS {
                return fail(at, "at most 32 steps");
            }
            match chars[at] {
                '.' if chars.len() == 1 => at += 1,
                '.' => {
                    let (segment, next) = key(&chars, at + 1)?;
                    segments.push(segment);
                    at = next;
                }
                '[' => {
                    let (segment, next) = index(&chars, at + 1)?;
                    segments.push(segment);
                    at = next;
                }
                _ => {
                    return fail(
                        at,
                        if at == 0 {
                            "a leading `.`"
                        } else {
                            "`.` or `[`"
                        },
                    );
                }
            }
        }
        Ok(Self {
            segments: segments.into(),
            slot: NONE,
        })
    }
}

fn key(chars: &[char], from: usize) -> Result<(Segment, usize), BadPath> {
    if chars.get(from) == Some(&'"') {
        let Some(length) = chars[from + 1..].iter().position(|c| *c == '"') else {
            return Err(BadPath {
                at: chars.len(),
                expected: "a closing `\"`",
            });
        };
        let end = from + 1 + length;
        let name: CompactString = chars[from + 1..end].iter().collect();
        return Ok((Segment::Key(name), end + 1));
    }
    let plain = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '$' | ':');
    let length = chars[from..].iter().take_while(|c| plain(c)).count();
    if length == 0 {
        return Err(BadPath {
            at: from,
            expected: "a field name",
        });
    }
    Ok((
        Segment::Key(chars[from..from + length].iter().collect()),
        from + length,
    ))
}

fn index(chars: &[char], from: usize) -> Result<(Segment, usize), BadPath> {
    let Some(length) = chars[from..].iter().position(|c| *c == ']') else {
        return Err(BadPath {
            at: chars.len(),
            expected: "a closing `]`",
        });
    };
    let digits: String = chars[from..from + length].iter().collect();
    let segment = match digits.as_str() {
        "" | "*" => Segment::Each,
        digits => match digits.parse() {
            Ok(index) => Segment::Index(index),
            Err(_) => {
                return Err(BadPath {
                    at: from,
                    expected: "an index from 0, or nothing",
                });
            }
        },
    };
    Ok((segment, from + length + 1))
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return out.write_str(".");
        }
        for segment in self.segments.iter() {
            match segment {
                Segment::Key(key) => {
                    let plain = |c: char| c.is_alphanumeric() || "_-@$:".contains(c);
                    if !key.is_empty() && key.chars().all(plain) {
                        write!(out, ".{key}")?;
                    } else {
                        write!(out, ".\"{key}\"")?;
                    }
                }
                Segment::Index(index) => write!(out, "[{index}]")?,
                Segment::Each => out.write_str("[]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The member names that matter below one object, as the parser meets them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Branch {
    /// (member name, its slot and branch number).
    pub children: Vec<(CompactString, u32)>,
    /// Slot of the object that holds this one; [`NONE`] for a member of the body itself.
    pub parent: u32,
    /// The member name of this branch in its parent.
    pub name: CompactString,
}

/// All paths that a pipeline reads, as a tree of member names. A slot is a node of that tree.
#[derive(Clone, Debug)]
pub struct PathSet {
    /// Branch 0 is the body; slot `n` is branch `n + 1`.
    branches: Vec<Branch>,
}

impl Default for PathSet {
    fn default() -> Self {
        Self {
            branches: vec![Branch {
                parent: NONE,
                ..Branch::default()
            }],
        }
    }
}

impl PathSet {
    /// Takes the path in and tells it its slot. Paths with `[…]` stay as they are: they are walked.
    pub fn intern(&mut self, path: &mut Path) {
        let Some(keys) = path.keys_only() else { return };
        let mut branch = 0;
        let mut slot = NONE;
        for key in keys {
            slot = match self.branches[branch]
                .children
                .iter()
                .find(|(name, _)| name == key)
            {
                Some((_, slot)) => *slot,
                None => self.grow(branch, slot, key),
            };
            branch = slot as usize + 1;
        }
        path.slot = slot;
    }

    fn grow(&mut self, branch: usize, parent: u32, key: &str) -> u32 {
        let slot = (self.branches.len() - 1) as u32;
        self.branches.push(Branch {
            parent,
            name: key.into(),
            ..Branch::default()
        });
        self.branches[branch].children.push((key.into(), slot));
        slot
    }

    /// Number of slots in a row.
    pub fn len(&self) -> usize {
        self.branches.len() - 1
    }

    /// True when no path was interned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn branch(&self, number: u32) -> &Branch {
        &self.branches[number as usize]
    }

    pub(crate) fn slot_branch(&self, slot: u32) -> &Branch {
        &self.branches[slot as usize + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_every_form() {
        for text in [
            ".",
            ".a",
            ".a.b-c",
            ".a[3].b",
            ".a[].b",
            ".\"a b\".c",
            "[0]",
            ".é",
        ] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        assert_eq!(".a[*]".parse::<Path>().unwrap().to_string(), ".a[]");
    }

    #[test]
    fn says_where_a_path_goes_wrong() {
        for (text, at) in [
            ("", 0),
            ("a", 0),
            (".a..b", 3),
            (".a[x]", 3),
            (".a[1", 4),
            (".\"a", 3),
            (".a b", 2),
        ] {
            assert_eq!(text.parse::<Path>().unwrap_err().at, at, "{text}");
        }
        assert!(".a".repeat(33).parse::<Path>().is_err());
    }

    #[test]
    fn shares_slots_between_equal_paths_and_their_prefixes() {
        let mut set = PathSet::default();
        let mut paths: Vec<Path> = [".a.b", ".a", ".a.b", ".c[].d"]
            .iter()
            .map(|p| p.parse().unwrap())
            .collect();
        for path in &mut paths {
            set.intern(path);
        }
        assert_eq!(set.len(), 2);
        assert_eq!(paths[0].slot(), paths[2].slot());
        assert_eq!(set.slot_branch(paths[0].slot()).parent, paths[1].slot());
        assert_eq!(paths[3].slot(), NONE);
    }
}
