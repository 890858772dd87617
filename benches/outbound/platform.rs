//! The platform of all organisations, in a process of its own, and the service that knows the tenants.
//!
//! It does what it is told on its standard input, one word a line, and answers each with a line.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use trunkline::simulator::{Config, Faults, Limits, SendFaults, Simulator};

/// How long the platform is told to take for each call: what a call costs that goes well.
pub const CALL: Duration = Duration::from_millis(20);
/// The organisations that have trouble, by number: one that is down, one slow, one throttled.
pub const TROUBLED: usize = 3;
/// The word on the command line that begins this process.
pub const WORD: &str = "platform";

/// What each call of a troubled organisation meets.
fn trouble(organisation: usize) -> SendFaults {
    let (mut faults, half) = (calm(), 0.5);
    match organisation {
        // Down: half of the calls are refused, and the others hang until the caller gives up.
        0 => (faults.failed, faults.lost) = (half, 1.0),
        1 => faults.delay = Some(Duration::from_secs(2)),
        _ => faults.throttled = half,
    }
    faults
}

fn calm() -> SendFaults {
    SendFaults {
        delay: Some(CALL),
        ..SendFaults::default()
    }
}

async fn start() -> Simulator {
    let config = Config {
        // Nobody listens to its stories.
        paused: true,
        oracle_kept: 0,
        limits: Limits {
            // The tenant's own rate is what bounds here.
            requests: 1_000_000,
            sockets: 8_192,
            ..Limits::default()
        },
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.expect("loopback has a port");
    set(&simulator, calm());
    simulator
}

fn set(simulator: &Simulator, sends: SendFaults) {
    let faults = Faults {
        sends,
        ..Faults::default()
    };
    let control = simulator.control();
    control.set_faults(faults).expect("shares are up to 1");
}

/// One tenant, as the service tells of it.
fn tenant(url: &str) -> Value {
    let integration = Config::default().integration.id;
    json!({"organizations": {"main": {
        "endpoint": url, "integrations": [integration],
        "auth": {"client_id": "simulator", "client_secret": "simulator"},
        // Twice what comes, so that what waited can catch up.
        "rate_limit": {"events": 6_000, "per": "1m"},
    }}})
}

/// What this process does: `others` simulated platforms share the organisations that have no trouble,
/// since one remembers no more than 100,000 messages.
pub fn serve(others: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let _inside = runtime.enter();
    let all: Vec<Simulator> = runtime.block_on(async {
        let starting = (0..TROUBLED + others).map(|_| start());
        futures::future::join_all(starting).await
    });
    let urls: Arc<[String]> = all.iter().map(Simulator::url).collect();
    let tell = move |id: axum::extract::Path<String>| {
        let urls = urls.clone();
        async move {
            let number = id.strip_prefix("t-").and_then(|it| it.parse().ok());
            let number: usize = number.ok_or(StatusCode::NOT_FOUND)?;
            let at = match number {
                _ if number < TROUBLED => number,
                _ => TROUBLED + number % (urls.len() - TROUBLED),
            };
            Ok::<_, StatusCode>(Json(tenant(&urls[at])))
        }
    };
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("loopback has a port");
    println!("http://{}", listener.local_addr().expect("it is bound"));
    let service = axum::Router::new().route("/tenants/{id}", get(tell));
    runtime.spawn(async move { axum::serve(listener, service).await });
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("words are text");
        let faults = |which: &dyn Fn(usize) -> bool| {
            for (number, simulator) in all.iter().enumerate().take(TROUBLED) {
                let faults = if which(number) {
                    trouble(number)
                } else {
                    calm()
                };
                set(simulator, faults);
            }
        };
        match line.as_str() {
            "trouble" => faults(&|_| true),
            "down" => faults(&|number| number == 0),
            "calm" => faults(&|_| false),
            _ => {
                println!("{}", heard(&all[TROUBLED..]));
                continue;
            }
        }
        println!("{line}");
    }
}

/// How many messages were taken, and how many different ones.
fn heard(platforms: &[Simulator]) -> String {
    let all = platforms.iter().flat_map(|it| it.control().messages());
    let (mut count, mut texts) = (0, HashSet::new());
    for heard in all {
        count += 1;
        texts.insert(heard.text);
    }
    format!("{count} {}", texts.len())
}

/// That process, as its parent has it. It ends with it.
pub struct Platform {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    /// Of the tenant service.
    pub tenants: String,
}

impl Platform {
    pub fn begin(others: usize) -> Self {
        let me = std::env::current_exe().expect("a path");
        let mut child = Command::new(me)
            .args([WORD, &others.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let mut from = BufReader::new(child.stdout.take().expect("it is piped"));
        let tenants = line(&mut from);
        Self {
            to: child.stdin.take(),
            child,
            from,
            tenants,
        }
    }

    /// Says a word, and waits until it is done.
    pub fn say(&mut self, word: &str) -> String {
        let to = self.to.as_mut().expect("it is open");
        writeln!(to, "{word}").expect("it listens");
        line(&mut self.from)
    }

    /// Messages that the organisations without trouble took, and how many different ones.
    pub fn heard(&mut self) -> (usize, usize) {
        let said = self.say("count");
        let (all, different) = said.split_once(' ').expect("two numbers");
        let number = |text: &str| text.parse().expect("a number");
        (number(all), number(different))
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> f64 {
        cpu(Path::new("/proc")
            .join(self.child.id().to_string())
            .as_ref())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // It ends when nobody can speak to it any more.
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("it speaks");
    line.trim_end().to_owned()
}

/// CPU seconds of a process (proc(5)).
pub fn cpu(place: &Path) -> f64 {
    let stat = std::fs::read_to_string(place.join("stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    // utime and stime: the 14th and 15th field, here counted from the third; a tick is 10 ms.
    let ticks = after.split(' ').skip(11).take(2);
    ticks.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}
