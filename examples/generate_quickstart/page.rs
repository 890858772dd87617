//! The page that lies beside the input: what is in it and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::conversations::{Peculiar, Personal};
use super::made::{Expected, File};

pub const BEGIN: &str = "<!-- quickstart:begin -->";
pub const END: &str = "<!-- quickstart:end -->";

const TOP: &str = "# The input of the first pipeline

Made up by `cargo run --example generate_quickstart`, which also counted what stands here;
`tests/quickstart.rs` holds files, page and pipeline together. Telephone numbers are of the ranges
that are kept for fiction, card numbers are test numbers, and all addresses are of `example.com`.

";

const QUERIES: &str = "
## Looking at the warehouse

The warehouse is an SQLite file, `data/quickstart/warehouse.db`; any tool that reads SQLite will do.

```sql
-- How long do calls take, by queue?
SELECT queue_name, count(*) AS calls, round(avg(duration_seconds)) AS seconds
FROM fact_interactions
WHERE state = 'completed' AND interaction_type = 'call'
GROUP BY queue_name ORDER BY calls DESC;

-- One conversation in its order.
SELECT event_timestamp, event_counter, state, agent_id
FROM fact_interactions
WHERE interaction_id = (SELECT max(interaction_id) FROM fact_interactions)
ORDER BY event_counter;

-- Completed conversations by hour of the day.
SELECT t.hour, count(*) AS completed
FROM fact_interactions f
JOIN dim_time t ON t.hour_start = strftime('%Y-%m-%dT%H:00:00.000Z', f.event_timestamp)
WHERE f.state = 'completed' GROUP BY t.hour ORDER BY t.hour;
```

The dead letters, `data/quickstart/dead-letters.ndjson`, have one line for each record that was
refused: `reason`, `detail`, where it lay (`source`), and the record itself, masked.
";

/// Makes the page.
pub fn page(
    files: &[File],
    peculiar: &Peculiar,
    personal: &Personal,
    put_in: &BTreeMap<&'static str, usize>,
    expected: &Expected,
) -> File {
    let mut text = TOP.to_owned();
    text.push_str(BEGIN);
    text.push_str("\n| file | what it is | bytes |\n|---|---|--:|\n");
    // Writing to a text cannot fail.
    for File {
        name, bytes, about, ..
    } in files
    {
        // Other versions of the libraries may compress to another size.
        let size = if name.ends_with("gz") || name.ends_with("zst") {
            String::new()
        } else {
            thousands(bytes.len())
        };
        let _ = writeln!(text, "| `{name}` | {about} | {size} |");
    }
    text.push_str("\n| put in on purpose | |\n|---|--:|\n");
    let more = [
        ("durations as text (`\"345\"`)", peculiar.numbers_as_text),
        ("times in milliseconds since 1970", peculiar.epochs),
        ("records without a queue", peculiar.without_queue),
        ("records without an agent", peculiar.without_agent),
        ("records with unknown fields", peculiar.unknown_fields),
        (
            "different full telephone numbers",
            different(&personal.phones),
        ),
        ("different e-mail addresses", different(&personal.emails)),
        ("different card numbers", different(&personal.cards)),
        (
            "names, addresses of machines and of recordings",
            different(&personal.others),
        ),
    ];
    for (what, count) in put_in
        .iter()
        .map(|(what, count)| (*what, *count))
        .chain(more)
    {
        let _ = writeln!(text, "| {what} | {} |", thousands(count));
    }
    text.push_str("\n| node or table | what comes out | |\n|---|---|--:|\n");
    for ((of, what), count) in sorted(expected) {
        let _ = writeln!(text, "| `{of}` | {what} | {} |", thousands(count));
    }
    text.push_str(END);
    text.push('\n');
    text.push_str(QUERIES);
    let bytes = text.clone().into_bytes();
    File {
        name: "README.md".into(),
        bytes,
        text,
        about: "",
    }
}

/// In the order in which data flows.
fn sorted(expected: &Expected) -> Vec<(&(String, String), usize)> {
    const FLOW: [&str; 7] = [
        "exports",
        "analytics_facts",
        "unique",
        "ordered",
        "valid",
        "warehouse",
        "dead_letter",
    ];
    let mut rows: Vec<_> = expected
        .iter()
        .map(|(what, count)| (what, *count))
        .collect();
    let place = |of: &str| {
        FLOW.iter()
            .position(|node| *node == of)
            .unwrap_or(FLOW.len())
    };
    rows.sort_by_key(|((of, what), _)| (place(of), *what != "received"));
    rows
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn different(values: &[String]) -> usize {
    values.iter().collect::<BTreeSet<_>>().len()
}
