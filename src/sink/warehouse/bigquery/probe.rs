//! A look at BigQuery without writing.

use serde_json::Value;

use super::{WORDS, columns, columns_of, connect, schema};
use crate::client::bigquery::Client;
use crate::layer::{Finding, Grade};
use crate::sink::warehouse::config::{Config, Target};
use crate::sink::warehouse::dialect::{ROWS, Words};
use crate::sink::warehouse::model::{FACTS, TABLES};

/// Encryption, tables, rights.
pub(super) async fn probe(config: &Config) -> Vec<Finding> {
    let Target::BigQuery(settings) = &config.target else {
        return Vec::new();
    };
    let plain = settings
        .url
        .as_ref()
        .is_some_and(|url| url.scheme() != "https");
    let mut findings = vec![match plain {
        true => Finding::new(
            Grade::Warning,
            "the connection to BigQuery is not encrypted: `url` is not https",
        ),
        false => Finding::new(Grade::Good, "the connection to BigQuery is encrypted (TLS)"),
    }];
    let client = match connect(config).await {
        Ok(client) => client,
        Err(failure) => {
            findings.push(Finding::new(Grade::Error, failure.to_string()));
            return findings;
        }
    };
    findings.push(dataset(&client, config).await);
    let (tables, are_there) = tables(&client, config).await;
    findings.push(tables);
    if are_there {
        findings.extend(rights(&client, config).await);
    }
    findings
}

/// What a loader needs on each table.
const NEEDED: [&str; 3] = [
    "bigquery.tables.get",
    "bigquery.tables.getData",
    "bigquery.tables.updateData",
];
/// And what it is not to have: who can share a table can show it to anybody.
const TOO_MUCH: &str = "bigquery.tables.setIamPolicy";

/// Too many rights are a warning, missing ones an error.
async fn rights(client: &Client, config: &Config) -> Vec<Finding> {
    let asked = [&NEEDED[..], &[TOO_MUCH]].concat();
    let (mut missing, mut can_share) = (Vec::new(), false);
    for table in TABLES {
        match client.permissions(&config.schema, table.name, &asked).await {
            Ok(held) => {
                let has = |right: &&str| held.iter().any(|held| held == right);
                can_share |= has(&TOO_MUCH);
                let lacking = NEEDED.iter().filter(|right| !has(right));
                missing.extend(lacking.map(|right| format!("{right} on `{}`", table.name)));
            }
            Err(error) => {
                let message = format!("what the account may do is not known: {error}");
                return vec![Finding::new(Grade::Unknown, message)];
            }
        }
    }
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let message = format!(
            "the account lacks {}: give it roles/bigquery.dataEditor on the dataset",
            missing.join(", ")
        );
        findings.push(Finding::new(Grade::Error, message));
    }
    if can_share {
        let message = format!(
            "the account can share the tables with anybody ({TOO_MUCH}), which the sink need not: \
             roles/bigquery.dataEditor is enough"
        );
        findings.push(Finding::new(Grade::Warning, message));
    }
    if findings.is_empty() {
        let message = "the account can do what the sink needs, and cannot share the tables";
        findings.push(Finding::new(Grade::Good, message));
    }
    findings
}

/// What rests in BigQuery is encrypted always; by whose key is the question.
async fn dataset(client: &Client, config: &Config) -> Finding {
    match client.dataset(&config.schema).await {
        Ok(dataset) => {
            let key = dataset.pointer("/defaultEncryptionConfiguration/kmsKeyName");
            match key.and_then(Value::as_str) {
                Some(_) => {
                    Finding::new(Grade::Good, "the dataset is encrypted by a key of your own")
                }
                None => Finding::new(Grade::Good, "the dataset is encrypted by a key of Google's"),
            }
        }
        Err(error) if error.is_missing() && config.auto_create => {
            Finding::new(Grade::Good, "would make the dataset")
        }
        Err(error) => Finding::new(Grade::Error, format!("the dataset: {error}")),
    }
}

/// With whether all tables are there.
async fn tables(client: &Client, config: &Config) -> (Finding, bool) {
    let found = match columns(client, config).await {
        Ok(found) => found,
        Err(failure) => return (Finding::new(Grade::Error, failure.to_string()), false),
    };
    let comparison = schema::compare(&WORDS, &config.schema, &found);
    let missing = comparison.missing();
    let is_there = missing.is_empty();
    let finding = match schema::judge(&comparison, config, "the dataset") {
        Err(failure) => Finding::new(Grade::Error, failure.to_string()),
        Ok(()) if missing.is_empty() => {
            // A look at the statement finds out about the right to write, too.
            let merge = WORDS.merge(
                &config.schema,
                &FACTS,
                &WORDS.source(&columns_of(&FACTS), ROWS),
            );
            match client.prove(&merge, &[(ROWS, "[]")]).await {
                Ok(()) => Finding::new(Grade::Good, "the dataset has all tables, and takes rows"),
                Err(error) => Finding::new(Grade::Error, error.to_string()),
            }
        }
        Ok(()) => {
            let names = missing.join("`, `");
            Finding::new(Grade::Good, format!("would make the tables `{names}`"))
        }
    };
    (finding, is_there)
}
