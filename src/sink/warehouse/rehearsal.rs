//! Statements that are shown instead of run.
//!
//! Rows are read, checked, folded and left out for being known as ever; only the last step is another.

use std::sync::Arc;

use hashbrown::HashSet;
use serde_json::Value;

use super::config::{Config, Target};
use super::load::{Cell, Load, Part};
use super::refusal::Refusal;
use super::row::Cells;
use super::store::{Store, Trouble, Written};
use super::write::{Shared, write};
use super::{bigquery, postgres, redshift, snowflake, sqlite, synapse, time};
use crate::event::Batch;
use crate::failure::Failure;
use crate::layer::Finding;
use crate::layer::rehearsal::{Leaving, Recorder, Row};
use crate::observe::NodeMeter;
use crate::stage::Sink;

/// The sink without its last step.
#[derive(Clone)]
pub struct Rehearsal {
    shared: Arc<Shared>,
    show: Recorder,
}

impl Config {
    /// Shows each statement with what is bound to it.
    pub fn rehearse(mut self, meter: NodeMeter, show: Recorder) -> Rehearsal {
        if std::mem::take(&mut self.staging) {
            show.note(
                "`staging`: rows are shown as the direct load writes them, which takes and refuses \
                 the same; the statements are those of `trunkline ddl --statements`",
            );
        }
        // It is about this process and its clock.
        if std::mem::take(&mut self.freshness) {
            show.note("`freshness`: the rows about how late rows are written are left out");
        }
        Rehearsal {
            shared: Arc::new(Shared::new(self, meter)),
            show,
        }
    }
}

impl Sink for Rehearsal {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let mut store = Shown(self.clone());
        write(&mut store, &self.shared, &batch).await
    }
}

/// A connection to nothing.
struct Shown(Rehearsal);

impl Store for Shown {
    async fn open(_: &Config) -> Result<Self, Failure> {
        Err(Failure::fatal("warehouse_error", "this opens nothing"))
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        let config = &self.0.shared.config;
        let schema = &config.schema;
        let said = match &config.target {
            Target::Sqlite { .. } => sqlite::said(schema, load)?,
            Target::Postgres(_) => postgres::said(schema, load),
            Target::Synapse(_) => synapse::said(schema, load)?,
            Target::Redshift(_) => redshift::said(schema, load),
            Target::Snowflake(_) => snowflake::said(schema, load),
            Target::BigQuery(_) => bigquery::said(schema, load),
        };
        said.into_iter().for_each(|said| self.0.show.leave(said));
        Ok(Written::default())
    }

    async fn stage(
        &mut self,
        _: &[Cells<'_>],
        _: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        Err(Failure::fatal("warehouse_error", "`staging` is off").into())
    }

    fn written_facts(&mut self) -> Option<HashSet<String>> {
        None
    }

    async fn probe(_: &Config) -> Vec<Finding> {
        Vec::new()
    }
}

/// A statement with what is bound to it, by the names of the places.
pub(super) fn statement(
    text: &str,
    bound: impl IntoIterator<Item = (String, Value)>,
    rows: Vec<Row>,
) -> Leaving {
    Leaving {
        details: bound.into_iter().collect(),
        rows,
        ..Leaving::new("sql", text.to_owned())
    }
}

/// What is compared and looked through of some rows of a part.
pub(super) fn rows_of(part: &Part<'_>, rows: &[Vec<Cell<'_>>]) -> Vec<Row> {
    let table = part.merge.table;
    let row = |row: &Vec<Cell<'_>>| {
        let cells = part.merge.columns.iter().zip(row);
        let fields = cells.map(|(name, cell)| (format!("{table}.{name}"), value(cell)));
        let key = row.first().map(value).unwrap_or_default();
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        Row {
            key: format!("{table} {key}"),
            fields: fields.collect(),
        }
    };
    rows.iter().map(row).collect()
}

/// A cell as its column holds it; times and days as text.
pub(super) fn value(cell: &Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) => Value::from(text.as_ref()),
        Cell::Integer(number) => Value::from(*number),
        Cell::Time(ms) => Value::from(time::text(*ms)),
        Cell::Date(days) => Value::from(time::day_text(*days)),
    }
}
