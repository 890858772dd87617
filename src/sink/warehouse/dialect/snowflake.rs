//! Snowflake. Names are written in capitals: reports write them without quotes, and Snowflake reads
//! those as capitals. Text compares byte by byte unless a collation is set; keys are kept in mind,
//! not enforced; there are no indexes, and clustering (which costs) is left to whoever needs it.

use super::super::model::{Column, Kind, Merge, Need, SOURCE_SYSTEM, Sorted};
use super::super::staged::Judging;
use super::{Words, merge};

/// The words of Snowflake.
pub(in super::super) struct Snowflake;

impl Words for Snowflake {
    fn quote(&self, name: &str) -> String {
        format!("\"{}\"", name.to_uppercase().replace('"', "\"\""))
    }

    fn table(&self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(table))
    }

    fn kind(&self, kind: Kind) -> String {
        match kind {
            // Characters, not bytes.
            Kind::Text(length) => format!("VARCHAR({length})"),
            Kind::Integer => "NUMBER(10, 0)".to_owned(),
            Kind::Long => "NUMBER(19, 0)".to_owned(),
            Kind::Timestamp => "TIMESTAMP_NTZ(3)".to_owned(),
            Kind::Date => "DATE".to_owned(),
        }
    }

    fn need(&self, column: &Column) -> String {
        match column.need {
            Need::Key => "NOT NULL PRIMARY KEY".to_owned(),
            Need::Required => "NOT NULL".to_owned(),
            Need::Optional => String::new(),
            Need::Zero => "DEFAULT 0 NOT NULL".to_owned(),
            Need::Source => format!("DEFAULT '{SOURCE_SYSTEM}'"),
            // The moment in UTC, whatever the session's time zone.
            Need::Created => "DEFAULT SYSDATE()".to_owned(),
        }
    }

    fn index(&self, _: &str, _: &str, _: &str, _: &[Sorted]) -> Option<String> {
        None
    }

    fn opening(&self, schema: &str) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {};\n", self.quote(schema))
    }

    fn role(&self, schema: &str, role: &str) -> String {
        let (schema, role) = (self.quote(schema), self.quote(role));
        let mut text = format!(
            "CREATE ROLE IF NOT EXISTS {role};\n\
             SET trunkline_database = (SELECT '\"' || REPLACE(CURRENT_DATABASE(), '\"', '\"\"') || '\"');\n\
             GRANT USAGE ON DATABASE IDENTIFIER($trunkline_database) TO ROLE {role};\n\
             GRANT USAGE ON SCHEMA {schema} TO ROLE {role};\n"
        );
        for which in ["ALL TABLES", "FUTURE TABLES", "ALL VIEWS", "FUTURE VIEWS"] {
            let grant = format!("GRANT SELECT ON {which} IN SCHEMA {schema} TO ROLE {role};\n");
            text.push_str(&grant);
        }
        text.push_str(
            "-- It also needs a virtual warehouse: GRANT USAGE ON WAREHOUSE ... TO ROLE ...\n",
        );
        text
    }

    fn columns(&self, schema: &str) -> String {
        // A backslash is a sign of its own in Snowflake's text.
        let schema = schema.to_uppercase().replace('\\', "\\\\");
        let schema = schema.replace('\'', "''");
        format!(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, \
             IFF(IS_NULLABLE = 'YES', 1, 0), IFF(COLUMN_DEFAULT IS NULL, 0, 1)\n\
             FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = '{schema}'"
        )
    }

    /// No column is added with a default that is no constant.
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

    fn widen(&self, schema: &str, table: &str, column: &Column) -> String {
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let table = self.table(schema, table);
        format!("ALTER TABLE {table} ALTER COLUMN {name} SET DATA TYPE {kind};")
    }

    fn rename(&self, schema: &str, table: &str, to: &str) -> String {
        // Without the schema the new name would lie in that of the session.
        let (from, to) = (self.table(schema, table), self.table(schema, to));
        format!("ALTER TABLE {from} RENAME TO {to};")
    }

    fn merge(&self, schema: &str, merge: &Merge, rows: &str) -> String {
        merge::merge(self, schema, merge, rows, |kind| match kind {
            Kind::Text(_) => "''",
            // Below every whole number of 32 bits, and no counter is negative.
            Kind::Integer | Kind::Long => "-4294967296",
            Kind::Timestamp => "'0001-01-01'::TIMESTAMP_NTZ",
            Kind::Date => "'0001-01-01'::DATE",
        })
    }
}

impl Snowflake {
    /// Rows from one bound text: a JSON list of lists, in the order of the columns.
    ///
    /// One bind however many rows: the text of the statement is always the same, and nothing of a
    /// row is ever part of it.
    pub(in super::super) fn source(&self, columns: &[(&str, Kind)]) -> String {
        let columns: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(place, (name, of))| {
                let kind = self.kind(*of);
                let cast = match of {
                    Kind::Text(_) => "VARCHAR".to_owned(),
                    // From text of ISO 8601.
                    Kind::Timestamp | Kind::Date => format!("VARCHAR::{kind}"),
                    Kind::Integer | Kind::Long => kind,
                };
                format!("f.value[{place}]::{cast} AS {}", self.quote(name))
            })
            .collect();
        format!(
            "SELECT {}\nFROM (SELECT PARSE_JSON(?) AS j) AS x, LATERAL FLATTEN(INPUT => x.j) AS f",
            columns.join(", ")
        )
    }
}

impl Judging for Snowflake {
    /// Characters, not bytes.
    fn characters(&self, text: &str) -> String {
        format!("LENGTH({text})")
    }

    fn has_form(&self, text: &str, form: &str) -> String {
        format!("REGEXP_LIKE({text}, '{form}')")
    }

    fn cast(&self, text: &str, kind: Kind, safe: bool) -> String {
        let function = if safe { "TRY_CAST" } else { "CAST" };
        match kind {
            // A time without a zone takes none.
            Kind::Timestamp => format!("{function}(LEFT({text}, 23) AS {})", self.kind(kind)),
            _ => format!("{function}({text} AS {})", self.kind(kind)),
        }
    }

    fn parts(&self, hour: &str) -> [String; 7] {
        let part = |function: &str| format!("{function}({hour})");
        [
            format!("CAST({hour} AS DATE)"),
            part("YEAR"),
            part("QUARTER"),
            part("MONTH"),
            part("DAY"),
            part("HOUR"),
            part("DAYOFWEEKISO"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::{AGENTS, RECORDINGS};
    use super::super::{Dialect, ddl};
    use super::*;

    #[test]
    fn names_are_capitals_and_stay_in_their_quotes() {
        assert_eq!(Snowflake.quote("a\"; drop"), "\"A\"\"; DROP\"");
        assert!(Snowflake.columns("a'; drop").ends_with("= 'A''; DROP'"));
    }

    #[test]
    fn a_guard_is_written_out() {
        let text = Snowflake.merge("cc", &RECORDINGS, "SELECT 1");
        let expected = "WHEN MATCHED AND (COALESCE(s.\"EVENT_TIMESTAMP\", '0001-01-01'::TIMESTAMP_NTZ) > \
            COALESCE(t.\"EVENT_TIMESTAMP\", '0001-01-01'::TIMESTAMP_NTZ) OR \
            (COALESCE(s.\"EVENT_TIMESTAMP\", '0001-01-01'::TIMESTAMP_NTZ) = \
            COALESCE(t.\"EVENT_TIMESTAMP\", '0001-01-01'::TIMESTAMP_NTZ) AND \
            (COALESCE(s.\"EVENT_COUNTER\", -4294967296) > COALESCE(t.\"EVENT_COUNTER\", -4294967296) OR ";
        assert!(text.contains(expected), "{text}");
        assert!(
            text.contains("ON t.\"EVENT_ID\" = s.\"EVENT_ID\""),
            "{text}"
        );
    }

    #[test]
    fn without_a_guard_nothing_is_replaced() {
        let text = Snowflake.merge("cc", &AGENTS, &Snowflake.source(&merge::columns(&AGENTS)));
        assert!(!text.contains("UPDATE"), "{text}");
        let rows = "SELECT f.value[0]::VARCHAR AS \"AGENT_ID\", f.value[1]::VARCHAR AS \"SOURCE_SYSTEM\"\n";
        assert!(text.contains(rows), "{text}");
    }

    #[test]
    fn a_role_can_read_the_schema_and_nothing_else() {
        let text = ddl(Dialect::Snowflake, "cc_analytics", Some("reporting"));
        assert!(text.contains(
            "GRANT SELECT ON FUTURE VIEWS IN SCHEMA \"CC_ANALYTICS\" TO ROLE \"REPORTING\";"
        ));
        let granted = |what: &str| text.contains(what);
        assert!(!granted("INSERT ON") && !granted("OWNERSHIP") && !granted("ALL PRIVILEGES"));
    }
}
