//! A node's output: to one stage, or to several whose answers are joined.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tower::{Service, ServiceExt};

use super::Gate;
use crate::event::{Batch, Origin};
use crate::failure::Failure;
use crate::observe::{NodeMeter, Tap};
use crate::stage::Stage;

/// Who reads an output. Clones share it, and what is set is seen by the next batch.
#[derive(Clone, Default)]
pub struct Consumers(Arc<RwLock<Arc<[Gate]>>>);

impl Consumers {
    /// These alone from now on.
    pub fn set(&self, gates: Vec<Gate>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = gates.into();
    }

    fn get(&self) -> Arc<[Gate]> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Hands a batch to every consumer; `Ok` only when all of them are. Here a node's deliveries and
/// its copies are counted. What failed is not: of each event that failed, however many copies of it
/// there are, one is left for the node's own account to give back.
#[derive(Clone)]
pub struct Output {
    consumers: Consumers,
    meter: NodeMeter,
    tap: Option<Tap>,
}

impl Output {
    /// To these consumers, of which there is at least one.
    pub fn new(consumers: Vec<Stage>, meter: NodeMeter) -> Self {
        let gates = consumers.into_iter().map(Gate::new).collect();
        let consumers = Consumers::default();
        consumers.set(gates);
        Self::to(consumers, meter)
    }

    /// To whoever reads it at the time.
    pub fn to(consumers: Consumers, meter: NodeMeter) -> Self {
        Self {
            consumers,
            meter,
            tap: None,
        }
    }

    /// The same, and who looks at the tap sees what goes on.
    #[must_use]
    pub fn tapped(self, tap: Tap) -> Self {
        Self {
            tap: Some(tap),
            ..self
        }
    }
}

type Call = <Stage as Service<Batch>>::Future;

/// A batch that was handed to every consumer, and their answers so far.
struct Sent {
    meter: NodeMeter,
    origins: Vec<Origin>,
    sizes: Vec<u64>,
    calls: Vec<(Call, Option<Result<(), Failure>>)>,
}

impl Sent {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pending = false;
        for (call, answer) in &mut self.calls {
            if answer.is_none() {
                match call.poll_unpin(cx) {
                    Poll::Ready(ready) => *answer = Some(ready),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn joined(&mut self) -> Result<(), Failure> {
        let answers = self.calls.iter().filter_map(|(_, answer)| answer.clone());
        Failure::join(answers.map(|answer| answer.map_err(|failure| failure.named(&self.origins))))
    }

    /// Counts each copy by its fate. One whose answer did not come has failed.
    fn count(&self) {
        let bytes: u64 = self.sizes.iter().sum();
        let copies = self.calls.len() as u64;
        if self
            .calls
            .iter()
            .all(|(_, answer)| matches!(answer, Some(Ok(()))))
        {
            let events = self.origins.len() as u64;
            return self.meter.handed_on(events * copies, bytes * copies);
        }
        let lost: Vec<HashSet<Origin>> = self
            .calls
            .iter()
            .map(|(_, answer)| match answer {
                Some(Ok(())) => HashSet::new(),
                Some(Err(failure)) => failure.lost_of(&self.origins),
                None => self.origins.iter().copied().collect(),
            })
            .collect();
        let (mut delivered, mut size, mut rejoined) = (0, 0, 0);
        for (origin, bytes) in self.origins.iter().zip(&self.sizes) {
            let failed = lost.iter().filter(|lost| lost.contains(origin)).count() as u64;
            delivered += copies - failed;
            size += bytes * (copies - failed);
            // Copies that failed come back as the one event they were.
            rejoined += failed.saturating_sub(1);
        }
        self.meter.handed_on(delivered, size);
        self.meter.rejoined(rejoined);
    }
}

impl Drop for Sent {
    /// Also where the caller goes away before all answers are there.
    fn drop(&mut self) {
        self.count();
    }
}

impl Service<Batch> for Output {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // Gates always are: a batch waits inside its call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        if batch.is_empty() {
            return futures::future::ready(Ok(())).boxed();
        }
        if let Some(tap) = &self.tap {
            tap.pass(&batch);
        }
        let consumers = self.consumers.get();
        let mut sent = Sent {
            meter: self.meter.clone(),
            origins: batch.origins(),
            sizes: batch.events().iter().map(|event| event.length()).collect(),
            calls: Vec::with_capacity(consumers.len()),
        };
        let copies = consumers.len() as u64;
        self.meter
            .created(batch.len() as u64 * copies.saturating_sub(1));
        for consumer in consumers.iter() {
            sent.calls
                .push((consumer.clone().call(batch.clone()), None));
        }
        drop(batch);
        Box::pin(async move {
            poll_fn(|cx| sent.poll(cx)).await;
            sent.joined()
        })
    }
}

/// The named outputs of a node, for a `split`.
#[derive(Clone)]
pub struct Outputs(pub Vec<Option<Stage>>);

impl Outputs {
    /// Hands each part to its output, all at once; `settled` hears as each answers how many of its
    /// events did not fail. A part with no output is answered `Ok` and returned as a count of what
    /// went nowhere.
    pub fn send<'a>(
        &self,
        parts: Vec<Batch>,
        settled: &'a (dyn Fn(u64) + Sync),
    ) -> (BoxFuture<'a, Result<(), Failure>>, u64) {
        let mut nowhere = 0;
        let mut calls = Vec::new();
        for (index, part) in parts.into_iter().enumerate() {
            match self.0.get(index).and_then(Option::as_ref) {
                _ if part.is_empty() => {}
                Some(stage) => {
                    let origins = part.origins();
                    let call = stage.clone().oneshot(part);
                    calls.push(async move {
                        let answer = call.await.map_err(|f| f.named(&origins));
                        let back = answer.as_ref().map_or_else(|f| f.count(&origins), |()| 0);
                        settled(origins.len() as u64 - back);
                        answer
                    });
                }
                None => nowhere += part.len() as u64,
            }
        }
        let joined = async move { Failure::join(join_all(calls).await) };
        (joined.boxed(), nowhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use crate::layer::Account;
    use crate::layer::testing::{Script, batch, counts, meter, only};

    /// Through an output with these consumers, as a node that does nothing else.
    async fn through(consumers: &[Script], cancel: bool) -> crate::observe::Counts {
        let (observer, meter) = meter();
        let stages = consumers.iter().map(Script::stage).collect();
        let mut account = Account::open(&meter, 4, batch(4).bytes());
        let mut call = Output::new(stages, meter).oneshot(batch(4)).boxed();
        if cancel {
            assert!((&mut call).now_or_never().is_none());
            drop(call);
            drop(account);
            return counts(&observer);
        }
        let answer = call.await;
        let back = answer.map_or_else(|failure| failure.count(&batch(4).origins()), |()| 0);
        account.settled(4 - back);
        account.close(back);
        counts(&observer)
    }

    fn fails(places: &'static [usize]) -> Script {
        Script::new(move |_, _| async move { Err(only(Kind::Transient, places)) })
    }

    #[tokio::test]
    async fn copies_that_fail_in_part_go_back_as_the_events_they_were() {
        let counts = through(&[Script::well(), fails(&[0, 1]), fails(&[1, 2])], false).await;
        // Of 12 copies 4 failed, and those are of 3 events.
        assert_eq!(
            (counts.delivered, counts.given_back, counts.created),
            (8, 3, 7)
        );
        let counts = through(&[Script::well(), Script::well()], false).await;
        assert_eq!(
            (counts.delivered, counts.given_back, counts.created),
            (8, 0, 4)
        );
        let counts = through(&[fails(&[3])], false).await;
        assert_eq!(
            (counts.delivered, counts.given_back, counts.created),
            (3, 1, 0)
        );
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_has_delivered_what_was_answered() {
        let hangs = Script::new(|_, _| std::future::pending());
        let counts = through(&[Script::well(), hangs.clone()], true).await;
        assert_eq!(
            (counts.delivered, counts.given_back, counts.created),
            (4, 4, 4)
        );
        let counts = through(&[hangs.clone(), hangs], true).await;
        assert_eq!(
            (counts.delivered, counts.given_back, counts.created),
            (0, 4, 0)
        );
    }
}
