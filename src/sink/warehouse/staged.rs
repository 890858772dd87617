//! The staged load of the dialects that take rows as JSON (Snowflake, BigQuery): cells as text into a
//! temporary table, one expression that finds what is wrong with them, and queries that bring what is
//! right into the tables. It refuses exactly what the direct load refuses.

use super::dialect::Words;
use super::model::{
    AGENTS, EVENT_ID, FACTS, Guard, HOURS, INPUTS, INTERACTION_ID, Input, Kind, Merge, QUEUES,
    RECORDINGS,
};
use super::refusal::Refusal;

/// The temporary table.
pub(super) const TABLE: &str = "stg_interactions";

/// What a staged row is called by.
pub(super) const LINE: &str = "line";

/// A time as it is staged. What no time could be read of comes as it is, and is not of this form.
const TIME: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$";
/// A whole number in its plain form. More digits than that are too many for 32 bits.
const NUMBER: &str = "^-?[0-9]{1,10}$";

/// What judging takes, in a dialect's words.
pub(super) trait Judging: Words {
    /// How many characters a text has.
    fn characters(&self, text: &str) -> String;
    /// Whether a text has the form.
    fn has_form(&self, text: &str, form: &str) -> String;
    /// A text as a value of this kind. With `safe` nothing where it is none; otherwise an error.
    fn cast(&self, text: &str, kind: Kind, safe: bool) -> String;
    /// What `dim_time` says of an hour, after the hour itself.
    fn parts(&self, hour: &str) -> [String; 7];
}

/// The columns of the temporary table, in the order in which a row's cells come.
pub(super) fn columns() -> Vec<(&'static str, Kind)> {
    let cells = INPUTS.iter().map(|input| (input.name, Kind::Text(0)));
    let line = std::iter::once((LINE, Kind::Long));
    line.chain(cells)
        .chain([("event_counter", Kind::Long)])
        .collect()
}

/// One expression for all checks, in the order in which the direct load makes them: the number of
/// the first that fails. No branch of it can fail itself, whichever the database tries first.
pub(super) fn problem(words: &dyn Judging) -> (String, Vec<Refusal>) {
    let mut checks: Vec<(String, Refusal)> = Vec::new();
    for (place, Input { name, kind, .. }) in INPUTS.iter().enumerate() {
        let name = words.quote(name);
        match place {
            EVENT_ID => checks.push((format!("{name} IS NULL"), Refusal::MissingEventId)),
            INTERACTION_ID => {
                checks.push((format!("{name} IS NULL"), Refusal::MissingInteractionId));
            }
            _ => {}
        }
        match kind {
            Kind::Text(most) => {
                let long = format!("{} > {most}", words.characters(&name));
                checks.push((long, Refusal::TooLong(place)));
            }
            Kind::Timestamp => checks.push((bad_time(words, &name), Refusal::BadTimestamp)),
            _ => checks.push((bad_integer(words, &name), Refusal::WrongType(place))),
        }
    }
    let cases: Vec<String> = checks
        .iter()
        .enumerate()
        .map(|(number, (condition, _))| format!("\n  WHEN {condition} THEN {number}"))
        .collect();
    let refusals = checks.into_iter().map(|(_, refusal)| refusal).collect();
    (format!("CASE{} END", cases.concat()), refusals)
}

/// Not a time in the one form that is staged, or not in the calendar.
fn bad_time(words: &dyn Judging, name: &str) -> String {
    let form = words.has_form(name, TIME);
    let day = words.cast(&format!("LEFT({name}, 10)"), Kind::Date, true);
    // The calendars of some databases begin in the year 0, ours does not.
    format!("{name} IS NULL OR NOT {form} OR LEFT({name}, 4) = '0000' OR {day} IS NULL")
}

/// Not a whole number of 32 bits in its plain form.
fn bad_integer(words: &dyn Judging, name: &str) -> String {
    let form = words.has_form(name, NUMBER);
    let number = words.cast(name, Kind::Long, true);
    format!(
        "{name} IS NOT NULL AND (NOT {form} OR {number} NOT BETWEEN -2147483648 AND 2147483647)"
    )
}

/// The query for each merge, its columns called as the table's, with whether it names the source
/// system, which stands there as `source`.
pub(super) fn queries(
    words: &dyn Judging,
    table: &str,
    source: &str,
) -> Vec<(&'static Merge, String, bool)> {
    let distinct = |name: &str| {
        let (name, system) = (words.quote(name), words.quote("source_system"));
        format!(
            "SELECT DISTINCT {name}, {source} AS {system}\nFROM {table}\nWHERE {name} IS NOT NULL"
        )
    };
    vec![
        (&FACTS, newest(words, &FACTS, table, source), true),
        (
            &RECORDINGS,
            newest(words, &RECORDINGS, table, source),
            false,
        ),
        (&AGENTS, distinct("agent_id"), true),
        (&QUEUES, distinct("queue_name"), true),
        (&HOURS, hours(words, table), false),
    ]
}

/// A staged column as what the table holds.
fn typed(words: &dyn Judging, name: &str, source: &str) -> String {
    let quoted = words.quote(name);
    match name {
        "source_system" => source.to_owned(),
        "duration_seconds" => words.cast(&quoted, Kind::Integer, false),
        "event_timestamp" => words.cast(&quoted, Kind::Timestamp, false),
        _ => quoted,
    }
}

/// The newest row of each event, by the order of the table's guard.
fn newest(words: &dyn Judging, merge: &Merge, table: &str, source: &str) -> String {
    let names: Vec<String> = merge.columns.iter().map(|name| words.quote(name)).collect();
    let typed: Vec<String> = merge
        .columns
        .iter()
        .zip(&names)
        .map(|(name, quoted)| match typed(words, name, source) {
            text if text == *quoted => text,
            text => format!("{text} AS {quoted}"),
        })
        .collect();
    let order: Vec<String> = merge
        .guard
        .iter()
        .map(|part| {
            let (Guard::Text(name) | Guard::Number(name) | Guard::Time(name)) = part;
            format!("r.{} DESC NULLS LAST", words.quote(name))
        })
        .collect();
    // An event without a recording takes none away.
    let which = match merge.columns.contains(&"recording_url") {
        true => format!("\nWHERE {} IS NOT NULL", words.quote("recording_url")),
        false => String::new(),
    };
    format!(
        "SELECT {0}\nFROM (\nSELECT r.*, ROW_NUMBER() OVER (PARTITION BY r.{1} ORDER BY {2}) AS place\n\
         FROM (\nSELECT {3}\nFROM {table}{which}\n) AS r\n) AS ranked\nWHERE place = 1",
        names.join(", "),
        names[0],
        order.join(", "),
        typed.join(", "),
    )
}

fn hours(words: &dyn Judging, table: &str) -> String {
    let hour = words.hour(&typed(words, "event_timestamp", ""));
    let parts = words.parts("h");
    let parts = std::iter::once("h").chain(parts.iter().map(String::as_str));
    let columns: Vec<String> = parts
        .zip(HOURS.columns)
        .map(|(part, name)| format!("{part} AS {}", words.quote(name)))
        .collect();
    format!(
        "SELECT {}\nFROM (\nSELECT DISTINCT {hour} AS h\nFROM {table}\n) AS hours",
        columns.join(", ")
    )
}

/// What a row of the validation's answer says: which line is refused, and why. A server that makes up
/// lines or problems is not believed.
pub(super) fn refused(
    row: &[Option<String>],
    refusals: &[Refusal],
    lines: usize,
) -> Option<(Refusal, usize)> {
    let mut numbers = row.iter().map(|text| text.as_ref()?.parse::<usize>().ok());
    let (line, problem) = (numbers.next()??, numbers.next()??);
    let refusal = refusals.get(problem)?.clone();
    (line < lines).then_some((refusal, line))
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{BigQuery, Snowflake};
    use super::*;

    #[test]
    fn every_check_is_numbered_as_its_refusal() {
        for words in [&Snowflake as &dyn Judging, &BigQuery] {
            let (text, refusals) = problem(words);
            assert_eq!(text.matches(" THEN ").count(), refusals.len());
            let number = |refusal: Refusal| refusals.iter().position(|known| *known == refusal);
            let time = number(Refusal::BadTimestamp).unwrap();
            let line = text.lines().nth(time + 1).unwrap();
            assert!(
                line.contains("'0000'") && line.ends_with(&format!("THEN {time}")),
                "{line}"
            );
            // No cast that fails: databases may evaluate a branch that is not taken.
            assert_eq!(
                text.matches("CAST(").count(),
                text.matches("_CAST(").count()
            );
        }
    }

    #[test]
    fn a_server_that_makes_up_lines_is_not_believed() {
        let refusals = [Refusal::MissingEventId];
        let row = |line: &str, problem: &str| {
            let cells = [Some(line.to_owned()), Some(problem.to_owned())];
            refused(&cells, &refusals, 3)
        };
        assert_eq!(row("2", "0"), Some((Refusal::MissingEventId, 2)));
        for (line, problem) in [("3", "0"), ("-1", "0"), ("0", "1"), ("x", "0"), ("0", "")] {
            assert_eq!(row(line, problem), None, "{line} {problem}");
        }
        assert_eq!(refused(&[None], &refusals, 3), None);
        assert_eq!(refused(&[], &refusals, 3), None);
    }

    #[test]
    fn queries_answer_the_columns_of_their_merge() {
        for words in [&Snowflake as &dyn Judging, &BigQuery] {
            for (merge, query, named) in queries(words, TABLE, ":source") {
                let first = query.lines().next().unwrap();
                let mut from = 0;
                for name in merge.columns {
                    let place = first[from..].find(&words.quote(name));
                    from += place.unwrap_or_else(|| panic!("{name} in {query}"));
                }
                assert_eq!(query.contains(":source"), named, "{query}");
            }
        }
    }
}
