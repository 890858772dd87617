//! The staged load: cells as text into one temporary table, one query that finds what is wrong with
//! them, and the rest from there into the tables. It refuses what the direct load refuses.

use super::super::dialect::{Dialect, synapse as tsql};
use super::super::model::{
    AGENTS, EVENT_ID, EVENT_TIMESTAMP, FACTS, HOURS, INPUTS, INTERACTION_ID, Input, Kind, Merge,
    QUEUES, RECORDINGS, WIDTH,
};
use super::super::refusal::Refusal;
use super::super::row::Cells;
use super::super::store::Trouble;
use super::super::time;
use super::statements::{MOST_ROWS, insert};
use super::trouble;
use crate::client::tds::{MOST_VALUES, Session, Value};

const TABLE: &str = "#trunkline_staged";
const EMPTY: &str = "TRUNCATE TABLE #trunkline_staged;";
/// The line, the cells and the counter.
const COLUMNS: usize = WIDTH + 2;
/// The longest text that is bound as `NVARCHAR(4000)`, in its units of 16 bits; what is longer would
/// be a large object, and is longer than any column anyway.
const LONGEST_BOUND: usize = 4_000;
/// The longest that the temporary table's columns hold, in bytes of UTF-8: a few thousand letters of
/// three bytes each could be bound, and would make the server refuse the whole batch.
const LONGEST_HELD: usize = tsql::LONGEST;

/// The statements of a staged load.
pub(super) struct Staging {
    pub create: String,
    /// `INSERT` up to its rows.
    head: String,
    /// Finds the lines that are wrong, and the place in `refusals` of the first thing that is.
    validate: String,
    /// Takes those out.
    clean: String,
    refusals: Vec<Refusal>,
    /// Each with whether it names the source system, `@P1`.
    pub merges: Vec<(String, bool)>,
}

impl Staging {
    pub fn new(schema: &str) -> Self {
        let words = Dialect::Synapse.words();
        let names: Vec<String> = INPUTS.iter().map(|input| words.quote(input.name)).collect();
        let kind = format!(
            "VARCHAR({}) COLLATE {} NULL",
            tsql::LONGEST,
            tsql::COLLATION
        );
        let typed = names.iter().map(|name| format!("    {name} {kind}"));
        let typed = typed.collect::<Vec<_>>().join(",\n");
        let (problem, refusals) = problems();
        let merge = |merge: &Merge, rows: &str| {
            let named = merge.columns.contains(&"source_system");
            (words.merge(schema, merge, rows), named)
        };
        Self {
            create: format!(
                "IF OBJECT_ID('tempdb..{TABLE}') IS NULL\nCREATE TABLE {TABLE} (\n    \
                 [line] INT NOT NULL,\n{typed},\n    [event_counter] VARCHAR(20) NULL\n)\n\
                 WITH (DISTRIBUTION = HASH([event_id]), HEAP);"
            ),
            head: format!(
                "INSERT INTO {TABLE} ([line], {}, [event_counter])",
                names.join(", ")
            ),
            validate: format!(
                "SELECT CAST([line] AS NVARCHAR(20)), CAST([problem] AS NVARCHAR(20))\nFROM (\n\
                 SELECT [line], {problem} AS [problem]\nFROM {TABLE}\n) AS v\n\
                 WHERE [problem] IS NOT NULL;"
            ),
            clean: format!("DELETE FROM {TABLE}\nWHERE {problem} IS NOT NULL;"),
            refusals,
            merges: vec![
                merge(&FACTS, &newest(&FACTS)),
                merge(&RECORDINGS, &newest(&RECORDINGS)),
                merge(&AGENTS, &distinct("agent_id")),
                merge(&QUEUES, &distinct("queue_name")),
                merge(&HOURS, &hours()),
            ],
        }
    }

    /// What is said before the transaction.
    pub fn fills(&self) -> [String; 4] {
        let insert = insert(&self.head, 1, COLUMNS);
        [
            EMPTY.to_owned(),
            insert,
            self.validate.clone(),
            self.clean.clone(),
        ]
    }

    /// Leaves what is right in the temporary table, and says what is wrong with which cells.
    pub async fn fill(
        &self,
        session: &mut Session,
        cells: &[Cells<'_>],
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        session.batch(EMPTY).await.map_err(trouble)?;
        let (mut found, mut staged) = (Vec::new(), Vec::with_capacity(cells.len()));
        for (line, cells) in cells.iter().enumerate() {
            match too_long(cells) {
                Some(place) => found.push((Refusal::TooLong(place), line)),
                None => staged.push(Staged::of(line, cells)),
            }
        }
        for rows in staged.chunks(MOST_ROWS.min(MOST_VALUES / COLUMNS)) {
            let values: Vec<Value<'_>> = rows.iter().flat_map(Staged::values).collect();
            let sql = insert(&self.head, rows.len(), COLUMNS);
            session.execute(&sql, &values).await.map_err(trouble)?;
        }
        let rows = session.rows(&self.validate, &[]).await.map_err(trouble)?;
        found.extend(
            rows.into_iter()
                .filter_map(|row| self.problem(row, cells.len())),
        );
        session.batch(&self.clean).await.map_err(trouble)?;
        Ok(found)
    }

    /// A row of the validation query. A server that makes up lines is not believed.
    fn problem(&self, row: Vec<Option<String>>, lines: usize) -> Option<(Refusal, usize)> {
        let mut numbers = row.into_iter().map(|text| text?.parse::<usize>().ok());
        let (line, problem) = (numbers.next()??, numbers.next()??);
        let refusal = self.refusals.get(problem)?.clone();
        (line < lines).then_some((refusal, line))
    }
}

/// A row on its way.
struct Staged<'a> {
    line: i64,
    time: Option<String>,
    counter: String,
    cells: &'a Cells<'a>,
}

impl<'a> Staged<'a> {
    fn of(line: usize, cells: &'a Cells<'_>) -> Self {
        Self {
            line: line as i64,
            // A time that could be read, in the one form that the query takes.
            time: cells.time.map(time::text),
            counter: cells.counter.to_string(),
            cells,
        }
    }

    fn values(&self) -> Vec<Value<'_>> {
        let mut values = Vec::with_capacity(COLUMNS);
        values.push(Value::Number(self.line));
        for (place, cell) in self.cells.text.iter().enumerate() {
            let text = match &self.time {
                Some(time) if place == EVENT_TIMESTAMP => Some(time.as_str()),
                _ => cell.as_deref(),
            };
            values.push(text.map_or(Value::Null, Value::Text));
        }
        values.push(Value::Text(&self.counter));
        values
    }
}

/// The first cell that is too long even to be bound.
fn too_long(cells: &Cells<'_>) -> Option<usize> {
    let long = |text: &str| {
        text.len() > LONGEST_HELD
            || (text.len() > LONGEST_BOUND && text.encode_utf16().count() > LONGEST_BOUND)
    };
    let mut texts = cells.text.iter();
    texts.position(|text| text.as_deref().is_some_and(long))
}

/// One expression for all checks, in the order in which the direct load makes them: the number of
/// the first that fails.
fn problems() -> (String, Vec<Refusal>) {
    let mut checks: Vec<(String, Refusal)> = Vec::new();
    for (place, Input { name, kind, .. }) in INPUTS.iter().enumerate() {
        let name = format!("[{name}]");
        match place {
            EVENT_ID => checks.push((format!("{name} IS NULL"), Refusal::MissingEventId)),
            INTERACTION_ID => {
                checks.push((format!("{name} IS NULL"), Refusal::MissingInteractionId));
            }
            _ => {}
        }
        match kind {
            Kind::Text(most) => {
                let long = format!("{} > {most}", characters(&name));
                checks.push((long, Refusal::TooLong(place)));
            }
            Kind::Timestamp => checks.push((bad_time(&name), Refusal::BadTimestamp)),
            _ => checks.push((bad_integer(&name), Refusal::WrongType(place))),
        }
    }
    let cases: Vec<String> = checks
        .iter()
        .enumerate()
        .map(|(number, (condition, _))| format!("\n  WHEN {condition} THEN {number}"))
        .collect();
    let expression = format!("CASE{} END", cases.concat());
    let refusals = checks.into_iter().map(|(_, refusal)| refusal);
    (expression, refusals.collect())
}

/// How many characters a text has. `LEN` leaves trailing spaces out, and counts a character beyond
/// the first 65,536 once only in a collation that knows of them.
fn characters(name: &str) -> String {
    let text = format!("CAST({name} AS NVARCHAR(4000)) COLLATE Latin1_General_100_CI_AS_SC");
    format!("LEN({text} + N'.') - 1")
}

/// Not a time in the one form that is staged, or not in the calendar.
fn bad_time(name: &str) -> String {
    let two = "[0-9][0-9]";
    let form = format!("{two}{two}-{two}-{two}T{two}:{two}:{two}.{two}[0-9]Z");
    let read = read_time("TRY_CONVERT", name);
    format!("{name} IS NULL OR {name} NOT LIKE '{form}' OR {read} IS NULL")
}

fn read_time(convert: &str, name: &str) -> String {
    format!("{convert}(DATETIME2(3), LEFT({name}, 23), 126)")
}

/// Not a whole number of 32 bits in its plain form. The stop makes trailing spaces count.
fn bad_integer(name: &str) -> String {
    let read = format!("TRY_CONVERT(INT, {name})");
    let plain = format!("CONVERT(VARCHAR(20), {read}) + '.' <> {name} + '.'");
    format!("{name} IS NOT NULL AND ({read} IS NULL OR {plain})")
}

/// A staged column as what the table holds.
fn typed(name: &str) -> String {
    match name {
        "source_system" => "@P1".to_owned(),
        "event_timestamp" => read_time("CONVERT", "[event_timestamp]"),
        "duration_seconds" => "CONVERT(INT, [duration_seconds])".to_owned(),
        "event_counter" => "CONVERT(BIGINT, [event_counter])".to_owned(),
        name => format!("[{name}]"),
    }
}

/// The newest row of each event, by the order of the table's guard. Keys that differ in trailing
/// spaces alone are two.
fn newest(merge: &Merge) -> String {
    let names = merge.columns.iter();
    let columns: Vec<String> = names.clone().map(|name| format!("[{name}]")).collect();
    let typed: Vec<String> = names
        .map(|name| format!("{} AS [{name}]", typed(name)))
        .collect();
    let order: Vec<String> = merge
        .guard
        .iter()
        .map(|part| format!("{} DESC", tsql::Synapse.place("r", merge, part)))
        .collect();
    // An event without a recording takes none away.
    let which = match merge.columns.contains(&"recording_url") {
        true => "WHERE [recording_url] IS NOT NULL\n",
        false => "",
    };
    format!(
        "SELECT {}\nFROM (\nSELECT r.*, ROW_NUMBER() OVER (\n\
         PARTITION BY r.[event_id], DATALENGTH(r.[event_id])\nORDER BY {}) AS [place]\n\
         FROM (\nSELECT {}\nFROM {TABLE}\n{which}) AS r\n) AS n\nWHERE [place] = 1",
        columns.join(", "),
        order.join(",\n  "),
        typed.join(", ")
    )
}

fn distinct(name: &str) -> String {
    format!(
        "SELECT [{name}], @P1 AS [source_system]\nFROM {TABLE}\nWHERE [{name}] IS NOT NULL\n\
         GROUP BY [{name}], DATALENGTH([{name}])"
    )
}

fn hours() -> String {
    let hour = Dialect::Synapse.words().hour(&typed("event_timestamp"));
    // The first day of 1900 was a Monday.
    format!(
        "SELECT h AS [hour_start], CAST(h AS DATE) AS [date], YEAR(h) AS [year], \
         DATEPART(QUARTER, h) AS [quarter], MONTH(h) AS [month], DAY(h) AS [day], \
         DATEPART(HOUR, h) AS [hour],\n\
         (DATEDIFF(DAY, CAST('1900-01-01' AS DATE), h) % 7 + 7) % 7 + 1 AS [day_of_week]\n\
         FROM (\nSELECT DISTINCT {hour} AS h\nFROM {TABLE}\n) AS hours"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_makes_up_lines_is_not_believed() {
        let staging = Staging::new("s");
        let row = |line: &str, problem: &str| {
            let cells = vec![Some(line.to_owned()), Some(problem.to_owned())];
            staging.problem(cells, 3)
        };
        assert_eq!(row("2", "0"), Some((Refusal::MissingEventId, 2)));
        for (line, problem) in [("3", "0"), ("-1", "0"), ("0", "99"), ("x", "0")] {
            assert_eq!(row(line, problem), None);
        }
        assert_eq!(staging.problem(vec![None], 3), None);
    }

    #[test]
    fn what_the_temporary_table_cannot_hold_is_not_sent() {
        let cells = |text: &str| {
            let mut cells = Cells {
                origin: crate::event::Origin::new(0, 0),
                text: [const { None }; WIDTH],
                time: None,
                counter: 0,
            };
            cells.text[9] = Some(text.to_owned().into());
            too_long(&cells)
        };
        assert_eq!(cells(&"a".repeat(4_000)), None);
        assert_eq!(cells(&"a".repeat(4_001)), Some(9));
        assert_eq!(cells(&"\u{1f600}".repeat(2_000)), None);
        assert_eq!(cells(&"\u{4e00}".repeat(2_048)), None);
        // 2,700 letters, 8,100 bytes.
        assert_eq!(cells(&"\u{4e00}".repeat(2_700)), Some(9));
    }

    #[test]
    fn every_check_is_numbered_as_its_refusal() {
        let (text, refusals) = problems();
        assert_eq!(text.matches(" THEN ").count(), refusals.len());
        let time = refusals.iter().position(|r| *r == Refusal::BadTimestamp);
        let time = format!(
            "'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]Z' \
             OR TRY_CONVERT(DATETIME2(3), LEFT([event_timestamp], 23), 126) IS NULL THEN {}",
            time.unwrap()
        );
        assert!(text.contains(&time), "{text}");
    }
}
