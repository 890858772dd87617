//! Tells what became of messages.

use tower::ServiceExt;

use super::message::About;
use crate::client::statuses::{Record, State};
use crate::event::{Batch, Event};
use crate::failure::{Failure, Kind};
use crate::observe::NodeMeter;
use crate::stage::Stage;

/// Hands status events to whoever reads them.
pub(super) struct Teller {
    out: Option<Stage>,
    meter: NodeMeter,
    /// Whether it is told that a message was accepted.
    accepted: bool,
}

impl Teller {
    pub fn new(out: Option<Stage>, meter: NodeMeter, accepted: bool) -> Self {
        Self {
            out,
            meter,
            accepted,
        }
    }

    /// A message came, and nobody has tried to send it yet.
    pub async fn accepted(
        &self,
        event: &Event,
        about: &About,
        record: &Record,
    ) -> Result<(), Failure> {
        match self.accepted && record.state == State::New {
            true => self.tell(event, about, record).await,
            false => Ok(()),
        }
    }

    /// Waits until whoever reads statuses has this one.
    ///
    /// # Errors
    /// Transient (`status_not_taken`): the message will come again, and is not sent again for it. What
    /// ends the run ends it.
    pub async fn tell(&self, event: &Event, about: &About, record: &Record) -> Result<(), Failure> {
        let Some(out) = &self.out else { return Ok(()) };
        let status = record.told(&about.ids());
        let told = event.with_body(status.to_string());
        let mut told = told.map_err(|_| not_taken("it is no event"))?;
        if told.extra().is_some() {
            // That the status is delivered says nothing of the message.
            told.extra_mut().replay = None;
        }
        let made = Made::one(&self.meter);
        match out.clone().oneshot(Batch::from(vec![told])).await {
            Ok(()) => {
                made.taken();
                Ok(())
            }
            Err(failure) if failure.kind() == Kind::Fatal => Err(failure),
            Err(failure) => Err(not_taken(&failure.to_string())),
        }
    }
}

fn not_taken(why: &str) -> Failure {
    Failure::transient(
        "status_not_taken",
        format!("its status was not taken: {why}"),
    )
}

/// An event that was made: it goes back as one with its message unless it was taken.
struct Made<'a>(Option<&'a NodeMeter>);

impl<'a> Made<'a> {
    fn one(meter: &'a NodeMeter) -> Self {
        meter.created(1);
        Self(Some(meter))
    }

    fn taken(mut self) {
        self.0 = None;
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if let Some(meter) = self.0 {
            meter.rejoined(1);
        }
    }
}
