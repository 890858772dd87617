//! A batch's rows into the tables, by bound values.

use rusqlite::{CachedStatement, Connection, params};

use super::super::config::Config;
use super::super::dialect::{Sqlite, Words};
use super::super::fold;
use super::super::model::{
    AGENT_ID, AGENTS, DIRECTION, FACTS, HOURS, INTERACTION_ID, INTERACTION_TYPE, Merge, QUEUE_NAME,
    QUEUES, RECORDING_URL, RECORDINGS, STATE_NAME,
};
use super::super::row::Row;
use super::super::time::{Hour, text};

/// The statements, and what is the same in every row.
pub(super) struct Load {
    facts: String,
    recordings: String,
    agents: String,
    queues: String,
    hours: String,
    source_system: String,
}

impl Load {
    pub fn new(config: &Config) -> Self {
        let merge = |merge: &Merge| {
            let places: Vec<String> = (1..=merge.columns.len()).map(|n| format!("?{n}")).collect();
            let values = format!("VALUES ({})", places.join(", "));
            Sqlite.merge(&config.schema, merge, &values)
        };
        Self {
            facts: merge(&FACTS),
            recordings: merge(&RECORDINGS),
            agents: merge(&AGENTS),
            queues: merge(&QUEUES),
            hours: merge(&HOURS),
            source_system: config.source_system.clone(),
        }
    }

    /// Fails if a statement cannot run on the tables as they are.
    pub fn prove(&self, connection: &Connection) -> rusqlite::Result<()> {
        [
            &self.facts,
            &self.recordings,
            &self.agents,
            &self.queues,
            &self.hours,
        ]
        .into_iter()
        .try_for_each(|statement| connection.prepare_cached(statement).map(drop))
    }

    /// Writes the rows, folded; rows that are there and no older stay untouched.
    pub fn write(&self, connection: &Connection, rows: &[Row<'_>]) -> rusqlite::Result<()> {
        let load = fold::Load::of(rows);
        self.facts(connection.prepare_cached(&self.facts)?, &load.facts)?;
        if !load.recordings.is_empty() {
            let statement = connection.prepare_cached(&self.recordings)?;
            recordings(statement, &load.recordings)?;
        }
        let mut statement = connection.prepare_cached(&self.agents)?;
        for agent in load.agents {
            statement.execute(params![agent, self.source_system])?;
        }
        let mut statement = connection.prepare_cached(&self.queues)?;
        for queue in load.queues {
            statement.execute(params![queue, self.source_system])?;
        }
        let statement = connection.prepare_cached(&self.hours)?;
        hours(statement, load.hours.into_iter())
    }

    fn facts(&self, mut statement: CachedStatement<'_>, rows: &[&Row<'_>]) -> rusqlite::Result<()> {
        for row in rows {
            statement.execute(params![
                row.event_id(),
                row.text(INTERACTION_ID),
                text(row.time),
                row.text(INTERACTION_TYPE),
                row.text(DIRECTION),
                row.text(STATE_NAME),
                row.duration,
                row.text(QUEUE_NAME),
                row.text(AGENT_ID),
                self.source_system,
                row.counter,
            ])?;
        }
        Ok(())
    }
}

fn recordings(mut statement: CachedStatement<'_>, rows: &[&Row<'_>]) -> rusqlite::Result<()> {
    for row in rows {
        statement.execute(params![
            row.event_id(),
            row.text(INTERACTION_ID),
            row.text(RECORDING_URL),
            text(row.time),
            row.counter,
        ])?;
    }
    Ok(())
}

fn hours(
    mut statement: CachedStatement<'_>,
    starts: impl Iterator<Item = i64>,
) -> rusqlite::Result<()> {
    for hour in starts.map(Hour::starting) {
        statement.execute(params![
            hour.start,
            hour.date,
            hour.year,
            hour.quarter,
            hour.month,
            hour.day,
            hour.hour,
            hour.day_of_week,
        ])?;
    }
    Ok(())
}
