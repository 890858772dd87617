//! What feeds a pipeline that is rehearsed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::event::Batch;
use crate::failure::Failure;
use crate::layer::{Replays, SourceContext, SourcePart};
use crate::source::{self, file};
use crate::stage::{Delivery, OpenSource, Source};

/// More than there are sources.
const MANY: usize = 1 << 16;

/// What feeds a source.
pub enum Input {
    /// A file, a folder or a pattern of names, whose events are as they leave the source. A source
    /// `file` reads it as its settings say; for others it is found out what it holds.
    File(PathBuf),
    /// A part that stands in for the source. Whoever makes it sees to it that it connects to nothing.
    Part(Box<dyn SourcePart>),
}

/// Reads files, within one bound for all of them. Clones share it.
#[derive(Clone)]
pub struct Feeding(Arc<Shared>);

struct Shared {
    /// Events that may still be read. Held while a file is read: one after the other.
    left: tokio::sync::Mutex<usize>,
    read: AtomicU64,
    cut: AtomicBool,
    /// Files that are not read yet: no source begins before all of them are, so that what meets
    /// whom does not hang on how fast a disk is.
    unread: AtomicUsize,
    begin: Semaphore,
}

impl Feeding {
    /// At most so many events from so many inputs.
    pub(in crate::graph) fn new(limit: usize, inputs: usize) -> Self {
        Self(Arc::new(Shared {
            left: tokio::sync::Mutex::new(limit),
            read: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            unread: AtomicUsize::new(inputs),
            begin: Semaphore::new(0),
        }))
    }

    /// How many events were read.
    pub(super) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Whether there are more than may be read.
    pub(super) fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }

    /// `real` is the source that is fed.
    pub(super) fn part(&self, input: Input, real: &dyn SourcePart) -> Box<dyn SourcePart> {
        match input {
            Input::File(path) => Box::new(Fed {
                part: reader(path, real),
                feeding: self.clone(),
            }),
            Input::Part(part) => {
                self.is_read();
                part
            }
        }
    }

    fn is_read(&self) {
        if self.0.unread.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Those who wait go on in the order in which they came.
            self.0.begin.add_permits(MANY);
        }
    }

    /// Everything of a file, up to the bound.
    async fn feed(&self, open: Arc<OpenSource>) -> Result<VecDeque<Delivery>, Failure> {
        let mut left = self.0.left.lock().await;
        let room = *left;
        // The paused clock stands still while a blocking task runs.
        let read = tokio::task::spawn_blocking(move || block_on(read(&open, room)));
        let read = read.await.unwrap_or_else(|_| {
            let message = "reading the input met an error of its own";
            Err(Failure::fatal("input_failed", message))
        })?;
        let (deliveries, events, is_cut) = read;
        *left -= events;
        drop(left);
        self.0.read.fetch_add(events as u64, Ordering::Relaxed);
        self.0.cut.fetch_or(is_cut, Ordering::Relaxed);
        Ok(deliveries)
    }
}

/// What reads a file in the place of a source.
pub(in crate::graph) fn reader(path: PathBuf, real: &dyn SourcePart) -> Box<dyn SourcePart> {
    real.fed_from(&path).unwrap_or_else(|| {
        let config = file::Config {
            recursive: true,
            ..file::Config::new(path)
        };
        Box::new(source::Config::File(config))
    })
}

/// Deliveries, how many events are in them, and whether there is more.
pub(in crate::graph) type Read = (VecDeque<Delivery>, usize, bool);

/// Everything that a source has, up to so many events.
pub(in crate::graph) async fn read(open: &OpenSource, room: usize) -> Result<Read, Failure> {
    let mut source = open().await?;
    let (mut deliveries, mut left) = (VecDeque::new(), room);
    while let Some(mut delivery) = source.next().await? {
        let is_cut = delivery.batch.len() + delivery.refused.len() > left;
        if is_cut {
            let mut events = delivery.batch.into_events();
            events.truncate(left);
            delivery.batch = Batch::from(events);
            delivery.refused.truncate(left - delivery.batch.len());
        }
        left -= delivery.batch.len() + delivery.refused.len();
        deliveries.push_back(Delivery {
            refused: delivery.refused,
            ..Delivery::new(delivery.batch)
        });
        if is_cut {
            return Ok((deliveries, room - left, true));
        }
    }
    Ok((deliveries, room - left, false))
}

/// A source that a file stands in for.
struct Fed {
    part: Box<dyn SourcePart>,
    feeding: Feeding,
}

impl SourcePart for Fed {
    fn replays(&self) -> Replays {
        Replays::Again
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let Self { part, feeding } = *self;
        let open = Arc::new(part.build(context));
        Box::new(move || {
            let (feeding, open) = (feeding.clone(), open.clone());
            async move {
                let deliveries = feeding.feed(open).await?;
                feeding.is_read();
                // Nobody closes it.
                let _ = feeding.0.begin.acquire().await;
                Ok(Box::new(Ready(deliveries)) as Box<dyn Source>)
            }
            .boxed()
        })
    }
}

struct Ready(VecDeque<Delivery>);

impl Source for Ready {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        std::future::ready(Ok(self.0.pop_front())).boxed()
    }
}

/// A source that has nothing.
pub(in crate::graph) struct Ended;

impl SourcePart for Ended {
    fn replays(&self) -> Replays {
        Replays::Again
    }

    fn build(self: Box<Self>, _: SourceContext) -> OpenSource {
        Box::new(|| {
            let nothing = Box::new(Ready(VecDeque::new())) as Box<dyn Source>;
            std::future::ready(Ok(nothing)).boxed()
        })
    }
}
