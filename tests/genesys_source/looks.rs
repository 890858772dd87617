//! What a probe of the source finds out, and that it changes nothing.

use trunkline::config::{Fixed, parse};
use trunkline::layer::{Finding, Grade};
use trunkline::setting::Fields;
use trunkline::source::genesys_websocket::{Config, Opener};

use crate::platform::Platform;

async fn probed(yaml: &str) -> Vec<Finding> {
    let mut loaded = parse("source.yaml", yaml, &Fixed::new());
    let tree = loaded.tree.take().unwrap();
    let mut fields = Fields::new(&tree, "the source", &mut loaded.report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    // A secret in the file is worth a warning, and no more.
    let told: Vec<_> = loaded.report.iter().map(|it| it.message.clone()).collect();
    let warnings = told.iter().filter(|it| it.contains("secret")).count();
    assert_eq!(told.len(), warnings, "{told:?}");
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
async fn the_platform_is_looked_at_and_no_channel_made() {
    let platform = Platform::start().await;
    let yaml = |topic: &str| {
        format!(
            "endpoint: {}\nauth: {{ client_id: me, client_secret: hush }}\ntopics: [\"{topic}\"]",
            platform.url
        )
    };
    let queues = "v2.routing.queues.{queue}.conversations";
    let found = probed(&yaml(queues)).await;
    has(&found, Grade::Good, "takes the credentials");
    has(&found, Grade::Good, "0 of 20 channels");
    has(&found, Grade::Good, "has all topics");
    has(&found, Grade::Warning, "see no queues");
    platform.scene().queues.push("q".to_owned());
    platform.scene().channels = vec!["c".to_owned(); 18];
    let found = probed(&yaml(queues)).await;
    has(&found, Grade::Good, "queues can be read");
    has(&found, Grade::Warning, "18 of 20 channels");
    let found = probed(&yaml("v2.nonsense.1")).await;
    has(&found, Grade::Warning, "`v2.nonsense.1`");
    let changes = |call: &&String| !call.starts_with("GET") && !call.ends_with("/oauth/token");
    let calls = platform.scene().calls.clone();
    assert_eq!(calls.iter().find(changes), None, "{calls:?}");
    // The lists that the file does not need are not asked for.
    assert!(
        !calls.iter().any(|call| call.contains("/users")),
        "{calls:?}"
    );

    platform.scene().locked = true;
    let found = probed(&yaml(queues)).await;
    assert_eq!(
        (found.len(), found[0].grade),
        (1, Grade::Error),
        "{found:?}"
    );
    assert!(!format!("{found:?}").contains("hush"), "{found:?}");
    let region = "topics: [v2.users.1.presence]";
    assert_eq!(
        probed(region).await[0].grade,
        Grade::Good,
        "a simulator is nothing to look at"
    );
}
