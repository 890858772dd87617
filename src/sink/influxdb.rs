//! The sink `influxdb`: events as points, by the write API of InfluxDB 2, which 3 and VictoriaMetrics
//! take too.
//!
//! **What a point is.** A series (a measurement with its tags) and a time make a point; who writes
//! it again writes over it. So a repeat changes nothing, and the promise of this sink is "effectively
//! once". It also means that two events of one participant with the same state at the same
//! microsecond share a point: what the later one says stays, its counter among it. Set `requests: 1`
//! and `concurrency: 1` where which of the two is later matters.
//!
//! **When points are written.** Answering is acknowledging, so a point that waits for others keeps
//! its event unanswered, and whatever waits for that answer waits too. `gather` says how long that
//! may be. For there to be others at all, this sink lets in many calls at the same time
//! ([`CALLS`]) unless the file says `concurrency`; with `concurrency: 1` nothing ever waits.
//!
//! **What is not written.** Lines that the server refuses go to the dead letters alone, whatever
//! stood beside them (`deliver`). A token, bucket or address that it does not take holds everything
//! and raises the alert `influx_held`, since all of these can be mended while events wait.
//!
//! `line`: the line protocol. `lines`, `gather`: many lines as one request. `deliver`: its answer.

mod about;

pub use about::ABOUT;

mod config;
mod deliver;
mod gather;
mod line;
mod lines;
mod rehearsal;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

pub use config::{Config, Target};

use crate::client::influx::{self, Client};
use crate::codec::{LineFile, LineFileSettings, LineSync, LineWriter};
use crate::event::{Batch, Origin};
use crate::failure::{Cause, Failure, Kind};
use crate::layer::{Finding, Kept, StackPolicy};
use crate::observe::NodeMeter;
use crate::stage::Sink;
use deliver::Deliver;
use gather::Gather;
use line::{Points, Refusal};
use lines::Lines;

/// Calls at the same time unless the file says `concurrency`. Many, since a source that hands over
/// single events needs as many calls as a request is to have lines.
pub const CALLS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Retries unless the file says `retry`.
pub const RETRIES: u32 = 3;

/// An open sink. Clones share the request that is being filled.
#[derive(Clone)]
pub struct Influx {
    points: Arc<Points>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Server(Gather<Deliver>),
    File(LineWriter),
}

impl Config {
    /// Opens the sink. Does not connect: a server that is not there yet is one that is away.
    ///
    /// # Errors
    /// `Fatal`, when the token cannot be sent, the machine has no randomness for TLS, or the file
    /// cannot be written.
    pub async fn open(self, policy: &StackPolicy, meter: NodeMeter) -> Result<Influx, Failure> {
        let way = match self.target {
            Target::Server(server) => {
                let most_calls = match &policy.per_key {
                    // Each key has its own.
                    Some(_) => usize::MAX,
                    None => policy.concurrency.get(),
                };
                // A write is clocked from its call to its answer. Waiting may take a third of that,
                // and the requests have the rest.
                let wait = policy.timeout / 3;
                let client = Client::new(&server, policy.timeout - wait)?;
                let mut batches = self.batches;
                batches.flush_interval = batches.flush_interval.min(wait);
                let deliver = Deliver::new(client, self.points.precision, self.gzip, wait, meter);
                Way::Server(Gather::new(batches, most_calls, deliver))
            }
            Target::File(path) => Way::File(file(path, meter.name().to_owned()).await?),
        };
        let points = Arc::new(self.points);
        Ok(Influx { points, way })
    }

    /// Looks at the server, or where there is a file at nothing; writes nothing.
    pub async fn probe(&self) -> Vec<Finding> {
        match &self.target {
            Target::Server(server) => influx::probe(server).await,
            Target::File(_) => Vec::new(),
        }
    }

    /// What becomes of the points.
    pub fn kept(&self) -> Kept {
        Kept::Lasting {
            idempotent: Some("a point is written by its series and time"),
            limit: match self.target {
                Target::Server(_) => Some("as long as the bucket keeps them"),
                Target::File(_) => Some("repeats are in the file, and are gone once it is loaded"),
            },
        }
    }
}

async fn file(path: PathBuf, node: String) -> Result<LineWriter, Failure> {
    let settings = LineFileSettings {
        path,
        append: true,
        sync: LineSync::None,
        // Lines end with a time and a line break, both of which a half one may lack.
        is_half: |_| true,
    };
    let opened =
        tokio::task::spawn_blocking(move || LineWriter::start(&node, LineFile::open(&settings)?));
    opened.await.unwrap_or_else(|_| {
        let message = "opening the file met an error of its own";
        Err(Failure::fatal("open_failed", message))
    })
}

impl Sink for Influx {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let (lines, refused) = encode(&self.points, &batch);
        drop(batch);
        let written = match lines.is_empty() {
            true => Ok(()),
            false => match &self.way {
                Way::Server(gather) => gather.write(lines).await,
                Way::File(writer) => writer.write_text(lines.text).await,
            },
        };
        Failure::join([refused, written])
    }
}

/// The events' lines, and those that have none.
fn encode(points: &Points, batch: &Batch) -> (Lines, Result<(), Failure>) {
    let mut lines = Lines::with_room(batch.len());
    // A short list: there are no more refusals than reasons.
    let mut refused: Vec<(Refusal, Vec<Origin>)> = Vec::new();
    for event in batch {
        match points.write(event, &mut lines.text) {
            Ok(()) => lines.end_line(event.origin),
            Err(refusal) => match refused.iter_mut().find(|(known, _)| *known == refusal) {
                Some((_, origins)) => origins.push(event.origin),
                None => refused.push((refusal, vec![event.origin])),
            },
        }
    }
    let failures = refused.into_iter().filter_map(|(refusal, origins)| {
        let cause = Cause::new(refusal.reason(), refusal.message());
        Failure::only(Kind::Rejected, cause, origins)
    });
    (lines, Failure::join(failures.map(Err)))
}
