//! The statements of a load. They hold no value: all of these are bound.

use super::super::dialect::{Dialect, synapse as tsql};
use super::super::model::{MERGES, Merge};
use super::super::store::Trouble;
use super::staging::Staging;
use super::{BEGIN, COMMIT, UNDO};
use crate::client::tds::MOST_VALUES;
use crate::failure::Failure;

/// Rows of one `INSERT`. Each is a `SELECT` of its own, which the pool parses one inside the other.
pub(super) const MOST_ROWS: usize = 100;

/// What is said for one table.
pub(super) struct Statement {
    table: &'static str,
    width: usize,
    /// `INSERT` up to its rows.
    head: String,
    /// Makes the temporary table, which lies as its target does: nothing moves for the merge.
    create: String,
    /// Empties it.
    pub empty: String,
    /// Rows that one `INSERT` takes at most.
    pub rows: usize,
    /// From the temporary table into the target.
    pub merge: String,
}

impl Statement {
    fn new(schema: &str, merge: &'static Merge) -> Self {
        let words = Dialect::Synapse.words();
        let staged = format!("#trunkline_{}", merge.table);
        let columns: Vec<String> = merge.columns.iter().map(|name| words.quote(name)).collect();
        let typed: Vec<String> = merge
            .columns
            .iter()
            .map(|name| {
                let kind = words.kind(tsql::kind(merge.table, name));
                format!("    {} {kind} NULL", words.quote(name))
            })
            .collect();
        let names = columns.join(", ");
        let query = format!("SELECT {names}\nFROM {staged}");
        Self {
            table: merge.table,
            width: columns.len(),
            head: format!("INSERT INTO {staged} ({names})"),
            create: format!(
                "IF OBJECT_ID('tempdb..{staged}') IS NULL\nCREATE TABLE {staged} (\n{}\n)\n\
                 WITH (DISTRIBUTION = HASH({}), HEAP);",
                typed.join(",\n"),
                columns[0]
            ),
            empty: format!("TRUNCATE TABLE {staged};"),
            rows: (MOST_VALUES / columns.len()).min(MOST_ROWS),
            merge: words.merge(schema, merge, &query),
        }
    }

    /// For so many rows.
    pub fn insert(&self, rows: usize) -> String {
        insert(&self.head, rows, self.width)
    }
}

/// A pool takes no list of `VALUES` with several rows.
pub(super) fn insert(head: &str, rows: usize, width: usize) -> String {
    let mut text = head.to_owned();
    for row in 0..rows {
        text.push_str(match row {
            0 => "\nSELECT ",
            _ => "\nUNION ALL SELECT ",
        });
        let places = (1..=width).map(|place| format!("@P{}", row * width + place));
        text.push_str(&places.collect::<Vec<_>>().join(", "));
    }
    text.push(';');
    text
}

/// What is said for all tables.
pub(super) struct Statements(Vec<Statement>);

impl Statements {
    pub fn new(schema: &str) -> Self {
        let merges = MERGES.iter();
        Self(merges.map(|merge| Statement::new(schema, merge)).collect())
    }

    /// What a session says first.
    pub fn creates(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|statement| statement.create.as_str())
    }

    pub fn of(&self, merge: &Merge) -> Result<&Statement, Trouble> {
        let found = self.0.iter().find(|known| known.table == merge.table);
        // A merge that is in no list would be a mistake in this program, which a test finds.
        found.ok_or_else(|| {
            let message = format!("no statement writes `{}`", merge.table);
            Trouble::Failed(Failure::fatal("warehouse_error", message))
        })
    }
}

/// All that a run says, in the order of one batch with one row for every table.
pub(in super::super) fn shown(schema: &str, staged: bool) -> Vec<String> {
    let statements = Statements::new(schema);
    let staging = staged.then(|| Staging::new(schema));
    let mut all = Vec::new();
    match &staging {
        Some(staging) => {
            all.push(staging.create.clone());
            all.extend(staging.fills());
        }
        None => {
            for statement in &statements.0 {
                let said = [&statement.create, &statement.empty, &statement.insert(1)];
                all.extend(said.map(String::clone));
            }
        }
    }
    all.push(BEGIN.to_owned());
    match &staging {
        Some(staging) => all.extend(staging.merges.iter().map(|(merge, _)| merge.clone())),
        None => all.extend(statements.0.iter().map(|statement| statement.merge.clone())),
    }
    all.extend([COMMIT.to_owned(), format!("-- after an error\n{UNDO}")]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_no_more_values_than_the_server_takes() {
        for statement in &Statements::new("s").0 {
            let last = statement.rows * statement.width;
            let text = statement.insert(statement.rows);
            assert!(last <= MOST_VALUES && statement.rows <= MOST_ROWS);
            assert!(text.ends_with(&format!("@P{last};")), "{text}");
            assert_eq!(text.matches("UNION ALL").count(), statement.rows - 1);
            assert_eq!(text.matches('@').count(), last);
        }
    }

    #[test]
    fn every_merge_has_its_statement() {
        let statements = Statements::new("s");
        assert!(MERGES.iter().all(|merge| statements.of(merge).is_ok()));
    }
}
