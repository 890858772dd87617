//! Power cuts at any operation: every answered event is delivered, in order, and nothing else is.

use std::collections::BTreeSet;

use futures::future::join_all;
use proptest::prelude::*;

use super::disk::Cut;
use super::*;

/// What happens to a journal.
#[derive(Clone, Debug)]
enum Step {
    /// Batches of these sizes, called together.
    Append(Vec<u64>),
    /// So many deliveries are taken and settled, with their checkpoint stored or not.
    Settle(usize),
    /// The process ends by itself.
    Restart,
    /// The power goes so many operations later, with this left of what was not synced.
    Cut(u64, Cut),
}

fn step() -> impl Strategy<Value = Step> {
    let cut = prop_oneof![
        Just(Cut::Kill),
        Just(Cut::Clean),
        any::<u64>().prop_map(Cut::Torn)
    ];
    prop_oneof![
        6 => prop::collection::vec(1u64..40, 1..4).prop_map(Step::Append),
        3 => (1usize..4).prop_map(Step::Settle),
        1 => Just(Step::Restart),
        2 => (0u64..12, cut).prop_map(|(after, cut)| Step::Cut(after, cut)),
    ]
}

/// The world around one journal, over several processes.
struct World {
    disk: Disk,
    policy: Policy,
    segment_size: u64,
    /// The state store: `None` where there is none, so that the hint is used.
    checkpoint: Option<Option<Vec<u8>>>,
    next: u64,
    answered: BTreeSet<u64>,
    settled: BTreeSet<u64>,
    pending_cut: Option<Cut>,
}

struct Running {
    journal: Journal,
    outlet: Outlet,
    observer: Observer,
    /// The last event that came out.
    last: Option<u64>,
    /// All that came out of this process.
    seen: BTreeSet<u64>,
}

impl World {
    fn start(&self) -> Running {
        let observer = Observer::new("test");
        let meter = observer.node("buffer", NodeKind::Transform, "disk");
        let stored = self.checkpoint.clone().flatten();
        let storage = Arc::new(self.disk.clone());
        let journal =
            Journal::open_sized(storage, self.policy, self.segment_size, None, meter, |_| {
                Ok(stored)
            })
            .unwrap();
        // What is missing must not be waited for.
        journal.close();
        let outlet = journal.outlet(Arc::default());
        Running {
            journal,
            outlet,
            observer,
            last: None,
            seen: BTreeSet::new(),
        }
    }

    async fn append(&mut self, process: &Running, sizes: &[u64]) {
        let calls: Vec<_> = sizes
            .iter()
            .map(|size| {
                let numbers = self.next..self.next + size;
                self.next += size;
                let call = process.journal.entrance().oneshot(batch(numbers.clone()));
                async move { (numbers, call.await) }
            })
            .collect();
        for (numbers, answer) in join_all(calls).await {
            match answer {
                Ok(()) => self.answered.extend(numbers),
                Err(failure) => assert!(!self.disk.has_power(), "{failure}"),
            }
        }
    }

    /// Takes the next delivery, if one is due; checks that it may be one.
    async fn take(&self, process: &mut Running) -> Option<Delivery> {
        let due = self.answered.difference(&self.settled);
        if !due.clone().any(|number| !process.seen.contains(number)) || !self.disk.has_power() {
            return None;
        }
        let delivery = match process.outlet.next().await {
            Ok(delivery) => delivery.expect("what was answered is there"),
            Err(_) if !self.disk.has_power() => return None,
            Err(failure) => panic!("{failure}"),
        };
        assert!(delivery.refused.is_empty());
        for number in numbers(&delivery) {
            assert!(number < self.next, "{number} was never appended");
            assert!(
                process.last < Some(number),
                "{number} after {:?}",
                process.last
            );
            if self.checkpoint.is_some() {
                assert!(!self.settled.contains(&number), "{number} was settled");
            }
            process.last = Some(number);
            process.seen.insert(number);
        }
        Some(delivery)
    }

    async fn settle(&mut self, process: &mut Running, count: usize) {
        for _ in 0..count {
            let Some(mut delivery) = self.take(process).await else {
                return;
            };
            self.settled.extend(numbers(&delivery));
            if let Some(stored) = &mut self.checkpoint {
                *stored = delivery
                    .checkpoints
                    .pop()
                    .map(|checkpoint| checkpoint.value);
            }
            delivery.settle.run(Ok(())).await;
        }
    }

    /// Everything that was answered and not settled comes out; nothing counts as damaged.
    async fn drain(&mut self, process: &mut Running) {
        while let Some(delivery) = self.take(process).await {
            delivery.settle.run(Err(Failure::transient("x", "y"))).await;
        }
        if !self.disk.has_power() {
            return;
        }
        for number in self.answered.difference(&self.settled) {
            assert!(process.seen.contains(number), "{number} is lost");
        }
        let ledger = process.observer.ledger();
        let counts = &ledger.node("buffer").unwrap().counts;
        assert_eq!(counts.dropped_total(), 0, "{:?}", counts.dropped);
    }

    async fn run(mut self, steps: Vec<Step>) {
        let mut process = self.start();
        for step in steps {
            match step {
                Step::Append(sizes) => self.append(&process, &sizes).await,
                Step::Settle(count) => self.settle(&mut process, count).await,
                Step::Cut(after, cut) if self.pending_cut.is_none() => {
                    self.disk.cut_after(after);
                    self.pending_cut = Some(cut);
                }
                Step::Cut(..) => {}
                Step::Restart => process = self.restart(process).await,
            }
            if !self.disk.has_power() {
                process = self.restart(process).await;
            }
        }
        let mut process = self.restart(process).await;
        self.drain(&mut process).await;
    }

    async fn restart(&mut self, mut process: Running) -> Running {
        self.drain(&mut process).await;
        drop(process);
        if let Some(cut) = self.pending_cut.take() {
            self.disk.restart(cut);
        }
        self.start()
    }
}

fn run(steps: Vec<Step>, has_store: bool, policy: Policy, segment_size: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let world = World {
        disk: Disk::default(),
        policy,
        segment_size,
        checkpoint: has_store.then_some(None),
        next: 0,
        answered: BTreeSet::new(),
        settled: BTreeSet::new(),
        pending_cut: None,
    };
    runtime.block_on(world.run(steps));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_was_answered_survives_a_power_cut_at_any_operation(
        steps in prop::collection::vec(step(), 1..40),
        has_store: bool,
        batch_events in 1usize..60,
        in_memory: bool,
        segment_size in prop_oneof![Just(300u64), Just(2000), Just(1 << 20)],
    ) {
        let policy = Policy {
            batch_events,
            // Without memory everything is read back from the disk.
            memory_events: if in_memory { 100 } else { 0 },
            ..Policy::default()
        };
        run(steps, has_store, policy, segment_size);
    }
}
