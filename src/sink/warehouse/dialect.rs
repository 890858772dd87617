//! The dialects of SQL. All of them mean the same; a dialect is one file below that says it in its
//! own words.

mod bigquery;
pub(super) mod merge;
mod postgres;
mod redshift;
mod snowflake;
mod sqlite;
pub(super) mod synapse;

use super::model::{Column, Kind, Merge, Need, Sorted, TABLES, Table, VIEWS};
use super::schema::{Found, holds};

pub(super) use bigquery::{BigQuery, ROWS};
pub(super) use postgres::Postgres;
pub(super) use redshift::Redshift;
pub(super) use snowflake::Snowflake;
pub(super) use sqlite::Sqlite;

/// A dialect that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, embedded: needs no server.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// Azure Synapse, dedicated SQL pool.
    Synapse,
    /// Amazon Redshift.
    Redshift,
    /// Snowflake.
    Snowflake,
    /// Google BigQuery.
    BigQuery,
}

impl Dialect {
    /// All dialects with the names that pipelines call them by.
    pub const ALL: &'static [(&'static str, Dialect)] = &[
        ("sqlite", Dialect::Sqlite),
        ("postgresql", Dialect::Postgres),
        ("synapse", Dialect::Synapse),
        ("redshift", Dialect::Redshift),
        ("snowflake", Dialect::Snowflake),
        ("bigquery", Dialect::BigQuery),
    ];

    /// Whether a schema can have this name (for roles see [`Dialect::takes_role`]): one that the
    /// database cuts off or cannot hold would be another's, or nobody's.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn takes(self, name: &str) -> Result<(), String> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err("has at least one character, and no control characters".to_owned());
        }
        let (length, most, unit) = match self {
            Dialect::Sqlite => (0, 0, ""),
            // NAMEDATALEN: what is longer is cut off without an error.
            Dialect::Postgres => (name.len(), 63, "bytes"),
            Dialect::Redshift => (name.len(), 127, "bytes"),
            // `sysname` is NVARCHAR(128).
            Dialect::Synapse => (name.encode_utf16().count(), 128, "letters"),
            Dialect::Snowflake => (name.to_uppercase().chars().count(), 255, "letters"),
            Dialect::BigQuery => (name.chars().count(), 1024, "letters"),
        };
        if length > most {
            return Err(format!("has at most {most} {unit} in this dialect"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self == Dialect::BigQuery && !name.chars().all(plain) {
            return Err("has letters, digits and `_` in this dialect".to_owned());
        }
        Ok(())
    }

    /// Whether a role can have this name.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn takes_role(self, name: &str) -> Result<(), String> {
        match self {
            // Not a role's name, but that of somebody whom Google knows.
            Dialect::BigQuery => Dialect::Sqlite.takes(name),
            _ => self.takes(name),
        }
    }

    pub(super) fn words(self) -> &'static dyn Words {
        match self {
            Dialect::Sqlite => &Sqlite,
            Dialect::Postgres => &Postgres,
            Dialect::Synapse => &synapse::Synapse,
            Dialect::Redshift => &Redshift,
            Dialect::Snowflake => &Snowflake,
            Dialect::BigQuery => &BigQuery,
        }
    }
}

/// What differs from dialect to dialect.
pub(super) trait Words: Sync {
    /// An identifier as it stands in a statement, whatever letters it has.
    fn quote(&self, name: &str) -> String;
    /// A table's name as it stands in a statement.
    fn table(&self, schema: &str, table: &str) -> String;
    /// The type of a column.
    fn kind(&self, kind: Kind) -> String;
    /// What comes behind the type: key, not null, default.
    fn need(&self, column: &Column) -> String;
    /// The statement that makes an index, where the dialect has such a thing.
    fn index(&self, schema: &str, table: &str, name: &str, columns: &[Sorted]) -> Option<String>;
    /// The statement that makes a table unless it is there.
    fn create(&self, schema: &str, table: &Table) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n{}\n);\n",
            self.table(schema, table.name),
            self.definitions(table)
        )
    }
    /// The columns of a table's definition, one a line.
    fn definitions(&self, table: &Table) -> String {
        let columns = table.columns.iter();
        let lines: Vec<String> = columns
            .map(|column| format!("    {}", self.definition(column)))
            .collect();
        lines.join(",\n")
    }
    /// A column as a table's definition has it.
    fn definition(&self, column: &Column) -> String {
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let text = format!("{name} {kind} {}", self.need(column));
        text.trim_end().to_owned()
    }
    /// The statement that makes a view, or puts another query behind its name.
    fn view(&self, schema: &str, name: &str, query: &str) -> String {
        let name = self.table(schema, name);
        format!("CREATE OR REPLACE VIEW {name} AS\n{query};\n")
    }
    /// The hour in which the time lies that `expression` gives.
    fn hour(&self, expression: &str) -> String {
        format!("date_trunc('hour', {expression})")
    }
    /// The query for what is there: a row for each column of the schema's tables, with the names of
    /// table and column, the type as the database calls it, the most characters (or bytes, where
    /// the dialect counts these) that it takes or null, and two numbers (1 or 0): whether it may be
    /// null, and whether it has a default.
    fn columns(&self, schema: &str) -> String;
    /// Whether a column that is there can hold what the model's can.
    fn fits(&self, found: &Found, kind: Kind) -> bool {
        holds(found, kind)
    }
    /// The statement that adds a missing column to a table that is there. What must not be null
    /// without a default is added without that: the rows that are there have nothing in it.
    fn add_column(&self, schema: &str, table: &str, column: &Column) -> String {
        let need = match column.need {
            Need::Zero | Need::Source | Need::Created => self.need(column),
            Need::Key | Need::Required | Need::Optional => String::new(),
        };
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let text = format!(
            "ALTER TABLE {} ADD COLUMN {name} {kind} {need}",
            self.table(schema, table)
        );
        text.trim_end().to_owned() + ";"
    }
    /// The statement that gives a column the model's type.
    fn widen(&self, schema: &str, table: &str, column: &Column) -> String {
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let table = self.table(schema, table);
        format!("ALTER TABLE {table} ALTER COLUMN {name} TYPE {kind};")
    }
    /// The statement that lets a column be null.
    fn loosen(&self, schema: &str, table: &str, column: &str) -> String {
        let (table, name) = (self.table(schema, table), self.quote(column));
        format!("ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL;")
    }
    /// The statement that puts a table aside under another name, where nothing else mends it.
    fn rename(&self, schema: &str, table: &str, to: &str) -> String {
        let (from, to) = (self.table(schema, table), self.quote(to));
        format!("ALTER TABLE {from} RENAME TO {to};")
    }
    /// What comes before the tables: the schema itself.
    fn opening(&self, schema: &str) -> String;
    /// A role for reporting tools that can read this schema and nothing else.
    fn role(&self, schema: &str, role: &str) -> String;
    /// The guarded UPSERT of `rows` (a `VALUES` list or a query, in the order of the columns).
    fn merge(&self, schema: &str, merge: &Merge, rows: &str) -> String;
}

/// The statements that make the warehouse, each ended by `;`. Running them again changes nothing.
/// With `role`, also a read-only role of that name for reporting tools.
pub fn ddl(dialect: Dialect, schema: &str, role: Option<&str>) -> String {
    let words = dialect.words();
    let mut text = words.opening(schema);
    for table in TABLES {
        text.push('\n');
        text.push_str(&whole(words, schema, table));
    }
    for view in VIEWS {
        text.push('\n');
        text.push_str(&words.view(schema, view.name, &(view.query)(words, schema)));
    }
    if let Some(role) = role {
        text.push('\n');
        text.push_str(&words.role(schema, role));
    }
    text
}

/// The statements that make a table and its indexes.
pub(super) fn whole(words: &dyn Words, schema: &str, table: &Table) -> String {
    let mut text = words.create(schema, table);
    for (name, columns) in table.indexes {
        text.extend(words.index(schema, table.name, name, columns));
    }
    text
}

/// A text as it stands in a statement of a dialect where only the quote is special.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests;

/// Text that is safe in a line of comment.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
