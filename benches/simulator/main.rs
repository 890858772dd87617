//! How many frames a second the simulated platform tells one client, and what they cost it.
//!
//! The simulator has one thread; its processor time is that of this thread. The client on the other
//! side reads and counts. `cargo bench --bench simulator -- [rate] [seconds]`

use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use trunkline::simulator::{Config, Simulator};

const THREAD: &str = "simulator";
/// Of the kernel's figures on processor time (`USER_HZ`).
const TICKS: f64 = 100.0;

fn main() {
    let numbers: Vec<f64> = std::env::args()
        .skip(1)
        .filter_map(|it| it.parse().ok())
        .collect();
    let rate = numbers.first().copied().unwrap_or(50_000.0);
    let seconds = numbers.get(1).copied().unwrap_or(10.0);
    let server = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(THREAD)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = Config {
        rate,
        oracle_kept: 0,
        paused: true,
        ..Config::default()
    };
    let simulator = server
        .block_on(server.spawn(Simulator::start(config)))
        .expect("a task")
        .expect("a simulator");
    let control = simulator.control();
    let client = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (frames, bytes, took, cpu) = client.block_on(async {
        let mut socket = listen(&simulator.url(), &control.queues()).await;
        control.resume();
        let (begun, before) = (Instant::now(), cpu_seconds());
        let (mut frames, mut bytes) = (0_u64, 0_u64);
        while begun.elapsed().as_secs_f64() < seconds {
            let message = tokio::time::timeout(Duration::from_secs(5), socket.next()).await;
            if let Some(Ok(Message::Text(text))) = message.expect("a frame") {
                frames += 1;
                bytes += text.len() as u64;
            }
        }
        (
            frames,
            bytes,
            begun.elapsed().as_secs_f64(),
            cpu_seconds() - before,
        )
    });
    let counts = control.counts();
    println!(
        "{:.0} frames/s for {took:.1} s ({:.0} bytes each), {:.2} s of one core: {:.2} s for a million frames",
        frames as f64 / took,
        bytes as f64 / frames as f64,
        cpu,
        cpu / frames as f64 * 1e6,
    );
    println!(
        "{} delivered, {} without a socket, {} open conversations",
        counts.delivered, counts.no_socket, counts.open
    );
    server.block_on(simulator.stop());
}

async fn listen(
    url: &str,
    queues: &[String],
) -> tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>> {
    let http = trunkline::client::http::client(Duration::from_secs(5)).expect("a client");
    let token: Value = http
        .post(format!("{url}/oauth/token"))
        .basic_auth("simulator", Some("simulator"))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("a token");
    let token = token["access_token"].as_str().expect("a token");
    let channels = format!("{url}/api/v2/notifications/channels");
    let made = http
        .post(&channels)
        .bearer_auth(token)
        .send()
        .await
        .expect("an answer");
    let channel: Value = made.json().await.expect("a channel");
    let text = |name: &str| channel[name].as_str().expect("a string").to_owned();
    let topics: Vec<Value> = queues
        .iter()
        .map(|id| json!({"id": format!("v2.routing.queues.{id}.conversations")}))
        .collect();
    let subscriptions = format!("{channels}/{}/subscriptions", text("id"));
    http.put(subscriptions)
        .bearer_auth(token)
        .json(&topics)
        .send()
        .await
        .expect("an answer");
    connect_async(text("connectUri")).await.expect("a socket").0
}

/// Of the simulator's thread.
fn cpu_seconds() -> f64 {
    let mut ticks = 0.0;
    for task in fs::read_dir("/proc/self/task")
        .expect("a Linux system")
        .flatten()
    {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if let Some((name, rest)) = stat.rsplit_once(')')
            && name.ends_with(THREAD)
        {
            let fields: Vec<f64> = rest
                .split_whitespace()
                .skip(11)
                .take(2)
                .filter_map(|it| it.parse().ok())
                .collect();
            ticks += fields.iter().sum::<f64>();
        }
    }
    ticks / TICKS
}
