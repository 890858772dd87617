//! `MERGE` as the standard has it, for the dialects that have that.

use super::super::model::{Guard, Kind, Merge, TABLES};
use super::Words;

/// The guarded UPSERT of a query whose columns are called as the table's.
///
/// No two rows of the query may have one key: what that does differs from dialect to dialect.
/// `least` is a value of each kind that stands before all others.
pub(super) fn merge(
    words: &dyn Words,
    schema: &str,
    merge: &Merge,
    query: &str,
    least: fn(Kind) -> &'static str,
) -> String {
    let names: Vec<String> = merge.columns.iter().map(|name| words.quote(name)).collect();
    let values: Vec<String> = names.iter().map(|name| format!("s.{name}")).collect();
    let key = &names[0];
    let mut text = format!(
        "MERGE INTO {} AS t\nUSING (\n{query}\n) AS s\nON t.{key} = s.{key}\n",
        words.table(schema, merge.table)
    );
    if !merge.guard.is_empty() {
        let set: Vec<String> = names[1..]
            .iter()
            .map(|name| format!("{name} = s.{name}"))
            .collect();
        text.push_str(&format!(
            "WHEN MATCHED AND {} THEN UPDATE SET {}\n",
            later(words, merge, least),
            set.join(", ")
        ));
    }
    text.push_str(&format!(
        "WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
        names.join(", "),
        values.join(", ")
    ));
    text
}

/// Whether `s` comes after `t` in the order of the guard. Written out, since not every dialect
/// compares tuples. An empty column must not make the comparison unknown.
fn later(words: &dyn Words, merge: &Merge, least: fn(Kind) -> &'static str) -> String {
    let mut text = String::new();
    for part in merge.guard.iter().rev() {
        let (Guard::Text(name) | Guard::Number(name) | Guard::Time(name)) = part;
        let (quoted, least) = (words.quote(name), least(kind(merge, name)));
        let (new, old) = (
            format!("COALESCE(s.{quoted}, {least})"),
            format!("COALESCE(t.{quoted}, {least})"),
        );
        text = match text.is_empty() {
            true => format!("({new} > {old})"),
            false => format!("({new} > {old} OR ({new} = {old} AND {text}))"),
        };
    }
    text
}

/// What the column holds that a merge writes.
pub(in super::super) fn kind(merge: &Merge, name: &str) -> Kind {
    let table = TABLES.iter().find(|table| table.name == merge.table);
    let columns = table.into_iter().flat_map(|table| table.columns);
    let mut named = columns.filter(|column| column.name == name);
    named.next().map_or(Kind::Text(0), |column| column.kind)
}

/// The columns of a merge with what they hold.
pub(in super::super) fn columns(merge: &Merge) -> Vec<(&'static str, Kind)> {
    let names = merge.columns.iter();
    names.map(|name| (*name, kind(merge, name))).collect()
}
