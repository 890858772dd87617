//! Messages that are shown instead of sent.

use super::{Config, Platform};
use crate::client::genesys::{Outgoing, Sent};
use crate::client::tenants::Organization;
use crate::event::Event;
use crate::failure::Failure;
use crate::layer::SinkContext;
use crate::layer::rehearsal::{Leaving, Recorder, fields_of, key_of};
use crate::stage::Stage;

impl Config {
    /// Shows the call of each message and goes on as if the platform had taken it: statuses go to the
    /// output, and a message that comes again is not sent again. Nobody is asked for statuses, and no
    /// tenant service for tenants.
    ///
    /// # Errors
    /// As [`build`](Config::build).
    pub fn rehearse(mut self, mut context: SinkContext, show: Recorder) -> Result<Stage, Failure> {
        let tenants = self.tenants.clone().ok_or_else(super::no_tenants)?;
        if self.statuses.stay_home() {
            show.note("nobody is asked for the statuses of messages: none was sent before");
        }
        if tenants.stay_home() {
            show.note(
                "the tenant service is not asked: every tenant and organisation counts as known, and \
                 each message goes to a made-up address",
            );
        }
        let sink = self.open(&mut context, tenants, Platform::Rehearsed(show))?;
        Ok(context.stack(sink))
    }
}

/// Shows the call; the platform took it.
pub(super) fn send(
    event: &Event,
    organization: &Organization,
    outgoing: &Outgoing,
    show: &Recorder,
) -> Result<Sent, Failure> {
    let leaving = organization.client().leaving(outgoing)?;
    let mut fields = vec![("url".to_owned(), leaving.head.as_str().into())];
    fields.extend(fields_of("body", leaving.body.as_deref().unwrap_or("")));
    let leaving = Leaving {
        details: [
            vec![(
                "organization".to_owned(),
                format!("{}/{}", organization.tenant, organization.id).into(),
            )],
            leaving.details.clone(),
        ]
        .concat(),
        ..leaving
    };
    show.leave(leaving.of(event, fields));
    Ok(Sent {
        // The platform's own ids are not known: one that tells messages apart and is the same each time.
        message: Some(format!("rehearsed-{}", key_of(event.origin))),
        conversation: None,
    })
}
