//! The same fact has the same identifier, whoever tells it, when and how often.

use super::*;

fn ids(yaml: &str, bodies: &[String]) -> BTreeSet<String> {
    Bench::new(yaml).made(bodies).ids()
}

#[test]
fn two_topics_and_a_repeat_tell_nothing_new() {
    let users = fixture("call-users.ndjson");
    let all = ids(PLAIN, &users);
    assert_eq!(ids(PLAIN, &fixture("call-queues.ndjson")), all);
    assert_eq!(ids(PLAIN, &[users.clone(), users].concat()), all);
}

#[test]
fn the_shape_of_one_medium_tells_the_same_facts() {
    let all = ids(PLAIN, &fixture("call-users.ndjson"));
    assert_eq!(ids(PLAIN, &fixture("call-flat.ndjson")), all);
}

#[test]
fn a_reread_tells_what_is_known_already_but_for_what_has_no_time() {
    let all = ids(PLAIN, &fixture("call-users.ndjson"));
    let reread = Bench::new(PLAIN).made(&fixture("call-reread.ndjson"));
    assert!(reread.ids().is_subset(&all));
    let told = Bench::new(PLAIN).made(&fixture("call-users.ndjson"));
    let lasting = told.events.iter().filter(|event| {
        let data = &event["data"];
        let state = data["state"].as_str().unwrap_or_default();
        matches!(state, "connected" | "disconnected") && data["held"] == false
    });
    assert_eq!(lasting.map(id).collect::<BTreeSet<_>>(), reread.ids());
}

#[test]
fn a_lost_snapshot_costs_only_what_has_no_time() {
    let mut frames = fixture("call-users.ndjson");
    let all = ids(PLAIN, &frames);
    // The one in which the second agent answers.
    frames.remove(5);
    frames.remove(6);
    assert_eq!(ids(PLAIN, &frames), all);
    assert!(ids("infer: false", &frames).len() < all.len());
}

#[test]
fn what_is_inferred_has_the_identifier_of_what_is_told() {
    let frames = fixture("call-users.ndjson");
    let told = ids("infer: false", &frames);
    let last = Bench::new(PLAIN).made(&frames[8..]);
    let inferred: Vec<_> = last
        .events
        .iter()
        .filter(|event| event["data"]["inferred"] == true)
        .collect();
    assert_eq!(
        inferred.len(),
        4,
        "customer, ivr, queue and the agent who answered"
    );
    for event in inferred {
        assert!(told.contains(&id(event)), "{event}");
    }
}

#[test]
fn details_have_their_own_and_envelopes_do_not_matter() {
    let plain = fixture("details.ndjson");
    let all = Bench::new(PLAIN).made(&plain);
    assert_eq!(all.ids().len(), all.events.len());
    assert_eq!(
        ids(PLAIN, &fixture("details-eventbridge.ndjson")),
        all.ids()
    );
    let attributes = |value: &str| {
        let line = changed("details.ndjson", 2, |it| {
            it["eventBody"]["attributes"]["vip"] = json!(value);
        });
        ids(PLAIN, &[line])
    };
    assert_ne!(attributes("true"), attributes("false"));
}

#[test]
fn identifiers_do_not_change_between_versions() {
    let told = Bench::new(PLAIN).made(&fixture("call-users.ndjson")[..2]);
    let detail = Bench::new(PLAIN).made(&fixture("details.ndjson")[..1]);
    let ids: Vec<_> = told.events.iter().chain(&detail.events).map(id).collect();
    assert_eq!(
        ids,
        [
            "8a9647ce521011c55387436b20cf4cb9",
            "228a9725e5b2b8654c0d00540624b675",
            "ce45baa52fe9d277a9ac8bf6303780c8",
            "2fb66f88a6836a38e2f0870a72268829",
        ]
    );
}

#[test]
fn a_state_that_is_left_out_is_that_of_the_times() {
    let line = changed("call-users.ndjson", 8, |it| {
        for party in it["eventBody"]["participants"]
            .as_array_mut()
            .expect("a list")
        {
            party["calls"] = json!([{"id": party["calls"][0]["id"]}]);
        }
    });
    let all = ids(PLAIN, &fixture("call-users.ndjson")[8..]);
    assert_eq!(ids(PLAIN, &[line]), all);
}

#[test]
fn communications_of_one_participant_are_told_apart() {
    let body = |second: &str| {
        changed("call-users.ndjson", 3, |it| {
            let agent = &mut it["eventBody"]["participants"][3];
            let mut call = agent["calls"][0].clone();
            call["id"] = json!(second);
            agent["calls"].as_array_mut().expect("calls").push(call);
        })
    };
    let of = |second: &str| ids(PLAIN, &[body(second)]);
    let one = ids(PLAIN, &fixture("call-users.ndjson")[3..4]);
    assert!(one.is_subset(&of("s-8")));
    assert_eq!(of("s-8").len(), one.len() + 1);
    assert_ne!(of("s-8"), of("s-9"));
}

proptest! {
    #[test]
    fn any_order_and_any_repetition_give_the_same_facts(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        order in Just((0..28).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let names = ["call-users.ndjson", "call-queues.ndjson", "call-flat.ndjson", "call-reread.ndjson"];
        let frames: Vec<String> = names.into_iter().flat_map(fixture).collect();
        prop_assert_eq!(frames.len(), order.len());
        let mut stream: Vec<String> = order.iter().map(|at| frames[*at].clone()).collect();
        stream.extend(picks.iter().map(|pick| pick.get(&frames).clone()));
        prop_assert_eq!(ids(PLAIN, &stream), ids(PLAIN, &fixture("call-users.ndjson")));
    }
}
