//! What every dialect's connection can do. The rest of the sink is the same for all of them.

use std::collections::BTreeMap;
use std::future::Future;

use hashbrown::HashSet;

use super::config::Config;
use super::load::Load;
use super::refusal::Refusal;
use super::row::Cells;
use crate::failure::Failure;
use crate::layer::Finding;

/// A connection to a warehouse, with what it has prepared there.
pub(super) trait Store: Sized + Send + 'static {
    /// Connects; makes what is missing when `auto_create`; checks the tables against the model, and
    /// proves that every statement can run.
    ///
    /// # Errors
    /// `Fatal` (`warehouse_schema`), when the tables do not fit, with the statements that mend it.
    fn open(config: &Config) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Writes all parts in one transaction, by guarded MERGE or UPSERT. Durable when it returns.
    ///
    /// # Errors
    /// In any case nothing of the load is written, or it is not known whether all of it is (a
    /// connection that broke at the commit). After a `Transient` failure the connection is used
    /// again, so whatever was begun on it must be ended; after another one it is closed.
    fn load(&mut self, load: &Load<'_>) -> impl Future<Output = Result<Written, Trouble>> + Send;

    /// The staged load (`staging: true`): cells as text into a staging table, one validation query,
    /// and one commit of what passes it together with `also` (rows that are no events, as they are).
    /// Answers which cells are refused and why; the number is their place in `cells`.
    ///
    /// # Errors
    /// As [`Store::load`].
    fn stage(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> impl Future<Output = Result<Vec<(Refusal, usize)>, Trouble>> + Send;

    /// Of the last load that was [to be told](Load::told): the keys of the facts that were inserted or
    /// replaced; `None` where the database does not tell.
    fn written_facts(&mut self) -> Option<HashSet<String>> {
        None
    }

    /// How many facts lie in each hour (since 1970) from the first to before the second; `None` where
    /// that is not asked.
    ///
    /// # Errors
    /// When the database does not answer.
    fn facts(
        &mut self,
        _from: i64,
        _to: i64,
    ) -> impl Future<Output = Result<Option<BTreeMap<i64, u64>>, Failure>> + Send {
        std::future::ready(Ok(None))
    }

    /// Looks without writing, for `validate --probe`: encryption, tables, rights.
    fn probe(config: &Config) -> impl Future<Output = Vec<Finding>> + Send;
}

/// What a load has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Rows that were inserted or replaced; 0 where the database does not tell.
    pub changed: u64,
}

/// Why a load was not written.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The database refuses some row, for this reason: a clause such as "the CHECK constraint `c` of
    /// the table refuses the row", without any value.
    Refused(String),
    /// The whole load failed.
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Trouble {
    /// Where no row of an event is concerned, a refusal is a failure like any other.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Refused(reason) => Failure::rejected("constraint", reason),
        }
    }
}
