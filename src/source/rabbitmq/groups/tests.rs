use super::*;
use crate::event::{Event, PathSet};
use crate::setting::{Fields, Node, Value};

const MOST: usize = 4;

/// `parked`: how many groups may be; none where there is no place for them.
fn groups(parked: Option<usize>) -> Groups<()> {
    let parking = parked.map(|most| {
        let max_groups = ("max_groups", Value::Int(most as i64));
        let queue = ("queue", Value::Text("parked.{group}".into()));
        map(vec![queue, max_groups])
    });
    let mut fields = vec![
        ("url", Value::Text("amqp://here".into())),
        ("queue", Value::Text("q".into())),
        ("group_by", Value::Text(".g".into())),
        ("max_per_group", Value::Int(MOST as i64)),
    ];
    fields.extend(parking.map(|it| ("parking", it)));
    let node = Node::new(map(fields), Default::default());
    let mut report = crate::diagnostic::Report::new("f");
    let mut fields = Fields::new(&node, "the source", &mut report).unwrap();
    let config = Config::check(&mut fields).unwrap();
    let groups = Groups::new(Arc::new(config));
    groups.settled();
    groups
}

fn map(fields: Vec<(&str, Value)>) -> Value {
    let entry = |(name, value): (&str, Value)| {
        let (name, span) = (name.to_owned(), Default::default());
        (crate::setting::Key { name, span }, Node::new(value, span))
    };
    Value::Map(fields.into_iter().map(entry).collect())
}

/// Message `n`, whose fingerprint is its number.
fn item(n: u64) -> Item<()> {
    let event = Event::parse(
        "{}".to_owned(),
        &Arc::new(PathSet::default()),
        &Arc::default(),
    );
    Item {
        read: Ok(event.unwrap()),
        tag: n,
        acks: Arc::new(()),
        print: Some(n),
        again: false,
    }
}

fn again(n: u64) -> Item<()> {
    Item {
        again: true,
        ..item(n)
    }
}

fn fetched(n: u64) -> Item<()> {
    Item {
        print: None,
        ..item(n)
    }
}

/// Those that are to be parked.
fn arrive(groups: &Groups<()>, name: &str, tags: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut parked = Vec::new();
    for tag in tags {
        if let Place::Park(item) = groups.arrive(name, item(tag)) {
            parked.push(item.tag);
        }
    }
    parked
}

fn handed(groups: &Groups<()>) -> Option<(String, Vec<u64>)> {
    let (name, items) = groups.hand_over()?;
    Some((name.to_string(), items.iter().map(|it| it.tag).collect()))
}

fn answer(groups: &Groups<()>, name: &str, tags: &[u64]) {
    let prints = tags.iter().copied().collect();
    groups.answered(name, tags.len(), &prints);
}

fn due(groups: &Groups<()>) -> Option<(String, usize, u64)> {
    let due = groups.due();
    assert!(due.len() <= 1);
    due.first()
        .map(|it| (it.group.to_string(), it.room, it.epoch))
}

#[test]
fn a_group_has_so_many_under_way_and_others_go_past_it() {
    let groups = groups(None);
    assert!(arrive(&groups, "a", 1..=6).is_empty());
    assert!(arrive(&groups, "b", 11..=12).is_empty());
    assert_eq!(handed(&groups), Some(("a".into(), vec![1, 2, 3, 4])));
    assert_eq!(handed(&groups), Some(("b".into(), vec![11, 12])));
    assert_eq!(handed(&groups), None, "a is full");
    answer(&groups, "a", &[2]);
    assert_eq!(
        handed(&groups),
        Some(("a".into(), vec![5])),
        "in order, one for one"
    );
    answer(&groups, "a", &[1, 3, 4, 5]);
    assert_eq!(handed(&groups), Some(("a".into(), vec![6])));
    answer(&groups, "a", &[6]);
    answer(&groups, "b", &[11, 12]);
    assert!(
        groups.known().groups.is_empty(),
        "who has nothing here is forgotten"
    );
}

#[test]
fn groups_take_turns() {
    let groups = groups(None);
    arrive(&groups, "a", 1..=4);
    arrive(&groups, "b", 11..=14);
    assert_eq!(handed(&groups).unwrap().0, "a");
    arrive(&groups, "a", 5..=8);
    answer(&groups, "a", &[1, 2, 3, 4]);
    assert_eq!(handed(&groups).unwrap().0, "b", "it stood in line before");
    assert_eq!(handed(&groups), Some(("a".into(), vec![5, 6, 7, 8])));
}

#[test]
fn what_a_full_group_has_no_room_for_is_parked_and_so_is_what_comes_behind() {
    let groups = groups(Some(10));
    assert_eq!(arrive(&groups, "a", 1..=6), [5, 6]);
    assert_eq!(handed(&groups).unwrap().1, [1, 2, 3, 4]);
    answer(&groups, "a", &[1, 2, 3, 4]);
    // There is room, and something parked goes first.
    assert_eq!(arrive(&groups, "a", [7]), [7]);
    assert!(arrive(&groups, "b", [11]).is_empty());
    (0..3).for_each(|_| groups.published("a"));
    let (name, room, epoch) = due(&groups).unwrap();
    assert_eq!((name.as_str(), room), ("a", MOST));
    (5..=7).for_each(|n| groups.fetched("a", fetched(n)));
    assert_eq!(handed(&groups).unwrap().0, "b");
    assert_eq!(handed(&groups), Some(("a".into(), vec![5, 6, 7])));
    assert!(groups.found_dry("a", epoch), "nothing came since");
    assert!(
        arrive(&groups, "a", [8]).is_empty(),
        "the way is free again"
    );
    assert_eq!(groups.parked(), 0);
}

#[test]
fn a_group_is_read_again_when_half_of_it_is_free() {
    let groups = groups(Some(10));
    arrive(&groups, "a", 1..=5);
    groups.published("a");
    handed(&groups);
    answer(&groups, "a", &[1, 2]);
    assert_eq!(due(&groups), None, "2 of 4 are under way");
    answer(&groups, "a", &[3]);
    assert_eq!(due(&groups).unwrap().1, 3);
}

#[test]
fn a_queue_that_is_dry_for_now_keeps_its_group_parked() {
    let groups = groups(Some(10));
    arrive(&groups, "a", 1..=5);
    handed(&groups);
    answer(&groups, "a", &[1, 2, 3, 4]);
    let (_, _, epoch) = due(&groups).unwrap();
    // 5 is on its way to the queue.
    assert!(!groups.found_dry("a", epoch));
    assert_eq!(due(&groups), None, "it is not asked for again and again");
    groups.published("a");
    let (_, _, epoch) = due(&groups).unwrap();
    // 6 comes between the look and its answer.
    assert_eq!(arrive(&groups, "a", [6]), [6]);
    groups.published("a");
    assert!(!groups.found_dry("a", epoch));
    assert_eq!(groups.all_parked(), ["a"]);
}

#[test]
fn no_more_groups_are_parked_than_may_and_none_without_a_name() {
    let groups = groups(Some(1));
    assert_eq!(arrive(&groups, "a", 1..=5), [5]);
    assert!(arrive(&groups, "b", 11..=16).is_empty(), "they wait here");
    assert!(arrive(&groups, "", 21..=26).is_empty());
    let long = "x".repeat(300);
    let groups = self::groups(Some(10));
    assert!(
        arrive(&groups, &long, 31..=36).is_empty(),
        "no queue has such a name"
    );
}

#[test]
fn the_store_is_told_once_what_is_older_than_all_that_is_parked() {
    let groups = groups(Some(10));
    arrive(&groups, "a", 1..=3);
    handed(&groups);
    assert_eq!(arrive(&groups, "a", 4..=6), [5, 6]);
    assert_eq!(groups.mark("a"), Some(vec![1, 2, 3, 4]));
    assert_eq!(groups.mark("a"), None);
    assert!(!groups.unmark("a"), "it is parked");
    handed(&groups);
    answer(&groups, "a", &[1, 2, 3, 4]);
    (5..=6).for_each(|_| groups.published("a"));
    let (_, _, epoch) = due(&groups).unwrap();
    assert!(groups.found_dry("a", epoch));
    // Parked again before the store has forgotten: what it knows is of the time before.
    assert_eq!(arrive(&groups, "a", 7..=11), [11]);
    assert!(!groups.unmark("a"));
    assert_eq!(groups.mark("a"), Some(vec![7, 8, 9, 10]));
    let groups = self::groups(Some(10));
    arrive(&groups, "a", 1..=5);
    groups.published("a");
    groups.mark("a");
    handed(&groups);
    answer(&groups, "a", &[1, 2, 3, 4]);
    assert!(groups.found_dry("a", 1) && groups.unmark("a"));
    assert!(!groups.unmark("a") && groups.known().groups.is_empty());
}

#[test]
fn after_a_restart_what_was_under_way_goes_before_what_is_parked() {
    let groups = groups(Some(10));
    groups.restart();
    groups.was_parked("a", [1, 2].into_iter());
    assert_eq!(due(&groups), None, "what was under way may come yet");
    assert!(matches!(groups.arrive("a", again(2)), Place::Kept));
    assert!(
        matches!(groups.arrive("a", again(2)), Place::Park(_)),
        "once"
    );
    // It came before and was parked, but its answer was lost: it is behind all of those.
    assert!(matches!(groups.arrive("a", again(9)), Place::Park(_)));
    assert!(
        matches!(groups.arrive("a", item(1)), Place::Park(_)),
        "a new one that looks like it"
    );
    groups.settled();
    assert_eq!(due(&groups).unwrap().1, MOST - 1);
}

#[test]
fn a_new_connection_hands_out_again_what_waited_here() {
    let groups = groups(Some(10));
    assert_eq!(arrive(&groups, "a", 1..=5), [5]);
    assert!(arrive(&groups, "b", 11..=13).is_empty());
    assert_eq!(handed(&groups).unwrap().1, [1, 2, 3, 4]);
    groups.restart();
    assert_eq!(handed(&groups), None, "what was pending is the broker's");
    // Those of `a` that were under way come again, and are known by their prints.
    for n in 1..=4 {
        assert!(matches!(groups.arrive("a", again(n)), Place::Kept));
    }
    assert!(matches!(groups.arrive("a", again(5)), Place::Park(_)));
    // The answers of the first ones still come.
    assert_eq!(handed(&groups), None, "4 are under way");
    answer(&groups, "a", &[1, 2, 3, 4]);
    assert_eq!(handed(&groups), Some(("a".into(), vec![1, 2, 3, 4])));
    assert!(arrive(&groups, "b", 11..=13).is_empty());
    assert_eq!(handed(&groups), Some(("b".into(), vec![11, 12, 13])));
}

#[tokio::test(start_paused = true)]
async fn a_dry_queue_is_looked_into_again_for_as_long_as_copies_may_be_on_their_way() {
    let groups = groups(Some(10));
    assert_eq!(arrive(&groups, "a", 1..=5), [5]);
    groups.mark("a");
    handed(&groups);
    // The connection is gone, and with it whoever was about to publish 5.
    groups.restart();
    groups.settled();
    answer(&groups, "a", &[1, 2, 3, 4]);
    let (_, _, epoch) = due(&groups).unwrap();
    assert!(groups.found_dry("a", epoch));
    assert!(!groups.unmark("a"), "after a crash it is read again");
    assert_eq!(groups.left(), ["a"]);
    assert!(arrive(&groups, "a", [6]).is_empty(), "nobody waits for it");
    groups.came_late("a");
    assert_eq!((groups.parked(), groups.left().len()), (1, 0));
    assert_eq!(arrive(&groups, "a", [7]), [7], "what comes now goes behind");
    groups.published("a");
    handed(&groups);
    answer(&groups, "a", &[6]);
    let (_, _, epoch) = due(&groups).unwrap();
    assert!(groups.found_dry("a", epoch));
    tokio::time::advance(LATE).await;
    assert!(groups.unmark("a") && groups.left().is_empty());
    assert!(groups.known().groups.is_empty());
}
