//! Amazon Redshift. Names and grants are those of PostgreSQL; keys are declared and never enforced,
//! there are no indexes, and lengths count bytes.
//!
//! `MERGE` takes no condition besides the key, and wants a source without repeats: rows that the guard
//! holds back are taken out of the staging table before.
//! <https://docs.aws.amazon.com/redshift/latest/dg/r_MERGE.html>

use super::super::model::{Column, Guard, Kind, Merge, Need, SOURCE_SYSTEM, Sorted, Table};
use super::super::schema::{Found, holds};
use super::{Postgres, Words};

/// The words of Redshift.
pub(in super::super) struct Redshift;

/// A character of UTF-8 has at most so many bytes.
const BYTES: usize = 4;

impl Words for Redshift {
    fn quote(&self, name: &str) -> String {
        Postgres.quote(name)
    }

    fn table(&self, schema: &str, table: &str) -> String {
        Postgres.table(schema, table)
    }

    fn kind(&self, kind: Kind) -> String {
        match kind {
            Kind::Text(length) => format!("VARCHAR({})", length * BYTES),
            kind => Postgres.kind(kind),
        }
    }

    fn need(&self, column: &Column) -> String {
        match column.need {
            Need::Key => "NOT NULL PRIMARY KEY".to_owned(),
            Need::Source => format!("DEFAULT '{SOURCE_SYSTEM}'"),
            // The clock of a cluster is UTC.
            Need::Created => "DEFAULT GETDATE()".to_owned(),
            _ => Postgres.need(column),
        }
    }

    /// Rows of one key lie on one node; facts are sorted by time, by which reports ask for them.
    fn create(&self, schema: &str, table: &Table) -> String {
        let sorted = match table
            .columns
            .iter()
            .find(|column| column.kind == Kind::Timestamp)
        {
            Some(column) if column.need != Need::Created => {
                format!(" SORTKEY ({})", self.quote(column.name))
            }
            _ => String::new(),
        };
        let spread = match table.name.starts_with("dim_") {
            // Small, and joined with everything: a copy on each node.
            true => "DISTSTYLE ALL".to_owned(),
            false => format!("DISTKEY ({})", self.quote(table.columns[0].name)),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n{}\n) {spread}{sorted};\n",
            self.table(schema, table.name),
            self.definitions(table)
        )
    }

    fn index(&self, _: &str, _: &str, _: &str, _: &[Sorted]) -> Option<String> {
        None
    }

    fn columns(&self, schema: &str) -> String {
        Postgres.columns(schema)
    }

    fn fits(&self, found: &Found, kind: Kind) -> bool {
        match kind {
            Kind::Text(most) => holds(found, Kind::Text(most * BYTES)),
            kind => holds(found, kind),
        }
    }

    /// A column is never made anything else than wider, and never loses NOT NULL.
    fn loosen(&self, schema: &str, table: &str, _: &str) -> String {
        self.rename(schema, table, &format!("{table}_before"))
    }

    fn opening(&self, schema: &str) -> String {
        Postgres.opening(schema)
    }

    /// `CREATE GROUP` has no `IF NOT EXISTS`, and fails when it is run again.
    fn role(&self, schema: &str, role: &str) -> String {
        let (name, schema) = (self.quote(role), self.quote(schema));
        format!(
            "CREATE GROUP {name};\n\
             GRANT USAGE ON SCHEMA {schema} TO GROUP {name};\n\
             GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO GROUP {name};\n\
             ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO GROUP {name};\n"
        )
    }

    /// `rows` is the name of a staging table with the merge's columns, each key once.
    fn merge(&self, schema: &str, merge: &Merge, rows: &str) -> String {
        let table = self.table(schema, merge.table);
        let columns: Vec<String> = merge.columns.iter().map(|name| self.quote(name)).collect();
        let key = &columns[0];
        let matched = format!("{rows}.{key} = {table}.{key}");
        let names = columns.join(", ");
        if merge.guard.is_empty() {
            return format!(
                "DELETE FROM {rows} USING {table} WHERE {matched};\n\
                 INSERT INTO {table} ({names}) SELECT {names} FROM {rows}"
            );
        }
        let set: Vec<String> = columns[1..]
            .iter()
            .map(|name| format!("{name} = {rows}.{name}"))
            .collect();
        let values: Vec<String> = columns
            .iter()
            .map(|name| format!("{rows}.{name}"))
            .collect();
        format!(
            "DELETE FROM {rows} USING {table} WHERE {matched}\nAND NOT {newer};\n\
             MERGE INTO {table} USING {rows} ON {matched}\n\
             WHEN MATCHED THEN UPDATE SET {set}\n\
             WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})",
            newer = newer(rows, &table, merge.guard),
            set = set.join(", "),
            values = values.join(", ")
        )
    }
}

/// Whether the left row comes after the right one, written out: Redshift compares no row values.
fn newer(left: &str, right: &str, guard: &[Guard]) -> String {
    let (left, right) = (order(left, guard), order(right, guard));
    let pairs = left.iter().zip(&right).rev();
    pairs.fold(String::new(), |rest, (left, right)| match rest.is_empty() {
        true => format!("({left} > {right})"),
        false => format!("({left} > {right} OR ({left} = {right} AND {rest}))"),
    })
}

/// Text is compared byte by byte unless a database was made to be blind to case.
fn order(row: &str, guard: &[Guard]) -> Vec<String> {
    let column = |name: &str| format!("{row}.{}", Redshift.quote(name));
    guard
        .iter()
        .map(|part| match part {
            Guard::Text(name) => format!("COALESCE({}, '')", column(name)),
            Guard::Number(name) => format!("COALESCE({}, -4294967296)", column(name)),
            Guard::Time(name) => {
                format!(
                    "COALESCE({}, CAST('0001-01-01' AS TIMESTAMP))",
                    column(name)
                )
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::model::{FACTS, FRESHNESS};
    use super::*;

    #[test]
    fn the_merge_has_only_what_redshift_takes() {
        let text = Redshift.merge("cc", &FACTS, "stg");
        let merge = &text[text.find("MERGE").unwrap()..];
        assert!(
            !text.contains("ON CONFLICT") && !merge.contains(" AND "),
            "{text}"
        );
        assert!(!text.contains("created_at"));
    }

    #[test]
    fn the_guard_is_written_out() {
        let one = newer("s", "t", FRESHNESS.guard);
        let due =
            "(COALESCE(s.\"rows_loaded\", -4294967296) > COALESCE(t.\"rows_loaded\", -4294967296))";
        assert_eq!(one, due);
        let all = newer("s", "t", FACTS.guard);
        assert_eq!(all.matches(" OR ").count(), FACTS.guard.len() - 1);
    }
}
