//! A look at Snowflake without writing.

use super::{Row, Session, WORDS, schema};
use super::{Settings, columns, connect};
use crate::layer::{Finding, Grade};
use crate::sink::warehouse::config::{Config, Target};
use crate::sink::warehouse::dialect::Words;
use crate::sink::warehouse::model::TABLES;

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
    match session.run("SELECT CURRENT_ROLE()", &[]).await {
        Ok(rows) => match rows.first().and_then(|row| row.first()?.as_deref()) {
            Some(name) => findings.extend(role(&session, config, settings, name).await),
            None => findings.push(Finding::new(Grade::Error, "the user has no role")),
        },
        Err(error) => {
            let message = format!("the role is not known: {error}");
            findings.push(Finding::new(Grade::Unknown, message));
        }
    }
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

/// What the role may do.
async fn role(session: &Session, config: &Config, settings: &Settings, role: &str) -> Vec<Finding> {
    if ADMINISTRATORS.contains(&role) {
        let message =
            format!("the role {role} can do far more than load: give the user one of its own");
        return vec![Finding::new(Grade::Warning, message)];
    }
    // As it stands: the answer's letters are those of the name.
    let quoted = format!("\"{}\"", role.replace('"', "\"\""));
    let granted = session
        .run(&format!("SHOW GRANTS TO ROLE {quoted}"), &[])
        .await;
    match granted {
        Ok(rows) => {
            let grants: Vec<Grant<'_>> = rows.iter().filter_map(Grant::read).collect();
            judged(&grants, config, settings, role, &quoted)
        }
        Err(error) => {
            let message = format!("what the role {role} may do is not known: {error}");
            vec![Finding::new(Grade::Unknown, message)]
        }
    }
}

/// Roles that everything is granted to.
const ADMINISTRATORS: [&str; 4] = ["ACCOUNTADMIN", "SECURITYADMIN", "SYSADMIN", "ORGADMIN"];

/// A row of `SHOW GRANTS`: when, the privilege, on what kind of thing, its name, and to whom.
struct Grant<'r> {
    privilege: &'r str,
    kind: &'r str,
    name: &'r str,
}

impl<'r> Grant<'r> {
    fn read(row: &'r Row) -> Option<Self> {
        let cell = |place: usize| row.get(place)?.as_deref();
        Some(Self {
            privilege: cell(1)?,
            kind: cell(2)?,
            name: cell(3)?,
        })
    }

    /// Whether it gives this right on a thing of this kind and name. Who owns a thing may do all.
    fn gives(&self, privilege: &str, kind: &str, name: &str) -> bool {
        // Names stand without quotes where they need none.
        let same = self.name.replace('"', "").eq_ignore_ascii_case(name);
        self.kind == kind && same && [privilege, "OWNERSHIP"].contains(&self.privilege)
    }

    /// Whether it is more than a sink needs.
    fn is_too_much(&self, config: &Config) -> bool {
        let owns_more =
            self.privilege == "OWNERSHIP" && ["DATABASE", "WAREHOUSE"].contains(&self.kind);
        let destroys = ["DELETE", "TRUNCATE"].contains(&self.privilege);
        // Who makes tables owns them.
        let owns_table = self.privilege == "OWNERSHIP" && !config.auto_create;
        let of_account = self.kind == "ACCOUNT";
        owns_more || of_account || ((destroys || owns_table) && self.kind == "TABLE")
    }
}

/// Too many rights are a warning, missing ones an error with the GRANT.
fn judged(
    grants: &[Grant<'_>],
    config: &Config,
    settings: &Settings,
    role: &str,
    quoted: &str,
) -> Vec<Finding> {
    let (database, schema) = (&settings.database, config.schema.to_uppercase());
    let place = format!("{database}.{schema}");
    let is = |privilege: &str, kind: &str, name: &str| {
        grants
            .iter()
            .any(|grant| grant.gives(privilege, kind, name))
    };
    let mut missing = Vec::new();
    let mut needs = |privilege: &str, kind: &str, name: &str, shown: &str| {
        if !is(privilege, kind, name) {
            missing.push(format!(
                "GRANT {privilege} ON {kind} {shown} TO ROLE {quoted};"
            ));
        }
    };
    needs("USAGE", "DATABASE", database, database);
    needs("USAGE", "SCHEMA", &place, &WORDS.quote(&schema));
    for table in TABLES {
        let name = format!("{place}.{}", table.name);
        for privilege in ["SELECT", "INSERT", "UPDATE"] {
            needs(privilege, "TABLE", &name, &WORDS.table(&schema, table.name));
        }
    }
    let too_much = grants.iter().filter(|grant| grant.is_too_much(config));
    let too_much: Vec<String> = too_much
        .take(MOST_NAMED)
        .map(|grant| format!("{} on {} {}", grant.privilege, grant.kind, grant.name))
        .collect();
    let inherits = grants.iter().any(|grant| grant.kind == "ROLE");
    let makes = config.auto_create && is("CREATE TABLE", "SCHEMA", &place);
    let mut findings = Vec::new();
    match (missing.is_empty(), inherits) {
        (true, _) => {}
        // Its own tables are still to be made, and will be its own.
        (false, _) if makes && missing.iter().all(|grant| grant.contains(" ON TABLE ")) => {}
        (false, true) => {
            let message = format!("what the role {role} has from other roles is not looked at");
            findings.push(Finding::new(Grade::Unknown, message));
        }
        (false, false) => findings.extend(
            missing
                .iter()
                .map(|grant| Finding::new(Grade::Error, format!("missing right; run: {grant}"))),
        ),
    }
    if !too_much.is_empty() {
        let message = format!(
            "the role {role} can do more than the sink needs: {}",
            too_much.join(", ")
        );
        findings.push(Finding::new(Grade::Warning, message));
    }
    if findings.is_empty() {
        let message = format!("the role {role} can do what the sink needs, and no more");
        findings.push(Finding::new(Grade::Good, message));
    }
    findings
}

/// Rights that are named in one message.
const MOST_NAMED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::snowflake::Url;
    use crate::setting::Secret;
    use crate::sink::warehouse::snowflake::settings::Login;
    use std::time::Duration;

    fn findings(auto_create: bool, grants: &[(&str, &str, &str)]) -> Vec<(Grade, String)> {
        let settings = Settings {
            account: "a".to_owned(),
            user: "u".to_owned(),
            login: Login::Password(Secret::new("hush")),
            passphrase: None,
            role: None,
            warehouse: None,
            database: "DB".to_owned(),
            url: Url::parse("http://127.0.0.1:1").ok(),
            timeout: Duration::from_secs(1),
        };
        let mut config = Config::new(Target::Snowflake(settings.clone()));
        config.auto_create = auto_create;
        let grants: Vec<Grant<'_>> = grants
            .iter()
            .map(|(privilege, kind, name)| Grant {
                privilege,
                kind,
                name,
            })
            .collect();
        let found = judged(&grants, &config, &settings, "LOADER", "\"LOADER\"");
        found
            .into_iter()
            .map(|finding| (finding.grade, finding.message))
            .collect()
    }

    const PLACE: [(&str, &str, &str); 2] = [
        ("USAGE", "DATABASE", "DB"),
        ("USAGE", "SCHEMA", "DB.CC_ANALYTICS"),
    ];

    fn names() -> Vec<String> {
        let name = |table: &super::super::super::model::Table| {
            format!("DB.CC_ANALYTICS.{}", table.name.to_uppercase())
        };
        TABLES.iter().map(name).collect()
    }

    #[test]
    fn what_is_needed_and_no_more_is_good() {
        let names = names();
        let rights = ["SELECT", "INSERT", "UPDATE"];
        let mut grants = PLACE.to_vec();
        for name in &names {
            grants.extend(rights.map(|right| (right, "TABLE", name.as_str())));
        }
        let found = findings(false, &grants);
        assert_eq!((found.len(), found[0].0), (1, Grade::Good), "{found:?}");
        for at in 0..grants.len() {
            let mut fewer = grants.clone();
            let (right, kind, _) = fewer.remove(at);
            let found = findings(false, &fewer);
            let due = format!("missing right; run: GRANT {right} ON {kind} ");
            assert_eq!((found.len(), found[0].0), (1, Grade::Error), "{found:?}");
            assert!(found[0].1.starts_with(&due), "{found:?}");
            assert!(found[0].1.ends_with(" TO ROLE \"LOADER\";"), "{found:?}");
        }
        for more in [
            ("OWNERSHIP", "DATABASE", "DB"),
            ("OWNERSHIP", "WAREHOUSE", "W"),
            ("MANAGE GRANTS", "ACCOUNT", "A"),
            ("DELETE", "TABLE", names[0].as_str()),
            ("TRUNCATE", "TABLE", names[0].as_str()),
            ("OWNERSHIP", "TABLE", names[0].as_str()),
        ] {
            let found = findings(false, &[grants.as_slice(), &[more]].concat());
            assert_eq!((found.len(), found[0].0), (1, Grade::Warning), "{more:?}");
            assert!(found[0].1.contains(more.0), "{found:?}");
        }
    }

    #[test]
    fn who_makes_the_tables_owns_them() {
        let names = names();
        let mut grants = PLACE.to_vec();
        assert!(
            findings(true, &grants)
                .iter()
                .all(|found| found.0 == Grade::Error)
        );
        grants.push(("CREATE TABLE", "SCHEMA", "DB.CC_ANALYTICS"));
        assert_eq!(findings(true, &grants)[0].0, Grade::Good);
        grants.extend(
            names
                .iter()
                .map(|name| ("OWNERSHIP", "TABLE", name.as_str())),
        );
        assert_eq!(findings(true, &grants)[0].0, Grade::Good);
        // Another's grants may be enough: nobody knows.
        let found = findings(false, &[("USAGE", "ROLE", "WRITERS")]);
        assert_eq!((found.len(), found[0].0), (1, Grade::Unknown));
    }
}
