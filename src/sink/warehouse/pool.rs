//! Connections to a server: opened when they are needed, kept while they are good.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::load::Load;
use super::store::{Store, Trouble};
use super::write::{Shared, write};
use super::{Door, Facts};
use crate::event::Batch;
use crate::failure::{Failure, Kind};

/// As many connections as the configuration says, at most.
pub(super) struct Pool<S> {
    shared: Arc<Shared>,
    /// Who wants to write waits for one of these.
    permits: Semaphore,
    idle: Mutex<Vec<S>>,
}

impl<S: Store> Pool<S> {
    /// Opens the first connection, so that a mistake shows at the start.
    pub async fn open(shared: Arc<Shared>) -> Result<Self, Failure> {
        let first = S::open(&shared.config).await?;
        Ok(Self {
            permits: Semaphore::new(shared.config.connections),
            idle: Mutex::new(vec![first]),
            shared,
        })
    }

    async fn take(&self) -> Result<S, Failure> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle {
            Some(store) => Ok(store),
            None => S::open(&self.shared.config).await,
        }
    }

    /// A connection whose work was cut off in the middle is never put back: its future was dropped,
    /// and it with that.
    fn put_back(&self, store: S, result: &Result<(), Failure>) {
        let good = match result {
            Ok(()) => true,
            Err(failure) => matches!(failure.kind(), Kind::Transient | Kind::Rejected),
        };
        if good {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(store);
        }
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        let closed = |_| Failure::fatal("warehouse_error", "the warehouse is closed");
        self.permits.acquire().await.map_err(closed)
    }
}

impl<S: Store> Door for Pool<S> {
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let _permit = self.permit().await?;
            let mut store = self.take().await?;
            let result = write(&mut store, &self.shared, &batch).await;
            self.put_back(store, &result);
            result
        }
        .boxed()
    }

    fn record(&self, load: Load<'static>) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let _permit = self.permit().await?;
            let mut store = self.take().await?;
            let written = store.load(&load).await.map(drop);
            let result = written.map_err(Trouble::into_failure);
            self.put_back(store, &result);
            result
        }
        .boxed()
    }

    fn facts(&self, from: i64, to: i64) -> Facts<'_> {
        async move {
            let _permit = self.permit().await?;
            let mut store = self.take().await?;
            let facts = store.facts(from, to).await;
            self.put_back(store, &facts.as_ref().map(drop).map_err(Clone::clone));
            facts
        }
        .boxed()
    }
}
