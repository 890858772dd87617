//! Where batches come in: answered `Ok` once they are durable.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tower::Service;

use super::Handle;
use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::NodeMeter;

/// From so many batches in line on, those that nobody waits for are looked for.
const CROWD: usize = 64;

/// A batch in line, and the way back to its caller.
pub(super) struct Waiting {
    pub batch: Batch,
    pub reply: Reply,
}

/// Answers one caller.
pub(super) struct Reply {
    sender: oneshot::Sender<Answer>,
    meter: NodeMeter,
}

struct Answer {
    result: Result<(), Failure>,
    /// Events that were taken.
    taken: u64,
}

impl Answer {
    /// Who no longer listens has given its events up, and they come again: those that were taken
    /// all the same were copies.
    fn count(&self, meter: &NodeMeter) {
        meter.created(self.taken);
        meter.given_back(self.taken);
    }
}

impl Reply {
    /// Nobody waits for the answer any more.
    pub fn is_unheard(&self) -> bool {
        self.sender.is_closed()
    }

    pub fn send(self, result: Result<(), Failure>, taken: u64) {
        if let Err(unheard) = self.sender.send(Answer { result, taken }) {
            unheard.count(&self.meter);
        }
    }
}

struct Listening {
    answer: oneshot::Receiver<Answer>,
    meter: NodeMeter,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Closed first: either the answer is here, or whoever sends it finds nobody.
        self.answer.close();
        if let Ok(answer) = self.answer.try_recv() {
            answer.count(&self.meter);
        }
    }
}

/// The way into a journal. Calls are written in the order of their first polls; the answer comes
/// once everything is durable. Clones lead into the same line.
pub struct Entrance {
    handle: Arc<Handle>,
}

impl Entrance {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        let mut book = handle.core.lock();
        book.entrances += 1;
        book.closed = false;
        drop(book);
        Self { handle }
    }
}

impl Clone for Entrance {
    fn clone(&self) -> Self {
        Self::new(self.handle.clone())
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut book = self.handle.core.lock();
        book.entrances -= 1;
        book.closed |= book.entrances == 0;
        drop(book);
        self.handle.core.arrived.notify_one();
    }
}

fn lost() -> Failure {
    Failure::transient("lost_reply", "the writer of the buffer is gone")
}

impl Handle {
    /// Puts a batch in line.
    fn push(&self, batch: Batch) -> Result<Listening, Failure> {
        let (sender, answer) = oneshot::channel();
        let meter = &self.core.meter;
        let (reply_meter, meter) = (meter.clone(), meter.clone());
        let reply = Reply {
            sender,
            meter: reply_meter,
        };
        let mut book = self.core.lock();
        if book.ended {
            return Err(lost());
        }
        if book.line.len() >= CROWD {
            // Those who went away while the journal is full would pile up here.
            book.line.retain(|one| !one.reply.is_unheard());
        }
        book.line.push_back(Waiting { batch, reply });
        drop(book);
        self.core.stirred.notify_one();
        Ok(Listening { answer, meter })
    }
}

impl Service<Batch> for Entrance {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // A batch waits inside its call, where it has its place in the line.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        // The entrance itself: the outlet must not end before this batch has come out.
        let entrance = self.clone();
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(());
            }
            let replays = batch.events().iter().filter_map(|event| event.replay());
            let replays: Vec<_> = replays.cloned().collect();
            let mut listening = entrance.handle.push(batch)?;
            match (&mut listening.answer).await {
                Ok(Answer { result, taken }) => {
                    if result.is_ok() && taken > 0 {
                        // From here on the buffer answers for them, and no longer the letters.
                        replays.iter().for_each(|replay| replay.delivered());
                    }
                    result
                }
                Err(_) => Err(lost()),
            }
        })
    }
}
