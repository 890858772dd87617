//! BigQuery. A dataset is the schema; names compare without their case within a dataset's tables'
//! columns and are written as they are. Text compares byte by byte; keys are declared and not
//! enforced; instead of indexes tables are partitioned by day and clustered.

use super::super::model::{Column, Kind, Merge, Need, SOURCE_SYSTEM, Sorted, Table};
use super::super::staged::Judging;
use super::{Words, merge};

/// The words of BigQuery.
pub(in super::super) struct BigQuery;

/// The name of the parameter that holds a merge's rows; where there are several, with a number.
pub(in super::super) const ROWS: &str = "rows";

impl Words for BigQuery {
    fn quote(&self, name: &str) -> String {
        let name = name.replace('\\', "\\\\").replace('`', "\\`");
        // A line that ends within a name would end the statement's line too.
        format!("`{}`", name.replace('\n', "\\n").replace('\r', "\\r"))
    }

    fn table(&self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quote(schema), self.quote(table))
    }

    fn kind(&self, kind: Kind) -> String {
        match kind {
            // Characters, not bytes.
            Kind::Text(length) => format!("STRING({length})"),
            Kind::Integer | Kind::Long => "INT64".to_owned(),
            // A moment, always in UTC.
            Kind::Timestamp => "TIMESTAMP".to_owned(),
            Kind::Date => "DATE".to_owned(),
        }
    }

    fn need(&self, column: &Column) -> String {
        match column.need {
            Need::Key | Need::Required => "NOT NULL".to_owned(),
            Need::Optional => String::new(),
            Need::Zero => "DEFAULT 0 NOT NULL".to_owned(),
            Need::Source => format!("DEFAULT '{SOURCE_SYSTEM}'"),
            Need::Created => "DEFAULT CURRENT_TIMESTAMP()".to_owned(),
        }
    }

    fn index(&self, _: &str, _: &str, _: &str, _: &[Sorted]) -> Option<String> {
        None
    }

    fn create(&self, schema: &str, table: &Table) -> String {
        let mut text = format!(
            "CREATE TABLE IF NOT EXISTS {} (\n{}",
            self.table(schema, table.name),
            self.definitions(table)
        );
        let mut keys = table.columns.iter().filter(|c| c.need == Need::Key);
        if let Some(key) = keys.next() {
            let key = self.quote(key.name);
            text.push_str(&format!(",\n    PRIMARY KEY ({key}) NOT ENFORCED"));
        }
        text.push_str("\n)");
        if let Some(name) = partition(table) {
            text.push_str(&format!("\nPARTITION BY DATE({})", self.quote(name)));
        }
        let names: Vec<String> = cluster(table).map(|name| self.quote(name)).collect();
        if !names.is_empty() {
            text.push_str(&format!("\nCLUSTER BY {}", names.join(", ")));
        }
        text + ";\n"
    }

    fn hour(&self, expression: &str) -> String {
        format!("TIMESTAMP_TRUNC({expression}, HOUR)")
    }

    fn opening(&self, schema: &str) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {};\n", self.quote(schema))
    }

    /// There are no roles to be made: a principal that exists is given one of Google's.
    fn role(&self, schema: &str, role: &str) -> String {
        let schema = self.quote(schema);
        if !role.contains(':') || role.chars().any(char::is_control) {
            return "-- BigQuery makes no roles: name who is to read, such as \
                    `group:reports@example.com`\n-- or `serviceAccount:…`, and the statement that \
                    grants it is printed here.\n"
                .to_owned();
        }
        let role = role.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            "GRANT `roles/bigquery.dataViewer` ON SCHEMA {schema} TO \"{role}\";\n\
             -- To run queries it also needs roles/bigquery.jobUser on the project.\n"
        )
    }

    fn columns(&self, schema: &str) -> String {
        format!(
            "SELECT table_name, column_name, REGEXP_EXTRACT(data_type, r'^\\w+'), \
             CAST(REGEXP_EXTRACT(data_type, r'\\((\\d+)\\)') AS INT64), \
             IF(is_nullable = 'YES', 1, 0), IF(column_default = 'NULL', 0, 1)\n\
             FROM {}.INFORMATION_SCHEMA.COLUMNS",
            self.quote(schema)
        )
    }

    /// A column is added without its default, which is given to it afterwards.
    fn add_column(&self, schema: &str, table: &str, column: &Column) -> String {
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let (table, need) = (self.table(schema, table), self.need(column));
        let added = format!("ALTER TABLE {table} ADD COLUMN {name} {kind};");
        match need.trim_end_matches(" NOT NULL").strip_prefix("DEFAULT ") {
            Some(default) => {
                format!("{added} ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {default};")
            }
            None => added,
        }
    }

    fn widen(&self, schema: &str, table: &str, column: &Column) -> String {
        let (name, kind) = (self.quote(column.name), self.kind(column.kind));
        let table = self.table(schema, table);
        format!("ALTER TABLE {table} ALTER COLUMN {name} SET DATA TYPE {kind};")
    }

    fn merge(&self, schema: &str, merge: &Merge, rows: &str) -> String {
        merge::merge(self, schema, merge, rows, |kind| match kind {
            Kind::Text(_) => "''",
            // Below every whole number of 32 bits, and no counter is negative.
            Kind::Integer | Kind::Long => "-4294967296",
            Kind::Timestamp => "TIMESTAMP '0001-01-01 00:00:00+00'",
            Kind::Date => "DATE '0001-01-01'",
        })
    }
}

impl BigQuery {
    /// Rows from a parameter: a JSON list of lists, in the order of the columns. Nothing of a row is
    /// ever part of the statement.
    pub(in super::super) fn source(&self, columns: &[(&str, Kind)], parameter: &str) -> String {
        let columns: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(place, (name, kind))| {
                let text = format!("JSON_VALUE(r, '$[{place}]')");
                // Times from text of RFC 3339, days from that of ISO 8601.
                let value = match kind {
                    Kind::Text(_) => text,
                    kind => self.cast(&text, *kind, false),
                };
                format!("{value} AS {}", self.quote(name))
            })
            .collect();
        format!(
            "SELECT {}\nFROM UNNEST(JSON_QUERY_ARRAY(@{parameter})) AS r",
            columns.join(", ")
        )
    }
}

impl Judging for BigQuery {
    fn characters(&self, text: &str) -> String {
        format!("CHAR_LENGTH({text})")
    }

    fn has_form(&self, text: &str, form: &str) -> String {
        format!("REGEXP_CONTAINS({text}, r'{form}')")
    }

    fn cast(&self, text: &str, kind: Kind, safe: bool) -> String {
        let function = if safe { "SAFE_CAST" } else { "CAST" };
        format!("{function}({text} AS {})", self.kind(kind))
    }

    fn parts(&self, hour: &str) -> [String; 7] {
        let part = |part: &str| format!("EXTRACT({part} FROM {hour})");
        [
            part("DATE"),
            part("YEAR"),
            part("QUARTER"),
            part("MONTH"),
            part("DAY"),
            part("HOUR"),
            // BigQuery's week begins with a 1 on Sunday.
            format!("MOD({} + 5, 7) + 1", part("DAYOFWEEK")),
        ]
    }
}

/// The column by whose day a table is partitioned: that of the index that puts the newest first.
fn partition(table: &Table) -> Option<&'static str> {
    let firsts = table
        .indexes
        .iter()
        .filter_map(|(_, columns)| columns.first());
    let mut newest = firsts.filter(|(_, descending)| *descending);
    newest.next().map(|(name, _)| *name)
}

/// The columns of the other index, which reports filter by.
fn cluster(table: &Table) -> impl Iterator<Item = &'static str> {
    let mut others = table.indexes.iter().filter(|(_, columns)| {
        let first = columns.first();
        first.is_some_and(|(_, descending)| !*descending)
    });
    let columns = others.next().map(|(_, columns)| *columns);
    columns
        .unwrap_or_default()
        .iter()
        .map(|(name, _)| *name)
        .take(4)
}

#[cfg(test)]
mod tests {
    use super::super::super::model::{FACTS, HOURS};
    use super::super::{Dialect, ddl};
    use super::*;

    #[test]
    fn names_stay_in_their_quotes() {
        assert_eq!(BigQuery.quote("a`; DROP\\"), "`a\\`; DROP\\\\`");
        let text = ddl(Dialect::BigQuery, "cc", Some("group:\"; DROP\\"));
        assert!(text.contains(r#"TO "group:\"; DROP\\";"#), "{text}");
        assert!(ddl(Dialect::BigQuery, "cc", Some("x\n:DROP")).contains("makes no roles"));
    }

    #[test]
    fn facts_are_partitioned_by_day_and_clustered() {
        let text = ddl(Dialect::BigQuery, "cc_analytics", None);
        let expected = "    PRIMARY KEY (`event_id`) NOT ENFORCED\n)\n\
            PARTITION BY DATE(`event_timestamp`)\nCLUSTER BY `queue_name`, `interaction_type`;\n";
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("INDEX"), "{text}");
    }

    #[test]
    fn rows_come_typed() {
        let text = BigQuery.source(&merge::columns(&HOURS), ROWS);
        let expected = "SELECT CAST(JSON_VALUE(r, '$[0]') AS TIMESTAMP) AS `hour_start`, \
            CAST(JSON_VALUE(r, '$[1]') AS DATE) AS `date`, CAST(JSON_VALUE(r, '$[2]') AS INT64)";
        assert!(text.starts_with(expected), "{text}");
        let text = BigQuery.merge(
            "cc",
            &FACTS,
            &BigQuery.source(&merge::columns(&FACTS), ROWS),
        );
        assert!(
            text.contains("MERGE INTO `cc`.`fact_interactions` AS t"),
            "{text}"
        );
    }

    #[test]
    fn a_column_with_a_default_is_added_in_two_steps() {
        let columns = super::super::super::model::TABLES[0].columns;
        let counter = columns.iter().find(|c| c.name == "event_counter").unwrap();
        assert_eq!(
            BigQuery.add_column("cc", "t", counter),
            "ALTER TABLE `cc`.`t` ADD COLUMN `event_counter` INT64; \
             ALTER TABLE `cc`.`t` ALTER COLUMN `event_counter` SET DEFAULT 0;"
        );
    }
}
