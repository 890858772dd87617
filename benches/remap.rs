//! What a program in VRL costs, beside the same work by built-in transforms and beside VRL as it is
//! mostly run: over values that were made of the whole event.
//!
//! `cargo bench --bench remap` (or `EVENTS=n`). Two fields are made, one is dropped, and a condition lets
//! nine of ten events go on. Everything on one core, from the text of an event to its text; `floor` is the
//! way through without any work. All figures are of one run on one machine: read them as ratios.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline::clock::Wall;
use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::Report;
use trunkline::event::{Batch, EventsBuilder, PathSet, Position};
use trunkline::script::{Purpose, Script, Source, Zone};
use trunkline::setting::{Fields, Node};
use trunkline::stage::Transform;
use trunkline::transform::{filter, map};

const ROUNDS: usize = 3;
const BATCH: usize = 1000;

const SETTINGS: &str = r#"
remap: |
  if .type == "heartbeat" { abort }
  .agent = del(.userId)
  .millis = int!(.seconds) * 1000
  del(.internal)
halves: |
  .agent = del(.userId)
  .millis = int!(.seconds) * 1000
  del(.internal)
ask: .type != "heartbeat"
filter: { where: { not: { path: .type, equals: heartbeat } } }
map:
  keep: all
  rename: { .userId: agent }
  fields: { millis: { from: .seconds, multiply: 1000 } }
  drop: .internal
"#;

fn event(number: usize) -> String {
    let kind = if number.is_multiple_of(10) {
        "heartbeat"
    } else {
        "call"
    };
    let filler: Vec<String> = (0..12)
        .map(|n| format!("\"attribute{n}\":{{\"value\":\"some text of {n}\",\"n\":{n}.50}}"))
        .collect();
    format!(
        "{{\"id\":\"{number:032x}\",\"type\":\"{kind}\",\"userId\":\"u{number}\",\"seconds\":{},\
         \"internal\":\"x\",{}}}",
        number % 3600,
        filler.join(",")
    )
}

struct Work {
    texts: Vec<String>,
    settings: Node,
}

impl Work {
    fn node(&self, name: &str) -> &Node {
        self.settings.get(name).expect("it is in the settings")
    }

    fn script(&self, name: &str, purpose: Purpose) -> Script {
        let mut report = Report::new("bench");
        let source = Source::Inline(self.node(name));
        let script = Script::compile(source, purpose, Zone::default(), &mut report);
        script.unwrap_or_else(|| panic!("{:?}", report.iter().collect::<Vec<_>>()))
    }

    fn fields<T>(&self, name: &str, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> T {
        let mut report = Report::new("bench");
        let mut fields = Fields::new(self.node(name), name, &mut report).expect("a mapping");
        read(&mut fields).expect("it is right")
    }

    fn batches(&self, paths: PathSet) -> impl Iterator<Item = Batch> + '_ {
        let paths = Arc::new(paths);
        self.texts.chunks(BATCH).map(move |texts| {
            let text = texts.concat();
            let mut builder = EventsBuilder::new(text, paths.clone(), Arc::default(), texts.len());
            let mut at = 0;
            for text in texts {
                let end = at + text.len();
                builder
                    .push(at, end, Position::default())
                    .expect("an event");
                at = end;
            }
            builder.finish()
        })
    }
}

/// Serialises what is left of a batch; says how many events that were.
fn leave(batch: &Batch, out: &mut Vec<u8>) -> usize {
    out.clear();
    batch
        .events()
        .iter()
        .for_each(|event| event.write_json(out));
    black_box(out);
    batch.len()
}

fn floor(work: &Work) -> usize {
    let mut out = Vec::new();
    let batches = work.batches(PathSet::default());
    batches.map(|batch| leave(&batch, &mut out)).sum()
}

fn remap(work: &Work) -> usize {
    let mut script = work.script("remap", Purpose::Change);
    let mut paths = PathSet::default();
    script.paths(&mut |path| paths.intern(path));
    run(work, paths, |batch| run_script(&script, batch))
}

fn run_script(script: &Script, batch: Batch) -> Batch {
    let wall = Wall::real();
    let mut runner = script.runner(&wall);
    let events = batch.into_events().into_iter();
    events
        .filter_map(|mut event| runner.run(&mut event).is_ok().then_some(event))
        .collect()
}

/// A condition in VRL and the rest of the program behind it.
fn two_programs(work: &Work) -> usize {
    let mut ask = work.script("ask", Purpose::Ask);
    let mut script = work.script("halves", Purpose::Change);
    let mut paths = PathSet::default();
    ask.paths(&mut |path| paths.intern(path));
    script.paths(&mut |path| paths.intern(path));
    run(work, paths, |batch| {
        let kept = batch
            .into_events()
            .into_iter()
            .filter(|event| ask.holds(event));
        run_script(&script, kept.collect())
    })
}

fn built_in(work: &Work) -> usize {
    let mut filter = work.fields("filter", filter::Config::check);
    let mut map = work.fields("map", map::Config::check);
    let mut paths = PathSet::default();
    filter.paths(&mut |path| paths.intern(path));
    map.paths(&mut |path| paths.intern(path));
    let (filter, map) = (filter.open(), map.open());
    run(work, paths, |batch| {
        let kept = applied(&filter, batch);
        applied(&map, kept)
    })
}

fn applied(transform: &impl Transform, batch: Batch) -> Batch {
    let applied = futures::executor::block_on(transform.apply(batch));
    applied.expect("it does not fail").batch
}

fn run(work: &Work, paths: PathSet, change: impl Fn(Batch) -> Batch) -> usize {
    let mut out = Vec::new();
    let batches = work.batches(paths);
    batches.map(|batch| leave(&change(batch), &mut out)).sum()
}

/// The whole event as VRL's values, by serde_json, and back.
fn bare(work: &Work) -> usize {
    use vrl::compiler::{TargetValue, TimeZone, compile, runtime::Runtime};
    use vrl::value::{Secrets, Value};
    let source = work.node("remap").as_text().expect("text");
    let program = compile(source, &vrl::stdlib::all())
        .expect("it compiles")
        .program;
    let zone = TimeZone::parse("UTC").expect("it is there");
    let mut runtime = Runtime::default();
    let mut left = 0;
    for text in &work.texts {
        let value: Value = serde_json::from_str(text).expect("JSON");
        let mut target = TargetValue {
            value,
            metadata: Value::Object(Default::default()),
            secrets: Secrets::default(),
        };
        let ran = runtime.resolve(&mut target, &program, &zone);
        runtime.clear();
        if ran.is_ok() {
            black_box(serde_json::to_vec(&target.value).expect("JSON"));
            left += 1;
        }
    }
    left
}

/// Does the work once; says how many events were left.
type Run = fn(&Work) -> usize;

fn best(work: &Work, run: Run) -> (Duration, usize) {
    let rounds = (0..ROUNDS).map(|_| {
        let begin = Instant::now();
        let left = run(work);
        (begin.elapsed(), left)
    });
    rounds.min().expect("there are rounds")
}

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let count = std::env::var("EVENTS").ok().and_then(|n| n.parse().ok());
    let count = count.unwrap_or(if is_test { 100 } else { 300_000 });
    let loaded = parse("bench.yaml", SETTINGS, &Fixed::new());
    let work = Work {
        texts: (0..count).map(event).collect(),
        settings: loaded.tree.expect("the settings are YAML"),
    };
    let (base, _) = best(&work, built_in);
    println!(
        "{:>62} {:>10} {:>9} {:>6}",
        "events/s", "x map", "CPU s/M", "left"
    );
    let rows: [(&str, Run); 5] = [
        ("floor: index + serialise", floor),
        ("filter, map", built_in),
        ("remap", remap),
        ("filter with a condition in VRL, remap", two_programs),
        (
            "bare VRL over serde_json, as values of the whole event",
            bare,
        ),
    ];
    for (name, run) in rows {
        let (took, left) = best(&work, run);
        let rate = count as f64 / took.as_secs_f64();
        let ratio = base.as_secs_f64() / took.as_secs_f64();
        let cost = took.as_secs_f64() * 1e6 / count as f64;
        println!("{name:<54}{rate:>8.0} {ratio:>10.2} {cost:>9.2} {left:>6}");
    }
}
