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

/// What stands in for an entity tag where a store lists none: the second of the last change and the
/// length. No tag begins like this.
pub(super) fn makeshift(seconds: i64, size: u64) -> String {
    format!("~{seconds}-{size}")
}

/// The tag to be asked for; none where the version is a makeshift.
pub(super) fn tag(version: Option<&str>) -> Option<String> {
    version
        .filter(|version| !version.starts_with('~'))
        .map(quoted)
}

/// Checks that an answer is of the version that was asked for. `tag` and `seconds` are what it tells
/// of itself, `size` that of the whole object.
pub(super) fn is_version(
    version: Option<&str>,
    tag: Option<&str>,
    seconds: Option<i64>,
    size: Option<u64>,
) -> Result<(), ReadError> {
    let Some(version) = version else {
        return Ok(());
    };
    let told = match version.starts_with('~') {
        true => seconds.zip(size).map(|(at, size)| makeshift(at, size)),
        false => tag.map(str::to_owned),
    };
    match told {
        Some(told) if unquoted(&told) == unquoted(version) => Ok(()),
        Some(_) => Err(ReadError::Changed),
        // Bytes of a version that nobody names are nobody's.
        None => Err(ReadError::Failed(Failure::transient(
            "bucket_answer",
            "the store does not say which version of the object it answers",
        ))),
    }
}

/// The length of the whole object, out of `Content-Range`.
pub(super) fn whole(range: Option<&str>) -> Option<u64> {
    range?.rsplit_once('/')?.1.parse().ok()
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
    fn an_answer_is_of_the_version_that_was_asked_for() {
        let of = |version, tag| is_version(Some(version), tag, Some(5), Some(9));
        assert!(of("abc", Some("\"abc\"")).is_ok() && of("abc", Some("W/\"abc\"")).is_ok());
        assert_eq!(of("abc", Some("\"abd\"")), Err(ReadError::Changed));
        assert!(of("abc", None).unwrap_err().is_passing());
        assert!(of("~5-9", None).is_ok() && is_version(None, None, None, None).is_ok());
        assert_eq!(of("~5-8", Some("\"~5-8\"")), Err(ReadError::Changed));
        assert!(is_version(Some("~5-9"), Some("x"), None, Some(9)).is_err());
        assert_eq!(tag(Some("abc")).as_deref(), Some("\"abc\""));
        assert_eq!(tag(Some("~5-9")), None);
        assert_eq!(whole(Some("bytes 0-1/77")), Some(77));
    }
}
