//! The shared form: a Redis that several workers use.
//!
//! All keys of a pipeline begin with one hash tag, `{prefix:pipeline}`, so that they lie together
//! in a cluster too: hashes for places and for rows that stay, keys of their own for rows that
//! expire (see [`Table::expiring`](super::Table::expiring)). A commit is one script, so all of it
//! happens or nothing.
//!
//! **Hold, never guess.** While Redis is away, refuses (memory full, read-only, loading) or does not
//! answer in time, whoever asked it waits, and asks again for as long as somebody wants the answer.
//! What may have arrived is sent again: every request means the same when it is made twice, and a
//! commit carries a number, so that one that comes late changes nothing.
//!
//! One thread talks to Redis, on a runtime of its own, so that handles work on any.

pub(super) mod claims;
mod link;
mod script;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{Op, QUEUE, Shared, Waiting};
use crate::failure::Failure;
use crate::setting::Secret;
use crate::stage::Checkpoint;

use claims::{Live, Standing};
use link::Link;
use script::{Names, Owner};

/// Changes that one script makes, but for a single delivery that has more: Redis does nothing else
/// meanwhile (about 10 ms).
const CHANGES_AT_ONCE: usize = 10_000;

/// Keys that one request asks for.
const KEYS_AT_ONCE: usize = 2_000;

/// How long closing may take to write what is left, and again to give back what is claimed; what is
/// not given back expires.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where the shared state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `redis://`, `rediss://` (TLS) or `unix://`; may hold a password.
    pub url: Secret,
    /// In front of the names of all keys; default `trunkline`.
    pub prefix: String,
    /// How long what a worker has under way stays its own when nothing is heard of it; default 60 s.
    pub lease: Duration,
}

impl Remote {
    /// The prefix unless told.
    pub const PREFIX: &'static str = "trunkline";
    /// The lease unless told.
    pub const LEASE: Duration = Duration::from_secs(60);

    /// Whether this can be the URL of a Redis.
    pub fn is_url(url: &str) -> bool {
        redis::Client::open(url).is_ok()
    }
}

/// What the thread is asked for, besides commits. There are never more than batches under way.
pub(super) enum Request {
    Places {
        source: String,
        answer: oneshot::Sender<Result<Vec<Checkpoint>, Failure>>,
    },
    Place {
        source: String,
        key: Vec<u8>,
        answer: oneshot::Sender<Result<Option<Vec<u8>>, Failure>>,
    },
    Rows {
        node: Arc<str>,
        answer: std::sync::mpsc::Sender<Result<Rows, Failure>>,
    },
    Fetch {
        node: Arc<str>,
        keys: Vec<Vec<u8>>,
        answer: oneshot::Sender<Result<Vec<Option<Vec<u8>>>, Failure>>,
    },
    Claim {
        node: Arc<str>,
        number: u64,
        keys: Vec<[u8; 16]>,
        answer: oneshot::Sender<Result<Vec<Standing>, Failure>>,
    },
    Mark {
        node: Arc<str>,
        number: u64,
        keys: Vec<[u8; 16]>,
    },
    GiveBack {
        node: Arc<str>,
        number: u64,
        keys: Vec<[u8; 16]>,
    },
    /// There are changes that no commit may come for.
    Soon,
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The form itself.
pub(super) struct Server {
    link: Link,
    names: Names,
    owner: Owner,
    requests: mpsc::UnboundedSender<Request>,
    soon: Notify,
    closing: Notify,
    pub live: Live,
    pub lease: Duration,
}

/// What the thread needs once the store is put together.
type Ready = (Arc<Shared>, mpsc::Receiver<Waiting>);

/// Connects; hands back the form, the seed, where the rest goes, and the thread.
pub(super) async fn open(
    remote: &Remote,
    pipeline: &str,
) -> Result<
    (
        Arc<Server>,
        [u8; 16],
        oneshot::Sender<Ready>,
        JoinHandle<()>,
    ),
    Failure,
> {
    let names = Names::new(&remote.prefix, pipeline);
    let link = Link::new(remote.url.expose(), names.meta())?;
    let (requests, asked) = mpsc::unbounded_channel();
    let server = Arc::new(Server {
        link,
        names,
        owner: Owner::new()?,
        requests,
        soon: Notify::new(),
        closing: Notify::new(),
        live: Live::default(),
        lease: remote.lease,
    });
    let (told, seed) = oneshot::channel();
    let (ready, started) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| cannot_start(&error))?;
    let its = server.clone();
    let thread = thread::Builder::new()
        .name("state-redis".into())
        .spawn(move || {
            runtime.block_on(async move {
                let seed = its.link.first().await;
                let well = seed.is_ok();
                // Where nobody waits any longer, nobody sends the rest either.
                let _ = told.send(seed);
                if well && let Ok((shared, queue)) = started.await {
                    its.serve(&shared, queue, asked).await;
                }
            });
        });
    let thread = thread.map_err(|error| cannot_start(&error))?;
    let seed = seed.await.map_err(|_| super::writer_gone())??;
    Ok((server, seed, ready, thread))
}

fn cannot_start(error: &std::io::Error) -> Failure {
    let text = format!("cannot start the thread of the shared state: {error}");
    Failure::fatal("state_io", text)
}

impl Server {
    /// Why Redis is away, while it is.
    pub fn away(&self) -> watch::Receiver<Option<String>> {
        self.link.away()
    }

    /// The last handle is gone.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Hands a request over; what is asked after the end is answered by its dropping.
    pub fn ask(&self, request: Request) {
        let _ = self.requests.send(request);
    }

    async fn serve(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        queue: mpsc::Receiver<Waiting>,
        mut asked: mpsc::UnboundedReceiver<Request>,
    ) {
        let dispatch = async {
            while let Some(request) = asked.recv().await {
                tokio::spawn(self.clone().answer(request));
            }
        };
        let late = async {
            self.closing.notified().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            // Ends when the last handle is gone and all is written.
            () = self.commit_all(shared, queue) => {}
            () = late => {}
            () = dispatch => {}
            () = self.refresh() => {}
        }
        let _ = tokio::time::timeout(FAREWELL, self.give_all_back()).await;
    }

    async fn answer(self: Arc<Self>, request: Request) {
        match request {
            Request::Places { source, answer } => {
                let key = self.names.places(&source);
                let wanted = || !answer.is_closed();
                let rows = self.read_hash(&key, wanted).await;
                let place = |(key, value)| Checkpoint { key, value };
                let places = rows.map(|rows| rows.into_iter().map(place).collect());
                let _ = answer.send(places);
            }
            Request::Place {
                source,
                key,
                answer,
            } => {
                let mut cmd = redis::cmd("HGET");
                cmd.arg(self.names.places(&source)).arg(key);
                let found = self.link.hold(&cmd, || !answer.is_closed()).await;
                let _ = answer.send(found.and_then(read));
            }
            Request::Rows { node, answer } => {
                let key = self.names.rows(&node);
                let _ = answer.send(self.read_hash(&key, || true).await);
            }
            Request::Fetch { node, keys, answer } => {
                let wanted = || !answer.is_closed();
                let found = self.fetch(&node, &keys, wanted).await;
                let _ = answer.send(found);
            }
            Request::Claim {
                node,
                number,
                keys,
                answer,
            } => self.claim(node, number, keys, answer).await,
            Request::Mark { node, number, keys } => {
                let cmds = keys.chunks(KEYS_AT_ONCE).map(|keys| {
                    script::mark(
                        &self.names,
                        &node,
                        self.owner.claim(number),
                        keys,
                        self.lease,
                    )
                });
                for cmd in cmds {
                    // Nobody waits for it; when it fails for good, so will the commit.
                    let _ = self.link.hold(&cmd, || true).await;
                }
            }
            Request::GiveBack { node, number, keys } => self.give_back(&node, number, &keys).await,
            Request::Soon => self.soon.notify_one(),
        }
    }

    /// All of a hash, in the order of its fields.
    async fn read_hash(&self, key: &[u8], wanted: impl Fn() -> bool) -> Result<Rows, Failure> {
        let (mut cursor, mut rows) = (0_u64, Rows::new());
        loop {
            let mut cmd = redis::cmd("HSCAN");
            cmd.arg(key).arg(cursor).arg("COUNT").arg(KEYS_AT_ONCE);
            let (next, part): (u64, Rows) = read(self.link.hold(&cmd, &wanted).await?)?;
            rows.extend(part);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        // A scan may show a field twice.
        rows.sort_unstable();
        rows.dedup_by(|a, b| a.0 == b.0);
        Ok(rows)
    }

    async fn fetch(
        &self,
        node: &str,
        keys: &[Vec<u8>],
        wanted: impl Fn() -> bool,
    ) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut cmd = redis::cmd("MGET");
            for key in keys {
                cmd.arg(self.names.row(node, key));
            }
            let part: Vec<Option<Vec<u8>>> = read(self.link.hold(&cmd, &wanted).await?)?;
            found.extend(part);
        }
        Ok(found)
    }

    /// Whatever has gathered becomes one script, as the writer of the embedded form does it.
    async fn commit_all(&self, shared: &Shared, mut queue: mpsc::Receiver<Waiting>) {
        let mut number = 0;
        loop {
            let first = tokio::select! {
                first = queue.recv() => match first {
                    Some(first) => Some(first),
                    None => return,
                },
                () = self.soon.notified() => None,
            };
            let (mut groups, mut answers, mut changes) = (Vec::new(), Vec::new(), 0);
            let mut next = first;
            while let Some(Waiting { group, answer }) = next {
                changes += group.len();
                groups.push(group);
                answers.push(answer);
                next = match groups.len() < QUEUE && changes < CHANGES_AT_ONCE {
                    true => queue.try_recv().ok(),
                    false => None,
                };
            }
            let alone = groups.is_empty();
            if alone {
                groups.push(shared.pending.take(&[], Vec::new()));
            }
            number += 1;
            let cmd = script::commit(&self.names, &self.owner, number, &groups);
            // A caller that has gone was stopped: it gives its deliveries back.
            let wanted = || alone || answers.iter().any(|answer| !answer.is_closed());
            let written = match cmd {
                Some(cmd) => self.link.hold(&cmd, wanted).await.map(drop),
                None => Ok(()),
            };
            for group in groups {
                if written.is_ok() {
                    self.live.remembered(&group);
                }
                shared.pending.written(group, written.is_ok());
            }
            for answer in answers {
                let _ = answer.send(written.clone());
            }
        }
    }
}

/// A reply in the shape that was asked for.
fn read<T: redis::FromRedisValue>(reply: redis::Value) -> Result<T, Failure> {
    redis::from_redis_value(reply)
        .map_err(|_| Failure::fatal("state_io", "Redis gave an answer that means nothing"))
}
