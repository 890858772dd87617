//! SQLite. A database file *is* the schema: its tables are called `fact_interactions` and so on,
//! without a prefix.

use super::super::model::{Column, Guard, Kind, Merge, Need, SOURCE_SYSTEM, Sorted};
use super::super::schema::Found;
use super::{Words, comment};

/// The words of SQLite.
pub(in super::super) struct Sqlite;

/// Now, in the form in which all times are stored.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

impl Words for Sqlite {
    fn quote(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn table(&self, _schema: &str, table: &str) -> String {
        self.quote(table)
    }

    fn kind(&self, kind: Kind) -> String {
        match kind {
            Kind::Text(length) => format!("VARCHAR({length})"),
            Kind::Integer => "INTEGER".to_owned(),
            Kind::Long => "BIGINT".to_owned(),
            // Alone these two would be numeric to SQLite, and `event_timestamp >= '2026'` a
            // comparison with the number 2026, which every text passes.
            Kind::Timestamp => "TIMESTAMP TEXT".to_owned(),
            Kind::Date => "DATE TEXT".to_owned(),
        }
    }

    fn need(&self, column: &Column) -> String {
        match column.need {
            // Only an integer key is never null by itself.
            Need::Key => "NOT NULL PRIMARY KEY".to_owned(),
            Need::Required => "NOT NULL".to_owned(),
            Need::Optional => String::new(),
            Need::Zero => "NOT NULL DEFAULT 0".to_owned(),
            Need::Source => format!("DEFAULT '{SOURCE_SYSTEM}'"),
            Need::Created => format!("DEFAULT ({NOW})"),
        }
    }

    fn index(&self, _schema: &str, table: &str, name: &str, columns: &[Sorted]) -> Option<String> {
        let columns: Vec<String> = columns
            .iter()
            .map(|(column, descending)| self.quote(column) + if *descending { " DESC" } else { "" })
            .collect();
        Some(format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} ({});\n",
            self.quote(name),
            self.quote(table),
            columns.join(", ")
        ))
    }

    fn opening(&self, schema: &str) -> String {
        format!(
            "-- {} for SQLite: the database file is the schema, so the tables have no prefix.\n\
             -- Times are UTC text such as 2026-01-02T03:04:05.678Z, which sorts as time does.\n",
            comment(schema)
        )
    }

    fn role(&self, _schema: &str, role: &str) -> String {
        format!(
            "-- SQLite has no roles, so {} cannot be made: who may read the database file may read\n\
             -- all of it. Give the reporting tool read permission on the file and its folder and\n\
             -- no write permission, and let it open the database with mode=ro.\n",
            comment(role)
        )
    }

    fn view(&self, schema: &str, name: &str, query: &str) -> String {
        let name = self.table(schema, name);
        format!("CREATE VIEW IF NOT EXISTS {name} AS\n{query};\n")
    }

    fn hour(&self, expression: &str) -> String {
        format!("substr({expression}, 1, 13) || ':00:00.000Z'")
    }

    fn columns(&self, _schema: &str) -> String {
        "SELECT t.name, c.name, c.type, NULL, c.\"notnull\" = 0 AND c.pk = 0, \
         c.dflt_value IS NOT NULL\n\
         FROM main.sqlite_schema AS t, pragma_table_info(t.name, 'main') AS c\n\
         WHERE t.type = 'table'"
            .to_owned()
    }

    /// Any column holds anything here.
    fn fits(&self, _: &Found, _: Kind) -> bool {
        true
    }

    /// SQLite adds no column whose default is an expression.
    fn add_column(&self, schema: &str, table: &str, column: &Column) -> String {
        let need = match column.need {
            Need::Zero | Need::Source => self.need(column),
            _ => String::new(),
        };
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let table = self.table(schema, table);
        let text = format!("ALTER TABLE {table} ADD COLUMN {name} {kind} {need}");
        text.trim_end().to_owned() + ";"
    }

    /// SQLite takes no NOT NULL away.
    fn loosen(&self, schema: &str, table: &str, _: &str) -> String {
        self.rename(schema, table, &format!("{table}_before"))
    }

    fn merge(&self, schema: &str, merge: &Merge, rows: &str) -> String {
        let table = self.table(schema, merge.table);
        let columns: Vec<String> = merge.columns.iter().map(|name| self.quote(name)).collect();
        format!(
            "INSERT INTO {table} ({})\n{rows}\nON CONFLICT ({}) {}",
            columns.join(", "),
            columns[0],
            self.on_conflict(&table, merge)
        )
    }
}

impl Sqlite {
    fn on_conflict(&self, table: &str, merge: &Merge) -> String {
        if merge.guard.is_empty() {
            return "DO NOTHING".to_owned();
        }
        let set: Vec<String> = merge.columns[1..]
            .iter()
            .map(|name| format!("{0} = excluded.{0}", self.quote(name)))
            .collect();
        format!(
            "DO UPDATE SET {}\nWHERE {} > {}",
            set.join(", "),
            self.order("excluded", merge.guard),
            self.order(table, merge.guard)
        )
    }

    /// A row's place in the order of the guard, as a row value. An empty column must not make the
    /// comparison unknown: it stands before everything that is not empty.
    fn order(&self, row: &str, guard: &[Guard]) -> String {
        let parts: Vec<String> = guard
            .iter()
            .map(|part| match part {
                Guard::Text(name) | Guard::Time(name) => {
                    format!("coalesce({row}.{}, '')", self.quote(name))
                }
                // Below every whole number of 32 bits, and no counter is negative.
                Guard::Number(name) => format!("coalesce({row}.{}, -4294967296)", self.quote(name)),
            })
            .collect();
        format!("({})", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, ddl};
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes_or_comments() {
        assert_eq!(Sqlite.quote("a\"; DROP"), "\"a\"\"; DROP\"");
        // The names stand in comments alone: without those, the script is that of any other names.
        let statements = |schema: &str, role: Option<&str>| -> Vec<String> {
            let text = ddl(Dialect::Sqlite, schema, role);
            let lines = text.lines().filter(|line| !line.starts_with("--"));
            lines.map(str::to_owned).collect()
        };
        let hostile = "a\nDROP TABLE x;\r\nDROP VIEW y;\u{85}\u{b}DROP";
        assert_eq!(
            statements(hostile, Some(hostile)),
            statements("cc", Some("reporting"))
        );
    }

    #[test]
    fn a_role_is_explained() {
        let text = ddl(Dialect::Sqlite, "cc_analytics", Some("reporting"));
        assert!(text.contains("SQLite has no roles, so reporting cannot be made"));
        assert!(!ddl(Dialect::Sqlite, "cc_analytics", None).contains("roles"));
    }
}
