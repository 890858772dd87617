//! Rows into the tables, by bound values.

use hashbrown::HashSet;
use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use serde_json::Value;

use super::super::dialect::Dialect;
use super::super::load::{Cell, Load};
use super::super::model::{FACTS, MERGES, Merge};
use super::super::rehearsal::{rows_of, statement};
use super::super::time;
use crate::layer::rehearsal::Leaving;

/// The statement of each merge.
pub(super) struct Statements(Vec<(&'static str, String)>);

impl Statements {
    pub fn new(schema: &str) -> Self {
        let words = Dialect::Sqlite.words();
        let of = |merge: &Merge| {
            let places: Vec<String> = (1..=merge.columns.len()).map(|n| format!("?{n}")).collect();
            let values = format!("VALUES ({})", places.join(", "));
            words.merge(schema, merge, &values)
        };
        Self(
            MERGES
                .iter()
                .map(|merge| (merge.table, of(merge)))
                .collect(),
        )
    }

    /// The statements themselves.
    pub fn shown(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, statement)| statement.as_str())
    }

    /// Fails if a statement cannot run on the tables as they are.
    pub fn prove(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statements = self.0.iter();
        statements.try_for_each(|(_, statement)| connection.prepare_cached(statement).map(drop))
    }

    fn of(&self, merge: &Merge) -> rusqlite::Result<&str> {
        let known = self.0.iter().find(|(table, _)| *table == merge.table);
        // A merge that is in no list would be a mistake in this program, which a test finds.
        let (_, statement) = known.ok_or(rusqlite::Error::InvalidQuery)?;
        Ok(statement)
    }

    /// What [`write`](Self::write) would say, one statement for each row.
    pub fn said(&self, load: &Load<'_>) -> rusqlite::Result<Vec<Leaving>> {
        let mut said = Vec::new();
        for part in &load.parts {
            let text = self.of(part.merge)?;
            for row in part.rows.chunks(1) {
                let cells = row.iter().flatten().enumerate();
                let bound = cells.map(|(place, cell)| {
                    let value = Bound(cell).to_sql().map(|value| shown(&value));
                    Ok((format!("?{}", place + 1), value?))
                });
                let bound: rusqlite::Result<Vec<_>> = bound.collect();
                said.push(statement(text, bound?, rows_of(part, row)));
            }
        }
        Ok(said)
    }

    /// Writes the rows, and answers how many were inserted or replaced, and if that is asked which of the
    /// facts; rows that are there and no older stay untouched.
    pub fn write(
        &self,
        connection: &Connection,
        load: &Load<'_>,
    ) -> rusqlite::Result<(u64, Option<HashSet<String>>)> {
        let mut facts = load.told.then(HashSet::new);
        let mut changed = 0;
        for part in &load.parts {
            let mut statement = connection.prepare_cached(self.of(part.merge)?)?;
            for row in &part.rows {
                let values = row.iter().map(Bound);
                let written = statement.execute(params_from_iter(values))?;
                changed += written as u64;
                let is_new = written > 0 && part.merge.table == FACTS.table;
                if let (Some(facts), true) = (&mut facts, is_new) {
                    facts.extend(row[0].as_text().map(str::to_owned));
                }
            }
        }
        Ok((changed, facts))
    }
}

/// A bound value as JSON, which has the types of SQLite but for blobs, of which there are none.
fn shown(value: &ToSqlOutput<'_>) -> Value {
    match value {
        ToSqlOutput::Borrowed(ValueRef::Text(text)) => String::from_utf8_lossy(text).into(),
        ToSqlOutput::Borrowed(ValueRef::Integer(number)) => Value::from(*number),
        ToSqlOutput::Owned(Owned::Text(text)) => Value::from(text.as_str()),
        _ => Value::Null,
    }
}

struct Bound<'a>(&'a Cell<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Integer(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Cell::Time(ms) => ToSqlOutput::from(time::text(*ms)),
            Cell::Date(days) => ToSqlOutput::from(time::day_text(*days)),
        })
    }
}
