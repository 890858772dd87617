//! What a socket says, and the ways in which it ends.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use trunkline::simulator::{Config, Fate, Faults, How, Limits};

use crate::client::{connect, frame, next, queue_topics, quiet, say, started, told, until};

#[tokio::test]
async fn beats_answers_pings_and_tolerates_what_it_does_not_know() {
    let (_simulator, client) = started(Config {
        speed: 300.0,
        ..quiet()
    })
    .await;
    let (_, uri) = client.channel().await;
    let mut socket = connect(&uri.replace("/channels/", "/streaming/channels/")).await;
    // 30 simulated seconds are 0.1 s.
    for _ in 0..3 {
        let beat = frame(&mut socket).await.unwrap();
        assert_eq!(
            beat,
            json!({"topicName": "channel.metadata", "eventBody": {"message": "WebSocket Heartbeat"}})
        );
    }
    socket.send(Message::text("not json at all")).await.unwrap();
    say(&mut socket, json!({"hello": ["there"]})).await;
    say(&mut socket, json!({"message": "ping"})).await;
    socket.send(Message::Ping("x".into())).await.unwrap();
    let (mut pong, mut answered) = (false, false);
    while !(pong && answered) {
        match next(&mut socket).await.unwrap() {
            Message::Pong(data) => answered = data == "x",
            Message::Text(text) => pong |= text.contains("\"pong\""),
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_second_socket_of_a_channel_closes_the_first() {
    let (simulator, client) = started(Config {
        rate: 200.0,
        ..quiet()
    })
    .await;
    let topics = queue_topics(&simulator);
    let (id, mut first) = client.listen(&topics).await;
    let uri = format!("{}/channels/{id}", client.url.replace("http", "ws"));
    let mut second = connect(&uri).await;
    assert_eq!(frame(&mut first).await, None);
    simulator.control().resume();
    // The channel kept its topics.
    assert!(told(&mut second).await.is_some());
    assert_eq!(simulator.control().counts().opened, 2);
}

#[tokio::test]
async fn a_silent_death_leaves_the_socket_open_and_says_nothing() {
    let config = Config {
        rate: 500.0,
        speed: 100.0,
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let (id, mut socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    told(&mut socket).await.unwrap();
    assert_eq!(control.kill(Some(1), How::Silent), 1);
    // What was sent before still comes; then nothing, no heartbeat and no pong either.
    let quiet = async {
        while timeout(Duration::from_millis(700), socket.next())
            .await
            .is_ok()
        {}
    };
    timeout(Duration::from_secs(10), quiet).await.unwrap();
    say(&mut socket, json!({"message": "ping"})).await;
    assert!(
        timeout(Duration::from_millis(500), socket.next())
            .await
            .is_err()
    );
    assert!(control.counts().no_socket > 100);
    // The channel is there, and another socket goes on.
    let uri = format!("{}/channels/{id}", client.url.replace("http", "ws"));
    let mut again = connect(&uri).await;
    assert!(told(&mut again).await.is_some());
    let oracle = control.oracle();
    let fates = |fate: Fate| oracle.iter().filter(|it| it.fate == fate).count();
    assert!(fates(Fate::NoSocket) > 100 && fates(Fate::Delivered) > 0 && fates(Fate::Unknown) == 0);
}

#[tokio::test]
async fn an_abrupt_end_takes_nothing_back() {
    let config = Config {
        rate: 5_000.0,
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let (_, mut socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    told(&mut socket).await.unwrap();
    // The client reads nothing for a while, and says things that nobody reads.
    until("some frames", || control.counts().delivered > 500).await;
    say(&mut socket, json!({"message": "ping"})).await;
    control.kill(None, How::Abrupt);
    control.pause();
    until("the end of the socket", || {
        control.counts().sockets == 0 || control.counts().waiting == 0
    })
    .await;
    let mut got = 1;
    while told(&mut socket).await.is_some() {
        got += 1;
    }
    until("the books", || control.counts().waiting == 0).await;
    assert_eq!(control.counts().delivered, got);
    let last = socket.next().await;
    assert!(
        last.is_none()
            || matches!(
                last,
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed))
            ),
        "{last:?}"
    );
}

#[tokio::test]
async fn closes_with_the_code_that_was_asked_for_and_when_idle() {
    let limits = Limits {
        idle: Some(Duration::from_secs(120)),
        ..Limits::default()
    };
    let (simulator, client) = started(Config {
        speed: 100.0,
        limits,
        ..quiet()
    })
    .await;
    let (_, mut socket) = client.listen(&[]).await;
    simulator.control().kill(None, How::Code(4001));
    let code = async |socket: &mut crate::client::Socket| loop {
        if let Message::Close(frame) = next(socket).await.unwrap() {
            return u16::from(frame.unwrap().code);
        }
    };
    assert_eq!(code(&mut socket).await, 4001);
    let (_, mut socket) = client.listen(&[]).await;
    assert_eq!(code(&mut socket).await, 1001);
}

#[tokio::test]
async fn planned_closes_are_announced_a_minute_before_or_not() {
    let (simulator, client) = started(Config {
        speed: 60.0,
        ..quiet()
    })
    .await;
    let control = simulator.control();
    let (_, mut socket) = client.listen(&[]).await;
    control.closing(true);
    let announced = loop {
        let frame = told(&mut socket).await.unwrap();
        if frame["topicName"] == "v2.system.socket_closing" {
            break control.now();
        }
    };
    while frame(&mut socket).await.is_some() {}
    let seconds = control.now().duration_since(announced).as_secs();
    assert!((50..=90).contains(&seconds), "{seconds}");
    let (_, mut socket) = client.listen(&[]).await;
    control.closing(false);
    assert_eq!(told(&mut socket).await, None);
}

#[tokio::test]
async fn says_when_a_channel_is_no_longer_subscribed_or_its_token_is_gone() {
    let (simulator, client) = started(quiet()).await;
    let control = simulator.control();
    let topics = queue_topics(&simulator);
    let (id, mut socket) = client.listen(&topics).await;
    control.no_longer_subscribed();
    let frame = told(&mut socket).await.unwrap();
    assert_eq!(
        frame["topicName"],
        "v2.system.no_longer_subscribed.simulator"
    );
    assert_eq!(frame["eventBody"]["reason"], "another_channel_subscribed");
    let path = format!("/api/v2/notifications/channels/{id}/subscriptions");
    assert_eq!(client.read(&path).await["entities"], json!([]));
    control.revoke_tokens();
    let frame = told(&mut socket).await.unwrap();
    assert_eq!(frame["topicName"], "v2.system.token_revoked.simulator");
    assert_eq!(told(&mut socket).await, None);
    assert_eq!(control.counts().channels, 0);
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let limits = Limits {
        queue: 500,
        ..Limits::default()
    };
    let config = Config {
        rate: 20_000.0,
        limits,
        oracle_kept: 0,
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let (_, socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    until("the cut", || control.counts().cut_off == 1).await;
    until("the books", || control.counts().sockets == 0).await;
    control.pause();
    let counts = control.counts();
    assert_eq!(counts.waiting, 0);
    assert!(
        counts.no_socket > 0 && counts.no_socket + counts.unknown >= 500,
        "{counts:?}"
    );
    // The engine may have been in the middle of a round.
    until("all is told", || {
        let it = control.counts();
        it.delivered + it.no_socket + it.unknown == it.frames
    })
    .await;
    drop(socket);
}

#[tokio::test]
async fn a_client_that_breaks_off_leaves_its_last_second_in_doubt() {
    let (simulator, client) = started(Config {
        rate: 2_000.0,
        ..quiet()
    })
    .await;
    let control = simulator.control();
    let (_, socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    until("some frames", || control.counts().delivered > 300).await;
    // Closed over unread bytes: the system sends a reset.
    drop(socket);
    until("doubt", || control.counts().unknown > 0).await;
    let oracle = control.oracle();
    assert!(oracle.iter().any(|it| it.fate == Fate::Unknown));
    assert!(control.counts().delivered < control.counts().frames);
}

#[tokio::test]
async fn sockets_die_by_themselves_in_all_ways() {
    let life = Some(Duration::from_secs(300));
    let faults = Faults {
        socket_life: life,
        closing_unannounced: 0.5,
        ..Faults::default()
    };
    let (_simulator, client) = started(Config {
        speed: 3_000.0,
        faults,
        ..quiet()
    })
    .await;
    let mut ends = std::collections::BTreeMap::<String, usize>::new();
    let (_, uri) = client.channel().await;
    for _ in 0..40 {
        let mut socket = connect(&uri).await;
        let mut warned = false;
        let end = loop {
            match timeout(Duration::from_millis(400), socket.next()).await {
                Err(_) => break "silent".to_owned(),
                Ok(Some(Ok(Message::Close(Some(frame))))) => {
                    break format!("{} {warned}", u16::from(frame.code));
                }
                Ok(Some(Ok(message))) => {
                    warned |= message
                        .to_text()
                        .unwrap_or_default()
                        .contains("socket_closing")
                }
                Ok(_) => break "abrupt".to_owned(),
            }
        };
        *ends.entry(end).or_default() += 1;
    }
    let kinds: Vec<&str> = ends.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        ["1000 false", "1000 true", "1001 false", "abrupt", "silent"],
        "{ends:?}"
    );
}

#[tokio::test]
async fn only_handshakes_are_let_in() {
    let (_simulator, client) = started(quiet()).await;
    let (id, uri) = client.channel().await;
    let plain = client
        .http
        .get(format!("{}/channels/{id}", client.url))
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 400);
    let mut request = uri.as_str().into_client_request().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-version", "8".parse().unwrap());
    assert!(matches!(connect_async(request).await, Err(Error::Http(it)) if it.status() == 400));
    let unknown = uri.replace("streaming-", "streamed-");
    assert!(matches!(connect_async(unknown).await, Err(Error::Http(it)) if it.status() == 401));
}

#[tokio::test]
async fn the_events_protocol_confirms_and_tells() {
    let (simulator, client) = started(Config {
        rate: 1_000.0,
        ..quiet()
    })
    .await;
    let control = simulator.control();
    let ws = client.url.replace("http", "ws");
    let refused = connect_async(format!("{ws}/api/v2/events?access_token=no"))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Http(it) if it.status() == 401));
    let mut socket = connect(&format!("{ws}/api/v2/events?access_token={}", client.token)).await;
    let topics = [
        "interaction.participant.joined",
        "interaction.participant.left",
        "interaction.participant.roleChanged",
        "interaction.lifecycleStateChange",
    ];
    say(&mut socket, json!({"subscription": {"topics": topics}})).await;
    let confirmed = frame(&mut socket).await.unwrap();
    assert_eq!(confirmed["eventType"], "subscription");
    assert!(confirmed["subscriptionId"].is_string());
    control.resume();
    let mut kinds = std::collections::BTreeSet::new();
    let mut states = std::collections::BTreeSet::new();
    while kinds.len() < 3 || states.len() < 4 {
        let event = frame(&mut socket).await.unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        assert_eq!(text(&event["eventId"]).len(), 36);
        text(&event["timestamp"])
            .parse::<jiff::Timestamp>()
            .unwrap();
        for name in [
            "interactionId",
            "participantId",
            "role",
            "mediaType",
            "direction",
            "sessionId",
        ] {
            text(&event["data"][name]);
        }
        kinds.insert(text(&event["eventType"]));
        states.insert(text(&event["data"]["state"]));
    }
    // Without its socket nothing is left of it; what comes now was missed.
    drop(socket);
    until("the channel is gone", || control.counts().channels == 0).await;
    let before = control.counts().no_socket;
    until("missed events", || control.counts().no_socket > before + 10).await;
    assert!(
        control
            .oracle()
            .iter()
            .any(|it| it.channel == 0 && it.fate == Fate::NoSocket)
    );
}
