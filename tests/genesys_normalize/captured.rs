//! Documents captured from the platform, where they are there.

use super::*;

fn captured(name: &str) -> Option<String> {
    let folder: PathBuf = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/genesys");
    let text = fs::read_to_string(folder.join(name)).ok();
    if text.is_none() {
        println!("{name} is not there: nothing was tried");
    }
    text
}

#[test]
fn a_conversation_as_the_rest_api_replies_it() {
    let Some(text) = captured("rest-conversation.json") else {
        return;
    };
    let bench = Bench::new("drift: fields");
    let made = bench.made(&[text]);
    let told: Vec<_> = made
        .events
        .iter()
        .map(|event| {
            let (data, text) = (&event["data"], |value: &Value| {
                value.as_str().unwrap_or("-").to_owned()
            });
            format!(
                "{} {} {}",
                text(&event["timestamp"]),
                text(&data["role"]),
                text(&data["state"])
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "2025-04-10T13:31:49.683Z ivr connected",
            "2025-04-10T13:31:49.722Z customer connected",
            "2025-04-10T13:31:57.787Z ivr disconnected",
            "2025-04-10T13:31:57.837Z acd connected",
            "2025-04-10T13:32:02.464Z agent connected",
            "2025-04-10T13:32:02.487Z acd disconnected",
            "2025-04-10T13:32:40.942Z agent disconnected",
            "2025-04-10T13:32:40.944Z customer disconnected",
        ]
    );
    assert_eq!(bench.drift(), BTreeMap::new());
}

#[test]
fn envelopes_of_eventbridge() {
    for (name, state, time) in [
        (
            "eventbridge-conversation-start.json",
            "connected",
            "2022-04-06T09:30:44.949Z",
        ),
        (
            "eventbridge-conversation-end.json",
            "disconnected",
            "2022-04-06T09:31:44.949Z",
        ),
    ] {
        let Some(text) = captured(name) else { return };
        let event = &Bench::new("drift: fields").made(&[text]).events[0];
        assert_eq!(
            (&event["data"]["state"], &event["timestamp"]),
            (&json!(state), &json!(time))
        );
        assert_eq!(event["data"]["mediaType"], "chat");
    }
}

#[test]
fn what_is_about_no_participant() {
    for name in [
        "eventbridge-non-conversation.json",
        "notification_topic_chat_message.json",
        "openmessaging-inbound-text.json",
        "openmessaging-integration.json",
    ] {
        let Some(text) = captured(name) else { return };
        let made = Bench::new(PLAIN).made(&[text]);
        assert_eq!(
            made.dropped.keys().collect::<Vec<_>>(),
            [&"not_a_participant_event"],
            "{name}"
        );
    }
}
