//! Where rejected events leave, and where a node's outcome is counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tower::Service;

use super::{Account, LetterBox, guard};
use crate::event::{Batch, Event, Origin};
use crate::failure::{Failure, Kind, Loss};
use crate::observe::NodeMeter;
use crate::stage::{Letter, Stage};

/// `Rejected` events leave here with reason, attempts and origin; the others' failure goes back.
/// A rejected event whose letter is kept counts as settled. A panic below is a failure.
#[derive(Clone)]
pub struct DeadLetter {
    inner: Stage,
    letters: LetterBox,
    meter: NodeMeter,
    /// A sink's stack counts here what was delivered; a transform's output does that itself.
    counts: bool,
}

impl DeadLetter {
    /// Around a sink's stack.
    pub fn around_sink(inner: Stage, letters: LetterBox, meter: NodeMeter) -> Self {
        Self {
            inner,
            letters,
            meter,
            counts: true,
        }
    }

    /// Around a stage that forwards to others. Only what is born in it (`node`) is its to bury:
    /// what a node further down answers has been through that node's own dead letters.
    pub fn around_stage(inner: Stage, letters: LetterBox, meter: NodeMeter) -> Self {
        Self {
            inner,
            letters,
            meter,
            counts: false,
        }
    }

    fn is_ours(&self, loss: &Loss) -> bool {
        let here = loss.node.is_empty() || loss.node.as_ref() == self.meter.name();
        loss.kind == Kind::Rejected && (self.counts || here)
    }

    async fn settle(
        self,
        batch: Batch,
        account: Account,
        answer: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Err(failure) = answer else {
            self.close(account, &batch, &HashMap::new(), &Ok(()));
            return Ok(());
        };
        let failure = failure.named(&batch.origins());
        let (ours, back): (Vec<_>, Vec<_>) = failure
            .into_losses()
            .into_iter()
            .partition(|loss| self.is_ours(loss));
        let back = Failure::from_losses(back).map_or(Ok(()), Err);
        // An event that one loss rejects and another gives back is given back: it will come again.
        let returned = lost(&back, &batch);
        let mut dead: HashMap<Origin, &Loss> = HashMap::new();
        for loss in &ours {
            let rejected = Failure::from_losses(vec![loss.clone()]).map_or(Ok(()), Err);
            for origin in lost(&rejected, &batch).difference(&returned) {
                dead.entry(*origin).or_insert(loss);
            }
        }
        let letters = batch
            .events()
            .iter()
            .filter_map(|event| Some(self.letter(event, dead.get(&event.origin)?)))
            .collect();
        let kept = self.letters.send(letters).await;
        let answer = Failure::join([back, kept]);
        self.close(account, &batch, &dead, &answer);
        answer
    }

    /// Counts each event by its fate.
    fn close(
        &self,
        mut account: Account,
        batch: &Batch,
        dead: &HashMap<Origin, &Loss>,
        answer: &Result<(), Failure>,
    ) {
        let lost = lost(answer, batch);
        let (mut back, mut delivered, mut bytes) = (0, 0, 0);
        let mut taken = Vec::new();
        for event in batch {
            if lost.contains(&event.origin) {
                back += 1;
            } else if let Some(loss) = dead.get(&event.origin) {
                account.dead_lettered(loss.cause.reason);
            } else {
                delivered += 1;
                bytes += event.length();
                if self.counts && self.meter.hours().is_some() {
                    taken.push((event.origin, self.meter.fate()));
                }
                if let (true, Some(replay)) = (self.counts, event.replay()) {
                    replay.delivered();
                }
            }
        }
        if let Some(hours) = self.meter.hours() {
            hours.tell(taken);
        }
        match self.counts {
            true => account.delivered(delivered, bytes),
            false => account.settled(delivered),
        }
        account.close(back);
    }

    fn letter(&self, event: &Event, loss: &Loss) -> Letter {
        let mut letter = Letter::new(event.clone(), loss.cause.reason, loss.cause.message.clone());
        letter.attempts = loss.cause.attempts;
        letter.node = if loss.node.is_empty() {
            Arc::from(self.meter.name())
        } else {
            loss.node.clone()
        };
        letter
    }
}

/// The origins among the batch that the answer does not cover.
fn lost(answer: &Result<(), Failure>, batch: &Batch) -> HashSet<Origin> {
    answer
        .as_ref()
        .map_or_else(|f| f.lost(batch), |()| HashSet::new())
}

impl Service<Batch> for DeadLetter {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let account = Account::open(&self.meter, batch.len() as u64, batch.bytes());
        let answer = self.inner.call(batch.clone());
        let this = self.clone();
        Box::pin(async move {
            let node = this.meter.name().into();
            let answer = guard(answer).await.map_err(|failure| failure.at(&node));
            this.settle(batch, account, answer).await
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::layer::testing::{Script, batch, busy, counts, kept, letters, meter, only};

    fn rejects(places: &'static [usize]) -> Script {
        Script::new(move |_, _| async move { Err(only(Kind::Rejected, places)) })
    }

    #[tokio::test]
    async fn rejected_events_leave_with_reason_node_and_tries() {
        let (observer, meter) = meter();
        let (letters, kept) = kept();
        let script = Script::new(|_, _| async {
            let mut losses = only(Kind::Rejected, &[1]).into_losses();
            losses[0].cause.attempts = 3;
            Err(Failure::from_losses(losses).unwrap())
        });
        let stage = DeadLetter::around_sink(script.stage(), letters, meter);
        stage.oneshot(batch(3)).await.unwrap();
        let letter: serde_json::Value = serde_json::from_str(&kept.lock().unwrap()[0]).unwrap();
        assert_eq!(letter["reason"], "scripted");
        assert_eq!(letter["node"], "sink");
        assert_eq!(letter["attempts"], 3);
        assert_eq!(letter["event"]["n"], 1);
        let counts = counts(&observer);
        assert_eq!((counts.delivered, counts.dead_lettered["scripted"]), (2, 1));
        assert_eq!(counts.bytes_delivered * 3, counts.bytes_received * 2);
    }

    #[tokio::test]
    async fn an_event_whose_letter_is_not_kept_is_given_back() {
        let (observer, meter) = meter();
        // Of two letters one is kept.
        let full = Script::new(|_, _| async { Err(only(Kind::Transient, &[2])) });
        let letters = letters(Some(full.stage()));
        let stage = DeadLetter::around_sink(rejects(&[0, 2]).stage(), letters, meter);
        let failure = stage.oneshot(batch(3)).await.unwrap_err();
        assert_eq!(failure.lost(&batch(3)), HashSet::from([Origin::new(1, 2)]));
        let counts = counts(&observer);
        assert_eq!((counts.delivered, counts.given_back), (1, 1));
        assert_eq!(counts.dead_lettered["scripted"], 1);
    }

    #[tokio::test]
    async fn without_dead_letters_the_run_must_stop() {
        let (observer, meter) = meter();
        let stage = DeadLetter::around_sink(rejects(&[0]).stage(), letters(None), meter);
        let failure = stage.oneshot(batch(2)).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Fatal);
        assert_eq!(counts(&observer).given_back, 1);
    }

    #[tokio::test]
    async fn what_fails_for_a_passing_reason_goes_back_and_is_not_buried() {
        let (observer, meter) = meter();
        let (letters, kept) = kept();
        let script = Script::new(|_, _| async {
            Err(only(Kind::Rejected, &[0, 1]).and(only(Kind::Transient, &[1, 2])))
        });
        let stage = DeadLetter::around_sink(script.stage(), letters, meter);
        let failure = stage.oneshot(batch(4)).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Transient);
        assert_eq!(kept.lock().unwrap().len(), 1);
        let counts = counts(&observer);
        assert_eq!((counts.delivered, counts.given_back), (1, 2));
    }

    #[tokio::test]
    async fn a_panic_and_a_call_that_is_dropped_give_everything_back() {
        let (observer, meter) = meter();
        let panics = Script::new(|_, _| async { panic!("scripted") });
        let stage = DeadLetter::around_sink(panics.stage(), letters(None), meter.clone());
        let failure = stage.oneshot(batch(2)).await.unwrap_err();
        assert_eq!(failure.losses()[0].cause.reason, "panic");
        let hangs = Script::new(|_, _| async { std::future::pending().await });
        let mut stage = DeadLetter::around_sink(hangs.stage(), letters(None), meter.clone());
        drop(stage.call(batch(3)));
        let fails = Script::new(|_, _| async { Err(busy()) });
        let stage = DeadLetter::around_sink(fails.stage(), letters(None), meter);
        stage.oneshot(batch(4)).await.unwrap_err();
        assert_eq!(counts(&observer).given_back, 9);
    }
}
