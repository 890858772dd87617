//! What `validate --probe` says of PostgreSQL and Redshift: it looks, and changes nothing.

use tokio_postgres::types::ToSql;

use super::super::config::{Config, Target};
use super::super::dialect::{Dialect, Words};
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
    let asking = Asking {
        session,
        words,
        role: words.quote(&role),
    };
    found.extend(missing(&asking, config).await.into_iter().map(|grant| {
        let message = format!("missing right; run: {grant}");
        Finding::new(Grade::Error, message)
    }));
    if !all {
        found.extend(more(&asking, config).await);
    }
    if found.is_empty() {
        let message = "the role can do what the sink needs, and is no administrator";
        found.push(Finding::new(Grade::Good, message));
    }
    found
}

/// Who asks what a role may do.
struct Asking<'a> {
    session: &'a Session,
    words: &'a dyn Words,
    /// Quoted.
    role: String,
}

impl Asking<'_> {
    /// The answer to a question with one text; `None` where there is nothing to ask about.
    async fn ask(&self, query: &str, with: &[&(dyn ToSql + Sync)]) -> Option<bool> {
        let row = self.session.connection.query_opt(query, with).await;
        row.ok().flatten().and_then(|row| row.try_get(0).ok())
    }

    async fn table(&self, schema: &str, table: &str, right: &str) -> Option<bool> {
        let query = "SELECT has_table_privilege(c.oid, $3) FROM pg_catalog.pg_class AS c \
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                     WHERE n.nspname = $1::text AND c.relname = $2::text";
        self.ask(query, &[&schema, &table, &right]).await
    }

    async fn schema(&self, schema: &str, right: &str) -> Option<bool> {
        let query = "SELECT has_schema_privilege(n.oid, $2) FROM pg_catalog.pg_namespace AS n \
                     WHERE n.nspname = $1::text";
        self.ask(query, &[&schema, &right]).await
    }

    /// The grant on the database, unless it is held.
    async fn database(&self, right: &str) -> Option<String> {
        let query = "SELECT has_database_privilege(current_database(), $1)";
        let held = self.ask(query, &[&right]).await;
        let name = self
            .session
            .connection
            .query_opt("SELECT current_database()::text", &[])
            .await
            .ok()
            .flatten()?;
        let name = self.words.quote(name.try_get(0).ok()?);
        (held == Some(false)).then(|| format!("GRANT {right} ON DATABASE {name} TO {};", self.role))
    }
}

/// The grants that a run would miss.
async fn missing(asking: &Asking<'_>, config: &Config) -> Vec<String> {
    let (mut grants, schema, role) = (Vec::new(), config.schema.as_str(), &asking.role);
    let quoted = asking.words.quote(schema);
    match asking.schema(schema, "USAGE").await {
        // It is to be made.
        None => grants.extend(asking.database("CREATE").await),
        Some(false) => grants.push(format!("GRANT USAGE ON SCHEMA {quoted} TO {role};")),
        Some(true) => {}
    }
    let mut is_short = false;
    for table in TABLES {
        for right in ["SELECT", "INSERT", "UPDATE"] {
            match asking.table(schema, table.name, right).await {
                Some(false) => {
                    let name = asking.words.table(schema, table.name);
                    grants.push(format!("GRANT {right} ON {name} TO {role};"));
                }
                Some(true) => {}
                None => is_short = true,
            }
        }
    }
    if is_short && asking.schema(schema, "CREATE").await == Some(false) {
        grants.push(format!("GRANT CREATE ON SCHEMA {quoted} TO {role};"));
    }
    // Redshift's rows go through temporary tables in any case.
    if config.staging || matches!(config.target, Target::Redshift(_)) {
        grants.extend(asking.database("TEMPORARY").await);
    }
    grants
}

/// Rights on the tables that the sink never uses, and that were given to it. Who owns a table has all
/// of them: whoever made it with `auto_create`.
async fn more(asking: &Asking<'_>, config: &Config) -> Vec<Finding> {
    let owner = "SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class AS c \
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1::text AND c.relname = $2::text";
    let mut found = Vec::new();
    for table in TABLES {
        let (schema, name) = (config.schema.as_str(), table.name);
        if asking.ask(owner, &[&schema, &name]).await != Some(false) {
            continue;
        }
        let mut rights = Vec::new();
        for right in ["DELETE", "TRUNCATE"] {
            if asking.table(schema, name, right).await == Some(true) {
                rights.push(right);
            }
        }
        if !rights.is_empty() {
            let (name, rights) = (asking.words.table(schema, name), rights.join(", "));
            let message = format!(
                "a right that the sink does not need; run: REVOKE {rights} ON {name} FROM {};",
                asking.role
            );
            found.push(Finding::new(Grade::Warning, message));
        }
    }
    found
}
