//! `trunkline dlq list`.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write, stdout};

use serde_json::json;

use super::{Choice, Colour, Form, Location, tame};
use crate::cli::show::colours;
use crate::cli::table::Table;
use crate::failure::Failure;
use crate::graph::Components;
use crate::letters::Kept;

/// Rows of a table unless told.
const ROWS: u64 = 50;
/// Characters of an id in a table: enough to name it, and short enough to type.
const ID: usize = 12;
const HEAD: [&str; 6] = ["ID", "REFUSED", "NODE", "REASON", "TRIES", "FROM"];

type Reasons = BTreeMap<String, u64>;

pub(super) fn list(
    place: &Location,
    choice: &Choice,
    format: Form,
    colour: Colour,
    own: &Components,
) -> Result<bool, Failure> {
    let desk = place.open(own)?;
    let filter = choice.filter()?;
    let mut out = BufWriter::new(stdout().lock());
    let limit = match format {
        Form::Text => choice.limit.unwrap_or(ROWS),
        Form::Json => choice.limit.unwrap_or(u64::MAX),
    };
    let mut rows = Table::new(HEAD, colours(colour, &stdout()));
    let (mut shown, mut total) = (0, 0);
    let mut reasons = Reasons::new();
    desk.visit(&filter, |letter| {
        total += 1;
        if format == Form::Json {
            // Whoever does not read on ends the listing.
            return writeln!(out, "{}", object(&letter)).is_ok() && total < limit;
        }
        if total <= limit {
            rows.push(row(&letter));
            shown += 1;
        }
        *reasons.entry(letter.reason).or_default() += 1;
        true
    })?;
    if format == Form::Text {
        let text = page(&rows, shown, total, &reasons);
        let _ = out.write_all(text.as_bytes());
    }
    let _ = out.flush();
    Ok(true)
}

fn object(letter: &Kept) -> serde_json::Value {
    json!({
        "id": letter.id,
        "time": letter.time,
        "first_time": letter.first_time,
        "node": letter.node,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "replaces": letter.replaces,
        "source": {
            "name": letter.source,
            "object": letter.object,
            "line": letter.position.line,
            "offset": letter.position.offset,
        },
        "sealed": letter.sealed.is_some(),
        "file": letter.place.shelf,
        "file_line": letter.place.line,
    })
}

fn row(letter: &Kept) -> [String; HEAD.len()] {
    [
        letter.id.chars().take(ID).collect(),
        letter.time.clone(),
        letter.node.clone(),
        letter.reason.clone(),
        letter.attempts.to_string(),
        letter.origin(),
    ]
}

/// The rows, how many more there are, and how many for each reason.
fn page(rows: &Table<{ HEAD.len() }>, shown: u64, total: u64, reasons: &Reasons) -> String {
    if total == 0 {
        return "no dead letters\n".into();
    }
    let mut text = rows.render();
    let more = total - shown;
    if more > 0 {
        text += &format!("… and {more} more; `--limit {total}` shows all\n");
    }
    let letters = if total == 1 { "letter" } else { "letters" };
    let counts = reasons.iter();
    let counts = counts.map(|(reason, count)| format!("{} {count}", tame(reason)));
    let counts: Vec<_> = counts.collect();
    text + &format!("\n{total} dead {letters}: {}\n", counts.join(", "))
}
