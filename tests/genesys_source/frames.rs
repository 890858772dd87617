//! What comes on a socket, frame by frame, and what happens between two of them.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::bench::{Bench, QUICK, at, until};
use super::platform::Platform;

fn bench(platform: &Platform, more: &str) -> Bench {
    let yaml = format!("topics: [v2.routing.queues.q.conversations]\n{QUICK}{more}");
    Bench::new(&yaml, at(&platform.url))
}

#[tokio::test]
async fn frames_are_events_as_they_came_and_what_is_none_is_a_letter() {
    let mut platform = Platform::start().await;
    let bench = bench(&platform, "max_frame: 4KiB");
    let running = bench.run().await;
    let mut socket = platform.socket().await;
    socket
        .text(r#"{"topicName":"channel.metadata","eventBody":{"message":"pong"}}"#)
        .await;
    let odd = r#"{ "topicName":"v2.x" , "eventBody":{"a":1.50} }"#;
    socket.text(odd).await;
    socket.text("this is not JSON").await;
    socket.text("[1,2]").await;
    socket
        .send(Message::Binary(b"{\"binary\":true}".to_vec().into()))
        .await;
    socket.send(Message::Binary(vec![0xff; 300].into())).await;
    socket
        .text(r#"{"topicName":"v2.system.subscription_changed.x","eventBody":{}}"#)
        .await;
    socket.text(r#"{"last":1}"#).await;
    running.until(3).await;
    until("three letters", || {
        running.got.lock().unwrap().letters.len() == 3
    })
    .await;
    {
        let got = running.got.lock().unwrap();
        assert_eq!(got.events, [odd, r#"{"binary":true}"#, r#"{"last":1}"#]);
        let mut letters = got.letters.clone();
        letters.sort();
        assert_eq!(
            letters,
            [("not_an_object", 5), ("not_json", 16), ("not_utf8", 300)]
        );
        assert!(
            got.objects.iter().all(|object| object == "channel 0"),
            "{:?}",
            got.objects
        );
    }
    assert!(bench.gaps().is_empty());
    // Too long: the socket cannot be read on, and the next one is opened on the same channel.
    socket
        .text(&format!("{{\"a\":\"{}\"}}", "x".repeat(10_000)))
        .await;
    let mut second = platform.socket().await;
    assert_eq!(second.path, socket.path);
    second.text(r#"{"after":1}"#).await;
    running.until(4).await;
    until("the gap", || bench.gaps().len() == 1).await;
    assert_eq!(bench.gaps()[0].reason, "bad_frame");
    let letters = running.got.lock().unwrap().letters.clone();
    assert_eq!(letters.last().unwrap().0, "record_too_large");
    assert_eq!(platform.scene().channels.len(), 1);
}

#[tokio::test]
async fn after_a_gap_what_is_known_and_what_is_named_is_read_again() {
    let mut platform = Platform::start().await;
    let bench = bench(&platform, "gap_fill: { look_back: 10m }");
    let running = bench.run().await;
    let mut socket = platform.socket().await;
    for id in ["c-open", "c-gone", "c-ended"] {
        socket.snapshot(id).await;
    }
    let ended = json!({
        "topicName": "v2.routing.queues.q.conversations",
        "eventBody": { "id": "c-ended", "participants": [{ "endTime": "2026-01-01T00:00:00Z" }] },
    });
    socket.text(&ended.to_string()).await;
    running.until(4).await;
    assert_eq!(bench.figure("known_conversations"), 2);
    {
        let mut scene = platform.scene();
        for id in ["c-open", "c-new", "c-ended"] {
            scene
                .conversations
                .insert(id.to_owned(), json!({ "id": id, "odd": 1.5 }));
        }
        scene.named = vec![
            "c-open".to_owned(),
            "c-new".to_owned(),
            "c-missing".to_owned(),
        ];
    }
    let before = jiff::Timestamp::now();
    drop(socket);
    let _second = platform.socket().await;
    until("the gap", || bench.gaps().len() == 1).await;
    let gap = bench.gaps()[0].clone();
    assert_eq!((gap.reason, gap.reread, gap.failed), ("broken_off", 2, 0));
    assert!(
        gap.from <= before && before <= gap.to && gap.seconds() < 10.0,
        "{gap:?}"
    );
    running.until(6).await;
    let mut reread: Vec<Value> = running.got.lock().unwrap().events[4..]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    reread.sort_by_key(|event| event["eventBody"]["id"].to_string());
    assert_eq!(reread[0]["topicName"], "trunkline.conversation.reread");
    assert_eq!(reread[0]["eventBody"], json!({ "id": "c-new", "odd": 1.5 }));
    assert_eq!(reread[1]["eventBody"]["id"], "c-open");
    assert_eq!(reread[0]["metadata"]["gapFrom"], gap.from.to_string());
    let interval = platform.scene().intervals[0].clone();
    let (from, to) = interval.split_once('/').unwrap();
    let from: jiff::Timestamp = from.parse().unwrap();
    assert_eq!(gap.from.duration_since(from).as_secs(), 600);
    assert!(to.parse::<jiff::Timestamp>().unwrap() >= gap.to);
    // The one that is gone is forgotten, the new one is known.
    until("what is known", || bench.figure("known_conversations") == 2).await;
}

#[tokio::test]
async fn where_frames_tell_another_time_the_gap_is_asked_for_in_that() {
    let mut platform = Platform::start().await;
    let bench = bench(&platform, "gap_fill: { look_back: 10m }");
    let running = bench.run().await;
    let mut socket = platform.socket().await;
    for minute in 0..3 {
        let time = format!("2020-01-01T00:0{minute}:00.000Z");
        let frame = json!({ "topicName": "v2.x", "eventBody": {}, "metadata": { "time": time } });
        socket.text(&frame.to_string()).await;
    }
    running.until(3).await;
    drop(socket);
    let _second = platform.socket().await;
    until("the gap", || bench.gaps().len() == 1).await;
    let interval = platform.scene().intervals[0].clone();
    assert!(
        interval.starts_with("2019-12-31T23:52:00Z/2020-01-07T"),
        "{interval}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_again_is_counted() {
    let mut platform = Platform::start().await;
    let bench = bench(
        &platform,
        "gap_fill: { max_conversations: 3, unknown: false }",
    );
    let running = bench.run().await;
    let mut socket = platform.socket().await;
    for n in 0..5 {
        socket.snapshot(&format!("c-{n}")).await;
    }
    running.until(5).await;
    // Of those that are not forgotten, one is no JSON object that can be nested.
    platform
        .scene()
        .conversations
        .insert("c-4".to_owned(), json!({ "id": "c-4" }));
    let close = CloseFrame {
        code: 1001.into(),
        reason: "idle".into(),
    };
    socket.send(Message::Close(Some(close))).await;
    let _second = platform.socket().await;
    until("the gap", || bench.gaps().len() == 1).await;
    let gap = bench.gaps()[0].clone();
    assert_eq!((gap.reason, gap.reread, gap.failed), ("going_away", 1, 0));
    assert!(platform.scene().intervals.is_empty());
    let calls = platform.scene().calls.clone();
    let reads = calls
        .iter()
        .filter(|call| call.starts_with("GET /api/v2/conversations/"));
    assert_eq!(reads.count(), 3);
}

#[tokio::test]
async fn topics_refused_together_are_told_apart() {
    let platform = Platform::start().await;
    let forbidden = ["t3", "t11"].map(str::to_owned).to_vec();
    platform.scene().forbidden = forbidden;
    let topics: Vec<String> = (0..16).map(|n| format!("t{n}")).collect();
    let yaml = format!("topics: [{}]\n{QUICK}", topics.join(", "));
    let bench = Bench::new(&yaml, at(&platform.url));
    let _running = bench.run().await;
    until("the alert", || {
        bench.alert("genesys_topics_rejected").is_some()
    })
    .await;
    let alert = bench.alert("genesys_topics_rejected").unwrap();
    assert_eq!(
        alert,
        "2 topics are refused: t3 (you may not); t11 (you may not)"
    );
    assert_eq!(
        (bench.figure("topics"), bench.figure("topics_rejected")),
        (14, 2)
    );
    assert_eq!(platform.scene().topics["channel-1"].len(), 14);
}

#[tokio::test]
async fn a_new_queue_is_subscribed_to_and_a_channel_that_is_gone_is_made_again() {
    let mut platform = Platform::start().await;
    platform.scene().queues = vec!["q1".to_owned()];
    let yaml =
        format!("topics: ['v2.routing.queues.{{queue}}.conversations']\nrefresh: 100ms\n{QUICK}");
    let bench = Bench::new(&yaml, at(&platform.url));
    let _running = bench.run().await;
    let socket = platform.socket().await;
    platform.scene().queues = vec!["q2".to_owned(), "q1".to_owned()];
    let scene = platform.scene.clone();
    let topics = |channel: &str| {
        scene
            .lock()
            .unwrap()
            .topics
            .get(channel)
            .cloned()
            .unwrap_or_default()
    };
    until("both queues", || topics("channel-1").len() == 2).await;
    assert_eq!(topics("channel-1")[1], "v2.routing.queues.q2.conversations");
    platform.scene().channels[0] = "another".to_owned();
    drop(socket);
    let second = platform.socket().await;
    assert_eq!(second.path, "/channels/channel-2");
    assert_eq!(topics("channel-2").len(), 2);
}

#[tokio::test]
async fn refused_credentials_end_the_run() {
    let platform = Platform::start().await;
    platform.scene().locked = true;
    let bench = bench(&platform, "");
    let running = bench.run().await;
    until("the end", || running.got.lock().unwrap().ended.is_some()).await;
    let failure = running.got.lock().unwrap().ended.clone().unwrap();
    assert_eq!(failure.kind(), trunkline::failure::Kind::Fatal);
    assert!(
        failure.to_string().contains("client not found"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_engine_that_does_not_read_makes_the_socket_wait() {
    let mut platform = Platform::start().await;
    let yaml = "queue: { frames: 4, bytes: 1KiB }\ngap_fill: { enabled: false }";
    let bench = bench(&platform, yaml);
    let running = bench.run().await;
    let mut socket = platform.socket().await;
    running.kill().await;
    drop(socket);
    // Opened, but not read.
    let source = bench.open().await;
    socket = platform.socket().await;
    let writing = tokio::spawn(async move {
        let frame = format!("{{\"a\":\"{}\"}}", "x".repeat(60_000));
        for _ in 0..400 {
            socket.text(&frame).await;
        }
        socket
    });
    // 24 MB are more than the buffers of the kernel take.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(!writing.is_finished());
    let running = bench.read(source);
    running.until(400).await;
    drop(writing.await.unwrap());
}
