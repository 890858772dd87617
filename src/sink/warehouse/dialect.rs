//! The dialects of SQL. All of them mean the same; a dialect is one file below that says it in its
//! own words.

mod sqlite;

use super::model::{Column, Kind, Merge, Sorted, TABLES, Table};

pub(super) use sqlite::Sqlite;

/// A dialect that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, embedded: needs no server.
    Sqlite,
}

impl Dialect {
    /// All dialects with the names that pipelines call them by.
    pub const ALL: &'static [(&'static str, Dialect)] = &[("sqlite", Dialect::Sqlite)];

    fn words(self) -> &'static dyn Words {
        match self {
            Dialect::Sqlite => &Sqlite,
        }
    }
}

/// What differs from dialect to dialect.
pub(super) trait Words {
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
        text.push_str(&create(words, schema, table));
        for (name, columns) in table.indexes {
            if let Some(index) = words.index(schema, table.name, name, columns) {
                text.push_str(&index);
            }
        }
    }
    if let Some(role) = role {
        text.push('\n');
        text.push_str(&words.role(schema, role));
    }
    text
}

fn create(words: &dyn Words, schema: &str, table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("    {}", definition(words, column)))
        .collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n{}\n);\n",
        words.table(schema, table.name),
        columns.join(",\n")
    )
}

/// A column as a table's definition has it.
fn definition(words: &dyn Words, column: &Column) -> String {
    let text = format!(
        "{} {} {}",
        words.quote(column.name),
        words.kind(column.kind),
        words.need(column)
    );
    text.trim_end().to_owned()
}
