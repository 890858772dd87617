//! URLs: a recording's address identifies the call wherever it lies, so only the scheme stays.

use compact_str::{CompactString, format_compact};
use memchr::memmem;

use super::{Class, Found};

const MARK: &str = "://";
const HIDDEN: &str = "***";
/// Registered schemes are shorter.
const MAX_SCHEME: usize = 32;

/// Finds URLs by the mark after their scheme.
pub(super) fn scan(text: &str, found: &mut Vec<Found>) {
    let mut floor = 0;
    for at in memmem::find_iter(text.as_bytes(), MARK) {
        if at < floor {
            continue;
        }
        // Without a scheme it is no URL, and one may begin in what follows.
        let Some(start) = scheme_start(text.as_bytes(), at) else {
            continue;
        };
        let rest = &text[at + MARK.len()..];
        let len = rest.find(ends_url).unwrap_or(rest.len());
        let rest = rest[..len].trim_end_matches(is_closing);
        let end = at + MARK.len() + rest.len();
        floor = end;
        if !rest.is_empty() && rest != HIDDEN {
            found.push(Found {
                start,
                end,
                class: Class::Url,
            });
        }
    }
}

/// Where the scheme begins that ends at the mark.
fn scheme_start(bytes: &[u8], end: usize) -> Option<usize> {
    let is_scheme = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let len = bytes[..end]
        .iter()
        .rev()
        .take(MAX_SCHEME)
        .take_while(is_scheme)
        .count();
    (end - len..end).find(|at| bytes[*at].is_ascii_alphabetic())
}

fn ends_url(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '"' | '<' | '>' | '`' | '。' | '、' | '」' | '）')
}

/// Punctuation that belongs to the sentence when it comes last.
fn is_closing(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '\''
    )
}

/// Keeps the scheme, if there is one.
pub(super) fn mask(value: &str) -> Option<CompactString> {
    match value.split_once(MARK) {
        Some((_, HIDDEN)) => None,
        Some((scheme, _)) if scheme.len() <= MAX_SCHEME && is_plain(scheme) => {
            Some(format_compact!("{scheme}{MARK}{HIDDEN}"))
        }
        _ if value == HIDDEN => None,
        _ => Some(CompactString::const_new(HIDDEN)),
    }
}

fn is_plain(scheme: &str) -> bool {
    !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scheme_stays() {
        assert_eq!(
            mask("https://rec.example.com/a?b=c").as_deref(),
            Some("https://***")
        );
        assert_eq!(
            mask("s3://bucket/4155551234.wav").as_deref(),
            Some("s3://***")
        );
        assert_eq!(mask("rec.example.com/a").as_deref(), Some("***"));
        assert_eq!(mask("https://***"), None);
        assert_eq!(mask("***"), None);
    }

    #[test]
    fn a_url_ends_before_the_sentence_does() {
        let text = "See (https://x.io/a,b). Or \"s3://b/k\"; https://*** is hidden. ://";
        let mut found = Vec::new();
        scan(text, &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|found| &text[found.start..found.end])
            .collect();
        assert_eq!(found, ["https://x.io/a,b", "s3://b/k"]);
    }
}
