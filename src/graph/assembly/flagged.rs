//! A component that is there for some tenants: for those that have a flag.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tower::{Service, ServiceExt};

use crate::event::{Batch, Event};
use crate::failure::Failure;
use crate::graph::enabled::Flag;
use crate::stage::Stage;

/// Tenants that are asked for at once, of one batch.
const AT_ONCE: usize = 16;

/// Leads events of tenants that have a flag to a component, and others past it.
///
/// Whether a tenant has the flag may have to be asked of a service. Batches take turns meanwhile, so that
/// none overtakes another; what is known already is answered at once. An event whose tenant could not be
/// asked for goes back: it is neither on nor off.
#[derive(Clone)]
pub(super) struct Flagged {
    flag: Flag,
    through: Stage,
    past: Stage,
    turn: Arc<Mutex<()>>,
}

/// Whether the flag is there, by tenant.
type Known = HashMap<String, Result<bool, Failure>>;

impl Flagged {
    pub fn new(flag: Flag, through: Stage, past: Stage) -> Self {
        let turn = Arc::default();
        Self {
            flag,
            through,
            past,
            turn,
        }
    }
}

impl Flag {
    fn tenant_of<'e>(&self, event: &'e Event) -> Option<std::borrow::Cow<'e, str>> {
        event.get(&self.tenant)?.as_str()
    }

    /// Asks for each tenant of a batch once.
    async fn ask(&self, batch: &Batch) -> Known {
        let ids = batch.events().iter().filter_map(|it| self.tenant_of(it));
        let mut ids: Vec<String> = ids.map(|id| id.into_owned()).collect();
        ids.sort_unstable();
        ids.dedup();
        let asked = ids.into_iter().map(|id| async move {
            let has = self.tenants.has_flag(&id, &self.name).await;
            (id, has)
        });
        futures::stream::iter(asked)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// Of an event without a tenant nothing is switched on.
    fn has(&self, event: &Event, known: &Known) -> Result<bool, Failure> {
        let id = self.tenant_of(event);
        let known = id.and_then(|id| known.get(&*id).cloned());
        known.unwrap_or(Ok(false))
    }
}

impl Service<Batch> for Flagged {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.through.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        // The one that is ready goes along.
        let clone = self.through.clone();
        let mut through = std::mem::replace(&mut self.through, clone);
        let (flag, past, turn) = (self.flag.clone(), self.past.clone(), self.turn.clone());
        Box::pin(async move {
            let turn = turn.lock().await;
            let known = flag.ask(&batch).await;
            let (mut on, mut off, mut away) = (Vec::new(), Vec::new(), Vec::new());
            for event in batch.into_events() {
                match flag.has(&event, &known) {
                    Ok(true) => on.push(event),
                    Ok(false) => off.push(event),
                    Err(failure) => away.push(Err(failure.named(&[event.origin]))),
                }
            }
            let (on, off) = (Batch::from(on), Batch::from(off));
            let origins = (on.origins(), off.origins());
            let on: BoxFuture<_> = match origins.0.is_empty() {
                true => Box::pin(std::future::ready(Ok(()))),
                false => through.call(on),
            };
            let off: BoxFuture<_> = match origins.1.is_empty() {
                true => Box::pin(std::future::ready(Ok(()))),
                false => Box::pin(past.oneshot(off)),
            };
            let mut both = Box::pin(futures::future::join(on, off));
            // They have entered what is behind before the next batch may.
            let begun = futures::poll!(&mut both);
            drop(turn);
            let (on, off) = match begun {
                Poll::Ready(answers) => answers,
                Poll::Pending => both.await,
            };
            away.push(on.map_err(|failure| failure.named(&origins.0)));
            away.push(off.map_err(|failure| failure.named(&origins.1)));
            Failure::join(away)
        })
    }
}
