//! The ends that are put into the pipeline: a source that is fed, and a sink that notes the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use trunkline::event::{Batch, EventsBuilder, Path, PathSet, Position, Provenance};
use trunkline::failure::Failure;
use trunkline::layer::{
    Kept, Replays, SinkContext, SinkPart, SourceContext, SourcePart, VisitPaths,
};
use trunkline::stage::{Delivery, OpenSource, Sink, Source, Stage};

/// When each event was handed over and when it was written, in nanoseconds from the start; 0: not
/// yet.
pub struct Clock {
    from: Instant,
    handed: Vec<AtomicU64>,
    written: Vec<AtomicU64>,
}

impl Clock {
    pub fn new(events: usize) -> Self {
        let none = || (0..events).map(|_| AtomicU64::new(0)).collect();
        Self {
            from: Instant::now(),
            handed: none(),
            written: none(),
        }
    }

    fn now(&self) -> u64 {
        self.from.elapsed().as_nanos() as u64
    }

    pub fn handed_over(&self, event: usize) {
        self.handed[event].store(self.now(), Ordering::Relaxed);
    }

    /// Of every event from `first` on that was written; those that repeat another one never are.
    pub fn took(&self, first: usize) -> Vec<Duration> {
        let both = self.handed.iter().zip(&self.written).skip(first);
        let both = both.map(|(handed, written)| {
            let read = |time: &AtomicU64| time.load(Ordering::Relaxed);
            (read(handed), read(written))
        });
        both.filter(|(_, written)| *written > 0)
            .map(|(handed, written)| Duration::from_nanos(written - handed))
            .collect()
    }
}

/// Both ends of one run.
pub struct Ends {
    pub source: Fed,
    pub sink: Noting,
}

impl Ends {
    /// With the way in; the input has ended when it is dropped.
    pub fn new(clock: Arc<Clock>) -> (Self, UnboundedSender<String>) {
        let (sender, receiver) = unbounded_channel();
        let source = Fed(receiver);
        let number = Path::of(["n"]);
        let sink = Noting { clock, number };
        (Self { source, sink }, sender)
    }
}

/// A source of chunks of lines.
pub struct Fed(UnboundedReceiver<String>);

impl SourcePart for Fed {
    fn replays(&self) -> Replays {
        Replays::Gone("since it is a benchmark")
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let connection = Connection {
            from: self.0,
            paths: context.paths,
            provenance: Arc::default(),
        };
        let once = Mutex::new(Some(connection));
        Box::new(move || {
            let connection = once.lock().expect("sound").take();
            Box::pin(async move {
                let connection = connection.expect("it is opened once");
                Ok(Box::new(connection) as Box<dyn Source>)
            })
        })
    }
}

struct Connection {
    from: UnboundedReceiver<String>,
    paths: Arc<PathSet>,
    provenance: Arc<Provenance>,
}

impl Source for Connection {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        Box::pin(async {
            let Some(mut lines) = self.from.recv().await else {
                return Ok(None);
            };
            // Whatever has arrived goes on together, up to a batch of the usual size.
            let most = 1_000 * lines.len() / 10;
            while lines.len() < most
                && let Ok(more) = self.from.try_recv()
            {
                lines = lines + "\n" + &more;
            }
            Ok(Some(Delivery::new(self.parse(lines))))
        })
    }
}

impl Connection {
    fn parse(&self, lines: String) -> Batch {
        let ends = memchr::memchr_iter(b'\n', lines.as_bytes());
        let ends: Vec<usize> = ends.chain([lines.len()]).collect();
        let (paths, provenance) = (self.paths.clone(), self.provenance.clone());
        let mut builder = EventsBuilder::new(lines, paths, provenance, ends.len());
        let mut start = 0;
        for end in ends {
            let pushed = builder.push(start, end, Position::default());
            pushed.expect("the events are JSON");
            start = end + 1;
        }
        builder.finish()
    }
}

/// A sink that notes when it was asked to write.
#[derive(Clone)]
pub struct Noting {
    clock: Arc<Clock>,
    number: Path,
}

impl SinkPart for Noting {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        visit(&mut self.number);
    }

    fn kept(&self) -> Kept {
        Kept::Nothing
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        Box::pin(async move { Ok(context.stack(*self)) })
    }
}

impl Sink for Noting {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let now = self.clock.now();
        for event in &batch {
            let number = event.get(&self.number).and_then(|value| value.as_i64());
            let number = number.expect("each event says its number") as usize;
            self.clock.written[number].store(now, Ordering::Relaxed);
        }
        Ok(())
    }
}
