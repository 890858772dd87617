//! The sink `open_messaging`: messages to customers, through the Open Messaging of Genesys Cloud.
//!
//! A message to a customer is the one thing here that cannot be taken back, so this is what holds:
//!
//! **Sent once, where the platform lets us know.** The status of each message is kept by its tenant,
//! organisation and id (`book`). One that was sent is not sent again, whoever delivers it how often;
//! its status is told again. When nobody knows whether a message was sent (the request went out and no
//! answer came, or the process died meanwhile), its tenant's policy says what becomes of it:
//! `at_least_once` sends it again with the same id and time, `at_most_once` has written down before the
//! call that it is being sent, and sets it aside as a dead letter (`unanswered`, or `uncertain` when it
//! was found so). A person who replays that letter has decided to send it.
//!
//! **Never delayed by another's trouble.** Two tenants may have organisations of the same id, so rate,
//! breaker, concurrency and retries are kept apart by tenant and organisation. Within these, messages
//! of one conversation (else to one recipient) go in turn, however often one of them is tried; others
//! go beside them.
//!
//! **What is told is true.** Each status goes to the output `statuses` and is waited for until somebody
//! has it: a message whose status could not be told is delivered again, and not sent again. While the
//! keeper of statuses is away nothing is sent.
//!
//! What the platform's answers mean: 401 asks for another token and repeats, once; 404 rejects
//! (`not_found`); 429 waits as long as it says, with everybody of the organisation; 408, 500, 503 and
//! other 5xx are tried again under the breaker. So are 502 and 504, but since a gateway that gave up
//! does not know what became of a request, they count as no answer where the policy is `at_most_once`.
//! All other refusals reject (`platform_refused`), with the platform's code and none of its words,
//! which may repeat what was sent. Credentials that are refused hold the organisation's messages.

mod about;

pub use about::ABOUT;

mod api;
mod config;
mod limits;
mod message;
mod probe;
mod queue;
mod rehearsal;
mod status;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;

pub use config::Config;

use crate::client::genesys::{Refusal, SendError};
use crate::client::statuses::{Book, Recent, Record, State};
use crate::client::tenants::{Lookup, Organization, Policy, Tenants};
use crate::clock::Wall;
use crate::event::{Batch, Event};
use crate::failure::{Cause, Failure, Kind, UNANSWERED};
use crate::layer::SinkContext;
use crate::layer::rehearsal::Recorder;
use crate::stage::{Sink, Stage};

use message::{About, Fields, Message};
use status::Teller;

/// Messages of one organisation under way at the same time, unless the file says `concurrency`.
pub const CALLS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
/// The output of statuses.
pub const STATUSES: &str = "statuses";

/// Messages whose fate is remembered in memory while they are under way.
const RECENT: usize = 100_000;

/// An open sink. Clones share everything.
#[derive(Clone)]
struct OpenMessaging(Arc<Inner>);

struct Inner {
    fields: Fields,
    existing: bool,
    tenants: Tenants,
    book: Book,
    /// What is known of messages under way and may not be written down yet.
    recent: Recent,
    teller: Teller,
    platform: Platform,
    wall: Wall,
}

/// Who is sent to.
enum Platform {
    /// The organisation's own.
    Real,
    /// Nobody: what would be sent is shown, and counts as taken.
    Rehearsed(Recorder),
}

impl Config {
    /// Opens the sink and puts its stack around it. Connects to nothing yet.
    ///
    /// # Errors
    /// `Fatal`: there are no tenants (`no_tenants`), or the machine has no randomness for TLS.
    pub fn build(self, mut context: SinkContext) -> Result<Stage, Failure> {
        let tenants = self.tenants.clone().ok_or_else(no_tenants)?;
        let (meter, node) = (context.meter.clone(), context.node.clone());
        let key = context
            .policy
            .per_key
            .clone()
            .unwrap_or_else(|| self.apart());
        let api = self.api;
        let sink = self.open(&mut context, tenants.clone(), Platform::Real)?;
        let pruned = sink.0.clone();
        if api {
            let view = api::Conversations::new(&sink.0, meter.clone());
            context.views.publish(&node, view);
        }
        let limits = limits::OfTenants(tenants.clone());
        let stage = context.stack_with(sink, limits);
        Ok(queue::watched(stage, key, tenants, meter, move || {
            let pruned = pruned.clone();
            async move { pruned.book.prune().await }
        }))
    }
}

fn no_tenants() -> Failure {
    Failure::fatal("no_tenants", "there are no tenants to send messages for")
}

impl Config {
    fn open(
        self,
        context: &mut SinkContext,
        tenants: Tenants,
        platform: Platform,
    ) -> Result<OpenMessaging, Failure> {
        let meter = context.meter.clone();
        let book = Book::open(&self.statuses, &context.node, &context.store)?;
        let out = context.outputs.remove(STATUSES);
        Ok(OpenMessaging(Arc::new(Inner {
            fields: self.fields,
            existing: self.existing,
            tenants,
            book,
            recent: Recent::new(RECENT),
            wall: meter.wall().clone(),
            teller: Teller::new(out, meter, self.accepted),
            platform,
        })))
    }
}

impl Sink for OpenMessaging {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let mut answers = Vec::new();
        let mut held = false;
        for event in &batch {
            let answer = match held {
                // What comes behind one that has to wait waits with it, or it would overtake.
                true => Err(Failure::transient(
                    "behind",
                    "an earlier message has to wait",
                )),
                false => self.0.deliver(event, &self.0.fields).await,
            };
            if let Err(failure) = &answer {
                held |= failure.kind() != Kind::Rejected;
            }
            answers.push(answer.map_err(|failure| failure.named(&[event.origin])));
        }
        Failure::join(answers)
    }
}

impl Inner {
    /// `fields`: where everything is found in this event.
    async fn deliver(&self, event: &Event, fields: &Fields) -> Result<(), Failure> {
        let about = About::read(event, fields);
        let message = match Message::read(event, fields, &about) {
            Ok(message) => message,
            Err(wrong) => return self.reject(event, &about, None, wrong.into()).await,
        };
        let found = (self.tenants).organization(&message.tenant, &message.organization);
        let organization = match found.await {
            Ok(organization) => organization,
            Err(Lookup::Away(failure)) => return Err(failure),
            Err(unknown) => return self.reject(event, &about, None, unknown.into()).await,
        };
        let key = message.key();
        let known = self.known(&key).await?.unwrap_or_default();
        let mut record = known.dated(&self.wall);
        // Whoever replays a dead letter has decided.
        let decided = event.replay().is_some();
        match record.state {
            State::Sent | State::Delivered | State::Undelivered => {
                self.settle(&key, &record).await?;
                return self.teller.tell(event, &about, &record).await;
            }
            State::Sending | State::Unknown
                if organization.policy == Policy::AtMostOnce && !decided =>
            {
                record.state = State::Unknown;
                let left = Failure::rejected("uncertain", "nobody knows whether it was sent");
                return self.set_aside(event, &about, &key, record, left).await;
            }
            State::Sending | State::Unknown => record.repeated = true,
            State::New | State::Waiting | State::Failed => {}
        }
        if record.state == State::New {
            self.teller.accepted(event, &about, &record).await?;
        }
        self.send(event, &about, &message, &organization, record)
            .await
    }

    /// What is known of a message.
    async fn known(&self, key: &str) -> Result<Option<Record>, Failure> {
        match self.recent.get(key) {
            Some(known) => Ok(Some(known)),
            None => self.book.read(key).await,
        }
    }

    async fn send(
        &self,
        event: &Event,
        about: &About,
        message: &Message,
        organization: &Organization,
        mut record: Record,
    ) -> Result<(), Failure> {
        let key = message.key();
        let time = record.time_of(message.time.as_deref());
        let outgoing = match message.outgoing(organization, &time, self.existing) {
            Ok(outgoing) => outgoing,
            Err(wrong) => return self.reject(event, about, Some(record), wrong.into()).await,
        };
        record.begin();
        // Written ahead where it must be known after a crash that it may have been sent, or with
        // which time.
        if organization.policy == Policy::AtMostOnce || message.needs_time() {
            self.book.write(&key, &record).await?;
        }
        self.recent.put(&key, &record);
        let answer = match &self.platform {
            Platform::Real => organization.client().send(&outgoing).await,
            Platform::Rehearsed(show) => {
                let shown = rehearsal::send(event, organization, &outgoing, show);
                shown.map_err(SendError::Unsent)
            }
        };
        match answer {
            Ok(sent) => {
                record.sent(sent);
                self.recent.put(&key, &record);
                self.settle(&key, &record).await?;
                self.teller.tell(event, about, &record).await
            }
            Err(error) => {
                self.failed(event, about, &key, organization, record, error)
                    .await
            }
        }
    }

    /// Writes down what became of a message; until that is done it is remembered in memory.
    async fn settle(&self, key: &str, record: &Record) -> Result<(), Failure> {
        if self.recent.get(key).is_some() {
            self.book.write(key, record).await?;
            self.recent.forget(key);
        }
        Ok(())
    }

    async fn failed(
        &self,
        event: &Event,
        about: &About,
        key: &str,
        organization: &Organization,
        mut record: Record,
        error: SendError,
    ) -> Result<(), Failure> {
        let careful = organization.policy == Policy::AtMostOnce;
        let why = match error {
            SendError::Refused(refusal) if careful && matches!(refusal.status, 502 | 504) => {
                let message = format!("the platform's gateway answered {}", refusal.status);
                Why::Silence(Failure::transient("platform_refused", message))
            }
            SendError::Refused(refusal) => refused(&refusal),
            SendError::Unsent(failure) => Why::Passing(failure),
            SendError::Uncertain(failure) => Why::Silence(failure),
        };
        match why {
            Why::Passing(failure) => {
                record.state = State::Waiting;
                self.recent.put(key, &record);
                if careful {
                    // For a crash from here on: it was certainly not sent. Where this cannot be
                    // written, it will count as uncertain.
                    let _ = self.book.write(key, &record).await;
                }
                Err(failure)
            }
            Why::Silence(failure) => {
                record.state = State::Unknown;
                self.recent.put(key, &record);
                if careful {
                    let silence = Failure::rejected(UNANSWERED, failure.to_string());
                    return self.set_aside(event, about, key, record, silence).await;
                }
                // It is sent again with what is known of it; a restart sends it again anyhow.
                let _ = self.book.write(key, &record).await;
                Err(failure)
            }
            Why::Lasting(failure) => {
                self.recent.forget(key);
                self.reject(event, about, Some(record), failure).await
            }
        }
    }

    /// A message of which nobody knows whether it was sent.
    async fn set_aside(
        &self,
        event: &Event,
        about: &About,
        key: &str,
        mut record: Record,
        failure: Failure,
    ) -> Result<(), Failure> {
        record.reason = Some("uncertain".to_owned());
        self.book.write(key, &record).await?;
        self.teller.tell(event, about, &record).await?;
        self.recent.forget(key);
        Err(failure)
    }

    /// A message that will not be sent as it is.
    async fn reject(
        &self,
        event: &Event,
        about: &About,
        record: Option<Record>,
        failure: Failure,
    ) -> Result<(), Failure> {
        let reason = failure.losses().first().map(|loss| loss.cause.reason);
        let tried = record.is_some();
        let mut record = record.unwrap_or_default().dated(&self.wall);
        record.state = State::Failed;
        record.reason = reason.map(str::to_owned);
        if let (true, Some(key)) = (tried, about.key()) {
            self.book.write(&key, &record).await?;
        }
        self.teller.tell(event, about, &record).await?;
        Err(failure)
    }
}

/// What a failed try means.
enum Why {
    /// It was certainly not sent, and may be later.
    Passing(Failure),
    /// It will never be sent as it is.
    Lasting(Failure),
    /// Nobody knows.
    Silence(Failure),
}

fn refused(refusal: &Refusal) -> Why {
    let status = refusal.status;
    let message = format!("the platform refuses with {status} {}", code(&refusal.code));
    let mut cause = Cause::new("platform_refused", message);
    cause.retry_after = refusal.retry_after;
    if status == 429 {
        cause.reason = "throttled";
    }
    match status {
        // A token that was asked for just now is not taken: the organisation's trouble.
        401 | 408 | 429 | 500.. => Why::Passing(Failure::new(Kind::Transient, cause)),
        404 => {
            cause.reason = "not_found";
            Why::Lasting(Failure::new(Kind::Rejected, cause))
        }
        _ => Why::Lasting(Failure::new(Kind::Rejected, cause)),
    }
}

/// A code of the platform's, if it looks like one: it may hold nothing that was sent.
fn code(code: &str) -> &str {
    plain_code(code).unwrap_or("(no code)")
}

fn plain_code(code: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    ((1..=64).contains(&code.len()) && code.chars().all(plain)).then_some(code)
}
