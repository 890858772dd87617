//! The staged load: cells as text into a temporary table of the session, one query that finds what is
//! wrong with them, and merges of the rest, all in one transaction.

use super::super::dialect::Words;
use super::super::json;
use super::super::refusal::Refusal;
use super::super::row::Cells;
use super::super::staged::{self, LINE};
use super::{Error, Session, WORDS};

/// The statements of a staged load.
pub(super) struct Staging {
    /// Said before any transaction: Snowflake commits at each DDL.
    pub create: String,
    empty: String,
    insert: String,
    /// Finds the lines that are wrong, and the place in `refusals` of the first thing that is.
    validate: String,
    /// Takes those out.
    clean: String,
    refusals: Vec<Refusal>,
    /// Each with whether it names the source system, `?`.
    merges: Vec<(String, bool)>,
}

impl Staging {
    pub fn new(schema: &str) -> Self {
        // It hides a table of its name that somebody else has there, from this session alone.
        let table = WORDS.table(schema, staged::TABLE);
        let columns = staged::columns();
        let typed = columns.iter().map(|(name, kind)| {
            let kind = match kind {
                // As long as Snowflake's text can be: what is too long is to be found.
                super::Kind::Text(_) => "VARCHAR".to_owned(),
                kind => WORDS.kind(*kind),
            };
            format!("    {} {kind}", WORDS.quote(name))
        });
        let typed = typed.collect::<Vec<_>>().join(",\n");
        let (problem, refusals) = staged::problem(&WORDS);
        let line = WORDS.quote(LINE);
        let merges = staged::queries(&WORDS, &table, "?").into_iter();
        let merges =
            merges.map(|(merge, query, named)| (WORDS.merge(schema, merge, &query), named));
        Self {
            create: format!("CREATE OR REPLACE TEMPORARY TABLE {table} (\n{typed}\n)"),
            empty: format!("DELETE FROM {table}"),
            insert: format!("INSERT INTO {table}\n{}", WORDS.source(&columns)),
            validate: format!(
                "SELECT {line}, problem\nFROM (\nSELECT {line}, {problem} AS problem\nFROM {table}\n\
                 ) AS judged\nWHERE problem IS NOT NULL"
            ),
            clean: format!("DELETE FROM {table}\nWHERE {problem} IS NOT NULL"),
            refusals,
            merges: merges.collect(),
        }
    }

    /// All that a staged load says between beginning and commit.
    pub fn shown(&self) -> Vec<String> {
        let first = [&self.empty, &self.insert, &self.validate, &self.clean];
        let merges = self.merges.iter().map(|(merge, _)| merge);
        first.into_iter().chain(merges).cloned().collect()
    }

    /// Writes what is right, and says what is wrong with which of the cells. Within a transaction.
    pub async fn write(
        &self,
        session: &Session,
        cells: &[Cells<'_>],
        source_system: &str,
    ) -> Result<Vec<(Refusal, usize)>, Error> {
        // A load before that was taken back has taken its rows back with it; this costs little.
        session.run(&self.empty, &[]).await?;
        for rows in json::staged(cells) {
            session.run(&self.insert, &[&rows]).await?;
        }
        let rows = session.run(&self.validate, &[]).await?;
        let refused = |row: &Vec<_>| staged::refused(row, &self.refusals, cells.len());
        let found: Vec<(Refusal, usize)> = rows.iter().filter_map(refused).collect();
        if !rows.is_empty() {
            session.run(&self.clean, &[]).await?;
        }
        for (merge, named) in &self.merges {
            let source = [source_system];
            session.run(merge, &source[..usize::from(*named)]).await?;
        }
        Ok(found)
    }
}
