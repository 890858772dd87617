//! The staged load: a batch as text into a staging table, one query that finds what is wrong with
//! its rows, and one merge into each table, all in one transaction. It takes and refuses exactly
//! what the direct load does.
//!
//! The staging table is temporary and in memory: nothing of it outlives the transaction.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::super::config::Config;
use super::super::dialect::{Sqlite, Words};
use super::super::model::{
    AGENTS, EVENT_ID, EVENT_TIMESTAMP, FACTS, Guard, HOURS, INPUTS, INTERACTION_ID, Input, Kind,
    Merge, QUEUES, RECORDINGS,
};
use super::super::refusal::Refusal;
use super::super::row::Cells;
use super::super::time;

const TABLE: &str = "temp.stg_interactions";

/// The statements of a staged load.
pub(super) struct Staging {
    insert: String,
    /// Finds the rows that are wrong, and the place in `refusals` of the first thing that is.
    validate: String,
    refusals: Vec<Refusal>,
    merges: Vec<String>,
    source_system: String,
}

impl Staging {
    pub fn open(connection: &Connection, config: &Config) -> rusqlite::Result<Self> {
        let columns: Vec<String> = INPUTS.iter().map(|i| format!("{} TEXT", i.name)).collect();
        connection.execute_batch(&format!(
            "CREATE TEMP TABLE stg_interactions \
             (line INTEGER PRIMARY KEY, {}, event_counter TEXT)",
            columns.join(", ")
        ))?;
        let names: Vec<&str> = INPUTS.iter().map(|input| input.name).collect();
        let places: Vec<String> = (1..=names.len() + 2).map(|n| format!("?{n}")).collect();
        let (validate, refusals) = validation();
        let merge = |merge: &Merge, rows: &str| Sqlite.merge(&config.schema, merge, rows);
        Ok(Self {
            insert: format!(
                "INSERT INTO {TABLE} (line, {}, event_counter) VALUES ({})",
                names.join(", "),
                places.join(", ")
            ),
            validate,
            refusals,
            merges: vec![
                merge(&FACTS, &newest(&FACTS, "true")),
                merge(
                    &RECORDINGS,
                    &newest(&RECORDINGS, "recording_url IS NOT NULL"),
                ),
                merge(&AGENTS, &distinct("agent_id")),
                merge(&QUEUES, &distinct("queue_name")),
                merge(&HOURS, &hours()),
            ],
            source_system: config.source_system.clone(),
        })
    }

    /// Writes what is right; says in `found` what is wrong with which of the cells.
    pub fn write(
        &self,
        connection: &Connection,
        cells: &[Cells<'_>],
        found: &mut Vec<(Refusal, usize)>,
    ) -> rusqlite::Result<()> {
        connection.execute(&format!("DELETE FROM {TABLE}"), [])?;
        let mut insert = connection.prepare_cached(&self.insert)?;
        for (line, cells) in cells.iter().enumerate() {
            stage(&mut insert, line, cells)?;
        }
        self.validate(connection, found)?;
        let delete = format!("DELETE FROM {TABLE} WHERE line = ?1");
        let mut delete = connection.prepare_cached(&delete)?;
        for (_, line) in found.iter() {
            delete.execute([*line as i64])?;
        }
        for merge in &self.merges {
            let mut merge = connection.prepare_cached(merge)?;
            // Three of the five name it.
            match merge.parameter_count() {
                0 => merge.execute([])?,
                _ => merge.execute([&self.source_system])?,
            };
        }
        connection.execute(&format!("DELETE FROM {TABLE}"), [])?;
        Ok(())
    }

    fn validate(
        &self,
        connection: &Connection,
        found: &mut Vec<(Refusal, usize)>,
    ) -> rusqlite::Result<()> {
        let mut validate = connection.prepare_cached(&self.validate)?;
        let mut rows = validate.query([])?;
        while let Some(row) = rows.next()? {
            let (line, problem): (u32, u32) = (row.get(0)?, row.get(1)?);
            found.push((self.refusals[problem as usize].clone(), line as usize));
        }
        Ok(())
    }
}

/// A row's cells as text; a time that could be read in the form in which it is stored.
fn stage(
    insert: &mut rusqlite::Statement<'_>,
    line: usize,
    cells: &Cells<'_>,
) -> rusqlite::Result<()> {
    let (time, counter) = (cells.time.map(time::text), cells.counter.to_string());
    let texts = cells
        .text
        .iter()
        .enumerate()
        .map(|(place, cell)| match &time {
            Some(time) if place == EVENT_TIMESTAMP => Some(time.as_str()),
            _ => cell.as_deref(),
        });
    let texts = texts
        .chain([Some(counter.as_str())])
        .map(|text| match text {
            Some(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            None => ToSqlOutput::Borrowed(ValueRef::Null),
        });
    let line = std::iter::once(ToSqlOutput::from(line as i64));
    insert.execute(params_from_iter(line.chain(texts).map(Bound)))?;
    Ok(())
}

struct Bound<'a>(ToSqlOutput<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.clone())
    }
}

/// One query for all checks, in the order in which the direct load makes them.
fn validation() -> (String, Vec<Refusal>) {
    let mut checks: Vec<(String, Refusal)> = Vec::new();
    for (place, Input { name, kind, .. }) in INPUTS.iter().enumerate() {
        match place {
            EVENT_ID => checks.push((format!("{name} IS NULL"), Refusal::MissingEventId)),
            INTERACTION_ID => {
                checks.push((format!("{name} IS NULL"), Refusal::MissingInteractionId));
            }
            _ => {}
        }
        match kind {
            Kind::Text(most) => {
                checks.push((format!("length({name}) > {most}"), Refusal::TooLong(place)));
            }
            Kind::Timestamp => checks.push((bad_time(name), Refusal::BadTimestamp)),
            _ => checks.push((bad_integer(name), Refusal::WrongType(place))),
        }
    }
    let cases: Vec<String> = checks
        .iter()
        .enumerate()
        .map(|(number, (condition, _))| format!("WHEN {condition} THEN {number}"))
        .collect();
    let query = format!(
        "SELECT line, problem FROM (SELECT line, CASE {} END AS problem FROM {TABLE}) \
         WHERE problem IS NOT NULL",
        cases.join(" ")
    );
    (
        query,
        checks.into_iter().map(|(_, refusal)| refusal).collect(),
    )
}

/// Not a time in the stored form. Reading it and printing it again also finds 31 February.
fn bad_time(name: &str) -> String {
    format!("{name} IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', {name}) OR {name} IS NULL")
}

/// Not a whole number of 32 bits in its plain form.
fn bad_integer(name: &str) -> String {
    format!(
        "{name} IS NOT NULL AND (CAST(CAST({name} AS INTEGER) AS TEXT) IS NOT {name} \
         OR CAST({name} AS INTEGER) NOT BETWEEN -2147483648 AND 2147483647)"
    )
}

/// A staged column as what the table holds.
fn typed(name: &str) -> String {
    match name {
        "source_system" => "?1".to_owned(),
        "duration_seconds" | "event_counter" => format!("CAST({name} AS INTEGER)"),
        name => name.to_owned(),
    }
}

/// The newest row of each event, by the order of the table's guard.
fn newest(merge: &Merge, which: &str) -> String {
    let columns: Vec<String> = merge.columns.iter().map(|name| typed(name)).collect();
    let order: Vec<String> = merge
        .guard
        .iter()
        .map(|part| match part {
            Guard::Text(name) | Guard::Number(name) | Guard::Time(name) => {
                format!("{} DESC", typed(name))
            }
        })
        .collect();
    format!(
        "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY {}) AS place \
         FROM {TABLE} WHERE {which}) WHERE place = 1",
        columns.join(", "),
        order.join(", ")
    )
}

fn distinct(name: &str) -> String {
    format!("SELECT DISTINCT {name}, ?1 FROM {TABLE} WHERE {name} IS NOT NULL")
}

fn hours() -> String {
    let number =
        |from: usize, length: usize| format!("CAST(substr(start, {from}, {length}) AS INTEGER)");
    let month = number(6, 2);
    format!(
        "SELECT start, substr(start, 1, 10), {}, ({month} + 2) / 3, {month}, {}, {}, \
         (CAST(strftime('%w', start) AS INTEGER) + 6) % 7 + 1 FROM \
         (SELECT DISTINCT substr(event_timestamp, 1, 13) || ':00:00.000Z' AS start FROM {TABLE}) \
         WHERE true",
        number(1, 4),
        number(9, 2),
        number(12, 2)
    )
}
