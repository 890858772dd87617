//! Annotated CSV, in which Flux answers.
//!
//! Tables come one after the other. Each begins with rows of annotations (`#datatype`, `#group`,
//! `#default`) and a row of names; an empty line, or annotations anew, end it. The first column is
//! that of the annotations and is empty in rows of data; an empty cell stands for its column's
//! default. A table with the columns `error` and `reference` is an error that came after the status.
//! Read strictly: what is cut off or has a cell too many is no answer.

use std::sync::Arc;

use compact_str::CompactString;

/// Most columns of a table. An answer is bounded by its bytes, and these keep what is made of it from
/// being many times as large.
const MOST_COLUMNS: usize = 1000;
/// Most rows of an answer.
const MOST_ROWS: usize = 2_000_000;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, such as `_value`.
    pub name: CompactString,
    /// Its type, such as `long` or `dateTime:RFC3339`; empty where it is not said.
    pub datatype: CompactString,
    /// What an empty cell stands for.
    pub default: CompactString,
}

/// One row of a table.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<[Column]>,
    cells: Vec<CompactString>,
}

impl Row {
    /// The text in a column; `None` where the table has no such column.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.columns.iter().position(|column| column.name == name)?;
        match self.cells[place].as_str() {
            "" => Some(&self.columns[place].default),
            text => Some(text),
        }
    }

    /// A whole number from 0 in a column of type `long` or `unsignedLong`.
    pub fn count(&self, name: &str) -> Option<u64> {
        let column = self.columns.iter().find(|column| column.name == name)?;
        let is_whole = matches!(column.datatype.as_str(), "long" | "unsignedLong");
        is_whole.then(|| self.get(name)?.parse().ok()).flatten()
    }

    /// The columns of its table, that of the annotations left out.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

/// Why an answer is none; a clause that goes on from "the answer".
pub(super) type Bad = &'static str;

/// Calls `visit` with each row of each table; those before a mistake were visited by then.
pub(super) fn parse(text: &str, visit: &mut dyn FnMut(Row)) -> Result<(), Bad> {
    let mut rows = 0;
    let mut table = Table::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (record, after) = record(rest)?;
        rest = after;
        match record.first().map(CompactString::as_str) {
            // An empty line: one empty cell, and no comma behind it.
            Some("") if record.len() == 1 => table = Table::default(),
            Some(kind) if kind.starts_with('#') => {
                if table.columns.is_some() {
                    table = Table::default();
                }
                table.annotate(record)?;
            }
            _ => match &table.columns {
                None => table.name(record)?,
                Some(_) if rows == MOST_ROWS => return Err("has more than two million rows"),
                Some(columns) => {
                    rows += 1;
                    visit(row(columns, record)?);
                }
            },
        }
    }
    Ok(())
}

/// The table that is being read.
#[derive(Default)]
struct Table {
    datatypes: Vec<CompactString>,
    defaults: Vec<CompactString>,
    columns: Option<Arc<[Column]>>,
}

impl Table {
    fn annotate(&mut self, record: Vec<CompactString>) -> Result<(), Bad> {
        match record[0].as_str() {
            "#datatype" => self.datatypes = record,
            "#default" => self.defaults = record,
            "#group" => {}
            _ => return Err("has an annotation that is not known"),
        }
        Ok(())
    }

    fn name(&mut self, names: Vec<CompactString>) -> Result<(), Bad> {
        for annotation in [&self.datatypes, &self.defaults] {
            if !annotation.is_empty() && annotation.len() != names.len() {
                return Err("has annotations of another width than its names");
            }
        }
        if names.iter().any(|name| name == "error") && names.iter().any(|name| name == "reference")
        {
            return Err("ends in an error of the query");
        }
        let at = |list: &[CompactString], place| list.get(place).cloned().unwrap_or_default();
        let columns = names.into_iter().enumerate().skip(1);
        let columns = columns.map(|(place, name)| Column {
            name,
            datatype: at(&self.datatypes, place),
            default: at(&self.defaults, place),
        });
        self.columns = Some(columns.collect());
        Ok(())
    }
}

fn row(columns: &Arc<[Column]>, mut record: Vec<CompactString>) -> Result<Row, Bad> {
    if record.len() != columns.len() + 1 || !record[0].is_empty() {
        return Err("has a row of another width than its table");
    }
    record.remove(0);
    Ok(Row {
        columns: columns.clone(),
        cells: record,
    })
}

/// One record of RFC 4180, and what follows it.
fn record(text: &str) -> Result<(Vec<CompactString>, &str), Bad> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, after) = cell(rest)?;
        if cells.len() > MOST_COLUMNS {
            return Err("has more than 1000 columns");
        }
        cells.push(cell);
        if let Some(after) = after.strip_prefix(',') {
            rest = after;
            continue;
        }
        let after = after.strip_prefix("\r\n").or(after.strip_prefix('\n'));
        return match after {
            Some(after) => Ok((cells, after)),
            None => Err("is cut off"),
        };
    }
}

fn cell(text: &str) -> Result<(CompactString, &str), Bad> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = memchr::memchr3(b',', b'\n', b'\r', text.as_bytes());
        let (cell, after) = text.split_at(end.unwrap_or(text.len()));
        return match cell.contains('"') {
            true => Err("has a quote within a cell that has none around it"),
            false => Ok((cell.into(), after)),
        };
    };
    let mut cell = CompactString::default();
    loop {
        let (inside, after) = rest.split_once('"').ok_or("is cut off")?;
        cell.push_str(inside);
        rest = match after.strip_prefix('"') {
            Some(after) => after,
            None => return Ok((cell, after)),
        };
        cell.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Row>, Bad> {
        let mut rows = Vec::new();
        super::parse(text, &mut |row| rows.push(row)).map(|()| rows)
    }

    const ANSWER: &str = "#datatype,string,long,string,long\r\n\
        #group,false,false,true,false\r\n\
        #default,_result,,,\r\n\
        ,result,table,interactionId,_value\r\n\
        ,,0,\"a,\"\"b\"\"\r\n\",7\r\n\
        ,,0,c,-1\r\n\
        \r\n\
        #datatype,string,double\r\n\
        #group,false,false\r\n\
        #default,other,\r\n\
        ,result,x\r\n\
        ,,1.5\r\n\
        #datatype,string\r\n\
        ,y\r\n\
        ,z\r\n";

    #[test]
    fn reads_tables_with_their_types_and_defaults() {
        let rows = parse(ANSWER).unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0].get("interactionId"), Some("a,\"b\"\r\n"));
        assert_eq!(rows[0].get("result"), Some("_result"));
        assert_eq!(
            (rows[0].count("_value"), rows[1].count("_value")),
            (Some(7), None)
        );
        assert_eq!(rows[1].get("nothing"), None);
        assert_eq!((rows[2].get("x"), rows[2].count("x")), (Some("1.5"), None));
        assert_eq!(rows[2].get("result"), Some("other"));
        assert_eq!(rows[3].get("y"), Some("z"));
        assert_eq!(rows[3].columns()[0].datatype, "string");
        assert!(parse("").unwrap().is_empty() && parse("\r\n").unwrap().is_empty());
    }

    #[test]
    fn an_answer_that_is_cut_off_anywhere_is_none() {
        // Within the first table: at the end of a line an answer is whole, as far as can be seen.
        let end = ANSWER.find("\r\n\r\n").unwrap();
        for cut in 1..end {
            if !ANSWER[..cut].ends_with('\n') {
                assert!(parse(&ANSWER[..cut]).is_err(), "{:?}", &ANSWER[..cut]);
            }
        }
    }

    #[test]
    fn refuses_what_is_no_table() {
        for (text, part) in [
            (",a,b\n,1\n", "width"),
            (",a\n1,2\n", "width"),
            ("#datatype,long,long\n,a\n", "width"),
            ("#what,long\n", "annotation"),
            (",a\n,x\"y\n", "quote"),
            (",a\n,\"x\"y\n", "cut off"),
            (
                "#datatype,string,string\n,error,reference\n,no such bucket,897\n",
                "error",
            ),
        ] {
            let bad = parse(text).unwrap_err();
            assert!(bad.contains(part), "{text:?}: {bad}");
        }
        let wide = format!("{}\n", ",a".repeat(2000));
        assert!(parse(&wide).is_err());
    }
}
