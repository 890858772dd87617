//! Azure Synapse, dedicated SQL pool: one session, one transaction for each batch.
//!
//! Rows go into temporary tables of the session first, outside the transaction, since a pool makes
//! and empties no table within one; the transaction is the merges alone. A pool enforces no key, so
//! there is one connection, and one program may write a schema at a time.
//!
//! Rows arrive by `INSERT … SELECT … UNION ALL`, a hundred a statement: what a pool surely takes. A
//! history of many millions of rows is better copied in from storage, as Microsoft recommends.

mod staging;
mod statements;

use super::config::{Config, Target};
use super::dialect::Dialect;
use super::load::{Cell, Load, Part};
use super::refusal::Refusal;
use super::rehearsal::{rows_of, statement, value};
use super::row::Cells;
use super::schema::{Comparison, Found, compare, judge};
use super::store::{Store, Trouble, Written};
use super::time;
use crate::client::tds::{Address, Class, Fault, Session, Value};
use crate::failure::{Cause, Failure, Kind};
use crate::layer::rehearsal::Leaving;
use crate::layer::{Finding, Grade};

use staging::Staging;
use statements::{Statement, Statements};

pub(super) use statements::shown;

/// An open pool.
pub(super) struct Synapse {
    session: Session,
    statements: Statements,
    staging: Option<Staging>,
    source_system: String,
}

/// What messages call it: its address is in the file.
const PLACE: &str = "the pool";
const BEGIN: &str = "BEGIN TRANSACTION;";
const COMMIT: &str = "COMMIT TRANSACTION;";
/// Any error makes the transaction one that can only be undone, and the pool waits for that.
const UNDO: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;";

impl Store for Synapse {
    async fn open(config: &Config) -> Result<Self, Failure> {
        let Target::Synapse(address) = &config.target else {
            return Err(Failure::fatal("warehouse_error", "this is no Synapse pool"));
        };
        let mut session = Session::open(address).await.map_err(failure)?;
        bring_up(&mut session, config).await?;
        let statements = Statements::new(&config.schema);
        for create in statements.creates() {
            session.batch(create).await.map_err(failure)?;
        }
        let staging = config.staging.then(|| Staging::new(&config.schema));
        if let Some(staging) = &staging {
            session.batch(&staging.create).await.map_err(failure)?;
        }
        Ok(Self {
            session,
            statements,
            staging,
            source_system: config.source_system.clone(),
        })
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        for part in &load.parts {
            self.fill(part).await?;
        }
        self.commit(load, false).await?;
        Ok(Written::default())
    }

    async fn stage(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        for part in &also.parts {
            self.fill(part).await?;
        }
        let found = match &self.staging {
            Some(staging) => staging.fill(&mut self.session, cells).await?,
            None => Vec::new(),
        };
        self.commit(also, true).await?;
        Ok(found)
    }

    async fn probe(config: &Config) -> Vec<Finding> {
        let Target::Synapse(address) = &config.target else {
            return Vec::new();
        };
        match look(address, config).await {
            Ok(findings) => findings,
            Err(failure) => vec![Finding::new(Grade::Error, failure.to_string())],
        }
    }
}

impl Synapse {
    /// A part's rows into its temporary table.
    async fn fill(&mut self, part: &Part<'_>) -> Result<(), Trouble> {
        let statement = self.statements.of(part.merge)?;
        self.session
            .batch(&statement.empty)
            .await
            .map_err(trouble)?;
        for rows in part.rows.chunks(statement.rows) {
            insert(&mut self.session, statement, rows).await?;
        }
        Ok(())
    }

    /// The merges, in one transaction.
    async fn commit(&mut self, load: &Load<'_>, staged: bool) -> Result<(), Trouble> {
        let mut merges: Vec<(&str, bool)> = Vec::new();
        for part in &load.parts {
            merges.push((&self.statements.of(part.merge)?.merge, false));
        }
        if let Some(staging) = self.staging.as_ref().filter(|_| staged) {
            merges.extend(
                staging
                    .merges
                    .iter()
                    .map(|(merge, named)| (&**merge, *named)),
            );
        }
        let source = [Value::Text(&self.source_system)];
        let done = transaction(&mut self.session, &merges, &source).await;
        let Err(fault) = done else {
            return Ok(());
        };
        // A session that cannot undo is of no use any more.
        match self.session.batch(UNDO).await {
            Ok(()) => Err(trouble(fault)),
            Err(undo) if fault.class() == Class::Gone || undo.class() == Class::Gone => {
                Err(Trouble::Failed(gone(&undo)))
            }
            Err(undo) => Err(trouble(undo)),
        }
    }
}

/// `merges`: each with whether it names the source system.
async fn transaction(
    session: &mut Session,
    merges: &[(&str, bool)],
    source: &[Value<'_>],
) -> Result<(), Fault> {
    session.batch(BEGIN).await?;
    for (merge, named) in merges {
        match named {
            true => session.execute(merge, source).await.map(drop)?,
            false => session.batch(merge).await?,
        }
    }
    session.batch(COMMIT).await
}

async fn insert(
    session: &mut Session,
    statement: &Statement,
    rows: &[Vec<Cell<'_>>],
) -> Result<(), Trouble> {
    let texts: Vec<Option<String>> = rows.iter().flatten().map(written).collect();
    let cells = rows.iter().flatten().zip(&texts);
    let values: Vec<Value<'_>> = cells
        .map(|(cell, text)| match (cell, text) {
            (Cell::Integer(number), _) => Value::Number(*number),
            (Cell::Text(text), _) => Value::Text(text),
            (_, Some(text)) => Value::Text(text),
            (_, None) => Value::Null,
        })
        .collect();
    let sql = statement.insert(rows.len());
    session.execute(&sql, &values).await.map_err(trouble)?;
    Ok(())
}

/// What a load would say, but for the transaction around its merges.
pub(super) fn said(schema: &str, load: &Load<'_>) -> Result<Vec<Leaving>, Trouble> {
    let statements = Statements::new(schema);
    let (mut said, mut merges) = (Vec::new(), Vec::new());
    for part in &load.parts {
        let known = statements.of(part.merge)?;
        said.push(statement(&known.empty, [], Vec::new()));
        for rows in part.rows.chunks(known.rows) {
            let cells = rows.iter().flatten().enumerate();
            let bound = cells.map(|(place, cell)| {
                let value = written(cell).map_or_else(|| value(cell), Into::into);
                (format!("@P{}", place + 1), value)
            });
            said.push(statement(
                &known.insert(rows.len()),
                bound,
                rows_of(part, rows),
            ));
        }
        merges.push(statement(&known.merge, [], Vec::new()));
    }
    said.extend(merges);
    Ok(said)
}

/// Times and days as text that every pool reads alike, whatever its language.
fn written(cell: &Cell<'_>) -> Option<String> {
    match cell {
        Cell::Time(ms) => Some(time::text(*ms).trim_end_matches('Z').to_owned()),
        Cell::Date(days) => Some(time::day_text(*days)),
        Cell::Null | Cell::Text(_) | Cell::Integer(_) => None,
    }
}

/// Makes what is missing, if that is wanted, and checks what is there.
async fn bring_up(session: &mut Session, config: &Config) -> Result<(), Failure> {
    let comparison = compared(session, config).await?;
    judge(&comparison, config, PLACE)?;
    let words = Dialect::Synapse.words();
    let script = comparison.script(words, &config.schema);
    if !config.auto_create || script.is_empty() {
        return Ok(());
    }
    let script = words.opening(&config.schema) + &script;
    session.batch(&script).await.map_err(failure)
}

async fn compared(session: &mut Session, config: &Config) -> Result<Comparison, Failure> {
    let words = Dialect::Synapse.words();
    let rows = session.rows(&words.columns(&config.schema), &[]).await;
    let found: Vec<Found> = rows.map_err(failure)?.into_iter().map(column).collect();
    Ok(compare(words, &config.schema, &found))
}

/// A row of the query over the columns that are there.
fn column(row: Vec<Option<String>>) -> Found {
    let mut cells = row.into_iter();
    let mut next = || cells.next().flatten();
    Found {
        table: next().unwrap_or_default(),
        column: next().unwrap_or_default(),
        kind: next().unwrap_or_default(),
        length: next().and_then(|length| length.parse().ok()),
        nullable: next().as_deref() == Some("1"),
        default: next().as_deref() == Some("1"),
    }
}

/// What may be done with the schema, and what may be done beyond that.
const RIGHTS: &str = "SELECT CAST(permission AS NVARCHAR(60)), \
     CAST(granted AS NVARCHAR(2)) FROM (\
     SELECT 'SELECT' AS permission, HAS_PERMS_BY_NAME(@P1, 'SCHEMA', 'SELECT') AS granted \
     UNION ALL SELECT 'INSERT', HAS_PERMS_BY_NAME(@P1, 'SCHEMA', 'INSERT') \
     UNION ALL SELECT 'UPDATE', HAS_PERMS_BY_NAME(@P1, 'SCHEMA', 'UPDATE') \
     UNION ALL SELECT 'DELETE', HAS_PERMS_BY_NAME(@P1, 'SCHEMA', 'DELETE') \
     UNION ALL SELECT 'CONTROL', HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CONTROL')) AS p";

async fn look(address: &Address, config: &Config) -> Result<Vec<Finding>, Failure> {
    let mut session = Session::open(address).await.map_err(failure)?;
    let good = |text: String| Finding::new(Grade::Good, text);
    let mut findings = vec![
        good(
            "the connection is encrypted (TLS), and the server's certificate is vouched for".into(),
        ),
        Finding::new(
            Grade::Unknown,
            "whether the pool is encrypted at rest (transparent data encryption) cannot be seen from \
             here: see the pool in the portal",
        ),
    ];
    let comparison = compared(&mut session, config).await?;
    findings.push(match judge(&comparison, config, PLACE) {
        Ok(()) if comparison.missing.is_empty() => good("all tables are there".into()),
        Ok(()) => good(format!(
            "`{}` will be made",
            comparison.missing().join("`, `")
        )),
        Err(failure) => Finding::new(Grade::Error, failure.to_string()),
    });
    let schema = [Value::Text(&config.schema)];
    let rights = session.rows(RIGHTS, &schema).await.map_err(failure)?;
    findings.extend(
        rights
            .into_iter()
            .filter_map(|row| right(row, &config.schema)),
    );
    Ok(findings)
}

fn right(row: Vec<Option<String>>, schema: &str) -> Option<Finding> {
    let mut cells = row.into_iter().flatten();
    let (permission, granted) = (cells.next()?, cells.next().as_deref() == Some("1"));
    match (permission.as_str(), granted) {
        ("CONTROL", true) => Some(Finding::new(
            Grade::Warning,
            "the user may do everything with the database; it needs less (see the README)"
                .to_owned(),
        )),
        ("CONTROL", false) | (_, true) => None,
        (right, false) => Some(Finding::new(
            Grade::Error,
            format!(
                "the user lacks {right}: GRANT {right} ON SCHEMA::{} TO the user",
                Dialect::Synapse.words().quote(schema)
            ),
        )),
    }
}

fn trouble(fault: Fault) -> Trouble {
    match fault.class() {
        Class::Row => Trouble::Refused(format!("{fault} of the table refuses the row")),
        _ => Trouble::Failed(failure(fault)),
    }
}

fn gone(fault: &Fault) -> Failure {
    let cause = Cause::new("warehouse_connection", format!("the pool is gone: {fault}"));
    Failure::new(Kind::Disconnected, cause)
}

fn failure(fault: Fault) -> Failure {
    match fault.class() {
        Class::Busy => Failure::transient("warehouse_busy", fault.to_string()),
        Class::Gone => gone(&fault),
        Class::Denied => Failure::fatal(
            "warehouse_denied",
            format!("{fault}: check user, password, firewall and grants (see `trunkline ddl`)"),
        ),
        Class::Missing => Failure::fatal(
            "warehouse_schema",
            format!("{fault}: compare the tables with `trunkline ddl --dialect synapse`"),
        ),
        Class::Untrusted => Failure::fatal(
            "warehouse_tls",
            format!("{fault}; name the server's authority in `ca_file` if it is your own"),
        ),
        Class::Row | Class::Other => Failure::fatal("warehouse_error", fault.to_string()),
    }
}
