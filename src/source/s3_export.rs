//! The source `s3_export`: the objects of a bucket or folder, as they turn up.
//!
//! ```text
//! looks, messages --objects--> requests --ranges, in order--> thread: frame --> tasks: decode
//! ```
//!
//! Objects are found by looks at the bucket (`poll`), by the messages of a queue (`sqs`) and when
//! somebody asks for a look. Ranges are read side by side and handed on in the order in which their
//! objects were found, so a delivery is settled after all that came before it. How far each object was
//! delivered is kept with the state of the pipeline: after a crash nothing is read twice, and nothing
//! skipped, however late it turns up within `look_back` (`memory`).
//!
//! Small objects go on together. One that changes while it is read, is taken away, may not be read or
//! is damaged is set aside with a dead letter, after the whole records before that; it is read again
//! once its version changes, or, where it was denied, at the next look at everything.

mod about;

pub use about::ABOUT;

mod config;
mod fetching;
mod flow;
mod framing;
mod gather;
mod key_time;
mod listing;
mod memory;
mod messages;
mod selection;
mod survey;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::client::bucket::{Bucket, Store};
use crate::client::sqs::Queue;
use crate::codec::Feed;
use crate::failure::Failure;
use crate::layer::{Finding, Grade, SourceContext};
use crate::observe::Trigger;
use crate::stage::Source;

pub use config::{Config, ReadMode, Sqs};
use fetching::Fetcher;
use flow::{Item, Shared, Step};
use framing::Framing;
use gather::ExportSource;
pub use key_time::{Form, KeyTime};
use listing::Lister;
use memory::Memory;
use messages::Listener;
use selection::Selection;

/// Objects that were found and wait, at most; a longer listing waits for them.
const MOST_PENDING: usize = 50_000;
/// Objects and ranges between requests and framing, at most. Their bytes have a limit of their own.
const MOST_ITEMS: usize = 4096;

/// A source that can be opened again and again, and remembers between what it has handed over.
pub struct Opener {
    config: Arc<Config>,
    memory: Mutex<Option<Shared>>,
    trigger: OnceLock<Trigger>,
}

/// What is started for one opening.
struct Parts {
    bucket: Bucket,
    config: Arc<Config>,
    selection: Arc<Selection>,
    memory: Shared,
    trigger: Trigger,
    passed: Arc<Notify>,
    queue: Option<Queue>,
}

impl Opener {
    /// Of this configuration.
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            memory: Mutex::new(None),
            trigger: OnceLock::new(),
        }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Looks at the bucket and the queue, without changing anything.
    pub async fn probe(&self) -> Vec<Finding> {
        let bucket = async {
            match Bucket::open(&self.config.location).await {
                Ok(bucket) => bucket.probe().await,
                Err(failure) => vec![Finding::new(Grade::Error, failure.to_string())],
            }
        };
        let queue = async {
            match &self.config.sqs {
                Some(sqs) => Queue::probe(&sqs.settings).await,
                None => Vec::new(),
            }
        };
        let (mut found, queue) = futures::join!(bucket, queue);
        found.extend(queue);
        found
    }

    /// Opens the source of this node.
    ///
    /// # Errors
    /// Fatal where the settings make no sense to the store or the queue, or the state cannot be read.
    pub async fn open(&self, context: &SourceContext) -> Result<Box<dyn Source>, Failure> {
        let register = || context.triggers.register(&context.node);
        let parts = Parts {
            bucket: Bucket::open(&self.config.location).await?,
            config: self.config.clone(),
            selection: Arc::new(Selection::new(&self.config)?),
            memory: self.memory(context).await?,
            trigger: self.trigger.get_or_init(register).clone(),
            passed: Arc::new(Notify::new()),
            queue: match &self.config.sqs {
                Some(sqs) => Some(Queue::open(&sqs.settings).await?),
                None => None,
            },
        };
        context.progress.of_objects();
        if self.config.read == ReadMode::Follow {
            context.progress.unbounded();
        }
        Ok(Box::new(parts.start(context)?))
    }

    fn timed(&self) -> bool {
        !matches!(self.config.location.store, Store::Folder(_))
    }

    /// What is known: at first from the store, later what this process knows.
    async fn memory(&self, context: &SourceContext) -> Result<Shared, Failure> {
        let known = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = &*known() {
            let again = memory.lock().reopen();
            if self.config.read == ReadMode::Once {
                context.progress.less_total(again.objects, again.bytes);
                context.progress.bytes_undone(again.read);
            }
            return Ok(memory.clone());
        }
        let kept = context.store.checkpoints(&context.node).await?;
        let selection = selection::fingerprint(&self.config);
        let memory = Memory::new(kept, selection, self.config.settled_memory, self.timed());
        let memory = Shared::new(memory);
        *known() = Some(memory.clone());
        Ok(memory)
    }
}

impl Parts {
    /// Starts the tasks and the thread. They end with the source.
    fn start(self, context: &SourceContext) -> Result<ExportSource, Failure> {
        let (steps, found) = mpsc::channel::<Step>(MOST_PENDING);
        let (items, ranges) = mpsc::channel::<Item>(MOST_ITEMS);
        let framing = self.framing(&context.node);
        let feed = Feed::start(&context.node, context.paths.clone(), None, move |outlet| {
            framing(outlet).run(ranges);
        })?;
        let mut tasks = JoinSet::new();
        let generation = self.memory.lock().generation();
        let timed = !matches!(self.config.location.store, Store::Folder(_));
        if let (Some(queue), Some(sqs)) = (self.queue, &self.config.sqs) {
            let listener = Listener {
                queue,
                sqs: sqs.clone(),
                bucket: self.bucket.clone(),
                config: self.config.clone(),
                selection: self.selection.clone(),
                memory: self.memory.clone(),
                steps: steps.clone(),
                meter: context.meter.clone(),
                generation,
            };
            tasks.spawn(listener.run());
        }
        let lister = Lister {
            bucket: self.bucket.clone(),
            config: self.config.clone(),
            selection: self.selection,
            memory: self.memory.clone(),
            steps,
            trigger: self.trigger,
            passed: self.passed.clone(),
            meter: context.meter.clone(),
            progress: context.progress.clone(),
            timed,
            generation,
        };
        tasks.spawn(lister.run());
        let fetcher = Fetcher::new(self.bucket, self.config.clone(), items);
        tasks.spawn(fetcher.run(found));
        let limits = self.config.format.limits;
        Ok(ExportSource::new(
            feed,
            self.memory,
            self.passed,
            tasks,
            context,
            limits,
        ))
    }

    /// Makes the framing thread's part.
    fn framing(
        &self,
        node: &Arc<str>,
    ) -> impl FnOnce(crate::codec::Outlet<framing::Mark>) -> Framing + Send + 'static {
        let (format, source, bucket) = (self.config.format, node.clone(), self.bucket.to_string());
        let again = self.config.read == ReadMode::Follow;
        move |outlet| Framing {
            format,
            source,
            bucket,
            outlet,
            denied: 0,
            again,
        }
    }
}

/// In microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    listing::micros(since.unwrap_or(Duration::ZERO))
}
