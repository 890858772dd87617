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
