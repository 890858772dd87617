//! The warehouse in BigQuery: each load is one job, in which one transaction merges into all tables.
//!
//! Keys are not enforced, and two MERGEs that only insert do not wait for each other: at the same time
//! both would insert the same new key. So there is one writer. A transaction that meets somebody else's
//! is aborted, which passes. A load of several megabytes is several transactions, facts after what they
//! refer to: a crash in between leaves dimensions and recordings whose facts are delivered again, and a
//! guarded MERGE that runs twice changes nothing the second time.

mod load;
mod probe;
mod settings;
mod staging;

use serde_json::Value;

use super::config::{Config, Target};
use super::dialect::merge::columns as columns_of;
use super::dialect::{self, ROWS, Words};
use super::load::Load;
use super::model::{FACTS, FRESHNESS, MERGES, Merge, TABLES, VIEWS};
use super::refusal::Refusal;
use super::rehearsal::{rows_of, statement};
use super::row::Cells;
use super::schema::{self, Found};
use super::store::{Store, Trouble, Written};
use crate::client::bigquery::{Class, Client, Error};
use crate::failure::{Cause, Failure, Kind};
use crate::layer::Finding;
use crate::layer::rehearsal::Leaving;

pub use settings::Settings;
use staging::Staging;

/// The dialect's words.
const WORDS: dialect::BigQuery = dialect::BigQuery;

/// A client with its statements.
pub(super) struct BigQuery {
    client: Client,
    schema: String,
    source_system: String,
    /// The merge of each of [`MERGES`], to be proved.
    merges: Vec<String>,
    staging: Option<Staging>,
}

impl Store for BigQuery {
    async fn open(config: &Config) -> Result<Self, Failure> {
        let client = connect(config).await?;
        bring_up(&client, config).await?;
        let store = Self {
            client,
            schema: config.schema.clone(),
            source_system: config.source_system.clone(),
            staging: config.staging.then(|| Staging::new(&config.schema)),
            merges: MERGES.iter().map(|of| merge(&config.schema, of)).collect(),
        };
        let proved = store.prove().await;
        proved.map_err(|error| unusable(&error))?;
        Ok(store)
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        for script in load::scripts(&self.schema, load) {
            let ran = self.client.run(&script.text(), &script.bound()).await;
            if let Err(error) = ran {
                return Err(self.trouble(error).await);
            }
        }
        // A job says how many rows it changed, but not always: nobody needs it.
        Ok(Written::default())
    }

    async fn stage(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        let Some(staging) = &self.staging else {
            unreachable!("only a configuration with `staging` asks for it");
        };
        let (schema, source) = (&self.schema, &self.source_system);
        match staging
            .write(&self.client, schema, cells, also, source)
            .await
        {
            Ok(found) => Ok(found),
            Err(error) => Err(self.trouble(error).await),
        }
    }

    async fn probe(config: &Config) -> Vec<Finding> {
        probe::probe(config).await
    }
}

impl BigQuery {
    /// Lets BigQuery look at every merge, on no rows. It does not look into a job of several
    /// statements.
    async fn prove(&self) -> Result<(), Error> {
        for merge in &self.merges {
            self.client.prove(merge, &[(ROWS, "[]")]).await?;
        }
        Ok(())
    }

    /// BigQuery has one reason for a statement and for a value that it does not take. If the
    /// statements alone are good it is the value.
    async fn trouble(&self, error: Error) -> Trouble {
        if error.class != Class::Query {
            return failure(&error).into();
        }
        match self.prove().await {
            Err(error) if error.class == Class::Query => unusable(&error).into(),
            Err(error) => failure(&error).into(),
            Ok(()) => {
                // The message may repeat the value; a column's name is none.
                let columns = MERGES.iter().flat_map(|merge| merge.columns);
                let named = columns.filter(|name| error.names(name));
                // `date` and `hour` may be words of the message too.
                Trouble::Refused(match named.max_by_key(|name| name.len()) {
                    Some(name) => format!("column `{name}` of the table refuses the row"),
                    None => "the table refuses the row".to_owned(),
                })
            }
        }
    }
}

fn merge(schema: &str, merge: &Merge) -> String {
    WORDS.merge(schema, merge, &WORDS.source(&columns_of(merge), ROWS))
}

/// What says that rows are there comes after them.
fn turn(merge: &Merge) -> u8 {
    match merge.table {
        table if table == FACTS.table => 1,
        table if table == FRESHNESS.table => 2,
        _ => 0,
    }
}

/// What a load would say: a job with its transaction. Of several jobs the rows are told of the first.
pub(super) fn said(schema: &str, load: &Load<'_>) -> Vec<Leaving> {
    let parts = load.parts.iter();
    let mut rows: Vec<_> = parts.flat_map(|part| rows_of(part, &part.rows)).collect();
    let scripts = load::scripts(schema, load).into_iter();
    let said = scripts.map(|script| {
        let bound = script.bound().into_iter();
        let bound = bound.map(|(name, text)| (format!("@{name}"), text.into()));
        statement(&script.text(), bound, std::mem::take(&mut rows))
    });
    said.collect()
}

/// All that a run says, in the order of one batch with rows for every table: one job.
pub(super) fn shown(schema: &str, staged: bool) -> Vec<String> {
    if staged {
        return Staging::new(schema).shown();
    }
    let mut merges = MERGES.to_vec();
    merges.sort_by_key(|merge| turn(merge));
    let merges = merges.iter().enumerate().map(|(place, merge)| {
        let source = WORDS.source(&columns_of(merge), &format!("{ROWS}{place}"));
        WORDS.merge(schema, merge, &source)
    });
    let begin = std::iter::once(load::BEGIN.to_owned());
    begin
        .chain(merges)
        .chain([load::COMMIT.to_owned()])
        .collect()
}

async fn connect(config: &Config) -> Result<Client, Failure> {
    let Target::BigQuery(settings) = &config.target else {
        return Err(Failure::fatal("warehouse_error", "no address of BigQuery"));
    };
    Client::new(&settings.client().await?)
}

/// Compares what is there with the model, and makes what is missing where that is wanted.
async fn bring_up(client: &Client, config: &Config) -> Result<(), Failure> {
    let found = columns(client, config).await?;
    let comparison = schema::compare(&WORDS, &config.schema, &found);
    let place = format!("the dataset {}", WORDS.quote(&config.schema));
    schema::judge(&comparison, config, &place)?;
    let script = comparison.script(&WORDS, &config.schema);
    if !config.auto_create || script.is_empty() {
        return Ok(());
    }
    let script = WORDS.opening(&config.schema) + &script;
    for statement in script.split_terminator(";\n") {
        let made = client.run(statement, &[]).await;
        made.map_err(|error| unusable(&error))?;
    }
    Ok(())
}

/// What is there, by `tables.get`: free, unlike a query over the schema of the dataset.
async fn columns(client: &Client, config: &Config) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    let tables = TABLES.iter().map(|table| table.name);
    for name in tables.chain(VIEWS.iter().map(|view| view.name)) {
        match client.table(&config.schema, name).await {
            Ok(description) => {
                let fields = description
                    .pointer("/schema/fields")
                    .and_then(Value::as_array);
                let fields = fields.into_iter().flatten();
                found.extend(fields.filter_map(|field| column(name, field)));
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(failure(&error)),
        }
    }
    Ok(found)
}

/// A `TableFieldSchema` of the API.
fn column(table: &str, field: &Value) -> Option<Found> {
    let text = |name: &str| field.get(name).and_then(Value::as_str);
    Some(Found {
        table: table.to_owned(),
        column: text("name")?.to_owned(),
        kind: match text("type")? {
            // The old name, which the API still answers: 64 bits.
            "INTEGER" => "INT64".to_owned(),
            kind => kind.to_owned(),
        },
        length: text("maxLength").and_then(|length| length.parse().ok()),
        nullable: text("mode") != Some("REQUIRED"),
        default: text("defaultValueExpression").is_some(),
    })
}

fn failure(error: &Error) -> Failure {
    let message = error.to_string();
    match error.class {
        Class::Busy => {
            let cause = Cause {
                retry_after: error.retry_after,
                ..Cause::new("warehouse_busy", message)
            };
            Failure::new(Kind::Transient, cause)
        }
        Class::Query => Failure::rejected("constraint", message),
        Class::Setup => Failure::fatal("warehouse_setup", message + remedy(&error.reason)),
    }
}

/// A statement that BigQuery does not take, whatever the rows: it had none, so all may be said.
fn unusable(error: &Error) -> Failure {
    match error.class {
        Class::Query => {
            let said = error.in_full();
            let message = format!(
                "BigQuery does not take a statement of the warehouse: {said}; compare the tables \
                 with what `trunkline ddl --dialect bigquery` prints"
            );
            Failure::fatal("warehouse_schema", message)
        }
        _ => failure(error),
    }
}

/// What a person can do about it.
fn remedy(reason: &str) -> &'static str {
    match reason {
        "accessDenied" => {
            "; the account needs roles/bigquery.jobUser on the project and \
             roles/bigquery.dataEditor on the dataset"
        }
        "notFound" => "; are project, `schema` (the dataset) and `location` right?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_the_api_is_a_column() {
        let field = json!({ "name": "n", "type": "INTEGER", "mode": "REQUIRED",
            "defaultValueExpression": "0" });
        let found = column("t", &field).unwrap();
        assert_eq!(
            (found.kind.as_str(), found.nullable, found.default),
            ("INT64", false, true)
        );
        let field = json!({ "name": "s", "type": "STRING", "maxLength": "50" });
        let found = column("t", &field).unwrap();
        assert_eq!(
            (found.length, found.nullable, found.default),
            (Some(50), true, false)
        );
    }
}
