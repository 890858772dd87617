//! Keys whose event is under way at one of several workers.
//!
//! A key is *claimed* before its event goes on, *delivered* once that is answered well, and
//! *remembered* with the commit of its delivery; whoever asks for a key that is claimed waits. A
//! claim ends by itself when nothing is heard of its worker for the lease; while the worker lives
//! it is refreshed three times in that time. Delivered counts for others, who have a duplicate at
//! hand; a worker that dies before it committed brings its delivery again, and by then the claim
//! is over, so the state behind it finds what it found the first time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::script::{self, Token};
use super::{KEYS_AT_ONCE, Request, Server, read};
use crate::failure::Failure;
use crate::state::pending::Group;
use crate::state::{Op, Table, writer_gone};

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No event of it was delivered, and none is under way elsewhere.
    Free,
    /// An event of it was delivered.
    Seen,
    /// An event of it is under way elsewhere.
    Busy,
}

/// What this worker has claimed.
#[derive(Default)]
pub(in crate::state) struct Live {
    keys: Mutex<Keys>,
    claims: AtomicU64,
}

/// By node and key.
type Keys = HashMap<(Arc<str>, [u8; 16]), Mine>;

struct Mine {
    claim: u64,
    delivered: bool,
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Keys> {
        // Each entry is put and removed whole.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These changes are durable: keys among them are claimed no longer.
    pub fn remembered(&self, group: &Group) {
        let mut live = self.lock();
        if live.is_empty() {
            return;
        }
        for noted in group.noted() {
            if let Ok(key) = noted.op.key().try_into() {
                live.remove(&(noted.node.clone(), key));
            }
        }
    }

    fn add(&self, node: &Arc<str>, claim: u64, keys: impl Iterator<Item = [u8; 16]>) {
        let mut live = self.lock();
        for key in keys {
            let delivered = false;
            live.insert((node.clone(), key), Mine { claim, delivered });
        }
    }

    /// Those of the claim that were not delivered.
    fn open(&self, node: &Arc<str>, claim: u64, keys: &[[u8; 16]]) -> Vec<[u8; 16]> {
        let live = self.lock();
        let is_open = |key: &&[u8; 16]| {
            let mine = live.get(&(node.clone(), **key));
            mine.is_some_and(|mine| mine.claim == claim && !mine.delivered)
        };
        keys.iter().filter(is_open).copied().collect()
    }

    fn remove(&self, node: &Arc<str>, claim: u64, keys: &[[u8; 16]]) {
        let mut live = self.lock();
        for key in keys {
            let entry = (node.clone(), *key);
            if live.get(&entry).is_some_and(|mine| mine.claim == claim) {
                live.remove(&entry);
            }
        }
    }

    fn delivered(&self, node: &Arc<str>, claim: u64, keys: &[[u8; 16]]) {
        let mut live = self.lock();
        for key in keys {
            let mine = live.get_mut(&(node.clone(), *key));
            if let Some(mine) = mine.filter(|mine| mine.claim == claim) {
                mine.delivered = true;
            }
        }
    }

    fn all(&self) -> Vec<(Arc<str>, [u8; 16], u64)> {
        let live = self.lock();
        let mine =
            |((node, key), mine): (&(Arc<str>, [u8; 16]), &Mine)| (node.clone(), *key, mine.claim);
        live.iter().map(mine).collect()
    }
}

impl Server {
    pub(super) async fn claim(
        &self,
        node: Arc<str>,
        number: u64,
        keys: Vec<[u8; 16]>,
        answer: oneshot::Sender<Result<Vec<Standing>, Failure>>,
    ) {
        let mut standings = Vec::with_capacity(keys.len());
        let mut failed = None;
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let token = self.owner.claim(number);
            let cmd = script::claim(&self.names, &node, token, keys, self.lease);
            let reply = self.link.hold(&cmd, || !answer.is_closed()).await;
            match reply.and_then(read::<Vec<u8>>) {
                Ok(found) => standings.extend(found.into_iter().map(|found| match found {
                    0 => Standing::Free,
                    1 => Standing::Seen,
                    _ => Standing::Busy,
                })),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        let outcome = match failed {
            Some(failure) => Err(failure),
            None => {
                let free = keys.iter().zip(&standings);
                let free = free.filter(|(_, standing)| **standing == Standing::Free);
                self.live.add(&node, number, free.map(|(key, _)| *key));
                Ok(standings)
            }
        };
        let failed = outcome.is_err();
        if answer.send(outcome).is_err() || failed {
            // Nobody has it, or nobody knows what was claimed.
            self.give_back(&node, number, &keys).await;
        }
    }

    pub(super) async fn give_back(&self, node: &Arc<str>, number: u64, keys: &[[u8; 16]]) {
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let cmd = script::give_back(&self.names, node, self.owner.claim(number), keys);
            // What cannot be given back expires.
            let _ = self.link.hold(&cmd, || true).await;
            // Not before: what the end of the store cuts off here is given back there.
            self.live.remove(node, number, keys);
        }
    }

    /// Lengthens all claims, for as long as the store is open.
    pub(super) async fn refresh(&self) {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            let token = |(node, key, claim)| (node, key, self.owner.claim(claim));
            let all: Vec<(Arc<str>, [u8; 16], Token)> =
                self.live.all().into_iter().map(token).collect();
            for keys in all.chunks(KEYS_AT_ONCE) {
                let cmd = script::refresh(&self.names, keys, self.lease);
                let _ = self.link.hold(&cmd, || true).await;
            }
        }
    }

    /// At the end: what was not committed will be brought again, to whoever is there.
    pub(super) async fn give_all_back(&self) {
        let mut claims: HashMap<(Arc<str>, u64), Vec<[u8; 16]>> = HashMap::new();
        for (node, key, claim) in self.live.all() {
            claims.entry((node, claim)).or_default().push(key);
        }
        for ((node, claim), keys) in claims {
            self.give_back(&node, claim, &keys).await;
        }
    }
}

/// The claims of one node of this worker. Only the shared form has them.
#[derive(Clone)]
pub struct Claims {
    table: Table,
    server: Arc<Server>,
}

/// The keys that one batch claimed. Those that were not delivered are free again when it goes.
pub struct Claim {
    claims: Claims,
    number: u64,
    keys: Vec<[u8; 16]>,
}

impl Claims {
    pub(in crate::state) fn new(table: Table, server: Arc<Server>) -> Self {
        Self { table, server }
    }

    /// Claims those of the keys that are free; how each of them stood. Waits for as long as Redis is
    /// away.
    ///
    /// # Errors
    /// Fatal (`state_io`) when no waiting will help.
    pub async fn claim(&self, keys: Vec<[u8; 16]>) -> Result<(Claim, Vec<Standing>), Failure> {
        let number = self.server.live.claims.fetch_add(1, Ordering::Relaxed);
        // Dropped before the answer is there, it gives back what the answer would have brought.
        let mut claim = Claim {
            claims: self.clone(),
            number,
            keys: Vec::new(),
        };
        let (answer, answered) = oneshot::channel();
        self.server.ask(Request::Claim {
            node: self.table.node.clone(),
            number,
            keys: keys.clone(),
            answer,
        });
        claim.keys = keys;
        let standings = answered.await.map_err(|_| writer_gone())??;
        Ok((claim, standings))
    }

    /// How each of the keys stands, without claiming any.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn look(&self, keys: &[[u8; 16]]) -> Result<Vec<Standing>, Failure> {
        let keys = keys.iter().map(|key| key.to_vec()).collect();
        let found = self.table.fetch_stored(keys).await?;
        let standing = |row: Option<Vec<u8>>| match row.as_deref().map(|row| row.first()) {
            None => Standing::Free,
            Some(Some(b'c')) => Standing::Busy,
            Some(_) => Standing::Seen,
        };
        Ok(found.into_iter().map(standing).collect())
    }
}

impl Claim {
    /// The event of this key was delivered; it is remembered when this delivery is committed.
    pub fn delivered(&self, keys: &[([u8; 16], u64)]) {
        let Claims { table, server } = &self.claims;
        let marked: Vec<[u8; 16]> = keys.iter().map(|(key, _)| *key).collect();
        server.live.delivered(&table.node, self.number, &marked);
        for (key, delivery) in keys {
            let (key, value) = (key.to_vec(), Vec::new());
            table.note(*delivery, Op::Put { key, value });
        }
        server.ask(Request::Mark {
            node: table.node.clone(),
            number: self.number,
            keys: marked,
        });
    }

    /// Frees those that were not delivered.
    pub fn release(&self) {
        let Claims { table, server } = &self.claims;
        let keys = server.live.open(&table.node, self.number, &self.keys);
        if !keys.is_empty() {
            server.ask(Request::GiveBack {
                node: table.node.clone(),
                number: self.number,
                keys,
            });
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}
