//! One delivery from the first call to the last answer.

use std::collections::{HashMap, HashSet};

use tower::{Service, ServiceExt};

use super::Line;
use crate::event::{Batch, Origin};
use crate::failure::{Failure, Kind, Loss};
use crate::layer::{Account, guard};
use crate::stage::{Letter, Phase, Redelivery, Stage};

/// How often an event that makes a component panic is tried alone before it is dead-lettered.
const PANICS: u32 = 3;

impl Line {
    /// One delivery from the first call to the last answer.
    pub(super) async fn drive(
        self,
        batch: Batch,
        first: Option<<Stage as Service<Batch>>::Future>,
        refused: Vec<Letter>,
        redelivery: Redelivery,
    ) -> Result<(), Failure> {
        if !self.keeps {
            self.meter
                .received((batch.len() + refused.len()) as u64, batch.bytes());
        }
        let events = async {
            match first {
                Some(call) => self.deliver(batch, call, redelivery).await,
                None => Ok(()),
            }
        };
        if refused.is_empty() {
            return events.await;
        }
        let (events, letters) = futures::join!(events, self.bury(refused));
        Failure::join([events, letters])
    }

    /// Dead letters of the source itself. Tried again for as long as they may go well.
    async fn bury(&self, mut letters: Vec<Letter>) -> Result<(), Failure> {
        let mut account = Account::sent(&self.meter, letters.len() as u64);
        let mut attempt = 0;
        loop {
            let answer = guard(self.letters.send(letters.clone())).await;
            let origins: Vec<Origin> = letters.iter().map(|letter| letter.origin).collect();
            let lost = match &answer {
                Ok(()) => HashSet::new(),
                Err(failure) => failure.lost_of(&origins),
            };
            letters.retain(|letter| {
                let kept = !lost.contains(&letter.origin);
                if kept {
                    account.dead_lettered(letter.reason);
                }
                !kept
            });
            let Err(failure) = answer else {
                account.close(0);
                return Ok(());
            };
            attempt += 1;
            if failure.kind() == Kind::Fatal || !self.may_retry(attempt, &failure).await {
                account.close(letters.len() as u64);
                return Err(failure);
            }
        }
    }

    /// Waits before another try; `false` when the pipeline is being stopped.
    async fn may_retry(&self, attempt: u32, failure: &Failure) -> bool {
        let wait = self.policy.backoff.wait(attempt, failure.retry_after());
        let mut phase = self.phase.clone();
        // What is given back because the run ends is no news, and does not go again.
        if *phase.borrow() == Phase::Stopping {
            return false;
        }
        tracing::warn!(source = %self.node, %failure, attempt, ?wait, "not delivered; going again");
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    async fn deliver(
        &self,
        mut batch: Batch,
        first: <Stage as Service<Batch>>::Future,
        redelivery: Redelivery,
    ) -> Result<(), Failure> {
        let mut answer = self.in_time(&batch, first).await;
        let mut attempt = 0;
        let mut panics = 0;
        loop {
            let Err(failure) = answer else { return Ok(()) };
            let failure = failure.named(&batch.origins());
            if failure.kind() == Kind::Fatal {
                return Err(failure);
            }
            attempt += 1;
            let (rest, panicked) = self.again(&failure, &batch, attempt).await?;
            if rest.is_empty() {
                return Ok(());
            }
            // An event that panics is found here even where the transport delivers again: it would
            // come back for ever.
            let ours = redelivery == Redelivery::Engine || panicked;
            if !ours || !self.may_retry(attempt, &failure).await {
                return Err(failure);
            }
            batch = rest;
            panics = if panicked { panics + 1 } else { 0 };
            answer = match panics {
                0 => self.redeliver(batch.clone()).await,
                _ => self.one_by_one(&batch, panics).await,
            };
        }
    }

    /// One way through the graph. What came in with it is counted by whoever calls.
    async fn in_time(
        &self,
        batch: &Batch,
        call: <Stage as Service<Batch>>::Future,
    ) -> Result<(), Failure> {
        let origins = batch.origins();
        let mut account = Account::sent(&self.meter, origins.len() as u64);
        let deadline = self.policy.deadline;
        let answer = tokio::time::timeout(deadline, guard(call))
            .await
            .unwrap_or_else(|_| {
                let message = format!("no answer within the deadline of {deadline:?}");
                Err(Failure::transient("deadline", message))
            });
        let back = answer.as_ref().map_or_else(|f| f.count(&origins), |()| 0);
        account.settled(origins.len() as u64 - back);
        account.close(back);
        answer
    }

    async fn redeliver(&self, batch: Batch) -> Result<(), Failure> {
        self.meter.received(batch.len() as u64, batch.bytes());
        self.meter.redelivered(batch.len() as u64);
        let call = self.stage.clone().oneshot(batch.clone());
        self.in_time(&batch, Box::pin(call)).await
    }

    /// The events that go again, and whether a panic is among the reasons. Rejected ones that no
    /// node on the way could bury are buried here, unless another reason brings them again.
    async fn again(
        &self,
        failure: &Failure,
        batch: &Batch,
        attempt: u32,
    ) -> Result<(Batch, bool), Failure> {
        let (rejected, passing): (Vec<Loss>, Vec<Loss>) = failure
            .losses()
            .iter()
            .cloned()
            .partition(|loss| loss.kind == Kind::Rejected);
        let panicked = passing.iter().any(|loss| loss.cause.reason == "panic");
        let again = Failure::from_losses(passing).map_or_else(HashSet::new, |f| f.lost(batch));
        let mut dead: HashMap<Origin, Vec<&Loss>> = HashMap::new();
        for loss in &rejected {
            let lost = Failure::from_losses(vec![loss.clone()]).map(|f| f.lost(batch));
            for origin in lost.into_iter().flatten().filter(|o| !again.contains(o)) {
                let losses = dead.entry(origin).or_default();
                // One letter for each node that refuses it.
                if losses.iter().all(|other| other.node != loss.node) {
                    losses.push(loss);
                }
            }
        }
        let mut letters = Vec::new();
        for event in batch {
            for Loss { node, cause, .. } in dead.get(&event.origin).into_iter().flatten() {
                let mut letter = Letter::new(event.clone(), cause.reason, cause.message.clone());
                letter.node = node.clone();
                letter.attempts = cause.attempts.max(attempt);
                letters.push(letter);
            }
        }
        if !letters.is_empty() {
            self.meter.received(letters.len() as u64, 0);
            self.meter.redelivered(letters.len() as u64);
            let kept = self.bury(letters).await;
            // What else is under way for these events is over too.
            kept.map_err(|lost| failure.clone().and(lost))?;
        }
        let due = batch.events().iter().filter(|e| again.contains(&e.origin));
        Ok((due.cloned().collect(), panicked))
    }

    /// After a panic: each event alone, so that the one that does it is found. One that goes on
    /// doing it becomes a rejection.
    async fn one_by_one(&self, batch: &Batch, panics: u32) -> Result<(), Failure> {
        let mut answers = Vec::with_capacity(batch.len());
        for event in batch {
            let answer = self.redeliver(Batch::from(vec![event.clone()])).await;
            answers.push(answer.map_err(|failure| {
                let failure = failure.named(&[event.origin]);
                let mut losses = failure.into_losses();
                for loss in &mut losses {
                    if panics >= PANICS && loss.cause.reason == "panic" {
                        loss.kind = Kind::Rejected;
                    }
                }
                Failure::from_losses(losses)
            }));
        }
        let failures = answers.into_iter().filter_map(Result::err).flatten();
        Failure::join(failures.map(Err))
    }
}
