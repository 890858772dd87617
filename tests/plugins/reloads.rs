//! A changed file takes over while events flow; a broken one does not.

use std::path::Path;

use trunkline::observe::Ledger;

use crate::guests::guest;
use crate::world::{World, start};
use crate::{buried, figure, letters, pipeline};

/// In one step, as who deploys a file should.
fn put(from: &[u8], to: &Path) {
    let beside = to.with_extension("new");
    std::fs::write(&beside, from).unwrap();
    std::fs::rename(beside, to).unwrap();
}

fn version(ledger: &Ledger) -> u64 {
    figure(ledger, "plugin_version")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_takes_over_and_a_broken_one_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (dead, file) = (place.path().join("dead"), place.path().join("plugin.wasm"));
    let read = |name: &str| std::fs::read(guest(name)).unwrap();
    put(&read("unruly"), &file);
    let world = World::default();
    let more = "reload: 100ms, config: { field: new, value: 1 }";
    let text = pipeline("unruly", more, &dead);
    let text = text.replace(
        &guest("unruly").display().to_string(),
        &file.display().to_string(),
    );
    let running = start(world.pipeline(&text));
    let refused = |n: u64| move |ledger: &Ledger| figure(ledger, "plugin_refused") == n;
    let reloading = || {
        let alerts = running.observer.alerts();
        alerts
            .iter()
            .any(|it| it.name == "plugin_reload_failed" && it.active)
    };
    world.send("in", [r#"{"a":1}"#.to_owned()]);
    assert_eq!(world.until("out", 1).await, [r#"{"a":1}"#]);

    put(b"\0asm and nothing more", &file);
    running.until("broken is refused", refused(1)).await;
    put(&read("unruly_wasi"), &file);
    running.until("greedy is refused", refused(2)).await;
    assert!(reloading());
    world.send("in", [r#"{"a":2}"#.to_owned()]);
    assert_eq!(world.until("out", 2).await[1], r#"{"a":2}"#);
    assert_eq!(version(&running.observer.ledger()), 1);

    // A batch that is under way ends on the one that it began on.
    world.send(
        "in",
        [r#"{"do":"loop"}"#.to_owned(), r#"{"a":3}"#.to_owned()],
    );
    put(&read("template"), &file);
    running
        .until("the new one runs", |it| version(it) == 2)
        .await;
    world.send("in", [r#"{"a":4}"#.to_owned()]);
    let written = world.until("out", 4).await;
    assert_eq!(written[2..], [r#"{"a":3}"#, r#"{"a":4,"new":1}"#]);
    assert!(!reloading());
    running.until("it is kept", |it| buried(it) == 1).await;
    let reasons: Vec<_> = letters(&dead).into_iter().map(|it| it.0).collect();
    assert_eq!(reasons, ["plugin_timeout"]);

    // The content counts, not the time: what runs already is not made anew.
    put(b"\0asm and nothing more", &file);
    running.until("broken is refused again", refused(3)).await;
    put(&read("template"), &file);
    running.until("it is known", |_| !reloading()).await;
    world.send("in", [r#"{"a":5}"#.to_owned()]);
    world.until("out", 5).await;
    let ledger = running.stop().await;
    assert_eq!(version(&ledger), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_is_lost_and_nothing_comes_twice() {
    let place = tempfile::tempdir().unwrap();
    let (dead, file) = (place.path().join("dead"), place.path().join("plugin.wasm"));
    let (one, two) = (guest("unruly"), guest("template"));
    let (one, two) = (std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
    put(&one, &file);
    let world = World::default();
    let more = "reload: 100ms, config: { field: new, value: 1 }";
    let text = pipeline("unruly", more, &dead);
    let text = text.replace(
        &guest("unruly").display().to_string(),
        &file.display().to_string(),
    );
    let running = start(world.pipeline(&text));
    let mut sent = 0;
    for round in 1..4 {
        put(if round % 2 == 1 { &two } else { &one }, &file);
        while version(&running.observer.ledger()) != round + 1 {
            world.send("in", (sent..sent + 100).map(|n| format!("{{\"n\":{n}}}")));
            sent += 100;
            world.until("out", sent).await;
        }
    }
    let written = world.until("out", sent).await;
    let all = written.iter().map(|it| it.replace(",\"new\":1", ""));
    assert!(all.eq((0..sent).map(|n| format!("{{\"n\":{n}}}"))));
    running.stop().await;
}
