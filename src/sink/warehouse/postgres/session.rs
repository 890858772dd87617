//! A connection to PostgreSQL or Redshift: transactions, and the tables at its start.

use std::time::Duration;

use super::super::config::Config;
use super::super::dialect::Words;
use super::super::schema::{Comparison, Found, compare, judge};
use super::super::store::Trouble;
use crate::client::postgres::{Connection, Settings, Verdict, verdict};
use crate::failure::Failure;

/// How often tables are made when another program makes them at the same moment.
const TRIES: u32 = 5;

/// A connection, and what every transaction on it begins with.
pub(in super::super) struct Session {
    pub connection: Connection,
    begin: String,
    place: String,
}

impl Session {
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            connection: Connection::open(settings).await?,
            // With the transaction, not with the session: a pooler between us may give the session
            // to somebody else afterwards.
            begin: format!(
                "BEGIN; SET LOCAL statement_timeout = {}; SET LOCAL timezone = 'UTC'",
                settings.statement_timeout.as_millis()
            ),
            place: settings.place(),
        })
    }

    /// The statements that begin a transaction; to be sent by `batch_execute`.
    pub fn begin(&self) -> &str {
        &self.begin
    }

    /// More to begin every transaction with.
    pub fn also_begin(&mut self, statement: &str) {
        self.begin.push_str("; ");
        self.begin.push_str(statement);
    }

    /// Where that is, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    pub fn trouble(&self, error: &tokio_postgres::Error) -> Trouble {
        match verdict(error, &self.place) {
            Verdict::Refused(reason) => Trouble::Refused(reason),
            Verdict::Failed(failure) => Trouble::Failed(failure),
        }
    }

    pub fn failure(&self, error: &tokio_postgres::Error) -> Failure {
        verdict(error, &self.place).into_failure()
    }

    /// Ends what was begun. A connection on which that fails is gone, which the next use finds.
    pub async fn rollback(&self) {
        let _ = self.connection.batch_execute("ROLLBACK").await;
    }

    /// What is there.
    pub async fn inspect(&self, words: &dyn Words, schema: &str) -> Result<Comparison, Failure> {
        let rows = self.connection.query(&words.columns(schema), &[]).await;
        let rows = rows.map_err(|error| self.failure(&error))?;
        let found = rows.iter().map(|row| {
            Ok(Found {
                table: row.try_get(0)?,
                column: row.try_get(1)?,
                kind: row.try_get(2)?,
                length: row.try_get(3)?,
                nullable: row.try_get::<_, i32>(4)? != 0,
                default: row.try_get::<_, i32>(5)? != 0,
            })
        });
        let found: Result<Vec<Found>, tokio_postgres::Error> = found.collect();
        let found = found.map_err(|error| self.failure(&error))?;
        Ok(compare(words, schema, &found))
    }

    /// Makes what is missing if the configuration wants it, and checks the rest.
    pub async fn bring_up(&self, words: &dyn Words, config: &Config) -> Result<(), Failure> {
        let mut left = TRIES;
        loop {
            let comparison = self.inspect(words, &config.schema).await?;
            judge(&comparison, config, &self.place)?;
            let script = comparison.script(words, &config.schema);
            if script.is_empty() || !config.auto_create {
                return Ok(());
            }
            left -= 1;
            let script = format!(
                "{}; {}{script}COMMIT",
                self.begin,
                self.schema(words, config).await?
            );
            let Err(error) = self.connection.batch_execute(&script).await else {
                return Ok(());
            };
            self.rollback().await;
            if left == 0 || !is_race(&error) {
                return Err(self.failure(&error));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The statement that makes the schema, unless it is there: also to try takes a right that one
    /// who makes tables in it need not have.
    async fn schema(&self, words: &dyn Words, config: &Config) -> Result<String, Failure> {
        let query = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1::text";
        let found = self.connection.query(query, &[&config.schema]).await;
        match found.map_err(|error| self.failure(&error))?.is_empty() {
            true => Ok(words.opening(&config.schema)),
            false => Ok(String::new()),
        }
    }
}

/// Two programs that make the same thing: one of them sees a unique key of the catalogue broken, or
/// that it is there already, though each said `IF NOT EXISTS`.
fn is_race(error: &tokio_postgres::Error) -> bool {
    let code = error.code().map(|code| code.code());
    matches!(
        code,
        Some("23505" | "42P06" | "42P07" | "42710" | "40001" | "40P01" | "55P03" | "XX000")
    )
}
