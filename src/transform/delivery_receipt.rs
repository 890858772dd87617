//! `delivery_receipt`: what the platform says of messages that were sent, tied to these messages.
//!
//! ```yaml
//! outcomes: { type: delivery_receipt, inputs: [once], sink: messages }
//! ```
//!
//! It reads what `genesys_webhook` brings. A receipt has the platform's id of its message: by that the
//! message is found in the book of statuses that the sink `open_messaging` writes, its status goes from
//! `sent` to `delivered` or `failed`, and a status event goes on, of the same shape as those of the
//! sink's output `statuses`.
//!
//! - **A status never goes back.** What is late (`sent` after `delivered`) or contradicts what is final
//!   is dropped (`late_receipt`). A final status that comes again is told again, since it may come again
//!   because the first could not be told; a `dedup` in front takes repeats out.
//! - **It is written down before it is told**, so that both agree after a crash.
//! - **A receipt can overtake the answer** to the call that sent its message. One whose message is not
//!   known waits a little, and goes to the output `unknown` then: it may be of a message that an agent
//!   wrote, or one older than statuses are kept.
//! - **What is no receipt** (a message of an agent, an event) goes to the output `messages` as it came.
//! - While the keeper of statuses is away receipts wait with whoever posts them.

mod about;

pub use about::ABOUT;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};

use crate::client::statuses::{Book, Ids, Progress, Record, State, Statuses};
use crate::event::{Batch, Event, Kind, Path};
use crate::failure::Failure;
use crate::layer::TransformContext;
use crate::observe::NodeMeter;
use crate::setting::Fields;
use crate::stage::{Split, Stage};

/// Its outputs beside the unnamed one: what is no receipt, and receipts of unknown messages.
pub const OUTPUTS: [&str; 2] = ["messages", "unknown"];

/// Longest wait for a message to be known; a webhook has to answer in 10 s.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Receipts of one batch that are worked on side by side.
const ASIDE: usize = 16;
/// Receipts of one message are worked on one after the other; messages share so many locks.
const LOCKS: usize = 64;

/// The fields of a transform `delivery_receipt`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `statuses`: who keeps the status of each message, as the sink says it; default `local`.
    pub statuses: Statuses,
    /// `sink`: whose messages they are, where they are kept in the pipeline's state.
    pub sink: String,
    /// `wait`: for how long a receipt waits until its message is known; default 2 s.
    pub wait: Duration,
    paths: Paths,
}

#[derive(Clone, Debug)]
struct Paths {
    id: Path,
    kind: Path,
    status: Path,
    reasons: Path,
    told: Path,
}

impl Config {
    /// Reads the fields; all mistakes go into the report.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let statuses = Statuses::check(fields);
        let local = matches!(statuses, None | Some(Statuses::Local { .. }));
        let sink = match local {
            true => fields.required::<String>("sink"),
            // The keeper knows all messages, whichever sink they are of.
            false => Some(fields.or("sink", String::new())),
        };
        let wait = fields.or("wait", Duration::from_secs(2));
        if wait > LONGEST {
            fields.error(
                "out-of-range",
                fields.span_of("wait"),
                "`wait` is above 60s",
            );
        }
        Some(Self {
            statuses: statuses?,
            sink: sink?,
            wait,
            paths: Paths {
                id: Path::of(["id"]),
                kind: Path::of(["type"]),
                status: Path::of(["status"]),
                reasons: Path::of(["reasons"]),
                told: Path::of(["platformMessageId"]),
            },
        })
    }

    /// Statuses are looked for in the state, whoever keeps them; says so.
    pub fn stay_home(&mut self) -> Option<&'static str> {
        let kept = self.statuses.stay_home();
        kept.then_some(
            "nobody is asked for the statuses of messages: only those of this run are known",
        )
    }

    /// Shows its paths.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        let Paths {
            id,
            kind,
            status,
            reasons,
            told,
        } = &mut self.paths;
        [id, kind, status, reasons, told]
            .into_iter()
            .for_each(visit);
    }

    /// The node in front of its outputs.
    ///
    /// # Errors
    /// Fatal (`http_client`) when the machine has no randomness for TLS.
    pub fn build(&self, context: TransformContext) -> Result<Stage, Failure> {
        let book = Book::open(&self.statuses, &self.sink, &context.store)?;
        let names = [crate::layer::MAIN, OUTPUTS[0], OUTPUTS[1]].map(str::to_owned);
        let meter = context.meter.clone();
        let inner = context.split(Sort(Arc::new(self.paths.clone())), &names);
        let shared = Shared {
            book,
            wait: self.wait,
            paths: self.paths.clone(),
            locks: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            meter,
        };
        Ok(Stage::new(Receipts {
            inner,
            shared: Arc::new(shared),
        }))
    }
}

/// Makes status events of receipts, and hands all on to be sorted.
#[derive(Clone)]
struct Receipts {
    inner: Stage,
    shared: Arc<Shared>,
}

struct Shared {
    book: Book,
    wait: Duration,
    paths: Paths,
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
    meter: NodeMeter,
}

/// What a receipt says.
struct Receipt {
    message: String,
    state: State,
    reason: Option<String>,
}

impl Service<Batch> for Receipts {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        Box::pin(async move {
            let events = batch.into_events().into_iter();
            let told = events.map(|event| shared.told(event));
            // In the order in which they came.
            let told: Vec<Event> = stream::iter(told).buffered(ASIDE).try_collect().await?;
            inner.oneshot(Batch::from(told)).await
        })
    }
}

impl Shared {
    /// The status event that a receipt makes; `null` where it says nothing new; else the event itself.
    async fn told(&self, event: Event) -> Result<Event, Failure> {
        let Some(receipt) = self.paths.receipt(&event) else {
            return Ok(event);
        };
        let Some(key) = self.key_of(&receipt.message).await? else {
            self.meter.label("unknown_message", 1);
            return Ok(event);
        };
        let place = self.hasher.hash_one(&key) as usize % LOCKS;
        let _turn = self.locks[place].lock().await;
        let record = self.book.read(&key).await?;
        let Some(record) = record else {
            self.meter.label("unknown_message", 1);
            return Ok(event);
        };
        let mut record = record.dated(self.meter.wall());
        let text = match record.receive(receipt.state, receipt.reason) {
            Progress::Ahead => {
                self.book.write(&key, &record).await?;
                told(&key, &record)
            }
            // The sink has told this one.
            Progress::Same if record.state == State::Sent => NOTHING.to_owned(),
            Progress::Same => told(&key, &record),
            Progress::Behind => NOTHING.to_owned(),
        };
        let made = event.with_body(text);
        made.map_err(|_| Failure::transient("status", "a status is no event"))
    }

    /// The message that the platform knows by this id. The answer that told the id may be on its way.
    async fn key_of(&self, message: &str) -> Result<Option<String>, Failure> {
        let until = Instant::now() + self.wait;
        loop {
            let found = self.book.key_of(message).await?;
            if found.is_some() || Instant::now() >= until {
                return Ok(found);
            }
            sleep(LOOK).await;
        }
    }
}

/// The body of what is dropped.
const NOTHING: &str = "null";

fn told(key: &str, record: &Record) -> String {
    record.told(&Ids::of(key)).to_string()
}

impl Paths {
    fn is_receipt(&self, event: &Event) -> bool {
        event.text(&self.kind).as_deref() == Some("Receipt")
    }

    /// `None` for what is none, or says nothing that is kept.
    fn receipt(&self, event: &Event) -> Option<Receipt> {
        if !self.is_receipt(event) {
            return None;
        }
        let state = match event.text(&self.status).as_deref() {
            Some("Sent" | "Published") => State::Sent,
            Some("Delivered") => State::Delivered,
            Some("Failed") => State::Undelivered,
            _ => return None,
        };
        let message = event.text(&self.id).filter(|id| !id.is_empty())?;
        let reason = event.get(&self.reasons);
        let reason = reason.and_then(|reasons| reasons.elements().next()?.member("code"));
        let reason = reason.and_then(|code| Some(code.as_str()?.into_owned()));
        Some(Receipt {
            message: message.into_owned(),
            state,
            // Codes are the platform's; anything else may be what was said.
            reason: reason
                .filter(|_| state == State::Undelivered)
                .filter(|it| is_code(it)),
        })
    }
}

fn is_code(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=64).contains(&code.len()) && code.chars().all(plain)
}

/// Sorts what was made: statuses, what is no receipt, receipts of unknown messages.
#[derive(Clone)]
struct Sort(Arc<Paths>);

impl Split for Sort {
    fn split(&self, batch: Batch) -> (Vec<Batch>, Vec<(&'static str, u64)>) {
        let (mut statuses, mut messages, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        let mut late = 0;
        for event in batch.into_events() {
            if event.body().kind() == Kind::Null {
                late += 1;
            } else if self.0.is_receipt(&event) {
                unknown.push(event);
            } else if event.get(&self.0.told).is_some() && event.get(&self.0.kind).is_none() {
                statuses.push(event);
            } else {
                messages.push(event);
            }
        }
        let dropped = match late {
            0 => Vec::new(),
            late => vec![("late_receipt", late)],
        };
        let parts = [statuses, messages, unknown].map(Batch::from);
        (parts.into(), dropped)
    }
}
