//! The sink `activity`: which interactions are active, and when participants were, for a wall display.
//!
//! **Active.** An interaction is active while any of its participants is open: of the states that
//! open (`connected`, `in-progress`) or close (`disconnected`, `ended`, `terminated`), its latest by
//! event time opens. Other states are shown and change nothing; of two states of one time, closing
//! counts. A closing state without a participant closes all of the interaction up to its time.
//!
//! **Activity** of a minute is the number of different events whose time lies in it. Events are the
//! same that have the same `eventId` in one interaction, or without one the same participant, state
//! and time.
//!
//! So order, repeats and batches leave nothing behind, for as long as the interaction is remembered:
//! one that has ended is forgotten an hour after the last news of it (`forget_after`), and an event
//! that comes after that counts as new. Its activity stays in the heatmap for its `retention`.
//!
//! A day that is older than what is kept is looked up in an InfluxDB where `history` names one.
//!
//! It is a view: nothing leaves the process but by its answers over HTTP (see `view`). What it knows
//! is kept in the state store and committed with the answer. With `state: memory` it begins anew at
//! each start; workers that share a Redis each show what they have seen since theirs.

mod about;

pub use about::ABOUT;

mod board;
mod config;
mod conversation;
mod days;
mod facts;
mod history;
mod picture;
mod rows;
mod view;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

pub use config::Config;

use crate::event::{Batch, Origin};
use crate::failure::{Cause, Failure, Kind};
use crate::layer::{Kept, SinkContext};
use crate::stage::Sink;
use board::Board;
use facts::{Fact, Hashes, Reader, Refusal};
use rows::Rows;
use view::ActivityView;

/// Events that are taken in under one lock: readers wait for no more (about 0.3 ms).
const AT_ONCE: usize = 256;

/// The time now; tests have their own.
type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the sink and its view share.
#[derive(Clone)]
struct Shared {
    board: Arc<Mutex<Board>>,
    now: Now,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Board> {
        // A panic in the middle of a batch leaves events uncounted that come again.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since 1970.
    fn milliseconds(&self) -> u64 {
        u64::try_from((self.now)().as_millisecond()).unwrap_or(0)
    }
}

/// An open sink.
#[derive(Clone)]
pub struct Activity {
    shared: Shared,
    reader: Arc<Reader>,
    rows: Rows,
}

impl Config {
    /// What becomes of events.
    pub fn kept(&self) -> Kept {
        Kept::Lasting {
            idempotent: Some("activity is counted by conversation and participant"),
            limit: Some(
                "it is a view: it lasts as long as its retention, and with state in memory or in a \
                 Redis until the next start",
            ),
        }
    }
}

/// Opens the sink with what its table remembers, and publishes its view.
///
/// # Errors
/// Fatal when the state store cannot be read, or the history's token cannot be sent.
pub async fn open(config: Config, context: &SinkContext) -> Result<Activity, Failure> {
    let wall = context.meter.wall().clone();
    open_at(config, context, Arc::new(move || wall.now())).await
}

async fn open_at(config: Config, context: &SinkContext, now: Now) -> Result<Activity, Failure> {
    let (hashes, rows) = (Hashes::new(context.table.seed()), Rows::of(&context.table));
    let shared = match context.views.of::<ActivityView>(&context.node) {
        // A reload puts this node in place of one that goes on until then: both have one memory.
        Some(before) => {
            before.shared.lock().set(&config);
            before.shared.clone()
        }
        None => load(&config, context, rows.clone(), now).await?,
    };
    let view = ActivityView::new(shared.clone(), hashes.clone(), &config)?;
    context.views.publish(&context.node, Arc::new(view));
    Ok(Activity {
        shared,
        reader: Arc::new(Reader::new(config, hashes)),
        rows,
    })
}

async fn load(
    config: &Config,
    context: &SinkContext,
    rows: Rows,
    now: Now,
) -> Result<Shared, Failure> {
    let since_1970 = u64::try_from(now().as_millisecond()).unwrap_or(0);
    let (config, meter) = (config.clone(), context.meter.clone());
    // Reading the table takes a while and blocks.
    let open = move || Board::open(&config, &rows, meter, since_1970);
    let opened = tokio::task::spawn_blocking(open).await;
    let ended = |_| Failure::fatal("state_io", "the view of activity could not be read");
    let board = opened.map_err(ended)??;
    Ok(Shared {
        board: Arc::new(Mutex::new(board)),
        now,
    })
}

impl Sink for Activity {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let now = self.shared.milliseconds();
        let mut refused: Vec<(Refusal, Vec<Origin>)> = Vec::new();
        let mut refuse = |refusal, origin| match refused.iter_mut().find(|it| it.0 == refusal) {
            Some((_, origins)) => origins.push(origin),
            None => refused.push((refusal, vec![origin])),
        };
        for events in batch.events().chunks(AT_ONCE) {
            let mut facts: Vec<Fact<'_>> = Vec::with_capacity(events.len());
            for event in events {
                match self.reader.read(event, now) {
                    Ok(fact) => facts.push(fact),
                    Err(refusal) => refuse(refusal, event.origin),
                }
            }
            for origin in self.shared.lock().take(&facts, now, &self.rows) {
                refuse(Refusal::TooMany, origin);
            }
        }
        let failures = refused.into_iter().filter_map(|(refusal, origins)| {
            let cause = Cause::new(refusal.reason(), refusal.message());
            Failure::only(Kind::Rejected, cause, origins)
        });
        match failures.reduce(Failure::and) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}
