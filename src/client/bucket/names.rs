//! Keys that the crate for Google's and Azure's storage cannot name: with an empty part, `.` or `..`
//! between their slashes. One of them would fail the whole listing that it is in.
//!
//! So they are written differently before the crate reads an answer, and read back behind it: a mark in
//! front of each such part. Whoever then asks for such an object is told that this cannot be done.

use super::ReadError;
use crate::failure::Failure;

/// Stands in front of parts that cannot be named. Of Unicode's private use; a part that begins with it
/// by itself gets a second one.
const MARK: char = '\u{e000}';

/// Opening and closing of a name in a listing of Google's, and of Azure's.
const TAGS: [(&str, &str); 2] = [("<Key>", "</Key>"), ("<Name>", "</Name>")];

/// Whether a request asks for a listing.
pub(super) fn is_listing(query: Option<&str>) -> bool {
    let query = query.unwrap_or_default();
    let has = |wanted: &str| query.split('&').any(|pair| pair == wanted);
    has("list-type=2") || has("comp=list")
}

/// The answer to a listing, with names that can be read.
pub(super) fn marked(answer: &str) -> String {
    let mut marked = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some((at, open, close)) = first(rest) {
        let begin = at + open.len();
        let Some(length) = rest[begin..].find(close) else {
            break;
        };
        marked.push_str(&rest[..begin]);
        marked.push_str(&mark(&rest[begin..begin + length]));
        rest = &rest[begin + length..];
    }
    marked.push_str(rest);
    marked
}

/// The first opening of a name: where it is, and the two tags.
fn first(text: &str) -> Option<(usize, &'static str, &'static str)> {
    let found = TAGS
        .iter()
        .filter_map(|(open, close)| Some((text.find(open)?, *open, *close)));
    found.min_by_key(|(at, ..)| *at)
}

fn mark(key: &str) -> String {
    let parts = key.split('/').map(|part| match part {
        "" | "." | ".." => format!("{MARK}{part}"),
        part if part.starts_with(MARK) => format!("{MARK}{part}"),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The key as it is.
pub(super) fn unmarked(key: &str) -> String {
    if !key.contains(MARK) {
        return key.to_owned();
    }
    let parts = key.split('/');
    let parts = parts.map(|part| part.strip_prefix(MARK).unwrap_or(part));
    parts.collect::<Vec<_>>().join("/")
}

/// Why such an object cannot be read.
pub(super) fn unnamed() -> ReadError {
    ReadError::Failed(Failure::rejected(
        "object_key",
        "a key with an empty part, `.` or `..` between its slashes cannot be asked for here",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_named_come_through_a_listing() {
        for key in [
            "a/b",
            "a//b",
            "/a",
            "a/",
            "./a/../b",
            "ü/\u{e000}x/&amp;",
            "",
            "/",
        ] {
            for (open, close) in TAGS {
                let answer = format!("<R><C>{open}{key}{close}<S>1</S></C>{open}k{close}</R>");
                let marked = marked(&answer);
                let begin = marked.find(open).unwrap() + open.len();
                let name = &marked[begin..marked.find(close).unwrap()];
                assert!(
                    name.split('/').all(|part| !matches!(part, "" | "." | "..")),
                    "{name}"
                );
                assert_eq!(unmarked(name), key);
                assert!(marked.ends_with(&format!("<S>1</S></C>{open}k{close}</R>")));
            }
        }
        assert_eq!(marked("<Key>a//b"), "<Key>a//b", "cut off");
    }

    #[test]
    fn only_listings_are_read() {
        assert!(is_listing(Some("prefix=a&list-type=2")));
        assert!(is_listing(Some("restype=container&comp=list")));
        assert!(!is_listing(Some("comp=lists")) && !is_listing(None));
    }
}
