//! The staged load, for PostgreSQL and Redshift: a batch as text into a temporary table, one query
//! that finds what is wrong with its rows, and merges out of it. It takes and refuses exactly what
//! the direct load does.

use hashbrown::HashSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, SimpleQueryMessage, Statement};

use super::super::config::Config;
use super::super::dialect::{Words, literal};
use super::super::model::{
    AGENTS, EVENT_ID, EVENT_TIMESTAMP, FACTS, Guard, HOURS, INPUTS, INTERACTION_ID, Input, Kind,
    Merge, QUEUES, RECORDINGS,
};
use super::super::refusal::Refusal;
use super::super::row::Cells;
use super::super::time;
use super::session::Session;
use super::told;
use crate::failure::Failure;

/// The staging table: the connection's own, and empty outside of a transaction.
pub(in super::super) const TABLE: &str = "stg_interactions";

/// The statements of a staged load.
pub(in super::super) struct Staging {
    insert: Statement,
    validate: String,
    refusals: Vec<Refusal>,
    /// The queries out of the staging table, with the merges that they are for.
    merges: Vec<String>,
}

impl Staging {
    /// Makes the table, and prepares what fills it.
    pub async fn open(
        session: &Session,
        words: &dyn Words,
        config: &Config,
    ) -> Result<Self, Failure> {
        let connection = &session.connection;
        let created = connection.batch_execute(&create()).await;
        created.map_err(|error| session.failure(&error))?;
        let insert = connection.prepare(&insert()).await;
        let (validate, refusals) = validation();
        Ok(Self {
            insert: insert.map_err(|error| session.failure(&error))?,
            validate,
            refusals,
            merges: merges(words, &config.schema, &config.source_system),
        })
    }

    /// Begins the transaction and fills the table.
    pub async fn fill(&self, session: &Session, cells: &[Cells<'_>]) -> Result<(), Error> {
        let lines: Vec<i64> = (0..cells.len() as i64).collect();
        let counters: Vec<String> = cells
            .iter()
            .map(|cells| cells.counter.to_string())
            .collect();
        let times: Vec<Option<String>> = cells
            .iter()
            .map(|cells| cells.time.map(time::text))
            .collect();
        let columns: Vec<Vec<Option<&str>>> = (0..INPUTS.len())
            .map(|place| {
                let cells = cells.iter().zip(&times);
                cells
                    .map(|(cells, time)| match time {
                        Some(time) if place == EVENT_TIMESTAMP => Some(time.as_str()),
                        _ => cells.text[place].as_deref(),
                    })
                    .collect()
            })
            .collect();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&lines];
        parameters.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        parameters.push(&counters);
        let connection = &session.connection;
        let (begun, filled) = futures::join!(
            connection.batch_execute(session.begin()),
            connection.execute(&self.insert, &parameters)
        );
        begun.and(filled).map(drop)
    }

    /// Finds what is wrong, and takes it out of the table.
    pub async fn validate(&self, session: &Session) -> Result<Vec<(Refusal, usize)>, Error> {
        refused(session, &self.validate, &self.refusals).await
    }

    /// Merges what is left into the tables, and answers if that is asked the keys of the facts that it
    /// has written.
    pub async fn merge(
        &self,
        session: &Session,
        is_told: bool,
    ) -> Result<Option<HashSet<String>>, Error> {
        let connection = &session.connection;
        if !is_told {
            connection.batch_execute(&self.merges.join(";\n")).await?;
            return Ok(None);
        }
        // The facts come first. No other merge answers rows.
        let mut merges = self.merges.clone();
        merges[..1]
            .iter_mut()
            .for_each(|facts| *facts = told(facts));
        let answers = connection.simple_query(&merges.join(";\n")).await?;
        let keys = answers.iter().filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(Some(keys.collect()))
    }
}

/// Asks what is wrong, and takes those rows out of the staging table.
pub(in super::super) async fn refused(
    session: &Session,
    query: &str,
    refusals: &[Refusal],
) -> Result<Vec<(Refusal, usize)>, Error> {
    let rows = session.connection.query(query, &[]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (line, problem): (i64, i32) = (row.try_get(0)?, row.try_get(1)?);
        let refusal = usize::try_from(problem).ok().and_then(|n| refusals.get(n));
        if let (Some(refusal), Ok(line)) = (refusal, usize::try_from(line)) {
            found.push((refusal.clone(), line));
        }
    }
    if !found.is_empty() {
        let lines: Vec<String> = found.iter().map(|(_, line)| line.to_string()).collect();
        let delete = format!("DELETE FROM {TABLE} WHERE line IN ({})", lines.join(", "));
        session.connection.batch_execute(&delete).await?;
    }
    Ok(found)
}

fn create() -> String {
    let columns: Vec<String> = INPUTS.iter().map(|i| format!("{} text", i.name)).collect();
    format!(
        "CREATE TEMP TABLE IF NOT EXISTS {TABLE} (line bigint, {}, event_counter text) \
         ON COMMIT DELETE ROWS",
        columns.join(", ")
    )
}

fn insert() -> String {
    let arrays: Vec<String> = (2..=INPUTS.len() + 2)
        .map(|n| format!("${n}::text[]"))
        .collect();
    format!(
        "INSERT INTO {TABLE} SELECT * FROM unnest($1::int8[], {})",
        arrays.join(", ")
    )
}

fn merges(words: &dyn Words, schema: &str, source_system: &str) -> Vec<String> {
    let queries = queries(source_system, "COLLATE \"C\"");
    let merges = queries.iter();
    merges
        .map(|(merge, query)| words.merge(schema, merge, query))
        .collect()
}

/// All that a staged load says between beginning and commit, in its order.
pub(in super::super) fn shown(words: &dyn Words, schema: &str) -> (String, Vec<String>) {
    let mut all = vec![insert(), validation().0];
    all.push(format!("DELETE FROM {TABLE} WHERE line IN ($1)"));
    all.extend(merges(words, schema, "source_system"));
    (create(), all)
}

/// One query for all checks, in the order in which the direct load makes them.
pub(in super::super) fn validation() -> (String, Vec<Refusal>) {
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
                let long = format!("char_length({name}) > {most}");
                checks.push((long, Refusal::TooLong(place)));
            }
            Kind::Timestamp => {
                let bad = bad_time(name).map(|condition| (condition, Refusal::BadTimestamp));
                checks.extend(bad);
            }
            _ => {
                let bad = bad_integer(name).map(|bad| (bad, Refusal::WrongType(place)));
                checks.extend(bad);
            }
        }
    }
    let cases: Vec<String> = checks
        .iter()
        .enumerate()
        .map(|(number, (condition, _))| format!("WHEN {condition} THEN {number}"))
        .collect();
    let query = format!(
        "SELECT line, problem FROM (SELECT line, CASE {} END AS problem FROM {TABLE}) AS checked \
         WHERE problem IS NOT NULL",
        cases.join(" ")
    );
    let refusals = checks.into_iter().map(|(_, refusal)| refusal).collect();
    (query, refusals)
}

/// Not a time in the stored form: its shape first, then the days that no month has. The branches of
/// a CASE are tried in order, so that only what has the shape is made a number of.
fn bad_time(name: &str) -> [String; 3] {
    let shape = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
                 T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$";
    let day = format!("substring({name}, 6, 5)");
    let year = format!("CAST(substring({name}, 1, 4) AS integer)");
    [
        format!("{name} IS NULL OR {name} !~ '{shape}' OR substring({name}, 1, 4) = '0000'"),
        format!("{day} IN ('02-30', '02-31', '04-31', '06-31', '09-31', '11-31')"),
        format!(
            "{day} = '02-29' AND NOT ({year} % 4 = 0 AND ({year} % 100 <> 0 OR {year} % 400 = 0))"
        ),
    ]
}

/// Not a whole number of 32 bits in its plain form.
fn bad_integer(name: &str) -> [String; 2] {
    [
        format!("{name} !~ '^-?[0-9]{{1,10}}$'"),
        format!("CAST({name} AS bigint) NOT BETWEEN -2147483648 AND 2147483647"),
    ]
}

/// The query for each merge, in the order of the merge's columns. `collate`: the words that make text
/// sort byte by byte, where it does not anyhow.
pub(in super::super) fn queries(
    source_system: &str,
    collate: &str,
) -> Vec<(&'static Merge, String)> {
    let source = literal(source_system);
    let distinct = |name: &str| {
        format!("SELECT DISTINCT {name}, {source} FROM {TABLE} WHERE {name} IS NOT NULL")
    };
    let with = "recording_url IS NOT NULL";
    vec![
        (&FACTS, newest(&FACTS, "1 = 1", &source, collate)),
        (&RECORDINGS, newest(&RECORDINGS, with, &source, collate)),
        (&AGENTS, distinct("agent_id") + " ORDER BY 1"),
        (&QUEUES, distinct("queue_name") + " ORDER BY 1"),
        (&HOURS, hours()),
    ]
}

/// A staged column as what the table holds.
fn typed(name: &str, source: &str) -> String {
    match name {
        "source_system" => source.to_owned(),
        "duration_seconds" => format!("CAST({name} AS integer)"),
        "event_counter" => format!("CAST({name} AS bigint)"),
        "event_timestamp" => format!("CAST({name} AS timestamp)"),
        name => name.to_owned(),
    }
}

/// The newest row of each event, by the order of the table's guard. A time sorts as its text does.
fn newest(merge: &Merge, which: &str, source: &str, collate: &str) -> String {
    let columns: Vec<String> = merge
        .columns
        .iter()
        .map(|name| typed(name, source))
        .collect();
    let order: Vec<String> = merge
        .guard
        .iter()
        .map(|part| match part {
            Guard::Text(name) | Guard::Time(name) => {
                format!("{name} {collate} DESC NULLS LAST")
            }
            Guard::Number(name) => format!("{} DESC NULLS LAST", typed(name, source)),
        })
        .collect();
    format!(
        "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY {}) AS place \
         FROM {TABLE} WHERE {which}) AS ranked WHERE place = 1 ORDER BY 1",
        columns.join(", "),
        order.join(", ")
    )
}

fn hours() -> String {
    let part = |part: &str| format!("CAST(extract({part} FROM start) AS integer)");
    format!(
        "SELECT start, CAST(start AS date), {}, {}, {}, {}, {}, \
         (CAST(extract(dow FROM start) AS integer) + 6) % 7 + 1 FROM (SELECT DISTINCT \
         date_trunc('hour', CAST(event_timestamp AS timestamp)) AS start FROM {TABLE}) AS hours \
         ORDER BY 1",
        part("year"),
        part("quarter"),
        part("month"),
        part("day"),
        part("hour"),
    )
}
