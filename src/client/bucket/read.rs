//! What an answer must be before its bytes are believed.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::ReadError;
use crate::failure::Failure;

/// Longest wait for the next bytes of an answer that has begun.
const STALL: Duration = Duration::from_secs(30);

/// An entity tag without its quotes: listings and headers write it differently.
pub(super) fn unquoted(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// As a header takes it.
pub(super) fn quoted(tag: &str) -> String {
    format!("\"{}\"", unquoted(tag))
}

/// Whether an answer is of this version. One that does not say is not.
pub(super) fn same(told: Option<&str>, version: &str) -> bool {
    told.is_some_and(|told| unquoted(told) == unquoted(version))
}

/// Checks `Content-Range: bytes 0-99/1234` against what was asked for.
pub(super) fn is_range(told: Option<&str>, range: &Range<u64>) -> Result<(), ReadError> {
    let parsed = told.and_then(|told| {
        let (span, _) = told.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    });
    match parsed {
        Some((first, last)) if first == range.start && last == range.end - 1 => Ok(()),
        // The end lies behind that of the object, which is cut off there.
        Some((first, last)) if first == range.start && last < range.end - 1 => {
            Err(ReadError::Failed(Failure::rejected(
                "object_range",
                "the object is shorter than the range that was asked for",
            )))
        }
        _ => Err(ReadError::Failed(Failure::transient(
            "bucket_answer",
            "the store answers another range than was asked for",
        ))),
    }
}

/// Exactly `length` bytes, or an error.
pub(super) async fn collect(
    mut parts: BoxStream<'_, Result<Bytes, ()>>,
    length: u64,
) -> Result<Bytes, ReadError> {
    let failed = |failure| Err(ReadError::Failed(failure));
    // Grows with what comes, not with what was promised.
    let mut all = BytesMut::new();
    loop {
        let part = match tokio::time::timeout(STALL, parts.next()).await {
            Err(_) => {
                let message = "the store stopped in the middle of an object";
                return failed(Failure::transient("timeout", message));
            }
            Ok(Some(Err(()))) => {
                let message = "the connection broke in the middle of an object";
                return failed(Failure::disconnected("bucket_connection", message));
            }
            Ok(None) if all.len() as u64 == length => return Ok(all.freeze()),
            Ok(None) => {
                let message = "the store sent less of an object than was asked for";
                return failed(Failure::transient("bucket_answer", message));
            }
            Ok(Some(Ok(part))) => part,
        };
        if (all.len() + part.len()) as u64 > length {
            let message = "the store sent more of an object than was asked for";
            return failed(Failure::transient("bucket_answer", message));
        }
        if all.is_empty() && part.len() as u64 == length {
            // The whole in one: the usual case of a small object, and nothing to be copied. What
            // may follow is looked at all the same.
            all = BytesMut::from(part);
        } else {
            all.extend_from_slice(&part);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::failure::Kind;

    async fn of(parts: Vec<Result<&'static [u8], ()>>, length: u64) -> Result<Bytes, ReadError> {
        let parts = parts.into_iter().map(|part| part.map(Bytes::from_static));
        collect(stream::iter(parts).boxed(), length).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_is_whole_or_an_error() {
        assert_eq!(of(vec![Ok(b"ab"), Ok(b"c")], 3).await.unwrap(), "abc");
        assert_eq!(of(vec![Ok(b"abc")], 3).await.unwrap(), "abc");
        for (parts, length) in [
            (vec![Ok(&b"ab"[..])], 3),
            (vec![Ok(b"abc"), Ok(b"d")], 3),
            (vec![Ok(b"abcd")], 3),
            (vec![Ok(b"ab"), Err(())], 3),
            (vec![], 1),
        ] {
            let error = of(parts, length).await.unwrap_err();
            assert!(error.is_passing(), "{error:?}");
        }
        let never = stream::iter([Ok(Bytes::from_static(b"a"))]).chain(stream::pending());
        let error = collect(never.boxed(), 3).await.unwrap_err();
        assert!(matches!(error, ReadError::Failed(f) if f.losses()[0].cause.reason == "timeout"));
    }

    #[test]
    fn the_range_that_is_told_is_the_one_that_was_asked_for() {
        assert!(is_range(Some("bytes 5-9/100"), &(5..10)).is_ok());
        assert!(is_range(Some("bytes 5-9/*"), &(5..10)).is_ok());
        for told in [
            None,
            Some(""),
            Some("bytes 0-9/10"),
            Some("bytes 5-99/100"),
            Some("5-9/10"),
        ] {
            assert!(
                is_range(told, &(5..10)).unwrap_err().is_passing(),
                "{told:?}"
            );
        }
        let short = is_range(Some("bytes 5-7/8"), &(5..10)).unwrap_err();
        assert!(matches!(short, ReadError::Failed(f) if f.kind() == Kind::Rejected));
    }

    #[test]
    fn tags_are_compared_without_their_dress() {
        assert!(same(Some("\"abc\""), "abc") && same(Some("W/\"abc\""), "\"abc\""));
        assert!(!same(None, "abc") && !same(Some("\"abd\""), "abc"));
        assert_eq!(quoted("abc"), "\"abc\"");
    }
}
