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

/// The story from its beginning: topic, conversation, states.
async fn story(seed: u64) -> Vec<(String, String, Vec<(String, String, String)>)> {
    let config = Config {
        seed,
        rate: 10_000.0,
        total: Some(1_000),
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let (_, mut socket) = client.listen(&queue_topics(&simulator)).await;
    simulator.control().resume();
    let mut got = Vec::new();
    while got.len() < 1_000 {
        let frame = told(&mut socket).await.unwrap();
        let topic = frame["topicName"].as_str().unwrap().to_owned();
        got.push((
            topic,
            frame["eventBody"]["id"].as_str().unwrap().to_owned(),
            shown(&frame),
        ));
    }
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_decides_the_story() {
    let (one, same, other) = (story(7).await, story(7).await, story(8).await);
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_shapes_tell_the_same_story() {
    let config = Config {
        rate: 2_000.0,
        queues: 1,
        users: 2,
        conversations: Some(50),
        total: Some(3_000),
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let queue = control.queues()[0].clone();
    let mut topics = vec![format!(
        "v2.routing.queues.{queue}?conversations&conversations.calls&conversations.messages"
    )];
    topics.extend(
        control
            .users()
            .iter()
            .map(|user| format!("v2.users.{user}.conversations")),
    );
    let (_, mut socket) = client.listen(&topics).await;
    control.resume();
    let mut whole: HashMap<(String, String), Vec<String>> = HashMap::new();
    let (mut flat, mut users) = (0, 0);
    until("all steps", || control.counts().steps == 3_000).await;
    let frames = control.counts().frames;
    let mut words = std::collections::BTreeSet::new();
    for _ in 0..frames {
        let frame = told(&mut socket).await.unwrap();
        let topic = frame["topicName"].as_str().unwrap();
        let id = frame["eventBody"]["id"].as_str().unwrap().to_owned();
        if topic.ends_with(".conversations") {
            let mut states = shown(&frame);
            users += usize::from(topic.starts_with("v2.users."));
            words.extend(states.iter().map(|it| it.2.clone()));
            for (participant, _, state) in states.drain(..) {
                whole
                    .entry((id.clone(), participant))
                    .or_default()
                    .push(state);
            }
            continue;
        }
        flat += 1;
        // The flattened shape has the state that the snapshot before it had in a communication.
        for one in frame["eventBody"]["participants"].as_array().unwrap() {
            let key = (id.clone(), one["id"].as_str().unwrap().to_owned());
            let state = one["state"].as_str().unwrap();
            assert_eq!(whole[&key].last().unwrap(), state);
            assert!(one["calls"].is_null() && one["purpose"].is_string());
        }
    }
    assert!(flat > 2_000 && users > 1_000, "{flat} {users}");
    for word in [
        "alerting",
        "contacting",
        "offering",
        "dialing",
        "connected",
        "parked",
        "disconnected",
        "terminated",
        "scheduled",
    ] {
        assert!(words.contains(word), "{word} of {words:?}");
    }
    // Nobody comes back to life.
    for states in whole.values() {
        let over = states
            .iter()
            .position(|it| it == "disconnected" || it == "terminated");
        assert!(over.is_none_or(|at| states[at..].iter().all(|it| *it == states[at])));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detail_events_belong_to_one_conversation() {
    let config = Config {
        rate: 300.0,
        conversations: Some(1),
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let (_, mut socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    let first = told(&mut socket).await.unwrap();
    let id = first["eventBody"]["id"].as_str().unwrap().to_owned();
    let kinds = [
        "flow.start",
        "flow.end",
        "acd.start",
        "user.start",
        "user.end",
        "customer.end",
        "acw",
        "wrapup",
    ];
    let topics: Vec<String> = kinds
        .iter()
        .map(|it| format!("v2.detail.events.conversation.{id}.{it}"))
        .collect();
    control.pause();
    let (_, mut details) = client.listen(&topics).await;
    control.resume();
    let end = loop {
        let frame = told(&mut details).await.unwrap();
        let body = &frame["eventBody"];
        assert_eq!(body["conversationId"], id.as_str());
        assert!(body["eventTime"].as_i64().unwrap() > 1_600_000_000_000);
        assert!(
            ["VOICE", "MESSAGE", "EMAIL", "CALLBACK"]
                .contains(&body["mediaType"].as_str().unwrap())
        );
        if frame["topicName"]
            .as_str()
            .unwrap()
            .ends_with("customer.end")
        {
            break frame;
        }
    };
    let ending = end["eventBody"]["disconnectType"].as_str().unwrap();
    assert_eq!(ending, ending.to_uppercase());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_the_oracle_has_a_line_for_each_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oracle.ndjson");
    let config = Config {
        rate: 5_000.0,
        total: Some(500),
        oracle: Some(path.clone()),
        oracle_kept: 10,
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let topics = queue_topics(&simulator);
    let (id, mut socket) = client.listen(&topics).await;
    // Another channel has the topics too, and no socket.
    let (other, _) = client.channel().await;
    assert_eq!(client.subscribe(&other, &topics).await.status(), 200);
    control.resume();
    for _ in 0..500 {
        told(&mut socket).await.unwrap();
    }
    until("all is settled", || control.counts().delivered == 500).await;
    assert_eq!(control.oracle().len(), 10);
    simulator.stop().await;
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1_000);
    let of = |channel: u64, fate: &str| {
        lines
            .iter()
            .filter(|it| it["channel"] == channel && it["fate"] == fate)
            .count()
    };
    assert_eq!((of(1, "delivered"), of(2, "no_socket")), (500, 500));
    assert!(lines[0]["shows"][0].as_array().unwrap().len() == 3 && lines[0]["n"] == 1);
    lines[0]["wall"]
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap();
    // No credential is in it.
    assert!(!text.contains(&id) && !text.contains(&client.token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detail_events_of_all_conversations_are_exported_as_eventbridge_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    let config = Config {
        rate: 10_000.0,
        conversations: Some(20),
        total: Some(2_000),
        eventbridge: Some(path.clone()),
        ..Config::default()
    };
    let (simulator, _) = started(config).await;
    let control = simulator.control();
    until("all steps", || control.counts().steps == 2_000).await;
    simulator.stop().await;
    let text = std::fs::read_to_string(path).unwrap();
    let mut open: HashMap<String, i64> = HashMap::new();
    for line in text.lines() {
        let envelope: Value = serde_json::from_str(line).unwrap();
        let (detail, kind) = (
            &envelope["detail"],
            envelope["detail-type"].as_str().unwrap(),
        );
        let body = &detail["eventBody"];
        let conversation = body["conversationId"].as_str().unwrap();
        assert_eq!(kind.replace("{id}", conversation), detail["topicName"]);
        let time: jiff::Timestamp = envelope["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            time.as_second(),
            body["eventTime"].as_i64().unwrap() / 1_000
        );
        // Nothing ends that has not begun.
        let session = body["sessionId"].as_str().unwrap_or_default().to_owned();
        match kind.rsplit('.').next().unwrap() {
            "start" => *open.entry(session).or_default() += 1,
            "end" => *open.get_mut(&session).unwrap() -= 1,
            _ => {}
        }
    }
    assert!(open.len() > 200 && open.values().all(|it| (0..=1).contains(it)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_takes_nothing_back_and_the_rate_can_change() {
    let (simulator, client) = started(Config {
        rate: 10.0,
        ..quiet()
    })
    .await;
    let control = simulator.control();
    let (_, mut socket) = client.listen(&queue_topics(&simulator)).await;
    assert_eq!(control.sockets(), [1]);
    control.resume();
    assert!(control.set_rate(0.0).is_err());
    control.set_rate(5_000.0).unwrap();
    until("many steps", || control.counts().steps > 1_000).await;
    let reads = async {
        let mut got = 0;
        while told(&mut socket).await.is_some() {
            got += 1;
        }
        got
    };
    let (got, ()) = tokio::join!(reads, simulator.stop());
    let counts = control.counts();
    assert_eq!(
        (counts.delivered, counts.waiting, counts.unknown),
        (got, 0, 0)
    );
}
