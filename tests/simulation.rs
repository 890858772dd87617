//! Delivery under faults: seeded random graphs whose ends fail, reject, hang, are slow and panic,
//! on a paused clock. `TRUNKLINE_SEEDS` says how many, `TRUNKLINE_SEED` runs one alone.

#[path = "simulation/parts.rs"]
mod parts;
#[path = "simulation/spec.rs"]
mod spec;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use parts::{SCRIPTED, SimSink, SimSource, SimTransform, World};
use spec::Spec;
use tokio::time::Instant;
use trunkline::condition::Condition;
use trunkline::edge::{EdgePolicy, PartitionPolicy, PriorityPolicy, WhenFull};
use trunkline::event::{Event, Path};
use trunkline::failure::{Failure, Kind};
use trunkline::graph::{
    DeadLetterNode, Input, Pipeline, PumpPolicy, SinkNode, SourceNode, StateSetting, TransformNode,
    run,
};
use trunkline::layer::{
    Backoff, BreakerPolicy, KeyedPolicy, RatePolicy, Redact, RetryPolicy, StackPolicy,
};
use trunkline::observe::Observer;
use trunkline::state::Store;

/// The shortest waits: their share of chance is below the clock's tick, so a seed runs the same
/// way each time.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(1),
    most: Duration::from_millis(1),
};

/// Dead letters are compared as they are.
struct Open;

impl Redact for Open {
    fn event(&self, _: &mut Event) {}
    fn text(&self, text: &str) -> String {
        text.to_owned()
    }
}

fn inputs(from: &[(String, String)]) -> Vec<Input> {
    let input = |(node, output): &(String, String)| Input {
        node: node.clone(),
        output: output.clone(),
    };
    from.iter().map(input).collect()
}

/// Of each key all events are of one class, so order within a key is kept.
fn of_class() -> Condition {
    let text = "classes: { path: .key, equals: k0 }";
    let loaded = trunkline::config::parse("c", text, &trunkline::config::Fixed::new());
    let mut report = trunkline::diagnostic::Report::new("c");
    let tree = loaded.tree.expect("YAML");
    let node = tree.get("classes").expect("it is there");
    Condition::check(node, &mut report).expect("a condition")
}

fn edge(buffer: &spec::Buffer) -> EdgePolicy {
    EdgePolicy {
        max_events: buffer.max_events,
        max_bytes: buffer.max_bytes,
        when_full: [WhenFull::Block, WhenFull::DropNewest, WhenFull::DropOldest]
            [buffer.when_full as usize],
        workers: NonZeroUsize::new(buffer.workers).expect("some"),
        in_flight: NonZeroUsize::new(buffer.in_flight).expect("some"),
        batch_events: buffer.batch_events,
        partition: NonZeroUsize::new(buffer.partitions).map(|partitions| PartitionPolicy {
            key: Path::of(["key"]),
            partitions,
        }),
        priority: buffer.classes.then(|| PriorityPolicy {
            classes: vec![of_class()],
            starvation_guard: NonZeroU32::new(2).expect("some"),
        }),
        ..EdgePolicy::default()
    }
}

fn stack(stack: &spec::Stack) -> StackPolicy {
    StackPolicy {
        timeout: Duration::from_millis(stack.timeout),
        rate_limit: stack.rate.map(|(events, per)| RatePolicy {
            events: NonZeroU32::new(events).expect("some"),
            per: Duration::from_millis(per),
            burst: None,
        }),
        concurrency: NonZeroUsize::new(stack.concurrency).expect("some"),
        breaker: stack.breaker.map(|(open_for, probes)| BreakerPolicy {
            failures: 0.5,
            window: Duration::from_secs(1),
            min_calls: 3,
            open_for: Duration::from_millis(open_for),
            probes,
        }),
        retry: RetryPolicy {
            attempts: stack.attempts,
            backoff: BACKOFF,
        },
        per_key: stack.per_key.then(|| KeyedPolicy {
            key: Path::of(["key"]),
            within: None,
            max_keys: 3,
            order_by: Vec::new(),
        }),
    }
}

fn pipeline(world: &Arc<World>) -> Pipeline {
    let spec = &world.spec;
    let sim_sink = |name: &str, salt, faults: &spec::Faults, stack: &spec::Stack| SimSink {
        name: name.into(),
        world: world.clone(),
        faults: faults.clone(),
        salt,
        letters: name == "dead_letter",
        concurrency: if stack.per_key {
            usize::MAX
        } else {
            stack.concurrency
        },
    };
    Pipeline {
        name: "simulation".into(),
        sources: spec
            .sources
            .iter()
            .map(|source| SourceNode {
                name: source.name.as_str().into(),
                component: "script",
                part: Box::new(SimSource {
                    name: source.name.clone(),
                    world: world.clone(),
                }),
                reconnect: BACKOFF,
                dead_letter: None,
                print: Default::default(),
            })
            .collect(),
        transforms: spec
            .transforms
            .iter()
            .map(|node| TransformNode {
                enabled: Default::default(),
                name: node.name.as_str().into(),
                component: "script",
                inputs: inputs(&node.inputs),
                buffer: node.buffer.as_ref().map(edge),
                part: Box::new(SimTransform {
                    spec: node.clone(),
                    world: world.clone(),
                }),
                dead_letter: None,
                print: Default::default(),
            })
            .collect(),
        sinks: spec
            .sinks
            .iter()
            .map(|node| SinkNode {
                enabled: Default::default(),
                name: node.name.as_str().into(),
                component: "script",
                inputs: inputs(&node.inputs),
                buffer: edge(&node.buffer),
                policy: stack(&node.stack),
                part: Box::new(sim_sink(&node.name, node.salt, &node.faults, &node.stack)),
                dead_letter: None,
                print: Default::default(),
            })
            .collect(),
        dead_letter: spec
            .dead_letter
            .as_ref()
            .map(|(policy, faults)| DeadLetterNode {
                component: "script",
                part: Box::new(sim_sink("dead_letter", 0, faults, policy)),
                policy: stack(policy),
                print: Default::default(),
            }),
        redact: Arc::new(Open),
        delivery: PumpPolicy {
            max_events: spec.max_events,
            max_bytes: spec.max_bytes,
            deadline: Duration::from_millis(spec.deadline),
            backoff: BACKOFF,
        },
        grace: Duration::from_millis(spec.grace),
        encryption: None,
        state: StateSetting::Memory,
        api: None,
        alerts: None,
        metrics: None,
        simulator: None,
        tenants: None,
    }
}

/// Runs the pipeline once, stopped where the seed says so; then everything that must hold does.
async fn run_once(world: &Arc<World>, stop: Option<u64>) -> Result<(), Failure> {
    let observer = Observer::new("simulation");
    world.lock().observers.push(observer.clone());
    let stopped: Arc<OnceLock<Instant>> = Arc::default();
    let stopping = {
        let stopped = stopped.clone();
        async move {
            match stop {
                Some(after) => tokio::time::sleep(Duration::from_millis(after)).await,
                None => std::future::pending().await,
            }
            let _ = stopped.set(Instant::now());
        }
    };
    let whole = run::run(pipeline(world), &observer, world.store.clone(), stopping);
    let outcome = tokio::time::timeout(Duration::from_secs(4 * 3600), whole).await;
    let outcome = outcome.unwrap_or_else(|_| {
        panic!(
            "the run does not end:\n{}",
            observer.ledger().render(140, false)
        )
    });
    if let Some(stopped) = stopped.get() {
        let took = stopped.elapsed();
        let most = Duration::from_millis(world.spec.grace * 2 + 100);
        assert!(took <= most, "the drain took {took:?}, at most {most:?}");
    }
    // Settlements of what was given up are told by tasks of their own.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let ledger = observer.ledger();
    ledger
        .adds_up()
        .unwrap_or_else(|wrong| panic!("{wrong}\n{}", ledger.render(140, false)));
    let all = ledger
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), &node.counts));
    for (name, counts) in all.chain([("whole", &ledger.whole)]) {
        assert_eq!(
            counts.held,
            0,
            "`{name}` holds something: {}\n{}",
            counts.equation(),
            ledger.render(140, false)
        );
    }
    let sources: Vec<String> = world.spec.sources.iter().map(|s| s.name.clone()).collect();
    for source in &sources {
        world.check_cursor(source);
        let state = world.lock();
        let transport = &state.transports[source];
        for (handing, times) in transport.settled.iter().enumerate() {
            assert_eq!(
                *times, 1,
                "{source}: handing-over {handing} was settled {times} times"
            );
        }
    }
    let state = world.lock();
    assert!(state.wrong.is_empty(), "{}", state.wrong.join("\n"));
    outcome
}

/// After a run that ended well by itself, everything is where it must be.
fn assert_complete(world: &World) {
    for source in &world.spec.sources {
        for delivery in 0..source.deliveries.len() {
            let missing = world.missing(&source.name, delivery);
            assert!(missing.is_empty(), "{missing:?}\n{}", world.told());
        }
        if !source.transport {
            continue;
        }
        let state = world.lock();
        let well = state.transports[&source.name].well.len();
        assert_eq!(
            well,
            source.deliveries.len(),
            "{}: all acknowledged",
            source.name
        );
    }
}

async fn simulate(seed: u64) {
    let spec = Spec::of(seed);
    if number("TRUNKLINE_SEED").is_some() {
        println!("{spec:#?}");
    }
    let stop = spec.stop;
    let lacks_letters = spec.dead_letter.is_none();
    let world = World::new(spec, Store::memory_durable());
    let outcome = run_once(&world, stop).await;
    if outcome.is_ok() && stop.is_none() {
        return assert_complete(&world);
    }
    if let Err(failure) = &outcome {
        assert_eq!(failure.kind(), Kind::Fatal, "{failure}");
    }
    // Once more without faults, from where it stopped: nothing is missing in the end.
    {
        let mut state = world.lock();
        state.calm = true;
        for source in &world.spec.sources {
            let committed = world
                .store
                .checkpoint(&source.name, b"place")
                .now_or_never()
                .expect("a store in memory does not wait")
                .expect("memory");
            let place = committed.map_or(0, |v| usize::from(v[0]));
            let transport = state.transports.get_mut(&source.name).expect("known");
            let due = |n: &usize| match source.checkpoint > 0 && !source.transport {
                true => *n >= place,
                false => !transport.well.contains(n),
            };
            transport.queue = (0..source.deliveries.len()).filter(due).collect();
        }
        state.reset_order();
    }
    match run_once(&world, None).await {
        Ok(()) => assert_complete(&world),
        Err(failure) => assert!(lacks_letters, "{failure}"),
    }
}

thread_local! {
    /// Panics that no script asked for. A seed's run stays on its thread.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

fn watch_panics() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
            if text != Some(SCRIPTED) {
                PANICS.set(PANICS.get() + 1);
                usual(info);
            }
        }));
    });
}

fn run_seed(seed: u64) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    PANICS.set(0);
    let run = AssertUnwindSafe(|| runtime.block_on(simulate(seed)));
    let well = std::panic::catch_unwind(run).is_ok();
    well && PANICS.get() == 0
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn deliveries_survive_faults() {
    watch_panics();
    let seeds = match number("TRUNKLINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRUNKLINE_SEEDS").unwrap_or(3_000),
    };
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().expect("sound").len() >= 5 {
                        return;
                    }
                    if !run_seed(seed) {
                        eprintln!("seed {seed} failed; alone:\n  TRUNKLINE_SEED={seed} cargo test --test simulation deliveries");
                        failed.lock().expect("sound").push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("sound");
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

#[test]
fn a_poison_event_ends_in_the_dead_letters_and_nobody_with_it() {
    watch_panics();
    for (transport, in_sink) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut spec = (0..)
            .map(Spec::of)
            .find(|spec| spec.transforms.len() == 1 && spec.transforms[0].what == spec::What::Pass)
            .expect("a small graph");
        let poison = spec::Faults {
            poison: 4,
            ..spec::Faults::default()
        };
        let calm = spec::Faults::default();
        spec.sources.truncate(1);
        spec.sources[0].deliveries = vec![10; 4];
        spec.sources[0].refused = vec![0; 4];
        spec.sources[0].transport = transport;
        spec.sinks.truncate(1);
        spec.transforms[0].inputs = vec![("s0".into(), String::new())];
        spec.sinks[0].inputs = vec![("t0".into(), String::new())];
        spec.sinks[0].buffer.when_full = 0;
        spec.sinks[0].faults = if in_sink {
            poison.clone()
        } else {
            calm.clone()
        };
        spec.transforms[0].faults = if in_sink { calm } else { poison };
        spec.transforms[0].buffer = None;
        (spec.stop, spec.deadline) = (None, 3_600_000);
        if let Some((_, faults)) = &mut spec.dead_letter {
            *faults = spec::Faults::default();
        }
        let (node, salt) = match in_sink {
            true => ("k0", spec.sinks[0].salt),
            false => ("t0", spec.transforms[0].salt),
        };
        let all = (0..4).flat_map(|d| (0..10).map(move |i| parts::label("s0", d, i)));
        let (bad, good): (Vec<_>, Vec<_>) = all.partition(|l| spec::choice(l, salt, 4) == 0);
        assert!(!bad.is_empty() && !good.is_empty());
        let world = World::new(spec, Store::memory_durable());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run_once(&world, None)).expect("well");
        let state = world.lock();
        let letters: Vec<_> = state.reasons.iter().cloned().collect();
        let expected = bad
            .iter()
            .map(|l| (node.to_owned(), l.clone(), "panic".to_owned()));
        assert_eq!(
            letters,
            expected
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(state.accepted["k0"], good.into_iter().collect());
    }
}
