//! What a pipeline file says about a warehouse.

mod synapse;

use std::path::PathBuf;
use std::time::Duration;

use super::dialect::Dialect;
use super::model::{INPUTS, SOURCE_SYSTEM, WIDTH};
use super::{bigquery, snowflake};
use crate::client::postgres;
use crate::client::tds::Address;
use crate::event::Path;
use crate::setting::{Fields, Setting, Shape, is_name};

/// Schema in which the tables live unless the file names another.
const SCHEMA: &str = "cc_analytics";
/// Connections to a server, unless told, and at most.
const CONNECTIONS: usize = 2;
const CONNECTIONS_MOST: usize = 16;
/// As long as a server takes to start, or to read its log again after a crash.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What says where a warehouse is, in one dialect or another. A pipeline that leaves the dialect to a
/// variable has the fields of several, and those of the others are left alone.
const ELSEWHERE: [&str; 21] = [
    "path",
    "url",
    "host",
    "port",
    "database",
    "user",
    "password",
    "tls",
    "ca_file",
    "access_token",
    "account",
    "private_key",
    "private_key_file",
    "private_key_passphrase",
    "role",
    "warehouse",
    "project",
    "location",
    "credentials",
    "credentials_file",
    "timeout",
];

/// The fields of the sink `warehouse`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `dialect` (default `sqlite`), and the fields that say where the warehouse is.
    pub target: Target,
    /// `connections`: how many batches are written at the same time; default 2, at most 16. one
    /// where keys are not enforced and nothing else makes writers take turns (Synapse, Snowflake,
    /// BigQuery), and in SQLite.
    pub connections: usize,
    /// `schema`: default `cc_analytics`. In SQLite the file is the schema, and this only names it.
    pub schema: String,
    /// `auto_create`: make what is missing of the tables at the start; default true.
    pub auto_create: bool,
    /// `source_system`: stands in every row's column of that name; default `GENESYS_CLOUD`.
    pub source_system: String,
    /// `staging`: load batches as text into a staging table and check them there; default false.
    pub staging: bool,
    /// `freshness`: keep the table `load_freshness`, in the transaction of each batch; default true.
    pub freshness: bool,
    /// `start_timeout`: how long a server that is starting, is full or cannot be reached is waited for
    /// at the start; default 60 s, `0s` not at all.
    pub start_timeout: Duration,
    /// `columns`: where each column is found in the event.
    pub(super) paths: [Path; WIDTH],
}

/// Where the warehouse is. Each dialect has fields of its own for that.
#[derive(Clone, Debug)]
pub enum Target {
    /// `dialect: sqlite`.
    Sqlite {
        /// `path`: the database file. Its folder is made if it is missing.
        path: PathBuf,
    },
    /// `dialect: postgresql`.
    Postgres(postgres::Settings),
    /// `dialect: synapse`.
    Synapse(Box<Address>),
    /// `dialect: redshift`.
    Redshift(postgres::Settings),
    /// `dialect: snowflake`.
    Snowflake(snowflake::Settings),
    /// `dialect: bigquery`.
    BigQuery(bigquery::Settings),
}

impl Target {
    fn check(dialect: Dialect, fields: &mut Fields<'_>) -> Option<Self> {
        match dialect {
            Dialect::Sqlite => read_path(fields).map(|path| Self::Sqlite { path }),
            Dialect::Postgres => postgres::Settings::check(fields, 5432).map(Self::Postgres),
            Dialect::Synapse => synapse::read(fields).map(Box::new).map(Self::Synapse),
            Dialect::Redshift => postgres::Settings::check(fields, 5439).map(Self::Redshift),
            Dialect::Snowflake => snowflake::Settings::check(fields).map(Self::Snowflake),
            Dialect::BigQuery => bigquery::Settings::check(fields).map(Self::BigQuery),
        }
    }

    /// The dialect that is spoken there.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
            Self::Synapse(_) => Dialect::Synapse,
            Self::Redshift(_) => Dialect::Redshift,
            Self::Snowflake(_) => Dialect::Snowflake,
            Self::BigQuery(_) => Dialect::BigQuery,
        }
    }
}

impl Config {
    /// Reads the fields of the component; all mistakes go into the report.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let dialect = read_dialect(fields);
        // Of an unknown dialect it is not known which fields it would have.
        let target = match dialect {
            Some(dialect) => Target::check(dialect, fields),
            None => {
                fields.entries();
                None
            }
        };
        let chosen = fields.node("dialect").is_some_and(|it| it.from_variable);
        for name in ELSEWHERE {
            match chosen {
                // What stands there is for the dialect that the file has by default.
                true => {
                    fields.node(name);
                }
                false => fields.spare(name),
            }
        }
        let connections = read_connections(fields, dialect);
        let schema = fields.or("schema", SCHEMA.to_owned());
        if !is_name(&schema) {
            let message = "a schema's name starts with a letter or `_` and goes on with letters, \
                 digits, `_` and `-`";
            fields.error("bad-name", fields.span_of("schema"), message);
        } else if let Some(Err(rule)) = dialect.map(|dialect| dialect.takes(&schema)) {
            let message = format!("a schema's name {rule}");
            fields.error("bad-name", fields.span_of("schema"), message);
        }
        let auto_create = fields.or("auto_create", true);
        let source_system = read_source_system(fields);
        let staging = fields.or("staging", false);
        let freshness = fields.or("freshness", true);
        let start_timeout = fields.or("start_timeout", START_TIMEOUT);
        let paths = read_paths(fields);
        Some(Self {
            target: target?,
            connections,
            schema,
            auto_create,
            source_system,
            staging,
            freshness,
            start_timeout,
            paths,
        })
    }

    /// A warehouse there, with every other field as it is by default.
    pub fn new(target: Target) -> Self {
        Self {
            connections: match target.dialect() {
                Dialect::Postgres | Dialect::Redshift => CONNECTIONS,
                _ => 1,
            },
            target,
            schema: SCHEMA.to_owned(),
            auto_create: true,
            source_system: SOURCE_SYSTEM.to_owned(),
            staging: false,
            freshness: true,
            start_timeout: START_TIMEOUT,
            paths: default_paths(),
        }
    }

    /// Calls `visit` with every path that is read from events.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.paths.iter_mut().for_each(visit);
    }
}

fn read_path(fields: &mut Fields<'_>) -> Option<PathBuf> {
    let path: PathBuf = fields.required("path")?;
    if path.as_os_str() == ":memory:" {
        let message = "a warehouse in memory would be lost at the end of the run";
        fields
            .error("bad-path", fields.span_of("path"), message)
            .hint("name a file");
        return None;
    }
    Some(path)
}

fn read_connections(fields: &mut Fields<'_>, dialect: Option<Dialect>) -> usize {
    let most = match dialect {
        // Two MERGEs that insert the same new key at one time both succeed in BigQuery, by its
        // documentation, and nobody promises otherwise for Snowflake and Synapse.
        Some(Dialect::Sqlite | Dialect::Synapse | Dialect::Snowflake | Dialect::BigQuery) => 1,
        _ => CONNECTIONS_MOST,
    };
    let connections = fields.or("connections", CONNECTIONS.min(most));
    if !(1..=most).contains(&connections) {
        let message = match most {
            1 => "this dialect has one writer: `connections` is 1".to_owned(),
            most => format!("`connections` is from 1 to {most}"),
        };
        fields.error("out-of-range", fields.span_of("connections"), message);
    }
    connections.clamp(1, most)
}

fn read_dialect(fields: &mut Fields<'_>) -> Option<Dialect> {
    fields.takes("dialect", || Shape::words(Dialect::ALL));
    let Some(node) = fields.node("dialect") else {
        return Some(Dialect::Sqlite);
    };
    let name = String::read(node, fields.report())?;
    let found = Dialect::ALL.iter().find(|(known, _)| *known == name);
    if found.is_none() {
        let known: Vec<_> = Dialect::ALL.iter().map(|(known, _)| *known).collect();
        fields
            .error(
                "unsupported-dialect",
                node.span,
                format!("there is no dialect {}", node.shown()),
            )
            .hint(format!("the dialects are `{}`", known.join("`, `")));
    }
    found.map(|(_, dialect)| *dialect)
}

fn read_source_system(fields: &mut Fields<'_>) -> String {
    let text = fields.or("source_system", SOURCE_SYSTEM.to_owned());
    let span = fields.span_of("source_system");
    if text.is_empty() {
        fields.error("empty-value", span, "`source_system` is empty");
    } else if text.chars().count() > 255 || text.contains('\0') {
        let message = "`source_system` takes at most 255 characters, none of them zero";
        fields.error("out-of-range", span, message);
    }
    text
}

fn read_paths(fields: &mut Fields<'_>) -> [Path; WIDTH] {
    let mut paths = default_paths();
    fields.section("columns", "the `columns` of the warehouse", |columns| {
        for (path, input) in paths.iter_mut().zip(&INPUTS) {
            if let Some(given) = columns.optional(input.name) {
                *path = given;
            }
        }
        Some(())
    });
    paths
}

/// Where the columns are found in a record of an export.
pub(super) fn default_paths() -> [Path; WIDTH] {
    std::array::from_fn(|place| Path::of([INPUTS[place].path]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Report, Span};
    use crate::setting::{Key, Node, Value};

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    fn map(entries: Vec<(&str, Value)>) -> Value {
        let (span, mut nodes) = (Span::default(), Vec::new());
        for (name, value) in entries {
            let key = Key {
                name: name.to_owned(),
                span,
            };
            nodes.push((key, Node::new(value, span)));
        }
        Value::Map(nodes)
    }

    fn check(entries: Vec<(&str, Value)>) -> (Option<Config>, Vec<String>) {
        let mut report = Report::new("f");
        let node = Node::new(map(entries), Span::default());
        let mut fields = Fields::new(&node, "sink `w` (warehouse)", &mut report).unwrap();
        let config = Config::check(&mut fields);
        fields.finish();
        let found = report
            .iter()
            .map(|item| format!("{}: {} ({:?})", item.code, item.message, item.hint));
        (config, found.collect())
    }

    #[test]
    fn a_path_is_enough() {
        let (config, found) = check(vec![("path", text("out/w.db"))]);
        let config = config.unwrap();
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(config.schema, "cc_analytics");
        assert_eq!(config.source_system, "GENESYS_CLOUD");
        assert!(config.auto_create && !config.staging);
        assert_eq!(config.start_timeout, Duration::from_secs(60));
        assert_eq!(config.paths[2].to_string(), ".timestamp");
    }

    #[test]
    fn what_a_variable_says_of_another_dialect_is_left_alone() {
        let spare = |name: &str, from_variable| {
            let mut report = Report::new("f");
            let mut tree = map(vec![("path", text("w.db")), (name, text("x"))]);
            if let Value::Map(nodes) = &mut tree {
                nodes[1].1.from_variable = from_variable;
            }
            let node = Node::new(tree, Span::default());
            let mut fields = Fields::new(&node, "sink `w` (warehouse)", &mut report).unwrap();
            assert!(Config::check(&mut fields).is_some());
            fields.finish();
            report.iter().count()
        };
        assert_eq!(spare("host", true), 0);
        assert_eq!(spare("host", false), 1, "nobody reads it, and it was meant");
        assert_eq!(spare("hots", true), 1);
    }

    #[test]
    fn columns_are_mapped_and_misspelt_ones_found() {
        let columns = map(vec![
            ("event_id", text(".detail.id")),
            ("queue", text(".q")),
        ]);
        let (config, found) = check(vec![("path", text("w.db")), ("columns", columns)]);
        let paths = config.unwrap().paths;
        assert_eq!(paths[0].to_string(), ".detail.id");
        assert_eq!(paths[1].to_string(), ".interaction_id");
        assert!(
            found.len() == 1 && found[0].starts_with("unknown-field"),
            "{found:?}"
        );
    }

    #[test]
    fn all_mistakes_show() {
        let (config, found) = check(vec![
            ("dialect", text("oracle")),
            ("path", text(":memory:")),
            ("schema", text("a b")),
            ("source_system", text("")),
            ("staging", Value::Int(1)),
        ]);
        assert!(config.is_none());
        let codes: Vec<_> = found.iter().map(|f| f.split(':').next().unwrap()).collect();
        assert_eq!(
            codes,
            [
                "unsupported-dialect",
                "bad-name",
                "empty-value",
                "wrong-type"
            ]
        );
        assert!(found[0].contains("`oracle`") && found[0].contains("`sqlite`"));
    }

    #[test]
    fn a_server_is_named_by_its_parts_or_by_a_url() {
        let dialect = ("dialect", text("postgresql"));
        let parts = vec![
            dialect.clone(),
            ("host", text("db")),
            ("database", text("reports")),
            ("user", text("loader")),
            ("password", text("hidden-word")),
        ];
        let (config, found) = check(parts);
        let config = config.unwrap();
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(config.connections, 2);
        assert!(!format!("{config:?}").contains("hidden-word"));
        let Target::Postgres(settings) = &config.target else {
            panic!("{config:?}");
        };
        assert_eq!(settings.place(), "`reports` at db:5432");

        let url = text("postgresql://loader:hidden-word@db/reports");
        let (config, found) = check(vec![dialect.clone(), ("url", url.clone())]);
        assert_eq!(found, Vec::<String>::new());
        assert!(!format!("{config:?}").contains("hidden-word"));
        let twice = vec![dialect, ("url", url), ("host", text("db"))];
        let (_, found) = check(twice);
        assert!(
            found.len() == 1 && found[0].starts_with("conflicting-fields"),
            "{found:?}"
        );
    }

    #[test]
    fn mistakes_about_a_server_show_and_no_secret() {
        let (config, found) = check(vec![
            ("dialect", text("redshift")),
            ("url", text("hidden-word and no URL")),
            ("tls", text("sometimes")),
            ("statement_timeout", text("0s")),
            ("connections", Value::Int(17)),
            ("path", text("w.db")),
        ]);
        assert!(config.is_none());
        let codes: Vec<_> = found.iter().map(|f| f.split(':').next().unwrap()).collect();
        let due = [
            "bad-url",
            "unknown-value",
            "out-of-range",
            "out-of-range",
            "unknown-field",
        ];
        assert_eq!(codes, due, "{found:?}");
        assert!(!found.concat().contains("hidden-word"), "{found:?}");
        let (_, found) = check(vec![("path", text("w.db")), ("connections", Value::Int(2))]);
        assert!(
            found.len() == 1 && found[0].contains("one writer"),
            "{found:?}"
        );
    }
}
