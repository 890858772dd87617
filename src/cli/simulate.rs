//! `trunkline simulate`: a platform on loopback, to build and try pipelines against.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::simulator::{Client, Config, Control, Faults, SendFaults, Simulator};

/// Between two writings of the status line.
const STATUS: Duration = Duration::from_millis(500);

pub(super) const EXAMPLES: &str = "Examples:
  trunkline simulate genesys
  trunkline simulate genesys --rate 5000 --duplicate 1% --reorder 2%
  trunkline simulate genesys --speed 600 --socket-life 300 --oracle told.ndjson
  trunkline simulate genesys --client my-id:my-secret --address 0.0.0.0:7700";

/// Platforms that there is a simulator for.
#[derive(clap::Subcommand)]
pub(super) enum Simulate {
    /// Genesys Cloud: OAuth, notification channels, conversations, Open Messaging, analytics.
    ///
    /// One server is all hosts of the platform. Its conversations are made up, from a seed. SIGINT
    /// ends it.
    #[command(after_help = EXAMPLES)]
    Genesys(Box<Genesys>),
}

#[derive(clap::Args)]
pub(super) struct Genesys {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7700", value_name = "ADDRESS")]
    address: SocketAddr,
    /// Steps of conversations in a second; each is a frame on the topic of its queue.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// What everything random comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated seconds in a real one.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Where simulated time begins (RFC 3339) [default: now].
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Queues of the organisation.
    #[arg(long, default_value_t = 8)]
    queues: u32,
    /// Agents of the organisation.
    #[arg(long, default_value_t = 40)]
    users: u32,
    /// An OAuth client; can be given several times [default: simulator:simulator].
    #[arg(long = "client", value_name = "ID:SECRET", value_parser = client)]
    clients: Vec<Client>,
    /// Stop telling after so many steps.
    #[arg(long, value_name = "STEPS")]
    total: Option<u64>,
    /// Where Open Messaging posts outbound messages.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Write what was told to whom to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    oracle: Option<PathBuf>,
    /// Write every detail event in its EventBridge envelope to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    eventbridge: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArguments,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Faults (shares such as 1% or 0.01)")]
struct FaultArguments {
    /// Frames told twice.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    duplicate: f64,
    /// Frames overtaken by others.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    reorder: f64,
    /// Frames told seconds late.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    delay: f64,
    /// Frames not told.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    drop: f64,
    /// Snapshots followed by the one before.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    stale_snapshot: f64,
    /// Frames with an unknown value of an enum.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    unknown_enum: f64,
    /// Frames with an unknown member.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    unknown_field: f64,
    /// Frames without what may be missing.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    missing_optional: f64,
    /// Planned closes without their warning.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    closing_unannounced: f64,
    /// Sockets die after about so many simulated seconds.
    #[arg(long, value_name = "SECONDS")]
    socket_life: Option<u32>,
    /// Messages refused with 429.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    throttled_sends: f64,
    /// Messages refused with 503.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    failed_sends: f64,
    /// Messages that are taken and never answered.
    #[arg(long, default_value = "0", value_parser = share, value_name = "SHARE")]
    lost_answers: f64,
}

fn share(text: &str) -> Result<f64, String> {
    let (number, of) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().ok().map(|number| number / of);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is 0 to 1, or 0% to 100%".to_owned())
}

fn client(text: &str) -> Result<Client, String> {
    match text.split_once(':') {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(Client::new(id, secret)),
        _ => Err("a client is ID:SECRET".to_owned()),
    }
}

impl Genesys {
    fn config(self) -> Config {
        let (faults, defaults) = (self.faults, Config::default());
        let mut integration = defaults.integration;
        integration.webhook = self.webhook;
        Config {
            address: self.address,
            clients: if self.clients.is_empty() {
                defaults.clients
            } else {
                self.clients
            },
            seed: self.seed,
            rate: self.rate,
            speed: self.speed,
            start: self.start,
            queues: self.queues,
            users: self.users,
            oracle: self.oracle,
            eventbridge: self.eventbridge,
            // Nobody asks this process.
            oracle_kept: 0,
            total: self.total,
            integration,
            faults: Faults {
                duplicate: faults.duplicate,
                reorder: faults.reorder,
                delay: faults.delay,
                drop: faults.drop,
                stale_snapshot: faults.stale_snapshot,
                unknown_enum: faults.unknown_enum,
                unknown_field: faults.unknown_field,
                missing_optional: faults.missing_optional,
                closing_unannounced: faults.closing_unannounced,
                socket_life: faults
                    .socket_life
                    .map(|seconds| Duration::from_secs(seconds.into())),
                sends: SendFaults {
                    throttled: faults.throttled_sends,
                    failed: faults.failed_sends,
                    lost: faults.lost_answers,
                    ..SendFaults::default()
                },
            },
            ..Config::default()
        }
    }
}

/// Runs a simulator until SIGINT or SIGTERM.
pub(super) fn simulate(Simulate::Genesys(arguments): Simulate) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(serve(arguments.config())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

async fn serve(config: Config) -> io::Result<()> {
    // Credentials were given by the user, or are known to everybody.
    let (id, secret) = config
        .clients
        .first()
        .map(|it| (it.id.clone(), it.secret.clone()))
        .unwrap_or_default();
    let integration = config.integration.id.clone();
    let simulator = Simulator::start(config).await?;
    let (url, control) = (simulator.url(), simulator.control());
    let mut out = io::stdout();
    writeln!(
        out,
        "Genesys Cloud, simulated: {url}\n  OAuth client          {id} (secret: {secret})\n  Open Messaging        {integration}\n\nTry it:\n  TOKEN=$(curl -s -u {id}:{secret} -d grant_type=client_credentials {url}/oauth/token | jq -r .access_token)\n  curl -s -H \"Authorization: Bearer $TOKEN\" '{url}/api/v2/routing/queues?pageSize=3'\n"
    )?;
    out.flush()?;
    let begun = Instant::now();
    status(&control).await?;
    let took = begun.elapsed().as_secs_f64();
    simulator.stop().await;
    control.flush_oracle()?;
    let counts = control.counts();
    writeln!(
        out,
        "{} steps of {} conversations in {:.1} s: {} frames, {} delivered, {} without a socket, {} dropped; {} requests",
        counts.steps,
        counts.conversations,
        took,
        counts.frames,
        counts.delivered,
        counts.no_socket,
        counts.fault_dropped,
        counts.requests,
    )
}

/// Keeps a status line on a terminal until a signal comes.
async fn status(control: &Control) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ticks = tokio::time::interval(STATUS);
    let mut err = io::stderr();
    let is_terminal = err.is_terminal();
    let mut before = control.counts().delivered;
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = ticks.tick(), if is_terminal => {
                let counts = control.counts();
                let rate = (counts.delivered - before.min(counts.delivered)) as f64 / STATUS.as_secs_f64();
                before = counts.delivered;
                write!(
                    err,
                    "\r\x1b[K{:.0}  {} channels, {} sockets, {} conversations, {rate:.0} frames/s delivered",
                    control.now(), counts.channels, counts.sockets, counts.open,
                )?;
                err.flush()?;
            }
        }
    }
    if is_terminal {
        writeln!(err)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_clients_are_read() {
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share("0.25"), Ok(0.25));
        for bad in ["", "%", "101%", "2", "-1%", "nan"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        assert_eq!(
            client("a:b:c").map(|it| (it.id, it.secret)),
            Ok(("a".to_owned(), "b:c".to_owned()))
        );
        assert!(client("a").is_err() && client(":b").is_err());
    }
}
