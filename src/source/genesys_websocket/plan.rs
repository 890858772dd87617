//! Which topics are wanted, on which channels: starts a keeper for each channel and tells it when
//! its topics change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::config::{Protocol, Wanted};
use super::keeper::Keeper;
use super::opening::Context;
use super::queue::Item;
use super::topics::{self, Shards};
use crate::client::genesys::CallError;
use crate::failure::Failure;

/// For how long the lists may not be had at the start before the engine is told.
const PATIENCE: Duration = Duration::from_secs(60);

type Topics = watch::Sender<Arc<Vec<String>>>;

/// The task that everything else of a source hangs on: it ends with it.
pub(super) struct Plan {
    pub context: Arc<Context>,
    /// When an earlier process was last heard.
    pub since: Option<i64>,
    pub filler: super::fill::Filler,
}

impl Plan {
    /// Runs until it is ended, or something of it breaks.
    pub async fn run(self) {
        let Plan {
            context,
            since,
            filler,
        } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(filler.run());
        let keeping = keep(context.clone(), since);
        let failure = tokio::select! {
            failure = keeping => failure,
            Some(_) = tasks.join_next() => broken(),
        };
        context.inlet.tell(Item::Failed(failure)).await;
    }
}

fn broken() -> Failure {
    Failure::disconnected("genesys_task", "a task of the source has broken")
}

/// Keeps the channels; the failure is why it cannot.
async fn keep(context: Arc<Context>, since: Option<i64>) -> Failure {
    let (mut shards, mut senders) = (Shards::default(), Vec::<Topics>::new());
    let mut keepers = JoinSet::new();
    let lists =
        topics::needs_queues(&context.config.topics) || topics::needs_users(&context.config.topics);
    let (mut tried, mut waited) = (0, Duration::ZERO);
    loop {
        let mut wait = match lists {
            true => context.config.refresh,
            false => Duration::MAX,
        };
        match wanted(&context).await {
            Ok(topics) => {
                tried = 0;
                let shards = shards.assign(topics, context.room());
                if senders.is_empty() {
                    context.take_over(shards.len()).await;
                }
                place(&context, shards, &mut senders, &mut keepers, since);
            }
            Err(error) if error.is_fatal() => return error.into(),
            Err(error) => {
                tried += 1;
                let failure = Failure::from(error);
                wait = context.config.backoff.wait(tried, failure.retry_after());
                waited += wait;
                tracing::warn!(source = %context.node, ?wait, "no list of topics: {failure}");
                if senders.is_empty() && waited > PATIENCE {
                    let text = format!("no list of topics for a minute: {failure}");
                    return Failure::disconnected("genesys_unreachable", text);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait.min(Duration::from_secs(30 * 86_400))) => {}
            // A keeper never ends by itself.
            Some(_) = keepers.join_next() => return broken(),
        }
    }
}

/// Tells each channel its topics; starts those that are new.
fn place(
    context: &Arc<Context>,
    shards: &[Arc<Vec<String>>],
    senders: &mut Vec<Topics>,
    keepers: &mut JoinSet<()>,
    since: Option<i64>,
) {
    for (sender, topics) in senders.iter().zip(shards) {
        sender.send_if_modified(|had| {
            let differs = !Arc::ptr_eq(had, topics);
            had.clone_from(topics);
            differs
        });
    }
    let first = senders.is_empty();
    for topics in &shards[senders.len()..] {
        let number = u32::try_from(senders.len()).unwrap_or(u32::MAX);
        let (sender, receiver) = watch::channel(topics.clone());
        senders.push(sender);
        // A channel that is added later has missed nothing.
        let heard = context.memory.last_heard(number);
        let heard = heard.map(|at| (at, "reconnect"));
        let restart = since.filter(|_| first).map(|at| (at, "restart"));
        let deaf = heard.or(restart);
        if let Some((at, _)) = deaf {
            context.memory.heard(number, at);
        }
        keepers.spawn(Keeper::new(context.clone(), number, receiver, deaf).run());
    }
}

/// The topics of the file with their placeholders filled in.
async fn wanted(context: &Context) -> Result<Vec<String>, CallError> {
    let config = &context.config;
    let mut queues = Vec::new();
    if topics::needs_queues(&config.topics) {
        queues = match &config.queues {
            Wanted::These(ids) => ids.clone(),
            Wanted::All => context.client.queues().await?,
        };
    }
    let mut users = Vec::new();
    if topics::needs_users(&config.topics) {
        users = match &config.users {
            Wanted::These(ids) => ids.clone(),
            Wanted::All => context.client.users().await?,
        };
    }
    let (found, left_out) = topics::expand(&config.topics, &queues, &users);
    if left_out > 0 {
        tracing::warn!(source = %context.node, left_out, "topics with their ids are too long");
    }
    let none = found.is_empty();
    context.board.nothing_to_hear(none);
    Ok(found)
}

impl Context {
    /// Topics of a channel; the events of `protocol: events` are all on one.
    fn room(&self) -> usize {
        match self.config.protocol {
            Protocol::Notifications => self.config.channels.topics,
            Protocol::Events => usize::MAX,
        }
    }

    /// Channels of an earlier connection that are not needed any more are used for roll-overs.
    async fn take_over(&self, needed: usize) {
        for grip in self.memory.trim(u32::try_from(needed).unwrap_or(u32::MAX)) {
            self.maker.give_back(grip).await;
        }
    }
}
