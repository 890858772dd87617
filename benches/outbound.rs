//! Messages to customers for many organisations at once: what the shipped pipeline adds to a call, what
//! one organisation's trouble does to the others, and what memory it takes.
//!
//! `cargo bench --bench outbound -- [seconds] [organisations] [load] [fairness] [memory]` (60 seconds,
//! 200 organisations and all parts unless it says so) runs `pipelines/outbound-messages.yaml` with state on
//! disk, statuses in a file and tenants of a service, against simulated platforms in a process of their own.
//! Each organisation has 50 messages a second, due at set times: a message's clock starts when it is due,
//! so that what waits is seen. *Added* is from then to its answer, when a broker would be told, less the
//! 20 ms that the platform is told to take: what the platform's own work takes beyond these, and what
//! either waits for a core, counts as added.
//!
//! A number of organisations is held when p95 of what is added stays below 500 ms and the last message is
//! answered less than two seconds after it was due; where the one asked for is not held, lower ones are
//! tried for ten seconds each. A run also says whether each message was sent once. CPU is that of
//! one message, of the pipeline (with the feeding) and of the platform; read it before rates, since it stays
//! what it is when other work shares the machine.

#[path = "outbound/measured.rs"]
mod measured;
#[path = "outbound/platform.rs"]
mod platform;
#[path = "outbound/queue.rs"]
mod queue;

use std::process::{Command, Stdio};

use serde_json::Value;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Organisations that are tried where more are not held.
const STEPS: [usize; 13] = [180, 160, 140, 120, 100, 90, 80, 70, 60, 50, 40, 30, 20];
const STEP_SECONDS: usize = 10;
/// Most that may be added at p95, in milliseconds.
const GOAL: f64 = 500.0;
/// Longest wait for the last message, in seconds.
const MAX_LAG: f64 = 2.0;
/// Times that all is well and then three organisations have trouble; seconds of each, and between.
const ALTERNATIONS: usize = 5;
const SPAN: usize = 8;
const PAUSE: usize = 4;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only asks whether it builds and starts.
    if words.iter().any(|word| word == "--test") {
        return;
    }
    let number = |at: usize| words.iter().filter_map(|it| it.parse().ok()).nth(at);
    match words.first().map(String::as_str) {
        Some(platform::WORD) => return platform::serve(number(0).unwrap_or(1)),
        Some(measured::WORD) => {
            let phases = words[2..].chunks(2);
            let phases = phases.map(|it| (it[0].clone(), it[1].parse().expect("seconds")));
            let phases: Vec<_> = phases.collect();
            let told = measured::measure(number(0).expect("organisations"), &phases);
            return println!("{told}");
        }
        _ => {}
    }
    let seconds = number(0).unwrap_or(60);
    let mut organisations = number(1).unwrap_or(200);
    let parts = ["load", "fairness", "memory"];
    let asked = |part: &str| {
        let any = words.iter().any(|word| parts.contains(&word.as_str()));
        !any || words.iter().any(|word| word == part)
    };
    if asked("load") {
        organisations = load(organisations, seconds);
    }
    if asked("fairness") {
        fairness(organisations);
    }
    if asked("memory") {
        memory(organisations, seconds);
    }
}

/// One run in a process of its own.
fn measured(organisations: usize, phases: &[(&str, usize)]) -> Value {
    let me = std::env::current_exe().expect("a path");
    let mut command = Command::new(me);
    command.args([measured::WORD, &organisations.to_string()]);
    for (word, seconds) in phases {
        command.args([word, seconds.to_string().as_str()]);
    }
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.expect("this program can be started");
    assert!(output.status.success(), "the run failed");
    serde_json::from_slice(&output.stdout).expect("it tells in JSON")
}

/// A number that may be none, which stands for one without end.
fn number(told: &Value, at: &str) -> f64 {
    told.pointer(at)
        .and_then(Value::as_f64)
        .unwrap_or(f64::INFINITY)
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// Finds how many organisations are held.
fn load(organisations: usize, seconds: usize) -> usize {
    println!(
        "{:>5} {:>7} {:>4}  {:>7} {:>7} {:>7} {:>8} {:>6} {:>9} {:>9} {:>6} {:>8} {:>5} {:>5}",
        "org.",
        "msg/s",
        "s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "most ms",
        "lag s",
        "CPU us",
        "platf. us",
        "cores",
        "fsync ms",
        "once",
        "held"
    );
    let mut tried = organisations;
    let mut whole = true;
    loop {
        let span = if whole {
            seconds
        } else {
            STEP_SECONDS.min(seconds)
        };
        let held = step(tried, span);
        match (held, whole) {
            (true, true) => return tried,
            (true, false) => whole = true,
            (false, _) => match STEPS.into_iter().find(|step| *step < tried) {
                Some(next) => (tried, whole) = (next, false),
                None => return tried,
            },
        }
    }
}

fn step(organisations: usize, seconds: usize) -> bool {
    let told = measured(organisations, &[("calm", seconds)]);
    let at = |name: &str| number(&told, &format!("/phases/0/others/{name}"));
    let (p95, lag) = (at("p95"), number(&told, "/lag"));
    let held = p95 < GOAL && lag < MAX_LAG;
    let yes = |it: bool| if it { "yes" } else { "no" };
    println!(
        "{organisations:>5} {:>7} {seconds:>4}  {:>7.1} {p95:>7.1} {:>7.1} {:>8.1} {lag:>6.2} {:>9.0} {:>9.0} {:>6.2} {:>8.2} {:>5} {:>5}",
        organisations * queue::RATE,
        at("p50"),
        at("p99"),
        at("most"),
        number(&told, "/cpu"),
        number(&told, "/platform_cpu"),
        number(&told, "/busy"),
        number(&told, "/fsync"),
        yes(told["exactly_once"] == true),
        yes(held),
    );
    held
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// The others' p95 while three organisations have trouble, against that just before, in one run.
fn fairness(organisations: usize) {
    let round = [("calm", SPAN), ("trouble", SPAN), ("calm", PAUSE)];
    let told = measured(organisations, &round.repeat(ALTERNATIONS));
    println!("\nothers' p95 in ms, {organisations} organisations, of which three have trouble:");
    println!("{:>9} {:>9} {:>7}", "well", "trouble", "ratio");
    let p95 = |phase: usize| number(&told, &format!("/phases/{phase}/others/p95"));
    let pairs: Vec<(f64, f64)> = (0..ALTERNATIONS)
        .map(|round| (p95(3 * round), p95(3 * round + 1)))
        .collect();
    for (well, trouble) in &pairs {
        println!("{well:>9.2} {trouble:>9.2} {:>7.2}", trouble / well);
    }
    let ratio = median(pairs.iter().map(|(well, trouble)| trouble / well).collect());
    let verdict = if ratio < 1.1 { "met" } else { "not met" };
    println!("median of the ratios {ratio:.2}; goal below 1.10: {verdict}");
    for who in ["down", "slow", "throttled"] {
        let at = |name: &str| -> f64 {
            let phases = (0..ALTERNATIONS).map(|round| 3 * round + 1);
            phases
                .map(|phase| number(&told, &format!("/phases/{phase}/{who}/{name}")))
                .sum()
        };
        println!(
            "{who}: {} of {} messages answered by the end",
            at("answered"),
            at("due")
        );
    }
}

/// One organisation is down from the beginning to the end.
fn memory(organisations: usize, seconds: usize) {
    let quarter = (seconds / 4).max(1);
    println!(
        "\nmemory in MiB, {organisations} organisations for {} s:",
        4 * quarter
    );
    println!(
        "{:>14} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "before", "1/4", "1/2", "3/4", "end", "peak"
    );
    for (name, word) in [("all well", "calm"), ("one is down", "down")] {
        let told = measured(organisations, &[(word, quarter); 4]);
        let rss = |phase: usize| mib(number(&told, &format!("/phases/{phase}/rss")));
        println!(
            "{name:>14} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>8.0}",
            mib(number(&told, "/before")),
            rss(0),
            rss(1),
            rss(2),
            rss(3),
            mib(number(&told, "/most")),
        );
    }
}
