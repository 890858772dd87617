//! What the platforms took, against what was to be sent and what was told of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use trunkline::simulator::Heard;

use crate::lives::Left;
use crate::world::{Who, id, message, who};

type All = BTreeMap<Who, Vec<Heard>>;

/// The number of a message.
pub fn number(heard: &Heard) -> usize {
    heard.text[2..].parse().unwrap()
}

/// Each platform took what was for it, as it was to be sent.
pub fn places(heard: &All) {
    for (place, one) in heard
        .iter()
        .flat_map(|(who, all)| all.iter().map(move |it| (who, it)))
    {
        let n = number(one);
        assert_eq!(who(n), *place, "{one:?}");
        assert_eq!(message(n)["recipient"]["id"], one.partner, "{one:?}");
        let inbound = message(n)["kind"] == "inbound";
        assert_eq!(one.message_id, inbound.then(|| id(n)), "{one:?}");
    }
}

/// The first time of each message is in the order of its customer.
pub fn order(heard: &All) {
    for all in heard.values() {
        let (mut last, mut seen) = (HashMap::new(), HashSet::new());
        for one in all {
            let n = number(one);
            if seen.insert(n) {
                let before = last.insert(one.partner.clone(), n);
                assert!(
                    before.is_none_or(|before| before < n),
                    "{before:?}, then {one:?}"
                );
            }
        }
    }
}

/// How often each message was taken.
pub fn times(heard: &All) -> HashMap<usize, usize> {
    let mut times = HashMap::new();
    for one in heard.values().flatten() {
        *times.entry(number(one)).or_default() += 1;
    }
    times
}

pub fn each_once(heard: &All, count: usize) {
    let times = times(heard);
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "not once: {wrong:?}");
    let lost: Vec<_> = (0..count).filter(|n| !times.contains_key(n)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// The statuses of each message, in order.
fn by_message(told: &[Value]) -> HashMap<&str, Vec<&Value>> {
    let mut known: HashMap<&str, Vec<&Value>> = HashMap::new();
    for status in told {
        let id = status["messageId"].as_str().unwrap();
        known.entry(id).or_default().push(status);
    }
    known
}

/// What was told of each message that is in order: it was accepted, then sent, then nothing else; each time
/// with the one id that the platform gave to it.
pub fn statuses(told: &[Value], heard: &All, count: usize) {
    let known = by_message(told);
    let (times, mut given) = (times(heard), HashSet::new());
    for n in 0..count {
        let all = &known[id(n).as_str()];
        let (tenant, organization) = who(n);
        assert!(
            all.iter()
                .all(|it| it["tenantId"] == tenant && it["organizationId"] == organization)
        );
        let mut words: Vec<_> = all
            .iter()
            .map(|it| it["status"].as_str().unwrap())
            .collect();
        words.dedup();
        assert_eq!(words, ["accepted", "sent"], "{all:?}");
        assert!(times.contains_key(&n), "never taken: {all:?}");
        let sent = all.iter().filter(|it| it["status"] == "sent");
        let ids: BTreeSet<_> = sent
            .map(|it| it["platformMessageId"].as_str().unwrap())
            .collect();
        assert_eq!(ids.len(), 1, "{all:?}");
        assert!(
            given.insert((who(n), ids)),
            "two messages of one id: {all:?}"
        );
    }
}

/// A letter for each of these with its reason (a crash may bring one twice), and none else.
pub fn letters(letters: &[Value], due: &[(Value, &'static str)]) {
    let mut found: Vec<_> = letters
        .iter()
        .map(|it| (it["event"]["messageId"].clone(), it["reason"].clone()))
        .map(|(id, reason)| (id.to_string(), reason.to_string()))
        .collect();
    found.sort();
    found.dedup();
    let quoted = |reason: &str| Value::from(reason).to_string();
    let mut due: Vec<_> = due
        .iter()
        .map(|(body, reason)| (body["messageId"].to_string(), quoted(reason)))
        .collect();
    due.sort();
    assert_eq!(found, due);
}

/// The numbers of a tenant's messages.
fn of(tenant: &str, count: usize) -> impl Iterator<Item = usize> {
    (0..count).filter(move |n| who(*n).0 == tenant)
}

/// Every message of the tenant was taken, and told of as sent; again only where a kill stood between, and
/// nobody had been told yet that it was sent. How many were taken again.
pub fn at_least_once(left: &Left, tenant: &str) -> usize {
    let (times, told) = (times(&left.heard), by_message(&left.told));
    for n in of(tenant, left.count) {
        assert!(times.contains_key(&n), "{} was never taken", id(n));
        let last = told[id(n).as_str()].last().unwrap();
        assert_eq!(last["status"], "sent", "{last}");
    }
    let mut repeated = 0;
    for (who, all) in left.heard.iter().filter(|(who, _)| who.0 == tenant) {
        let mut before = HashMap::new();
        for (place, one) in all.iter().enumerate() {
            let Some(first) = before.insert(number(one), place) else {
                continue;
            };
            repeated += 1;
            let kill = left.kills.iter().rfind(|kill| kill.taken[who] <= place);
            let kill = kill.filter(|kill| kill.taken[who] > first);
            let kill = kill.unwrap_or_else(|| panic!("twice in one life: {one:?}"));
            assert!(
                !kill.told.contains(&one.text),
                "it was told as sent: {one:?}"
            );
        }
    }
    repeated
}

/// No message of the tenant was taken twice. Each was taken and is told of as sent, or nobody knows: then it
/// is told of as `unknown`, and a dead letter. How many nobody knows of.
pub fn at_most_once(left: &Left, tenant: &str) -> usize {
    let (times, told) = (times(&left.heard), by_message(&left.told));
    let mut unknown = BTreeSet::new();
    for n in of(tenant, left.count) {
        let taken = times.get(&n).copied().unwrap_or(0);
        assert!(taken <= 1, "{} was taken {taken} times", id(n));
        let last = told[id(n).as_str()].last().unwrap();
        match last["status"].as_str() {
            Some("sent") => assert_eq!(taken, 1, "{last}"),
            Some("unknown") => assert!(unknown.insert(id(n)) && last["reason"] == "uncertain"),
            _ => panic!("{last}"),
        }
    }
    let letter = |it: &Value| {
        assert_eq!(it["reason"], "uncertain", "{it}");
        it["event"]["messageId"].as_str().unwrap().to_owned()
    };
    let letters: BTreeSet<_> = left.letters.iter().map(letter).collect();
    assert_eq!(letters, unknown);
    unknown.len()
}
