//! What `validate --probe` says of PostgreSQL and Redshift: it looks, and changes nothing.

use super::super::config::Config;
use super::super::dialect::Dialect;
use super::super::model::TABLES;
use super::super::schema::judge;
use super::session::Session;
use crate::client::postgres::{Settings, Tls};
use crate::layer::{Finding, Grade};

/// Looks at encryption, tables and rights.
pub(in super::super) async fn probe(
    config: &Config,
    settings: &Settings,
    dialect: Dialect,
) -> Vec<Finding> {
    let session = match Session::open(settings).await {
        Ok(session) => session,
        Err(failure) => return vec![Finding::new(Grade::Error, failure.to_string())],
    };
    let mut found = vec![transit(&session, settings).await, at_rest()];
    found.push(tables(&session, config, dialect).await);
    found.extend(rights(&session, config, dialect).await);
    found
}

async fn transit(session: &Session, settings: &Settings) -> Finding {
    let query = "SELECT ssl, version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()";
    let place = session.place();
    let row = session.connection.query_opt(query, &[]).await;
    let told = row.ok().flatten().and_then(|row| {
        let version: Option<String> = row.try_get(1).ok()?;
        Some((row.try_get::<_, bool>(0).ok()?, version))
    });
    match (told, settings.tls) {
        (Some((true, version)), _) => {
            let version = version.unwrap_or_else(|| "TLS".to_owned());
            Finding::new(
                Grade::Good,
                format!("{place}: encrypted in transit ({version})"),
            )
        }
        (Some((false, _)), _) | (None, Tls::Off) => Finding::new(
            Grade::Warning,
            format!("{place}: the connection is not encrypted; set `tls: require`"),
        ),
        (None, Tls::Require) => Finding::new(
            Grade::Good,
            format!("{place}: encrypted in transit (`tls: require`)"),
        ),
        (None, Tls::Prefer) => Finding::new(
            Grade::Unknown,
            format!("{place}: whether the connection is encrypted cannot be found out"),
        ),
    }
}

/// The protocol has no question for it.
fn at_rest() -> Finding {
    let message = "whether the disks of the server are encrypted cannot be found out through SQL: see \
         the settings of the host or of the cloud";
    Finding::new(Grade::Unknown, message)
}

async fn tables(session: &Session, config: &Config, dialect: Dialect) -> Finding {
    let comparison = match session.inspect(dialect.words(), &config.schema).await {
        Ok(comparison) => comparison,
        Err(failure) => return Finding::new(Grade::Error, failure.to_string()),
    };
    if let Err(failure) = judge(&comparison, config, session.place()) {
        return Finding::new(Grade::Error, failure.to_string());
    }
    let missing = comparison.missing();
    let (place, schema) = (session.place(), &config.schema);
    match missing.is_empty() {
        true => Finding::new(Grade::Good, format!("{place}: `{schema}` has all tables")),
        false => {
            let message = format!("{place}: `{}` will be made", missing.join("`, `"));
            Finding::new(Grade::Good, message)
        }
    }
}

/// Too many rights are a warning, missing ones an error with the GRANT.
async fn rights(session: &Session, config: &Config, dialect: Dialect) -> Vec<Finding> {
    let mut found = Vec::new();
    let query = "SELECT usesuper, usecreatedb, current_user::text FROM pg_catalog.pg_user \
                 WHERE usename = current_user";
    let Ok(Some(row)) = session.connection.query_opt(query, &[]).await else {
        let message = format!("{}: the role's rights cannot be read", session.place());
        return vec![Finding::new(Grade::Unknown, message)];
    };
    let (Ok(all), Ok(create)) = (row.try_get::<_, bool>(0), row.try_get::<_, bool>(1)) else {
        return found;
    };
    let role: String = row.try_get(2).unwrap_or_default();
    if all {
        let message = format!("the role `{role}` is a superuser: give the sink a role of its own");
        found.push(Finding::new(Grade::Warning, message));
    } else if create {
        let message = format!("the role `{role}` can make databases, which the sink need not");
        found.push(Finding::new(Grade::Warning, message));
    }
    let words = dialect.words();
    let query = "SELECT has_table_privilege(c.oid, $3) FROM pg_catalog.pg_class AS c \
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1::text AND c.relname = $2::text";
    let role = words.quote(&role);
    let mut is_short = false;
    for table in TABLES {
        for right in ["SELECT", "INSERT", "UPDATE"] {
            let row = session
                .connection
                .query_opt(query, &[&config.schema, &table.name, &right])
                .await;
            let held = row
                .ok()
                .flatten()
                .and_then(|row| row.try_get::<_, bool>(0).ok());
            if held == Some(false) {
                let name = words.table(&config.schema, table.name);
                let message = format!("missing right; run: GRANT {right} ON {name} TO {role};");
                found.push(Finding::new(Grade::Error, message));
                is_short = true;
            }
        }
    }
    if !is_short && found.is_empty() {
        let message = "the role can do what the sink needs, and is no administrator";
        found.push(Finding::new(Grade::Good, message));
    }
    found
}
