//! A look at Snowflake without writing.

use super::{Settings, columns, connect};
use super::{WORDS, schema};
use crate::layer::{Finding, Grade};
use crate::sink::warehouse::config::{Config, Target};

/// Encryption, tables, rights.
pub(super) async fn probe(config: &Config) -> Vec<Finding> {
    let Target::Snowflake(settings) = &config.target else {
        return Vec::new();
    };
    let mut findings = vec![encryption(settings)];
    let session = match connect(config).await {
        Ok(session) => session,
        Err(failure) => {
            findings.push(Finding::new(Grade::Error, failure.to_string()));
            return findings;
        }
    };
    findings.push(match columns(&session, config).await {
        Err(failure) => Finding::new(Grade::Error, failure.to_string()),
        Ok(found) => {
            let comparison = schema::compare(&WORDS, &config.schema, &found);
            let missing = comparison.missing();
            match schema::judge(&comparison, config, "the schema") {
                Err(failure) => Finding::new(Grade::Error, failure.to_string()),
                Ok(()) if missing.is_empty() => {
                    Finding::new(Grade::Good, "the schema has all tables")
                }
                Ok(()) => {
                    let names = missing.join("`, `");
                    Finding::new(Grade::Good, format!("would make the tables `{names}`"))
                }
            }
        }
    });
    findings.push(match session.run("SELECT CURRENT_ROLE()", &[]).await {
        Ok(rows) => role(rows.first().and_then(|row| row.first()?.as_deref())),
        Err(error) => Finding::new(Grade::Unknown, format!("the role is not known: {error}")),
    });
    findings
}

fn encryption(settings: &Settings) -> Finding {
    match settings
        .url
        .as_ref()
        .is_some_and(|url| url.scheme() != "https")
    {
        true => Finding::new(
            Grade::Warning,
            "the connection to Snowflake is not encrypted: `url` is not https",
        ),
        false => Finding::new(
            Grade::Good,
            "the connection to Snowflake is encrypted (TLS), and so is what rests there (always, by \
             Snowflake itself)",
        ),
    }
}

fn role(role: Option<&str>) -> Finding {
    match role {
        Some(role @ ("ACCOUNTADMIN" | "SECURITYADMIN" | "SYSADMIN" | "ORGADMIN")) => Finding::new(
            Grade::Warning,
            format!("the role {role} can do far more than load: give the user one of its own"),
        ),
        Some(role) => Finding::new(Grade::Good, format!("loads as the role {role}")),
        None => Finding::new(Grade::Error, "the user has no role"),
    }
}
