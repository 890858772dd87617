mod damage;
mod disk;
mod faults;
mod limits;
mod power_cut;
mod sealed;
mod tools;

use std::sync::Arc;

use tower::{Service, ServiceExt};

use disk::Disk;

use super::*;
use crate::event::{Batch, Event, PathSet, Provenance};
use crate::observe::{NodeKind, Observer};
use crate::stage::{Delivery, Source};

pub(super) fn meter() -> NodeMeter {
    Observer::new("test").node("buffer", NodeKind::Transform, "disk")
}

/// Events whose bodies are these numbers.
pub(super) fn batch(numbers: impl IntoIterator<Item = u64>) -> Batch {
    let from = Arc::new(Provenance {
        source: "calls".into(),
        object: "a.json".into(),
        received: 7,
    });
    let event = |number: u64| Event::parse(format!(r#"{{"n":{number}}}"#), &Arc::default(), &from);
    numbers.into_iter().map(|n| event(n).unwrap()).collect()
}

pub(super) fn number(event: &Event) -> u64 {
    let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
    json["n"].as_u64().unwrap()
}

pub(super) fn numbers(delivery: &Delivery) -> Vec<u64> {
    delivery.batch.events().iter().map(number).collect()
}

fn open(dir: &Path, policy: Policy) -> Journal {
    Journal::open(dir, policy, None, meter(), |_| Ok(None)).unwrap()
}

/// A process that uses the journal on a test's disk, and its meters.
pub(super) struct Process {
    pub journal: Journal,
    pub observer: Observer,
}

/// How a test's process opens the journal.
#[derive(Clone)]
pub(super) struct Setting {
    pub policy: Policy,
    pub segment_size: u64,
    pub keys: Option<Keyring>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            policy: Policy {
                compress: false,
                ..Policy::default()
            },
            segment_size: 1 << 20,
            keys: None,
        }
    }
}

impl Setting {
    /// One batch of ten events fills a segment.
    pub fn small() -> Self {
        Self {
            segment_size: 200,
            ..Self::default()
        }
    }

    /// As [`small`](Self::small), and nothing is handed over from memory.
    pub fn small_from_disk() -> Self {
        let mut setting = Self::small();
        setting.policy.memory_events = 0;
        setting
    }

    pub fn try_open(&self, disk: &Disk, stored: Option<u64>) -> Result<Process, Failure> {
        let observer = Observer::new("test");
        let journal = Journal::open_sized(
            Arc::new(disk.clone()),
            self.policy,
            self.segment_size,
            self.keys.clone(),
            observer.node("buffer", NodeKind::Transform, "disk"),
            |_| Ok(stored.map(|stored| stored.to_be_bytes().to_vec())),
        )?;
        Ok(Process { journal, observer })
    }

    pub fn open(&self, disk: &Disk) -> Process {
        self.try_open(disk, None).unwrap()
    }
}

impl Process {
    pub async fn append(&self, numbers: std::ops::Range<u64>) -> Result<(), Failure> {
        self.journal.entrance().oneshot(batch(numbers)).await
    }

    pub fn outlet(&self) -> Outlet {
        self.journal.outlet(Arc::default())
    }

    pub fn dropped(&self, reason: &str) -> u64 {
        let ledger = self.observer.ledger();
        let counts = &ledger.node("buffer").unwrap().counts;
        counts.dropped.get(reason).copied().unwrap_or(0)
    }

    /// Reads everything that is there and settles it.
    pub async fn drain(&self) -> Vec<u64> {
        self.journal.close();
        let mut outlet = self.outlet();
        let mut all = Vec::new();
        while let Some(delivery) = outlet.next().await.unwrap() {
            all.extend(numbers(&delivery));
            delivery.settle.run(Ok(())).await;
        }
        all
    }
}

#[tokio::test]
async fn what_was_answered_comes_out_and_again_until_it_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), Policy::default());
    let mut entrance = journal.entrance();
    entrance.call(batch(0..3)).await.unwrap();
    entrance.call(batch(3..5)).await.unwrap();
    let mut outlet = journal.outlet(Arc::new(PathSet::default()));
    let first = outlet.next().await.unwrap().unwrap();
    assert_eq!(numbers(&first), [0, 1, 2, 3, 4]);
    assert_eq!(journal.stored(), 5);
    first.settle.run(Err(Failure::transient("x", "y"))).await;
    drop((outlet, entrance, journal));

    let journal = open(dir.path(), Policy::default());
    assert_eq!(journal.resumed(), 5);
    let mut outlet = journal.outlet(Arc::new(PathSet::default()));
    let again = outlet.next().await.unwrap().unwrap();
    assert_eq!(numbers(&again), [0, 1, 2, 3, 4]);
    again.settle.run(Ok(())).await;
    assert_eq!(journal.stored(), 0);
    journal.close();
    assert!(outlet.next().await.unwrap().is_none());
    drop((outlet, journal));
    let journal = open(dir.path(), Policy::default());
    assert_eq!((journal.resumed(), journal.stored()), (0, 0));
}

#[tokio::test]
async fn a_place_that_was_given_back_is_handed_out_again_and_settles_in_order() {
    let disk = Disk::default();
    let mut setting = Setting::small_from_disk();
    setting.policy.batch_events = 10;
    let process = setting.open(&disk);
    for start in [0, 10, 20] {
        process.append(start..start + 10).await.unwrap();
    }
    let mut outlet = process.outlet();
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(outlet.next().await.unwrap().unwrap());
    }
    let last = deliveries.pop().unwrap();
    last.settle.run(Ok(())).await;
    assert_eq!(process.journal.stored(), 20, "settled behind what is not");
    let second = deliveries.pop().unwrap();
    let lost = Failure::transient("x", "y");
    second.settle.run(Err(lost)).await;
    let mut outlet = process.outlet();
    let again = outlet.next().await.unwrap().unwrap();
    assert_eq!(numbers(&again), (10..20).collect::<Vec<_>>());
    again.settle.run(Ok(())).await;
    assert_eq!(process.journal.stored(), 10);
    let first = deliveries.pop().unwrap();
    let place = first.checkpoints.first().unwrap();
    assert_eq!(place.key, process.journal.id());
    assert_eq!(place.value, 10u64.to_be_bytes());
    first.settle.run(Ok(())).await;
    assert_eq!(process.journal.stored(), 0);
}

#[tokio::test]
async fn the_stored_checkpoint_counts_more_than_the_hint() {
    let disk = Disk::default();
    let setting = Setting::small();
    let process = setting.open(&disk);
    process.append(0..10).await.unwrap();
    process.append(10..20).await.unwrap();
    drop(process);
    for (stored, left) in [(None, 20), (Some(5), 15), (Some(20), 0)] {
        let process = setting.try_open(&disk, stored).unwrap();
        assert_eq!(process.journal.resumed(), left, "{stored:?}");
    }
}

#[tokio::test]
async fn a_pull_that_is_given_up_loses_nothing() {
    let disk = Disk::default();
    let process = Setting::small_from_disk().open(&disk);
    let entrance = process.journal.entrance();
    let mut outlet = process.outlet();
    assert!(futures::poll!(outlet.next()).is_pending());
    process.append(0..10).await.unwrap();
    process.append(10..20).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 20 {
        // Given up again and again, at whatever point it is.
        match futures::poll!(outlet.next()) {
            std::task::Poll::Ready(delivery) => all.extend(numbers(&delivery.unwrap().unwrap())),
            std::task::Poll::Pending => tokio::task::yield_now().await,
        }
    }
    drop(entrance);
    assert_eq!(all, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_comes_back_with_all_that_was_known_of_it() {
    let setting = Setting::small_from_disk();
    let process = setting.open(&Disk::default());
    let mut events = batch(0..2).into_events();
    events.extend(batch(2..4).into_events());
    let event = &mut events[1];
    event.time = Some(-5);
    event.counter = 9;
    event.priority = 3;
    event.labels.insert(crate::event::Labels::GAP);
    event.position.line = 77;
    event.position.offset = 1 << 40;
    event.extra_mut().tenant = Some("acme".into());
    event.extra_mut().headers = vec![("key".into(), "value".into())];
    event.set(&".n".parse().unwrap(), "5");
    let before = events.clone();
    process
        .journal
        .entrance()
        .oneshot(events.into())
        .await
        .unwrap();
    let delivery = process.outlet().next().await.unwrap().unwrap();
    for (old, new) in before.iter().zip(delivery.batch.events()) {
        assert_eq!(old.to_json(), new.to_json());
        assert_eq!((old.time, old.counter), (new.time, new.counter));
        assert_eq!((old.priority, old.labels), (new.priority, new.labels));
        assert_eq!(old.position, new.position);
        assert_eq!(format!("{:?}", old.extra()), format!("{:?}", new.extra()));
        let (from, back) = (old.provenance(), new.provenance());
        assert_eq!((&from.source, &from.object), (&back.source, &back.object));
        assert_eq!(from.received, back.received);
    }
    assert_eq!(delivery.batch.len(), 4);
    assert_eq!(number(&delivery.batch.events()[1]), 5, "with its changes");
}

/// A pipeline that now reads a member cannot take an event that has it twice.
#[tokio::test]
async fn a_body_that_no_longer_parses_goes_to_the_dead_letters() {
    let setting = Setting::small_from_disk();
    let process = setting.open(&Disk::default());
    let event = |json: &str| Event::parse(json.into(), &Arc::default(), &Arc::default()).unwrap();
    let mut events = vec![event(r#"{"n":1}"#), event(r#"{"n":2,"n":3}"#)];
    events.extend(batch(4..5).into_events());
    process
        .journal
        .entrance()
        .oneshot(events.into())
        .await
        .unwrap();
    let mut paths = PathSet::default();
    paths.intern(&mut ".n".parse().unwrap());
    let delivery = process.journal.outlet(Arc::new(paths)).next().await;
    let delivery = delivery.unwrap().unwrap();
    assert_eq!(numbers(&delivery), [1, 4]);
    assert_eq!(delivery.refused.len(), 1);
    assert_eq!(delivery.refused[0].reason, "duplicate_key");
    delivery.settle.run(Ok(())).await;
    assert_eq!(process.journal.stored(), 0);
}

#[test]
fn a_folder_is_used_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), Policy::default());
    let again = Journal::open(dir.path(), Policy::default(), None, meter(), |_| Ok(None));
    let failure = again.err().unwrap();
    assert_eq!(failure.losses()[0].cause.reason, "buffer_locked");
    assert!(
        failure
            .to_string()
            .contains(&std::process::id().to_string()),
        "{failure}"
    );
    drop(journal);
    open(dir.path(), Policy::default());
}

/// Many callers at once: they share syncs, and their places are those of their first polls.
#[tokio::test]
async fn batches_that_wait_together_are_covered_by_few_syncs_and_keep_their_order() {
    let process = Setting::default().open(&Disk::default());
    let calls = (0..200).map(|index| process.append(index * 3..index * 3 + 3));
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    let stats = process.journal.stats();
    assert_eq!(stats.events, 600);
    // How many share one depends on how fast they come: on a busy machine few do.
    assert!(stats.syncs < 200, "{stats:?}");
    assert_eq!(process.drain().await, (0..600).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_gathers_for_as_long_as_it_is_told() {
    let mut setting = Setting::default();
    setting.policy.sync_wait = std::time::Duration::from_millis(300);
    let process = setting.open(&Disk::default());
    let calls = [process.append(0..5), process.append(5..9)];
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(process.journal.stats().groups, 1);
}

/// While the reader keeps up, events are handed over as they are and parsed no second time.
#[tokio::test]
async fn what_was_just_written_is_handed_over_from_memory() {
    for (memory_events, shared) in [(100, true), (5, false)] {
        let mut setting = Setting::default();
        setting.policy.memory_events = memory_events;
        let process = setting.open(&Disk::default());
        let events = batch(0..10);
        let from = events.events()[0].provenance().clone();
        process.journal.entrance().oneshot(events).await.unwrap();
        let delivery = process.outlet().next().await.unwrap().unwrap();
        assert_eq!(numbers(&delivery), (0..10).collect::<Vec<_>>());
        let back = delivery.batch.events()[0].provenance();
        assert_eq!(Arc::ptr_eq(&from, back), shared);
    }
}
