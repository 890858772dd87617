//! The two ends of a source that reads bytes: a thread that reads and frames, and tasks that decode.
//!
//! ```text
//! thread: read, decompress, frame --blocks--> tasks: decode --in order--> Feed::next
//! ```
//!
//! A hand-over costs a few microseconds and moves a block of about a thousand records. Everything
//! in between is bounded: the blocks that wait, and those that are being decoded.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc as sync;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Block, Decoded, decode};
use crate::clock::Wall;
use crate::event::{PathSet, Provenance};
use crate::failure::Failure;
use crate::stage::Letter;

/// Blocks that wait for a decoder: enough that the reader works on while all are busy.
const WAITING: usize = 2;

/// What the reading thread hands over. `M` is the source's own note about it.
pub struct Piece<M> {
    /// Records; none when there is only something to note.
    pub block: Option<Block>,
    /// Letters that come after the block's own.
    pub letters: Vec<Letter>,
    /// Where it comes from.
    pub from: Arc<Provenance>,
    /// Comes out again beside the events.
    pub mark: M,
}

/// A piece, decoded.
pub struct Fed<M> {
    /// Its events and letters.
    pub decoded: Decoded,
    /// As given to [`Outlet::send`].
    pub mark: M,
}

/// The reading thread's end.
pub struct Outlet<M> {
    pieces: mpsc::Sender<Result<Piece<M>, Failure>>,
    /// Nothing is ever sent here: it ends when the feed is dropped.
    dropped: sync::Receiver<()>,
}

impl<M> Outlet<M> {
    /// Hands a piece over; waits while the pipeline is slower. False: nobody wants more, the thread
    /// is to end.
    pub fn send(&self, piece: Piece<M>) -> bool {
        self.pieces.blocking_send(Ok(piece)).is_ok()
    }

    /// Ends the feed with a failure.
    pub fn fail(self, failure: Failure) {
        // Nobody left to hear it is the other way to have ended.
        let _ = self.pieces.blocking_send(Err(failure));
    }

    /// Waits before looking again. False: nobody wants more, the thread is to end.
    pub fn pause(&self, time: Duration) -> bool {
        self.dropped.recv_timeout(time) == Err(sync::RecvTimeoutError::Timeout)
    }
}

/// The engine's end: decoded pieces in the order in which they were read.
///
/// Dropping it ends the thread at the next piece that it hands over. A thread that waits in a read
/// which never returns (a pipe) stays until the process ends; nothing waits for it.
pub struct Feed<M> {
    pieces: mpsc::Receiver<Result<Piece<M>, Failure>>,
    _alive: sync::Sender<()>,
    paths: Arc<PathSet>,
    /// Pieces under way, oldest first.
    running: VecDeque<JoinHandle<Fed<M>>>,
    decoders: usize,
    ended: Option<Result<(), Failure>>,
}

impl<M: Send + 'static> Feed<M> {
    /// Starts the reading thread; it ends the feed by returning. `decoders` is how many pieces are
    /// decoded at a time; `None`: as many as there are cores.
    ///
    /// # Errors
    /// When the machine has no room for a thread.
    pub fn start(
        name: &str,
        paths: Arc<PathSet>,
        decoders: Option<NonZeroUsize>,
        read: impl FnOnce(Outlet<M>) + Send + 'static,
    ) -> Result<Self, Failure> {
        let (sender, pieces) = mpsc::channel(WAITING);
        let (alive, dropped) = sync::channel();
        let outlet = Outlet {
            pieces: sender,
            dropped,
        };
        std::thread::Builder::new()
            .name(format!("read {name}"))
            .spawn(move || read(outlet))
            .map_err(|error| no_thread(&error))?;
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            pieces,
            _alive: alive,
            paths,
            running: VecDeque::new(),
            decoders: decoders.unwrap_or(cores).get(),
            ended: None,
        })
    }

    /// The next piece; `None` at the end. Cancel-safe: what was begun is kept.
    ///
    /// # Errors
    /// What the thread failed with, after everything that it read before.
    pub async fn next(&mut self) -> Option<Result<Fed<M>, Failure>> {
        loop {
            // One more than decode at a time, so that a decoder has work while the engine is busy.
            let room = self.running.len() <= self.decoders && self.ended.is_none();
            if room {
                match self.pieces.try_recv() {
                    Ok(piece) => {
                        self.begin(Some(piece));
                        continue;
                    }
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        self.begin(None);
                        continue;
                    }
                    Err(mpsc::error::TryRecvError::Empty) => {}
                }
            }
            let Some(oldest) = self.running.front_mut() else {
                if let Some(ended) = self.ended.take() {
                    self.ended = Some(Ok(()));
                    return ended.err().map(Err);
                }
                let piece = self.pieces.recv().await;
                self.begin(piece);
                continue;
            };
            tokio::select! {
                biased;
                fed = oldest => {
                    self.running.pop_front();
                    return Some(fed.map_err(|_| panicked()));
                }
                piece = self.pieces.recv(), if room => self.begin(piece),
            }
        }
    }

    fn begin(&mut self, piece: Option<Result<Piece<M>, Failure>>) {
        match piece {
            Some(Ok(piece)) => {
                let paths = self.paths.clone();
                // A task, not a blocking thread: a block takes under a millisecond, and so decoding
                // shares the cores with the engine instead of fighting it for them.
                let task = tokio::spawn(async move { make(piece, &paths) });
                self.running.push_back(task);
            }
            Some(Err(failure)) => self.ended = Some(Err(failure)),
            None => self.ended = Some(Ok(())),
        }
    }
}

fn make<M>(piece: Piece<M>, paths: &Arc<PathSet>) -> Fed<M> {
    let Piece {
        block,
        letters,
        from,
        mark,
    } = piece;
    let mut decoded = block.map_or_else(Decoded::default, |block| decode(block, paths, &from));
    decoded.refused.extend(letters);
    Fed { decoded, mark }
}

#[cold]
fn panicked() -> Failure {
    Failure::fatal("decoder_panicked", "the decoder met an error of its own")
}

#[cold]
fn no_thread(error: &io::Error) -> Failure {
    Failure::fatal(
        "no_thread",
        format!("cannot start a thread to read: {error}"),
    )
}

/// Where something was read, now.
pub fn provenance(source: &Arc<str>, object: &Arc<str>) -> Arc<Provenance> {
    provenance_at(source, object, &Wall::real())
}

/// Where something was read, at the time that the clock shows.
pub fn provenance_at(source: &Arc<str>, object: &Arc<str>, wall: &Wall) -> Arc<Provenance> {
    Arc::new(Provenance {
        source: source.clone(),
        object: object.clone(),
        received: wall.micros(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Compression, Framing, Limits, Reader};
    use super::*;

    fn lines(count: usize) -> String {
        (0..count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
    }

    fn feed(decoders: usize, input: String, failure: Option<Failure>) -> Feed<usize> {
        let limits = Limits {
            block_records: 7,
            ..Limits::default()
        };
        let read = move |outlet: Outlet<usize>| {
            let mut reader =
                Reader::open(input.as_bytes(), Compression::None, Framing::Lines, limits);
            let mut mark = 0;
            while let Some(block) = reader.next_block().unwrap() {
                mark += block.records.len();
                let piece = Piece {
                    block: Some(block),
                    letters: Vec::new(),
                    from: Arc::default(),
                    mark,
                };
                if !outlet.send(piece) {
                    return;
                }
            }
            if let Some(failure) = failure {
                outlet.fail(failure);
            }
        };
        Feed::start("test", Arc::default(), NonZeroUsize::new(decoders), read).unwrap()
    }

    async fn drain(feed: &mut Feed<usize>) -> (Vec<String>, usize, Option<Failure>) {
        let (mut bodies, mut marks) = (Vec::new(), 0);
        while let Some(fed) = feed.next().await {
            match fed {
                Ok(fed) => {
                    bodies.extend(fed.decoded.batch.events().iter().map(|e| e.to_json()));
                    marks = fed.mark;
                    assert_eq!(marks, bodies.len(), "the mark is that of its own piece");
                }
                Err(failure) => return (bodies, marks, Some(failure)),
            }
        }
        (bodies, marks, None)
    }

    #[tokio::test]
    async fn keeps_the_order_with_any_number_of_decoders() {
        for decoders in [1, 2, 5] {
            let input = lines(1000);
            let mut feed = feed(decoders, input.clone(), None);
            let (bodies, marks, failure) = drain(&mut feed).await;
            assert_eq!(bodies.join("\n") + "\n", input);
            assert_eq!((marks, failure), (1000, None));
            assert!(feed.next().await.is_none(), "stays at its end");
        }
    }

    #[tokio::test]
    async fn a_failure_comes_after_everything_before_it() {
        let failure = Failure::fatal("test", "it broke");
        let mut feed = feed(3, lines(50), Some(failure.clone()));
        let (bodies, _, failed) = drain(&mut feed).await;
        assert_eq!((bodies.len(), failed), (50, Some(failure)));
        assert!(feed.next().await.is_none());
    }

    #[tokio::test]
    async fn a_dropped_call_loses_nothing() {
        let mut feed = feed(2, lines(500), None);
        let mut bodies = 0;
        let mut polls = 0;
        loop {
            // Polled once and dropped, over and over.
            let polled = futures::poll!(Box::pin(feed.next()));
            match polled {
                std::task::Poll::Ready(Some(fed)) => {
                    bodies += fed.unwrap().decoded.batch.len();
                }
                std::task::Poll::Ready(None) => break,
                std::task::Poll::Pending => tokio::task::yield_now().await,
            }
            polls += 1;
        }
        assert_eq!(bodies, 500);
        assert!(polls > 500 / 7);
    }

    #[tokio::test]
    async fn the_thread_ends_when_the_feed_is_dropped() {
        let (ended, has_ended) = tokio::sync::oneshot::channel();
        let read = move |outlet: Outlet<()>| {
            while outlet.pause(Duration::from_millis(1)) {}
            ended.send(()).unwrap();
        };
        let feed = Feed::start("test", Arc::default(), None, read).unwrap();
        drop(feed);
        has_ended.await.unwrap();
    }
}
