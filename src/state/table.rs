//! The table of one node, and the changes that are made to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::pending::Noted;
use super::remote::Request;
use super::{Claims, Form, Store, unstored, writer_gone};
use crate::failure::Failure;

/// One change of a table.
#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// Puts the value under the key.
    Put {
        /// Key in this table.
        key: Vec<u8>,
        /// Any bytes.
        value: Vec<u8>,
    },
    /// The same, but only where no version is stored or a smaller one: commits of deliveries do
    /// not come in the order in which the stages saw their events.
    PutNewer {
        /// Key in this table.
        key: Vec<u8>,
        /// Grows with each change of this key.
        version: u64,
        /// Any bytes.
        value: Vec<u8>,
    },
    /// Removes the key, its version included; nothing happens where it is not there.
    Delete {
        /// Key in this table.
        key: Vec<u8>,
    },
    /// Removes the key where its version is this one or older, or none.
    DeleteOlder {
        /// Key in this table.
        key: Vec<u8>,
        /// The version that was seen.
        version: u64,
    },
}

impl Op {
    /// Key in its table.
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Op::Put { key, .. }
            | Op::PutNewer { key, .. }
            | Op::Delete { key }
            | Op::DeleteOlder { key, .. } => key,
        }
    }
}

impl fmt::Debug for Op {
    /// Sizes only: the bytes may come from events.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Put { value, .. } => write!(out, "Put({} bytes)", value.len()),
            Op::PutNewer { version, value, .. } => {
                write!(out, "PutNewer({version}, {} bytes)", value.len())
            }
            Op::Delete { .. } => out.write_str("Delete"),
            Op::DeleteOlder { version, .. } => write!(out, "DeleteOlder({version})"),
        }
    }
}

/// What one node remembers. Clones share it.
#[derive(Clone, Debug)]
pub struct Table {
    store: Store,
    pub(super) node: Arc<str>,
    expiry: Option<Duration>,
}

impl Table {
    pub(super) fn of(store: Store, node: &str) -> Self {
        let (node, expiry) = (node.into(), None);
        Self {
            store,
            node,
            expiry,
        }
    }

    /// As [`Store::is_durable`].
    pub fn is_durable(&self) -> bool {
        self.store.is_durable()
    }

    /// As [`Store::seed`].
    pub fn seed(&self) -> [u8; 16] {
        self.store.seed()
    }

    /// Whether other workers see this table too. Then what is read may have changed since, and
    /// keys are to be claimed.
    pub fn is_shared(&self) -> bool {
        self.store.server().is_some()
    }

    /// The same table, whose rows the shared form forgets by itself when they were not put again
    /// for so long; they can be [fetched](Self::fetch), and no [scan](Self::scan) shows them. In the
    /// other forms whoever puts a row removes it.
    #[must_use]
    pub fn expiring(self, expiry: Duration) -> Self {
        let expiry = Some(expiry);
        Self { expiry, ..self }
    }

    /// Of an expiring table of the shared form: the claims on its keys, which are remembered for as
    /// long as rows are.
    pub fn claims(&self) -> Option<Claims> {
        let server = self.store.server()?;
        Some(Claims::new(self.clone(), server.clone()))
    }

    /// Of an expiring table of the shared form: the rows of these keys as they are now. Waits while
    /// it is away. Nothing in other forms.
    ///
    /// # Errors
    /// Fatal (`state_io`) when no waiting will help.
    pub async fn fetch(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let value = |row: Option<Vec<u8>>| Some(unstored(&row?)?.1.to_vec());
        Ok(self
            .fetch_stored(keys)
            .await?
            .into_iter()
            .map(value)
            .collect())
    }

    /// The same, as they are stored.
    pub(super) async fn fetch_stored(
        &self,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let Some(server) = self.store.server() else {
            return Ok(vec![None; keys.len()]);
        };
        let (answer, answered) = oneshot::channel();
        let node = self.node.clone();
        server.ask(Request::Fetch { node, keys, answer });
        answered.await.map_err(|_| writer_gone())?
    }

    /// Notes a change that becomes durable when this delivery is committed, after those noted
    /// for it before.
    pub fn note(&self, delivery: u64, op: Op) {
        let pending = &self.store.0.shared.pending;
        pending.note(delivery, self.noted(op));
    }

    /// Notes a change that belongs to no delivery (expiry): it goes with whichever commit comes
    /// next, and is made after those of the deliveries in it.
    pub fn note_soon(&self, op: Op) {
        self.store.0.shared.pending.note_soon(self.noted(op));
    }

    /// Several such changes that belong together: all go with one commit, in this order.
    pub fn note_all_soon(&self, ops: Vec<Op>) {
        let all = ops.into_iter().map(|op| self.noted(op));
        self.store.0.shared.pending.note_all_soon(all.collect());
    }

    fn noted(&self, op: Op) -> Noted {
        let (node, expiry) = (self.node.clone(), self.expiry);
        Noted { node, op, expiry }
    }

    /// Calls `visit` with every key and value that is committed, in the order of the keys. Blocks:
    /// to be called at the start.
    ///
    /// # Errors
    /// Fatal (`state_io`, `state_corrupt`) when the store cannot be read.
    pub fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Failure> {
        match &self.store.0.shared.form {
            Form::Memory(memory) => {
                memory.scan(&self.node, visit);
                Ok(())
            }
            Form::Disk(disk) => disk.scan(&self.node, visit),
            Form::Remote(server) => {
                let (answer, answered) = std::sync::mpsc::channel();
                let node = self.node.clone();
                server.ask(Request::Rows { node, answer });
                for (key, bytes) in answered.recv().map_err(|_| writer_gone())?? {
                    if let Some((_, value)) = unstored(&bytes) {
                        visit(&key, value);
                    }
                }
                Ok(())
            }
        }
    }
}
