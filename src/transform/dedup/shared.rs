//! Keys that several workers share.
//!
//! Keys that are new here are claimed in one request for the whole batch before any of its events
//! goes on. What another worker delivered is dropped. What another has under way is held, and
//! shares the fate of that event: delivered, it is dropped; lost, it fails alike and comes again.
//! While the shared state is away nothing goes on.
//!
//! No two workers wait for each other for ever: a worker says what it delivered before it waits
//! for what others have under way.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tower::Service;

use super::Sorted;
use super::key::Fingerprint;
use crate::event::{Batch, Origin};
use crate::failure::{Cause, Failure, Kind, Loss, Which};
use crate::layer::Turn;
use crate::stage::Stage;
use crate::state::{Claims, Standing};

/// Waits between two looks at keys that are under way elsewhere: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The way of one batch, given what is known of its keys here. `turn` keeps the order of the calls.
pub(super) async fn run(
    claims: Claims,
    inner: Stage,
    batch: Batch,
    mut sorted: Sorted,
    turn: Turn,
) -> Result<(), Failure> {
    let keys: Vec<[u8; 16]> = bytes(&sorted.flight.keys).collect();
    let mut busy = Vec::new();
    let mut batch = batch;
    if !keys.is_empty() {
        let standings = match claims.claim(keys).await {
            Ok((claim, standings)) => {
                sorted.flight.claim = Some(claim);
                standings
            }
            Err(failure) => return sorted.answer(Err(failure)).await,
        };
        busy = sorted.part(&standings);
        let gone = &sorted.flight.elsewhere;
        if !gone.is_empty() {
            let gone: HashSet<Origin> = gone.iter().map(|(_, origin)| *origin).collect();
            let stays = |event: &crate::event::Event| !gone.contains(&event.origin);
            batch.make_mut().retain(stays);
        }
    }
    let below = deliver(inner, batch, turn).await;
    let below = sorted.name(below);
    sorted.tell(&below);
    let (dropped, elsewhere) = wait(&claims, busy).await;
    sorted.known += dropped;
    let flight = &mut sorted.flight;
    flight.keys.append(&mut flight.elsewhere);
    sorted.finish(Failure::join([below, elsewhere])).await
}

/// Calls the stage below in this batch's turn.
async fn deliver(mut inner: Stage, batch: Batch, turn: Turn) -> Result<(), Failure> {
    turn.wait().await;
    if batch.is_empty() {
        return Ok(());
    }
    let mut call = inner.call(batch);
    // The first poll takes this batch's place in the lines below; then the next one may go.
    let first = futures::poll!(&mut call);
    drop(turn);
    match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => call.await,
    }
}

/// Waits until none of the keys is under way elsewhere. How many were delivered there, and what
/// is to come again.
async fn wait(claims: &Claims, mut busy: Vec<(Fingerprint, Origin)>) -> (u64, Result<(), Failure>) {
    let (mut dropped, mut lost, mut pause) = (0, Vec::new(), FIRST_WAIT);
    while !busy.is_empty() {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_WAIT);
        let keys: Vec<[u8; 16]> = bytes(&busy).collect();
        let standings = match claims.look(&keys).await {
            Ok(standings) => standings,
            Err(failure) => {
                let left: Vec<Origin> = busy.iter().map(|(_, origin)| *origin).collect();
                return (dropped, Err(failure.named(&left)));
            }
        };
        let mut standings = standings.into_iter();
        busy.retain(|(_, origin)| match standings.next() {
            Some(Standing::Seen) => {
                dropped += 1;
                false
            }
            Some(Standing::Free) => {
                lost.push(*origin);
                false
            }
            Some(Standing::Busy) | None => true,
        });
    }
    let text = "another worker had an event of this key under way and did not deliver it";
    let loss = (!lost.is_empty()).then(|| Loss {
        kind: Kind::Transient,
        node: Arc::default(),
        which: Which::Only(lost),
        cause: Cause::new("lost_elsewhere", text),
    });
    let answer = Failure::from_losses(loss.into_iter().collect());
    (dropped, answer.map_or(Ok(()), Err))
}

fn bytes(keys: &[(Fingerprint, Origin)]) -> impl Iterator<Item = [u8; 16]> {
    keys.iter().map(|(key, _)| key.to_bytes())
}

impl Sorted {
    /// Sorts out the keys that are not free; hands back those that are under way elsewhere.
    fn part(&mut self, standings: &[Standing]) -> Vec<(Fingerprint, Origin)> {
        let flight = &mut self.flight;
        let mut busy = Vec::new();
        for (key, standing) in mem::take(&mut flight.keys).into_iter().zip(standings) {
            match standing {
                Standing::Free => {
                    flight.keys.push(key);
                    continue;
                }
                Standing::Seen => self.known += 1,
                Standing::Busy => busy.push(key),
            }
            flight.elsewhere.push(key);
        }
        busy
    }

    /// Tells the other workers what the answer means for the keys that were claimed.
    fn tell(&self, answer: &Result<(), Failure>) {
        let Some(claim) = &self.flight.claim else {
            return;
        };
        let mut delivered = self.flight.keys.iter().collect::<Vec<_>>();
        if let Err(failure) = answer {
            let lost = super::fate::by_origin(failure);
            delivered.retain(|(_, origin)| !lost.contains_key(origin));
        }
        let note = |(key, origin): &(Fingerprint, Origin)| (key.to_bytes(), origin.delivery());
        claim.delivered(&delivered.into_iter().map(note).collect::<Vec<_>>());
        claim.release();
    }
}
