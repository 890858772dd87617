//! The tables that are there against those of the model.

use super::config::Config;
use super::dialect::{Words, whole};
use super::model::{Column, Kind, Need, TABLES, Table, VIEWS, View};
use crate::failure::Failure;

/// A column that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub table: String,
    pub column: String,
    /// The type as the database calls it, without a length.
    pub kind: String,
    /// The most characters that it takes; bytes, where the dialect counts these.
    pub length: Option<i64>,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether something stands in it if nothing was written.
    pub default: bool,
}

/// What the comparison says.
#[derive(Default)]
pub(super) struct Comparison {
    /// Tables that are not there.
    pub missing: Vec<&'static Table>,
    /// Views that are not there.
    pub views: Vec<&'static View>,
    /// Statements that make those that are there fit, in the order of the model.
    pub remedies: Vec<String>,
}

impl Comparison {
    /// The names of the tables that are not there.
    pub fn missing(&self) -> Vec<&'static str> {
        self.missing.iter().map(|table| table.name).collect()
    }

    /// The statements that make what is missing, but for the schema itself.
    pub fn script(&self, words: &dyn Words, schema: &str) -> String {
        let tables = self.missing.iter();
        let mut script: String = tables.map(|table| whole(words, schema, table)).collect();
        for view in &self.views {
            script.push_str(&words.view(schema, view.name, &(view.query)(words, schema)));
        }
        script
    }
}

/// Compares. Names are compared without their case, as unquoted names are in every dialect.
pub(super) fn compare(words: &dyn Words, schema: &str, found: &[Found]) -> Comparison {
    let mut comparison = Comparison::default();
    for table in TABLES {
        let there: Vec<&Found> = found
            .iter()
            .filter(|found| found.table.eq_ignore_ascii_case(table.name))
            .collect();
        if there.is_empty() {
            comparison.missing.push(table);
            continue;
        }
        remedies(words, schema, table, &there, &mut comparison.remedies);
    }
    let is_there = |view: &&View| {
        let mut names = found.iter().map(|found| &found.table);
        names.any(|name| name.eq_ignore_ascii_case(view.name))
    };
    comparison.views = VIEWS.iter().filter(|view| !is_there(view)).collect();
    comparison
}

fn remedies(
    words: &dyn Words,
    schema: &str,
    table: &Table,
    there: &[&Found],
    remedies: &mut Vec<String>,
) {
    for column in table.columns {
        let known = |found: &&&Found| found.column.eq_ignore_ascii_case(column.name);
        let Some(found) = there.iter().find(known) else {
            remedies.push(match column.need {
                // No key can be added to a table that has rows.
                Need::Key => words.rename(schema, table.name, &format!("{}_before", table.name)),
                _ => words.add_column(schema, table.name, column),
            });
            continue;
        };
        if !words.fits(found, column.kind) {
            remedies.push(words.widen(schema, table.name, column));
        }
        if !found.nullable && may_be_null(column) && !found.default {
            remedies.push(words.loosen(schema, table.name, column.name));
        }
    }
    // A column of somebody else's that must be filled would refuse every row.
    for found in there {
        let ours = |column: &Column| found.column.eq_ignore_ascii_case(column.name);
        if !found.nullable && !found.default && !table.columns.iter().any(ours) {
            remedies.push(words.loosen(schema, table.name, &found.column));
        }
    }
}

/// `source_system` and `created_at` have a default of the model's, which is written where it counts.
fn may_be_null(column: &Column) -> bool {
    matches!(column.need, Need::Optional | Need::Created)
}

/// Whether a column holds what the model's holds, by the names that most databases give to types.
pub(super) fn holds(found: &Found, kind: Kind) -> bool {
    let name = found.kind.to_ascii_lowercase();
    let name = name.split('(').next().unwrap_or_default().trim();
    let one_of = |names: &[&str]| names.contains(&name);
    let text = [
        "character varying",
        "varchar",
        "nvarchar",
        "text",
        "string",
        "character",
        "char",
    ];
    let wide = ["bigint", "int8", "int64", "number", "numeric", "decimal"];
    match kind {
        Kind::Text(most) => {
            let length = found.length.filter(|length| *length >= 0);
            one_of(&text) && length.is_none_or(|length| length >= most as i64)
        }
        Kind::Integer => one_of(&wide) || one_of(&["integer", "int", "int4"]),
        Kind::Long => one_of(&wide),
        Kind::Timestamp => name.starts_with("timestamp") || name.starts_with("datetime"),
        Kind::Date => name == "date",
    }
}

/// What a store does with the comparison at its start: `Ok` when what is missing is to be made.
///
/// # Errors
/// `Fatal` (`warehouse_schema`), with all statements that make the tables fit.
pub(super) fn judge(comparison: &Comparison, config: &Config, place: &str) -> Result<(), Failure> {
    let Comparison { remedies, .. } = comparison;
    let missing = comparison.missing();
    if !remedies.is_empty() {
        let message = format!(
            "the tables of {place} do not fit; run: {}",
            remedies.join(" ")
        );
        return Err(Failure::fatal("warehouse_schema", message));
    }
    if !config.auto_create && !missing.is_empty() {
        let message = format!(
            "{place} has no table `{}`: set `auto_create: true` or make the tables first (`trunkline \
             ddl` prints them)",
            missing.join("`, `")
        );
        return Err(Failure::fatal("warehouse_schema", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::dialect::Dialect;
    use super::*;

    /// What is there when everything is as the model has it.
    fn there() -> Vec<Found> {
        let mut found = Vec::new();
        for table in TABLES {
            for column in table.columns {
                let (kind, length) = match column.kind {
                    Kind::Text(length) => ("character varying", Some(length as i64)),
                    Kind::Integer => ("integer", None),
                    Kind::Long => ("bigint", None),
                    Kind::Timestamp => ("timestamp without time zone", None),
                    Kind::Date => ("date", None),
                };
                found.push(Found {
                    table: table.name.to_owned(),
                    column: column.name.to_owned(),
                    kind: kind.to_owned(),
                    length,
                    nullable: matches!(column.need, Need::Optional | Need::Source | Need::Created),
                    default: matches!(column.need, Need::Zero | Need::Source | Need::Created),
                });
            }
        }
        found
    }

    fn remedies(change: impl Fn(&mut Found)) -> Vec<String> {
        let mut found = there();
        found.iter_mut().for_each(change);
        compare(Dialect::Postgres.words(), "cc", &found).remedies
    }

    fn at(found: &Found, table: &str, column: &str) -> bool {
        found.table == table && found.column == column
    }

    #[test]
    fn what_fits_is_left_alone_and_wider_is_fine() {
        assert!(remedies(|_| {}).is_empty());
        let wider = remedies(|found| {
            found.table = found.table.to_uppercase();
            found.column = found.column.to_uppercase();
            match found.kind.as_str() {
                "character varying" => (found.kind, found.length) = ("TEXT".to_owned(), None),
                "integer" => found.kind = "bigint".to_owned(),
                _ => {}
            }
        });
        assert_eq!(wider, Vec::<String>::new());
    }

    #[test]
    fn what_is_narrower_or_must_be_filled_has_its_remedy() {
        let found = remedies(|found| {
            if at(found, "fact_interactions", "state") {
                found.length = Some(49);
            } else if at(found, "call_recordings", "event_counter") {
                found.kind = "integer".to_owned();
            } else if at(found, "fact_interactions", "agent_id") {
                found.nullable = false;
            } else if at(found, "dim_time", "quarter") {
                found.column = "other".to_owned();
            }
        });
        let due = [
            "ALTER TABLE \"cc\".\"fact_interactions\" ALTER COLUMN \"state\" TYPE VARCHAR(50);",
            "ALTER TABLE \"cc\".\"fact_interactions\" ALTER COLUMN \"agent_id\" DROP NOT NULL;",
            "ALTER TABLE \"cc\".\"dim_time\" ADD COLUMN \"quarter\" INTEGER;",
            "ALTER TABLE \"cc\".\"dim_time\" ALTER COLUMN \"other\" DROP NOT NULL;",
            "ALTER TABLE \"cc\".\"call_recordings\" ALTER COLUMN \"event_counter\" TYPE BIGINT;",
        ];
        assert_eq!(found, due);
    }

    #[test]
    fn bytes_are_not_characters() {
        let found = Found {
            table: "t".to_owned(),
            column: "c".to_owned(),
            kind: "character varying".to_owned(),
            length: Some(255),
            nullable: true,
            default: false,
        };
        assert!(Dialect::Postgres.words().fits(&found, Kind::Text(255)));
        assert!(!Dialect::Redshift.words().fits(&found, Kind::Text(255)));
    }

    #[test]
    fn what_is_missing_is_made_or_told() {
        let found: Vec<_> = there()
            .into_iter()
            .filter(|f| f.table != "dim_queues")
            .collect();
        let words = Dialect::Postgres.words();
        let comparison = compare(words, "cc", &found);
        assert_eq!(comparison.missing(), ["dim_queues"]);
        let script = comparison.script(words, "cc");
        assert_eq!(script.matches("CREATE TABLE").count(), 1, "{script}");
        assert_eq!(script.matches("VIEW").count(), VIEWS.len(), "{script}");
    }
}
