//! What a listening client gets, and what the oracle says that it got.

use std::collections::HashMap;

use serde_json::Value;
use trunkline::simulator::{Config, Fate, Told};

use crate::client::{queue_topics, quiet, started, told, until};

/// Participant, communication, state: of a snapshot.
fn shown(frame: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all = Vec::new();
    for one in frame["eventBody"]["participants"].as_array().unwrap() {
        for list in ["calls", "messages", "emails", "callbacks"] {
            for it in one[list].as_array().into_iter().flatten() {
                all.push((text(&one["id"]), text(&it["id"]), text(&it["state"])));
            }
        }
    }
    all
}

fn of(told: &Told) -> Vec<(String, String, String)> {
    let one = |it: &trunkline::simulator::Shown| {
        (
            it.participant.clone(),
            it.communication.clone(),
            it.state.to_owned(),
        )
    };
    told.shows.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oracle_says_what_a_listening_client_got() {
    let config = Config {
        rate: 5_000.0,
        total: Some(2_000),
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let topics = queue_topics(&simulator);
    let (_, mut socket) = client.listen(&topics).await;
    let control = simulator.control();
    control.resume();
    let mut got = Vec::new();
    while got.len() < 2_000 {
        let frame = told(&mut socket).await.unwrap();
        let topic = frame["topicName"].as_str().unwrap().to_owned();
        got.push((
            topic,
            frame["eventBody"]["id"].as_str().unwrap().to_owned(),
            shown(&frame),
        ));
    }
    until("all is settled", || control.counts().delivered == 2_000).await;
    let oracle = control.oracle();
    assert!(
        oracle
            .iter()
            .all(|it| it.fate == Fate::Delivered && it.channel == 1)
    );
    let said: Vec<_> = oracle
        .iter()
        .map(|it| (it.topic.to_string(), it.conversation.clone(), of(it)))
        .collect();
    assert_eq!(said, got);
    // A story that goes on: later snapshots of a conversation show all that earlier ones did.
    let mut most: HashMap<&str, usize> = HashMap::new();
    for (_, conversation, shows) in &got {
        let before = most.insert(conversation, shows.len()).unwrap_or_default();
        assert!(shows.len() >= before);
    }
    assert!(most.len() > 100, "{} conversations", most.len());
    simulator.stop().await;
}
