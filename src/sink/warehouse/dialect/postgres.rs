//! PostgreSQL, from version 11 on. Times are `TIMESTAMP` in UTC.

use super::super::model::{Column, Guard, Kind, Merge, Need, SOURCE_SYSTEM, Sorted};
use super::{Words, literal};

/// The words of PostgreSQL.
pub(in super::super) struct Postgres;

impl Words for Postgres {
    fn quote(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn table(&self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(table))
    }

    fn kind(&self, kind: Kind) -> String {
        match kind {
            Kind::Text(length) => format!("VARCHAR({length})"),
            Kind::Integer => "INTEGER".to_owned(),
            Kind::Long => "BIGINT".to_owned(),
            Kind::Timestamp => "TIMESTAMP".to_owned(),
            Kind::Date => "DATE".to_owned(),
        }
    }

    fn need(&self, column: &Column) -> String {
        match column.need {
            Need::Key => "PRIMARY KEY".to_owned(),
            Need::Required => "NOT NULL".to_owned(),
            Need::Optional => String::new(),
            Need::Zero => "NOT NULL DEFAULT 0".to_owned(),
            Need::Source => format!("DEFAULT '{SOURCE_SYSTEM}'"),
            Need::Created => "DEFAULT (now() AT TIME ZONE 'UTC')".to_owned(),
        }
    }

    fn index(&self, schema: &str, table: &str, name: &str, columns: &[Sorted]) -> Option<String> {
        let columns: Vec<String> = columns
            .iter()
            .map(|(column, descending)| self.quote(column) + if *descending { " DESC" } else { "" })
            .collect();
        Some(format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} ({});\n",
            self.quote(name),
            self.table(schema, table),
            columns.join(", ")
        ))
    }

    fn columns(&self, schema: &str) -> String {
        // Not information_schema: that hides what the role may not use, which would look missing.
        format!(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)::text,\n\
             CASE WHEN a.atttypid IN (1042, 1043) AND a.atttypmod > 4 \
             THEN (a.atttypmod - 4)::bigint END,\n\
             CASE WHEN a.attnotnull THEN 0 ELSE 1 END, CASE WHEN a.atthasdef THEN 1 ELSE 0 END\n\
             FROM pg_catalog.pg_class AS c\n\
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace\n\
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid\n\
             WHERE n.nspname = {} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')\n\
             AND a.attnum > 0 AND NOT a.attisdropped\n\
             ORDER BY c.relname, a.attnum",
            literal(schema)
        )
    }

    fn opening(&self, schema: &str) -> String {
        format!(
            "-- Times are in UTC.\nCREATE SCHEMA IF NOT EXISTS {};\n",
            self.quote(schema)
        )
    }

    fn role(&self, schema: &str, role: &str) -> String {
        let (name, schema) = (self.quote(role), self.quote(schema));
        let create = format!("CREATE ROLE {name} NOLOGIN");
        format!(
            "DO $do$ BEGIN\n    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) THEN\n        \
             EXECUTE {};\n    END IF;\nEND $do$;\n\
             GRANT USAGE ON SCHEMA {schema} TO {name};\n\
             GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name};\n\
             ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {name};\n",
            literal(role),
            literal(&create)
        )
    }

    fn merge(&self, schema: &str, merge: &Merge, rows: &str) -> String {
        let columns: Vec<String> = merge.columns.iter().map(|name| self.quote(name)).collect();
        let table = self.table(schema, merge.table);
        let text = format!(
            "INSERT INTO {table} AS held ({})\n{rows}\nON CONFLICT ({})",
            columns.join(", "),
            columns[0]
        );
        if merge.guard.is_empty() {
            return text + " DO NOTHING";
        }
        let set: Vec<String> = columns[1..]
            .iter()
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        format!(
            "{text} DO UPDATE SET {}\nWHERE ({}) > ({})",
            set.join(", "),
            self.order("excluded", merge.guard).join(", "),
            self.order("held", merge.guard).join(", ")
        )
    }
}

impl Postgres {
    /// A row's place in the order of the guard. Text is compared byte by byte, whatever the order of
    /// the database's language; what is empty stands before everything else.
    pub(in super::super) fn order(&self, row: &str, guard: &[Guard]) -> Vec<String> {
        let column = |name: &str| format!("{row}.{}", self.quote(name));
        guard
            .iter()
            .map(|part| match part {
                Guard::Text(name) => format!("coalesce({}, '') COLLATE \"C\"", column(name)),
                // Below every whole number of 32 bits, and no counter is negative.
                Guard::Number(name) => format!("coalesce({}, -4294967296)", column(name)),
                Guard::Time(name) => format!("coalesce({}, '-infinity')", column(name)),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, ddl};
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(Postgres.table("a\"b", "t"), "\"a\"\"b\".\"t\"");
        assert_eq!(literal("it's"), "'it''s'");
        let text = ddl(Dialect::Postgres, "cc", Some("o'b\"; DROP"));
        assert!(text.contains(r#"rolname = 'o''b"; DROP'"#), "{text}");
        assert!(
            text.contains(r#"EXECUTE 'CREATE ROLE "o''b""; DROP" NOLOGIN'"#),
            "{text}"
        );
    }
}
