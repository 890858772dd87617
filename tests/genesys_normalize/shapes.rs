//! What becomes of each family of documents.

use super::*;

fn made(yaml: &str, name: &str) -> Made {
    Bench::new(yaml).made(&fixture(name))
}

/// What a sequence tells, each fact once.
fn once(made: &Made) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let told = made.told().into_iter().zip(&made.events);
    let new = told.filter(|(_, event)| seen.insert(id(event)));
    new.map(|(told, _)| told).collect()
}

#[test]
fn a_call_becomes_the_states_of_its_participants() {
    let made = made(PLAIN, "call-users.ndjson");
    assert_eq!(
        once(&made),
        [
            "p-cust offering 2027-01-15T08:00:00.000Z",
            "p-cust connected 04:05.100Z",
            "p-ivr connected 04:05.200Z",
            "p-ivr disconnected 04:15.000Z",
            "p-acd connected 04:15.100Z",
            "p-agent-1 alerting 04:15.100Z",
            "p-agent-1 disconnected 04:28.000Z",
            "p-agent-2 alerting 04:28.000Z",
            "p-agent-2 connected 04:40.500Z",
            "p-acd disconnected 04:41.000Z",
            "p-agent-2 connected 05:30.000Z held",
            "p-agent-2 disconnected 07:20.000Z",
            "p-cust disconnected 07:20.250Z",
        ]
    );
    assert!(made.dropped.is_empty() && made.rejected.is_empty());
}

#[test]
fn an_event_has_what_is_known_and_no_personal_data() {
    let frames = fixture("call-users.ndjson");
    let made = Bench::new(PLAIN).made(&frames[8..]);
    let agent = made.events.iter().find(|event| {
        let data = &event["data"];
        data["participantId"] == "p-agent-2" && data["state"] == "disconnected"
    });
    let expected = json!({
        "eventId": "f108d08ba4e7aeb6d307f0c96ab052a6",
        "eventType": "participant.state",
        "timestamp": "2026-01-02T03:07:20.000Z",
        "data": {
            "interactionId": "c0000000-0000-4000-8000-000000000001",
            "participantId": "p-agent-2",
            "state": "disconnected",
            "role": "agent",
            "mediaType": "call",
            "direction": "inbound",
            "queueId": "11111111-0000-4000-8000-000000000001",
            "userId": "a0000000-0000-4000-8000-000000000002",
            "sessionId": "s-5",
            "held": false,
            "disconnectType": "client",
            "recordingState": "active",
            "topic": "v2.users.{id}.conversations",
        },
    });
    assert_eq!(agent, Some(&expected));
    let all = Value::from(made.events).to_string();
    for personal in ["Ada", "ada@example.org", "Bo Agent", "+1555"] {
        assert!(!all.contains(personal), "{personal}");
    }
}

#[test]
fn personal_data_goes_along_where_it_is_asked_for() {
    let made = made(
        "include: [names, addresses, attributes]",
        "call-users.ndjson",
    );
    let data = &made.events[0]["data"];
    assert_eq!(data["name"], "Ada Example");
    assert_eq!(data["address"], "tel:+15550100");
    assert_eq!(
        data["attributes"],
        json!({"context.email": "ada@example.org"})
    );
}

#[test]
fn states_without_a_time_have_the_latest_of_the_snapshot() {
    let frames = fixture("call-users.ndjson");
    let ringing = Bench::new(PLAIN).made(&frames[3..4]);
    assert_eq!(
        ringing.told().last().unwrap(),
        "p-agent-1 alerting 04:15.100Z"
    );
    // No time at all: that of the arrival.
    let offered = Bench::new(PLAIN).made(&frames[..1]);
    assert_eq!(offered.told(), ["p-cust offering 2027-01-15T08:00:00.000Z"]);
    // Replies of the REST API and the flattened shape say when it began.
    let reread = changed("call-reread.ndjson", 0, |it| {
        let agent = &mut it["eventBody"]["participants"][3];
        agent["calls"][0] = json!({"id": "s-4", "state": "alerting"});
    });
    let reread = Bench::new(PLAIN).made(&[reread]);
    let ringing = "p-agent-1 alerting 04:16.000Z".to_owned();
    assert!(reread.told().contains(&ringing), "{:?}", reread.told());
    let flat = Bench::new(PLAIN).made(&fixture("call-flat.ndjson")[3..4]);
    assert_eq!(flat.told().last().unwrap(), "p-agent-1 alerting 04:16.000Z");
}

#[test]
fn parts_of_one_snapshot_are_told_apart_in_the_order_of_time() {
    let bench = Bench::new(PLAIN);
    let made = bench.made(&fixture("call-users.ndjson")[8..]);
    let times: Vec<_> = made
        .events
        .iter()
        .map(|event| event["timestamp"].as_str())
        .collect();
    assert!(times.is_sorted());
    let origin = Origin::new(1, 0);
    let parts: Vec<_> = (1..=made.events.len())
        .map(|part| origin.part(part))
        .collect();
    assert_eq!(made.parts, parts);
    let single = bench.made(&fixture("details.ndjson")[..1]);
    assert_eq!((single.parts, single.created), (vec![origin], 0));
}

#[test]
fn a_second_call_that_nobody_answered_was_not_connected() {
    let line = changed("call-users.ndjson", 5, |it| {
        let agent = &mut it["eventBody"]["participants"][4];
        let missed = json!({"id": "s-9", "state": "disconnected", "disconnectedTime": "2026-01-02T03:04:50Z"});
        agent["calls"].as_array_mut().expect("calls").push(missed);
    });
    let made = Bench::new(PLAIN).made(&[line]);
    let of = |told: &String| told.starts_with("p-agent-2");
    let told: Vec<_> = made.told().into_iter().filter(of).collect();
    let expected = [
        "p-agent-2 connected 04:40.500Z",
        "p-agent-2 disconnected 04:50.000Z",
    ];
    assert_eq!(told, expected);
}

#[test]
fn messages_park_and_come_back_beside_a_call() {
    let told = once(&made(PLAIN, "message.ndjson"));
    assert_eq!(
        told,
        [
            "p-cust connected 04:06.000Z",
            "p-flow connected 04:06.500Z inferred",
            "p-flow disconnected 04:07.500Z",
            "p-agent connected 04:09.000Z inferred",
            "p-agent parked 04:30.000Z",
            "p-agent dialing 04:30.000Z",
            "p-agent connected 05:00.000Z",
            "p-agent contacting 05:00.000Z",
        ]
    );
    let flat = made(PLAIN, "message-flat.ndjson");
    assert_eq!(
        flat.told(),
        ["p-cust connected 04:06.000Z", "p-agent alerting 04:07.000Z"]
    );
    let ids = made(PLAIN, "message.ndjson").ids();
    assert!(
        ids.contains(&id(&flat.events[0])),
        "the customer's, in both shapes"
    );
    assert_eq!(flat.events[0]["data"]["mediaType"], "message");
}

#[test]
fn details_become_states_or_what_they_are() {
    let made = made(PLAIN, "details.ndjson");
    let told = made
        .told()
        .into_iter()
        .zip(&made.events)
        .map(|(told, event)| {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (kind, role) = (text(&event["eventType"]), text(&event["data"]["role"]));
            format!("{told} {role} {kind}").replace(" participant.state", "")
        });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "p-cust connected 04:05.100Z customer",
            "p-ivr connected 04:05.200Z ivr",
            "p-cust - 04:05.300Z - participant.attributes",
            "p-ivr - 04:05.400Z ivr participant.flow.outcome",
            "p-ivr disconnected 04:15.000Z ivr",
            "p-acd connected 04:15.100Z acd",
            "p-agent-1 alerting 04:16.000Z agent",
            "p-agent-1 disconnected 04:28.000Z agent",
            "p-agent-2 alerting 04:29.000Z agent",
            "p-acd disconnected 04:41.000Z acd",
            "p-agent-2 connected 04:40.500Z inferred agent",
            "p-agent-2 disconnected 07:20.000Z agent",
            "p-cust disconnected 07:20.250Z customer",
            "p-agent-2 acw 07:45.000Z agent",
            "p-agent-2 wrapup 07:45.100Z agent",
            "p-cust - 07:46.000Z - participant.contact",
            "p-cust - 07:47.000Z - participant.outbound",
            "p-vm connected 07:48.000Z voicemail",
            "p-vm disconnected 07:49.000Z voicemail",
        ]
    );
    assert!(
        !Value::from(made.events.clone())
            .to_string()
            .contains("private")
    );
    let missed = &made.events[7]["data"];
    assert_eq!(missed["disconnectType"], "transfer.noanswer");
    assert_eq!(
        (&missed["detail"], &missed["mediaType"]),
        (&json!("user.end"), &json!("call"))
    );
    assert_eq!(
        missed["topic"],
        "v2.detail.events.conversation.{id}.user.end"
    );
}

#[test]
fn an_outbound_call_dials_its_user() {
    let line = changed("details.ndjson", 6, |it| {
        it["eventBody"]["direction"] = json!("OUTBOUND")
    });
    let made = Bench::new(PLAIN).made(&[line]);
    assert_eq!(made.events[0]["data"]["state"], "dialing");
}

#[test]
fn what_has_the_form_already_goes_on_as_it_is_when_it_is_whole() {
    let lines = fixture("canonical.ndjson");
    let made = Bench::new(PLAIN).made(&lines);
    assert_eq!(
        made.events[0].to_string(),
        serde_json::from_str::<Value>(&lines[0])
            .unwrap()
            .to_string()
    );
    for (reason, pointer, value) in [
        ("missing_event_id", "/eventId", json!(null)),
        ("missing_interaction_id", "/data/interactionId", json!("")),
        ("missing_interaction_id", "/data", json!({})),
        ("bad_timestamp", "/timestamp", json!("soon")),
        ("bad_timestamp", "/timestamp", json!(null)),
    ] {
        let line = changed("canonical.ndjson", 0, |it| {
            *it.pointer_mut(pointer).unwrap() = value
        });
        assert_eq!(
            Bench::new(PLAIN).made(&[line]).rejected,
            [reason],
            "{pointer}"
        );
    }
}

#[test]
fn others_are_dropped_passed_or_rejected() {
    let lines = fixture("others.ndjson");
    let all = lines.len() as u64;
    let dropped = Bench::new(PLAIN).made(&lines).dropped;
    assert_eq!(dropped, BTreeMap::from([("not_a_participant_event", all)]));
    let passed = Bench::new("others: pass").made(&lines);
    let same =
        |(event, line): (&Value, &String)| event == &serde_json::from_str::<Value>(line).unwrap();
    assert!(passed.events.iter().zip(&lines).all(same));
    assert_eq!(passed.events.len() as u64, all);
    let rejected = Bench::new("others: reject").made(&lines).rejected;
    assert_eq!(rejected, vec!["not_a_participant_event"; lines.len()]);
}

#[test]
fn what_cannot_be_told_is_dropped_or_rejected_with_its_reason() {
    type Change = fn(&mut Value);
    let changes: [(&str, &str, Change); 9] = [
        ("no_participants", "call-users.ndjson", |it| {
            it["eventBody"]["participants"] = json!([])
        }),
        ("no_participants", "call-users.ndjson", |it| {
            it["eventBody"]["participants"] = json!(null)
        }),
        ("no_state", "call-users.ndjson", |it| {
            it["eventBody"]["participants"] = json!([{"id": "p"}])
        }),
        ("missing_interaction_id", "call-users.ndjson", |it| {
            it["eventBody"]["id"] = json!(null)
        }),
        ("missing_interaction_id", "details.ndjson", |it| {
            it["eventBody"]["conversationId"] = json!("")
        }),
        ("bad_timestamp", "details.ndjson", |it| {
            it["eventBody"]["eventTime"] = json!(null)
        }),
        ("bad_timestamp", "details.ndjson", |it| {
            it["eventBody"]["eventTime"] = json!(-1)
        }),
        ("bad_timestamp", "call-users.ndjson", |it| {
            it["eventBody"]["participants"][0]["calls"][0]["connectedTime"] = json!("yesterday");
        }),
        ("too_many_participants", "call-users.ndjson", |it| {
            let one = it["eventBody"]["participants"][0].clone();
            it["eventBody"]["participants"] = vec![one; 501].into();
        }),
    ];
    for (reason, name, change) in changes {
        let made = Bench::new(PLAIN).made(&[changed(name, 0, change)]);
        let told: Vec<_> = made.dropped.keys().chain(&made.rejected).copied().collect();
        assert_eq!((told, made.events.len()), (vec![reason], 0));
    }
}

#[test]
fn dates_without_their_zeros_are_read() {
    let line = changed("call-users.ndjson", 1, |it| {
        it["eventBody"]["participants"][0]["calls"][0]["connectedTime"] =
            json!("2026-1-2T3:04:05.1Z");
    });
    let made = Bench::new(PLAIN).made(&[line]);
    assert_eq!(
        made.ids(),
        Bench::new(PLAIN)
            .made(&fixture("call-users.ndjson")[1..2])
            .ids()
    );
}

#[test]
fn what_is_new_goes_on_and_is_counted() {
    let line = changed("call-users.ndjson", 8, |it| {
        it["eventBody"]["novelty"] = json!(1);
        let agent = &mut it["eventBody"]["participants"][4];
        agent["purpose"] = json!("Robot");
        agent["moods"] = json!([]);
        let call = &mut agent["calls"][0];
        call["state"] = json!("Hibernating");
        call["direction"] = json!("Sideways");
        call["hologram"] = json!({"id": 1});
        it["eventBody"]["participants"][3]["id"] = json!(null);
    });
    let kind = changed("details.ndjson", 0, |it| {
        it["topicName"] = json!("v2.detail.events.conversation.c.robot.start");
    });
    let bench = Bench::new("drift: fields");
    let made = bench.made(&[line.clone(), kind]);
    let data = made.events.iter().map(|event| &event["data"]);
    let data = data
        .clone()
        .find(|data| data["state"] == "Hibernating")
        .expect("it goes on");
    assert_eq!(
        (&data["role"], &data["direction"]),
        (&json!("Robot"), &json!("Sideways"))
    );
    assert_eq!(
        made.events.last().unwrap()["eventType"],
        "participant.robot.start"
    );
    let counted = [
        ("call_state", 1),
        ("detail_kind", 1),
        ("direction", 1),
        ("field", 3),
        ("participant_id", 1),
        ("purpose", 1),
    ];
    let counted = counted.map(|(what, count)| (what.to_owned(), count));
    assert_eq!(bench.drift(), BTreeMap::from(counted));
    // Whatever the new word means: it has ended, and the times say so.
    let all = Bench::new(PLAIN)
        .made(&fixture("call-users.ndjson")[8..])
        .ids();
    let known = made.ids().intersection(&all).count();
    assert_eq!(
        known,
        all.len() - 1,
        "all but the participant without an id"
    );
    let deaf = Bench::new("drift: off");
    deaf.made(&[line]);
    assert!(deaf.drift().is_empty());
}
