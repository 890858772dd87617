//! What a probe of the source finds out, and that it changes nothing.

use trunkline::layer::{Finding, Grade};
use trunkline::source::s3_export::Opener;

use crate::bench::{Bench, lines, records};
use crate::fake::{Fake, Reply};
use crate::settings::check;

async fn probed(yaml: &str) -> Vec<Finding> {
    let (config, told) = check(yaml);
    assert!(told.is_empty(), "{told:?}");
    Opener::new(config.unwrap()).probe().await
}

fn has(found: &[Finding], grade: Grade, words: &str) {
    let is = |it: &Finding| it.grade == grade && it.message.contains(words);
    assert!(
        found.iter().any(is),
        "no {grade:?} of `{words}` in {found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_s3_could_be_written_to_is_asked_without_writing() {
    let fake = Fake::start().await;
    fake.put("a", "{}");
    for (status, code, grade, words) in [
        (404, "NoSuchUpload", Grade::Warning, "may also write"),
        (403, "AccessDenied", Grade::Good, "may not write"),
        (501, "NotImplemented", Grade::Unknown, "may also write"),
        // An answer that says nothing, by a server that knows no uploads.
        (200, "", Grade::Unknown, "may also write"),
    ] {
        fake.twist(move |asked, reply| {
            if asked.method == "POST" {
                *reply = Reply::error(status, code);
            }
        });
        has(&probed(&fake.yaml("prefix: in/")).await, grade, words);
    }
    let wrote = |it: &crate::fake::Asked| {
        let upload = it
            .query
            .get("uploadId")
            .is_some_and(|id| id.contains("no-such"));
        !(matches!(it.method.as_str(), "GET" | "HEAD") || it.method == "POST" && upload)
    };
    let asked = fake.asked();
    let posted = asked.iter().filter(|it| it.method == "POST");
    assert_eq!(
        posted.filter(|it| it.key == "in/.trunkline-probe").count(),
        4
    );
    assert!(!asked.iter().any(wrote), "{asked:?}");
}

/// A source at Google's of which the fake plays the part.
fn google(fake: &Fake) -> String {
    let account =
        r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#;
    format!(
        "url: gs://exports\nendpoint: {}\nauth: {{ service_account: '{account}' }}",
        fake.url()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_is_asked_what_the_credentials_may() {
    let fake = Fake::start().await;
    fake.put("a", "{}");
    has(
        &probed(&google(&fake)).await,
        Grade::Unknown,
        "does not say",
    );
    for (held, grade, words) in [
        (
            "\"storage.objects.delete\"",
            Grade::Warning,
            "more than read: delete;",
        ),
        ("", Grade::Good, "neither write nor delete"),
    ] {
        fake.twist(move |asked, reply| {
            if asked.key.ends_with("iam/testPermissions") {
                let kind = "storage#testIamPermissionsResponse";
                let text = format!("{{\"kind\":\"{kind}\",\"permissions\":[{held}]}}");
                *reply = Reply {
                    status: 200,
                    ..Reply::error(200, "")
                };
                (reply.length, reply.body) = (Some(text.len()), text.into());
            }
        });
        has(&probed(&google(&fake)).await, grade, words);
    }
    assert!(
        fake.asked()
            .iter()
            .all(|it| it.method == "GET" || it.method == "HEAD")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_cannot_be_named_at_google_are_told_and_stall_nothing() {
    let fake = Fake::start().await;
    for key in ["a", "b//c", "b/../c", "d/", "z"] {
        fake.put(key, lines(&records(key, 2)));
    }
    let mut bench = Bench::new(&(google(&fake) + "\nread: once"));
    bench.drain().await;
    bench.has_once(["a", "z"].iter().flat_map(|key| records(key, 2)));
    let told: Vec<_> = bench
        .letters
        .iter()
        .map(|it| (it.0, it.1.as_str()))
        .collect();
    let expected = ["b/../c", "b//c", "d/"].map(|key| format!("gs://exports/{key}"));
    let expected: Vec<_> = expected
        .iter()
        .map(|it| ("object_key", it.as_str()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(bench.reopened, 0);
}
