//! Rows as JSON text, for the databases that take a merge's rows as one bound value.

use super::load::{Cell, Part};
use super::model::EVENT_TIMESTAMP;
use super::row::Cells;
use super::time;

/// Most bytes of one text. BigQuery takes requests of 10 MiB, in which each quote is escaped once
/// more; Snowflake takes values of 16 MiB. A row has some ten columns of a bounded length.
pub(super) const MOST: usize = 4 << 20;

/// The part's rows, a list of lists in the order of its columns. Times are text of ISO 8601 in UTC,
/// ended by `zone`. Never an empty list.
pub(super) fn texts(part: &Part<'_>, zone: &str) -> Vec<String> {
    split(part.rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().map(|cell| text(cell, zone)).collect();
        format!("[{}]", cells.join(","))
    }))
}

/// The same of cells on their way into a staging table: the line, all texts, the counter. A time that
/// could be read comes in the form in which it is stored.
pub(super) fn staged(cells: &[Cells<'_>]) -> Vec<String> {
    split(cells.iter().enumerate().map(|(line, cells)| {
        let time = cells.time.map(time::text);
        let mut row = vec![line.to_string()];
        for (place, cell) in cells.text.iter().enumerate() {
            let text = match &time {
                Some(time) if place == EVENT_TIMESTAMP => Some(time.as_str()),
                _ => cell.as_deref(),
            };
            row.push(text.map_or_else(|| "null".to_owned(), quoted));
        }
        row.push(cells.counter.to_string());
        format!("[{}]", row.join(","))
    }))
}

/// Puts elements into as few lists as their size allows.
fn split(elements: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for element in elements {
        match texts.last_mut() {
            Some(text) if text.len() + element.len() < MOST => {
                text.push(',');
                text.push_str(&element);
            }
            _ => texts.push(format!("[{element}")),
        }
    }
    texts.iter_mut().for_each(|text| text.push(']'));
    texts
}

fn text(cell: &Cell<'_>, zone: &str) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Text(text) => quoted(text),
        Cell::Integer(number) => number.to_string(),
        Cell::Time(ms) => {
            let text = time::text(*ms);
            format!("\"{}{zone}\"", text.trim_end_matches('Z'))
        }
        Cell::Date(days) => format!("\"{}\"", time::day_text(*days)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::model::{AGENTS, WIDTH};
    use super::*;

    fn part(rows: Vec<Vec<Cell<'_>>>) -> Part<'_> {
        let merge = &AGENTS;
        Part { merge, rows }
    }

    #[test]
    fn every_kind_of_cell_has_a_text() {
        let text = "a\"\\\u{1}'; --é\u{1f600}";
        let row = vec![
            Cell::text(Some(text)),
            Cell::Null,
            Cell::Integer(-5),
            Cell::Time(1_767_323_045_678),
            Cell::Date(-1),
        ];
        let texts = texts(&part(vec![row]), "Z");
        let json: serde_json::Value = serde_json::from_str(&texts[0]).unwrap();
        let expected =
            serde_json::json!([[text, null, -5, "2026-01-02T03:04:05.678Z", "1969-12-31"]]);
        assert_eq!((texts.len(), json), (1, expected));
    }

    #[test]
    fn staged_cells_keep_their_line_in_whichever_text() {
        let long = "é".repeat(100_000);
        let cells = |time: Option<i64>, said: &'static str| {
            let mut cells = Cells {
                origin: crate::event::Origin::new(0, 0),
                text: [const { None }; WIDTH],
                time,
                counter: 7,
            };
            cells.text[0] = Some(long.as_str().into());
            cells.text[EVENT_TIMESTAMP] = Some(said.into());
            cells
        };
        let mut all: Vec<Cells<'_>> = (0..50).map(|_| cells(None, "never")).collect();
        all.push(cells(Some(0), "1970"));
        let texts = staged(&all);
        assert!(texts.len() > 1 && texts.iter().all(|text| text.len() <= MOST + 1));
        let rows: Vec<Vec<serde_json::Value>> = texts
            .iter()
            .flat_map(|text| serde_json::from_str::<Vec<Vec<_>>>(text).unwrap())
            .collect();
        assert_eq!(rows.len(), 51);
        for (line, row) in rows.iter().enumerate() {
            let time = if line < 50 {
                "never"
            } else {
                "1970-01-01T00:00:00.000Z"
            };
            assert_eq!(row.len(), WIDTH + 2);
            assert_eq!((&row[0], &row[3]), (&line.into(), &time.into()));
            assert_eq!(
                (&row[2], &row[WIDTH + 1]),
                (&serde_json::Value::Null, &7.into())
            );
        }
    }

    #[test]
    fn many_rows_go_into_several_texts() {
        let long = "é".repeat(100_000);
        let rows = (0..50).map(|number| vec![Cell::text(Some(&long)), Cell::Integer(number)]);
        let texts = texts(&part(rows.collect()), "");
        assert!(texts.len() > 1 && texts.iter().all(|text| text.len() <= MOST + 1));
        let numbers: Vec<i64> = texts
            .iter()
            .flat_map(|text| serde_json::from_str::<Vec<(String, i64)>>(text).unwrap())
            .map(|(_, number)| number)
            .collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }
}
