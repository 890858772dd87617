//! The staged load, as one query of several statements: cells as text into a temporary table, those
//! that are wrong into another, merges of the rest in one transaction, and what is wrong as the answer.
//!
//! What a row is refused for is known only once the rest is committed. An answer that is lost is asked
//! for again by the whole load, which then changes nothing and finds the same.

use super::super::dialect::Words;
use super::super::json;
use super::super::load::Load;
use super::super::refusal::Refusal;
use super::super::row::Cells;
use super::super::staged::{self, LINE, TABLE};
use super::load::Script;
use super::{Client, Error, WORDS};

/// The name of the parameter that holds the cells.
const CELLS: &str = "cells";
/// The name of the parameter that holds the source system.
const SOURCE: &str = "source_system";
/// The temporary table of what is refused.
const REFUSED: &str = "stg_refused";

/// The statements of a staged load.
pub(super) struct Staging {
    /// Said before the transaction.
    prepare: [String; 3],
    merges: Vec<String>,
    refusals: Vec<Refusal>,
}

impl Staging {
    pub fn new(schema: &str) -> Self {
        let (problem, refusals) = staged::problem(&WORDS);
        let line = WORDS.quote(LINE);
        // Temporary tables belong to the query: nobody else sees them, and they end with it.
        let create =
            |table: &str, query: &str| format!("CREATE OR REPLACE TEMP TABLE {table} AS\n{query}");
        let cells = WORDS.source(&staged::columns(), CELLS);
        let refused = format!(
            "SELECT {line}, problem\nFROM (\nSELECT {line}, {problem} AS problem\nFROM {TABLE}\n\
             ) AS judged\nWHERE problem IS NOT NULL"
        );
        let merges = staged::queries(&WORDS, TABLE, &format!("@{SOURCE}"));
        let merges = merges.into_iter();
        Self {
            prepare: [
                create(TABLE, &cells),
                create(REFUSED, &refused),
                format!("DELETE FROM {TABLE}\nWHERE {line} IN (SELECT {line} FROM {REFUSED})"),
            ],
            merges: merges
                .map(|(merge, query, _)| WORDS.merge(schema, merge, &query))
                .collect(),
            refusals,
        }
    }

    /// All that a staged load says.
    pub fn shown(&self) -> Vec<String> {
        let mut all = self.prepare.to_vec();
        all.push(super::load::BEGIN.to_owned());
        all.extend_from_slice(&self.merges);
        all.extend([super::load::COMMIT.to_owned(), answer()]);
        all
    }

    /// Writes what is right, and says what is wrong with which of the cells.
    pub async fn write(
        &self,
        client: &Client,
        schema: &str,
        cells: &[Cells<'_>],
        also: &Load<'_>,
        source_system: &str,
    ) -> Result<Vec<(Refusal, usize)>, Error> {
        let mut found = Vec::new();
        let texts = json::staged(cells);
        for (place, text) in texts.iter().enumerate() {
            let mut script = Script::default();
            self.prepare.iter().for_each(|said| script.before(said));
            self.merges.iter().for_each(|merge| script.say(merge));
            // What counts rows comes after all of them.
            if place + 1 == texts.len() {
                script.parts(schema, also);
            }
            script.bind(CELLS, text.clone());
            script.bind(SOURCE, source_system.to_owned());
            script.after(&answer());
            let rows = client.query(&script.text(), &script.bound()).await?;
            let refused = |row: &Vec<_>| staged::refused(row, &self.refusals, cells.len());
            found.extend(rows.iter().filter_map(refused));
        }
        Ok(found)
    }
}

fn answer() -> String {
    format!("SELECT {}, problem\nFROM {REFUSED}", WORDS.quote(LINE))
}
