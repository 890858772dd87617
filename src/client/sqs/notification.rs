//! What a message says about objects.
//!
//! Four forms (Amazon S3 User Guide, "Event message structure" and "Using EventBridge"): the records
//! that S3 writes itself, with keys encoded as in a form; the same wrapped by SNS as text; the event
//! "Object Created" of EventBridge, with keys as they are; and `s3:TestEvent`, which S3 sends once when
//! notifications are set up, and which tells nothing.

use serde_json::Value;

use crate::client::bucket::decoded;

/// Longest key that S3 has, in bytes.
const LONGEST_KEY: usize = 1_024;
/// Most records of a message; S3 sends one.
const MOST_RECORDS: usize = 1_000;

/// An object that is there, as of when it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// Its bucket.
    pub bucket: String,
    /// Its whole name.
    pub key: String,
    /// In bytes.
    pub size: Option<u64>,
    /// Its entity tag, without quotes.
    pub etag: Option<String>,
    /// Its version, where the bucket keeps several.
    pub version_id: Option<String>,
}

/// A message that is none of these; why, without a word of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

/// The objects that a message tells of. None where it tells of something else than new objects: a
/// removal, or that notifications were set up.
///
/// # Errors
/// When it is no notification of S3: reading it again will not help.
pub fn notified(body: &str) -> Result<Vec<Notified>, Unreadable> {
    let value = parse(body)?;
    // SNS wraps the message as text, unless raw delivery is on; nothing wraps it twice.
    let is_sns = value.get("Type").and_then(Value::as_str) == Some("Notification");
    match value.get("Message").and_then(Value::as_str) {
        Some(inner) if is_sns => read(&parse(inner)?),
        _ => read(&value),
    }
}

fn parse(text: &str) -> Result<Value, Unreadable> {
    serde_json::from_str(text).map_err(|_| Unreadable("it is no JSON"))
}

fn read(value: &Value) -> Result<Vec<Notified>, Unreadable> {
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Vec::new());
    }
    if let Some(kind) = value.get("detail-type").and_then(Value::as_str) {
        return event_bridge(value, kind);
    }
    let records = value.get("Records").and_then(Value::as_array);
    let records = records.ok_or(Unreadable("it is no notification of S3"))?;
    if records.len() > MOST_RECORDS {
        return Err(Unreadable("it has more than 1,000 records"));
    }
    let found = records.iter().map(record);
    found.filter_map(Result::transpose).collect()
}

fn record(record: &Value) -> Result<Option<Notified>, Unreadable> {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("eventSource") != "aws:s3" {
        return Err(Unreadable("a record is not one of S3"));
    }
    let name = text("eventName").trim_start_matches("s3:");
    // What was restored from an archive can be read from then on.
    if !name.starts_with("ObjectCreated:") && name != "ObjectRestore:Completed" {
        return Ok(None);
    }
    let s3 = record.get("s3").unwrap_or(&Value::Null);
    object(s3, true).map(Some)
}

fn event_bridge(value: &Value, kind: &str) -> Result<Vec<Notified>, Unreadable> {
    if value.get("source").and_then(Value::as_str) != Some("aws.s3") {
        return Err(Unreadable("it is an event of something else than S3"));
    }
    if !matches!(kind, "Object Created" | "Object Restore Completed") {
        return Ok(Vec::new());
    }
    let detail = value.get("detail").unwrap_or(&Value::Null);
    object(detail, false).map(|found| vec![found])
}

/// `{"bucket":{"name"},"object":{"key","size",…}}`, which all forms have somewhere.
fn object(value: &Value, encoded: bool) -> Result<Notified, Unreadable> {
    let of = |group: &str, name: &str| value.get(group).and_then(|group| group.get(name));
    let text = |group, name| of(group, name).and_then(Value::as_str);
    let bucket = text("bucket", "name").filter(|name| !name.is_empty());
    let key = text("object", "key").filter(|key| !key.is_empty());
    let (Some(bucket), Some(key)) = (bucket, key) else {
        return Err(Unreadable("a record names no bucket or no key"));
    };
    let key = if encoded {
        decoded(key)
    } else {
        key.to_owned()
    };
    if key.len() > LONGEST_KEY || bucket.len() > LONGEST_KEY {
        return Err(Unreadable("a record has a longer name than S3 allows"));
    }
    // The two forms write some names differently.
    let either = |one, other| text("object", one).or_else(|| text("object", other));
    Ok(Notified {
        bucket: bucket.to_owned(),
        key,
        size: of("object", "size").and_then(Value::as_u64),
        etag: either("eTag", "etag").map(|tag| tag.trim_matches('"').to_owned()),
        version_id: either("versionId", "version-id").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn record_of(name: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name,
            "s3": {
                "bucket": { "name": "b", "arn": "arn:aws:s3:::b" },
                "object": { "key": key, "size": 1024, "eTag": "d41d", "versionId": "v1", "sequencer": "00" },
            },
        })
    }

    fn keys(body: &Value) -> Vec<String> {
        let found = notified(&body.to_string()).unwrap();
        found.into_iter().map(|found| found.key).collect()
    }

    #[test]
    fn records_of_s3_have_keys_that_were_encoded() {
        let body = json!({ "Records": [
            record_of("ObjectCreated:Put", "2026/a+b%2Bc/%C3%BC%25.json"),
            record_of("ObjectRemoved:Delete", "gone"),
            record_of("ObjectCreated:CompleteMultipartUpload", "second"),
        ] });
        assert_eq!(keys(&body), ["2026/a b+c/ü%.json", "second"]);
        let first = &notified(&body.to_string()).unwrap()[0];
        assert_eq!((first.bucket.as_str(), first.size), ("b", Some(1024)));
        assert_eq!(first.etag.as_deref(), Some("d41d"));
        assert_eq!(first.version_id.as_deref(), Some("v1"));
    }

    #[test]
    fn what_sns_and_event_bridge_made_of_them_reads_the_same() {
        let inner = json!({ "Records": [record_of("ObjectCreated:Put", "a+b")] });
        let sns = json!({ "Type": "Notification", "TopicArn": "t", "Message": inner.to_string() });
        assert_eq!(keys(&sns), ["a b"]);
        let bridge = json!({
            "version": "0", "source": "aws.s3", "detail-type": "Object Created",
            "detail": { "bucket": { "name": "b" },
                "object": { "key": "a+b", "size": 5, "etag": "e", "version-id": "v" } },
        });
        // Not encoded: a plus is a plus.
        assert_eq!(keys(&bridge), ["a+b"]);
        let found = &notified(&bridge.to_string()).unwrap()[0];
        assert_eq!(
            (found.etag.as_deref(), found.version_id.as_deref()),
            (Some("e"), Some("v"))
        );
    }

    #[test]
    fn the_test_event_and_removals_tell_of_nothing() {
        let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" });
        assert!(keys(&test).is_empty());
        let sns = json!({ "Type": "Notification", "Message": test.to_string() });
        assert!(keys(&sns).is_empty());
        let removed = json!({ "source": "aws.s3", "detail-type": "Object Deleted", "detail": {} });
        assert!(keys(&removed).is_empty());
    }

    #[test]
    fn what_is_none_of_these_is_an_error_without_its_text() {
        let long = json!({ "Records": [record_of("ObjectCreated:Put", &"x".repeat(2_000))] });
        let nameless =
            json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put" }] });
        let many = json!({ "Records": vec![json!({}); 1_001] });
        for body in [
            "+14155551234".to_owned(),
            "null".to_owned(),
            "{}".to_owned(),
            json!({ "Type": "Notification", "Message": "+14155551234" }).to_string(),
            json!({ "Records": [{ "eventSource": "aws:ses" }] }).to_string(),
            json!({ "detail-type": "Object Created", "source": "aws.ec2" }).to_string(),
            nameless.to_string(),
            long.to_string(),
            many.to_string(),
            "[".repeat(100_000),
        ] {
            let error = notified(&body).unwrap_err();
            assert!(!error.0.contains("415"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", key in "[%+a-fA-F0-9\\PC]{0,40}") {
            let _ = notified(&text);
            let _ = notified(&json!({ "Records": [record_of("ObjectCreated:Put", &key)] }).to_string());
        }
    }
}
