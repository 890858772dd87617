//! The tables of the warehouse, as every dialect has them: names, kinds, keys and indexes.

use super::dialect::Words;

/// What a column holds. A dialect has its own word for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text of at most this many characters.
    Text(usize),
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// A point in time, in milliseconds.
    Timestamp,
    /// A day.
    Date,
}

/// Whether a column may be empty, and what stands in it if nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The table's primary key.
    Key,
    /// Never empty.
    Required,
    /// May be empty.
    Optional,
    /// Never empty, 0 unless written.
    Zero,
    /// [`SOURCE_SYSTEM`] unless written.
    Source,
    /// The moment of the row's first writing. No statement ever names this column.
    Created,
}

/// A column of a table.
pub(super) struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub need: Need,
}

/// A column of an index, and whether the newest or largest comes first.
pub(super) type Sorted = (&'static str, bool);

/// A table.
pub(super) struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    /// Name and columns of each index besides the key.
    pub indexes: &'static [(&'static str, &'static [Sorted])],
}

/// What `source_system` says unless the configuration says something else.
pub(super) const SOURCE_SYSTEM: &str = "GENESYS_CLOUD";

const NAME: Kind = Kind::Text(255);
const STATE: Kind = Kind::Text(50);
const URL: Kind = Kind::Text(2048);

const fn column(name: &'static str, kind: Kind, need: Need) -> Column {
    Column { name, kind, need }
}

const CREATED_AT: Column = column("created_at", Kind::Timestamp, Need::Created);
const SOURCE: Column = column("source_system", NAME, Need::Source);
const COUNTER: Column = column("event_counter", Kind::Long, Need::Zero);

/// All tables, the facts first. The raw event is in none of them.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "fact_interactions",
        columns: &[
            column("event_id", NAME, Need::Key),
            column("interaction_id", NAME, Need::Required),
            column("event_timestamp", Kind::Timestamp, Need::Optional),
            column("interaction_type", STATE, Need::Optional),
            column("direction", STATE, Need::Optional),
            column("state", STATE, Need::Optional),
            column("duration_seconds", Kind::Integer, Need::Optional),
            column("queue_name", NAME, Need::Optional),
            column("agent_id", NAME, Need::Optional),
            SOURCE,
            // With the timestamp it guards the row against going back in time.
            COUNTER,
            CREATED_AT,
        ],
        indexes: &[
            (
                "ix_fact_interactions_event_timestamp",
                &[("event_timestamp", true)],
            ),
            (
                "ix_fact_interactions_queue_type",
                &[("queue_name", false), ("interaction_type", false)],
            ),
        ],
    },
    Table {
        name: "dim_agents",
        columns: &[column("agent_id", NAME, Need::Key), SOURCE, CREATED_AT],
        indexes: &[],
    },
    Table {
        name: "dim_queues",
        columns: &[column("queue_name", NAME, Need::Key), SOURCE, CREATED_AT],
        indexes: &[],
    },
    Table {
        name: "dim_time",
        columns: &[
            // In UTC, as everything here.
            column("hour_start", Kind::Timestamp, Need::Key),
            column("date", Kind::Date, Need::Required),
            column("year", Kind::Integer, Need::Required),
            column("quarter", Kind::Integer, Need::Required),
            column("month", Kind::Integer, Need::Required),
            column("day", Kind::Integer, Need::Required),
            column("hour", Kind::Integer, Need::Required),
            // 1 is Monday (ISO 8601).
            column("day_of_week", Kind::Integer, Need::Required),
        ],
        indexes: &[],
    },
    Table {
        name: "call_recordings",
        columns: &[
            column("event_id", NAME, Need::Key),
            column("interaction_id", NAME, Need::Required),
            column("recording_url", URL, Need::Required),
            column("event_timestamp", Kind::Timestamp, Need::Optional),
            COUNTER,
            CREATED_AT,
        ],
        indexes: &[(
            "ix_call_recordings_interaction",
            &[("interaction_id", false)],
        )],
    },
    // What became of the records of each backfill, by the hour of their own time.
    Table {
        name: "load_completeness",
        columns: &[
            // The run and the hour.
            column("completeness_id", NAME, Need::Key),
            column("run_id", NAME, Need::Required),
            // Empty for records without a time that can be read.
            column("hour_start", Kind::Timestamp, Need::Optional),
            column("records_read", Kind::Long, Need::Zero),
            column("records_loaded", Kind::Long, Need::Zero),
            column("records_elsewhere", Kind::Long, Need::Zero),
            column("records_dropped", Kind::Long, Need::Zero),
            column("records_refused", Kind::Long, Need::Zero),
            column("records_unexplained", Kind::Long, Need::Zero),
            column("rows_written", Kind::Long, Need::Zero),
            column("rows_unchanged", Kind::Long, Need::Zero),
            column("written_at", Kind::Timestamp, Need::Required),
            CREATED_AT,
        ],
        indexes: &[],
    },
    // How far behind the events their rows were, for each minute of loading and each writer.
    Table {
        name: "load_freshness",
        columns: &[
            // Minute and writer: writers never wait for each other, having no row in common.
            column("slot", NAME, Need::Key),
            column("minute", Kind::Timestamp, Need::Required),
            column("writer", NAME, Need::Required),
            column("rows_loaded", Kind::Long, Need::Zero),
            column("lag_max_ms", Kind::Long, Need::Zero),
            column("lag_sum_ms", Kind::Long, Need::Zero),
            column("newest_event", Kind::Timestamp, Need::Optional),
        ],
        indexes: &[],
    },
];

/// A column that is filled from an event.
pub(super) struct Input {
    pub name: &'static str,
    pub kind: Kind,
    /// Where it is found unless the configuration says something else.
    pub path: &'static str,
}

const fn input(name: &'static str, kind: Kind, path: &'static str) -> Input {
    Input { name, kind, path }
}

/// How many columns are filled from an event.
pub(super) const WIDTH: usize = 10;

/// The columns that are filled from an event; the constants below are places in this list.
pub(super) const INPUTS: [Input; WIDTH] = [
    input("event_id", NAME, "event_id"),
    input("interaction_id", NAME, "interaction_id"),
    input("event_timestamp", Kind::Timestamp, "timestamp"),
    input("interaction_type", STATE, "type"),
    input("direction", STATE, "direction"),
    input("state", STATE, "state"),
    input("duration_seconds", Kind::Integer, "duration_seconds"),
    input("queue_name", NAME, "queue_name"),
    input("agent_id", NAME, "agent_id"),
    input("recording_url", URL, "recording_url"),
];

pub(super) const EVENT_ID: usize = 0;
pub(super) const INTERACTION_ID: usize = 1;
pub(super) const EVENT_TIMESTAMP: usize = 2;
pub(super) const INTERACTION_TYPE: usize = 3;
pub(super) const DIRECTION: usize = 4;
pub(super) const STATE_NAME: usize = 5;
pub(super) const QUEUE_NAME: usize = 7;
pub(super) const AGENT_ID: usize = 8;
pub(super) const RECORDING_URL: usize = 9;

/// How rows come into a table: new keys are inserted; a row that is there is replaced if the new
/// one is later in the order of the `guard` columns, and left alone otherwise.
pub(super) struct Merge {
    pub table: &'static str,
    /// The columns that are written, the key first, in the order in which values are bound.
    pub columns: &'static [&'static str],
    /// Compared one after the other; empty: a row that is there is never replaced. After time and
    /// counter it names all other columns, so that of two rows that claim the same place in time
    /// the same one wins, whichever came first.
    pub guard: &'static [Guard],
}

/// A column of the guard.
pub(super) enum Guard {
    /// Empty counts as less than any text.
    Text(&'static str),
    /// Empty counts as less than any number.
    Number(&'static str),
    /// Empty counts as earlier than any time.
    Time(&'static str),
}

pub(super) const FACTS: Merge = Merge {
    table: "fact_interactions",
    columns: &[
        "event_id",
        "interaction_id",
        "event_timestamp",
        "interaction_type",
        "direction",
        "state",
        "duration_seconds",
        "queue_name",
        "agent_id",
        "source_system",
        "event_counter",
    ],
    guard: &[
        Guard::Time("event_timestamp"),
        Guard::Number("event_counter"),
        Guard::Text("interaction_id"),
        Guard::Text("interaction_type"),
        Guard::Text("direction"),
        Guard::Text("state"),
        Guard::Number("duration_seconds"),
        Guard::Text("queue_name"),
        Guard::Text("agent_id"),
    ],
};

/// Guarded by itself: an event that says nothing of a recording takes none away.
pub(super) const RECORDINGS: Merge = Merge {
    table: "call_recordings",
    columns: &[
        "event_id",
        "interaction_id",
        "recording_url",
        "event_timestamp",
        "event_counter",
    ],
    guard: &[
        Guard::Time("event_timestamp"),
        Guard::Number("event_counter"),
        Guard::Text("interaction_id"),
        Guard::Text("recording_url"),
    ],
};

pub(super) const AGENTS: Merge = Merge {
    table: "dim_agents",
    columns: &["agent_id", "source_system"],
    guard: &[],
};

pub(super) const QUEUES: Merge = Merge {
    table: "dim_queues",
    columns: &["queue_name", "source_system"],
    guard: &[],
};

pub(super) const HOURS: Merge = Merge {
    table: "dim_time",
    columns: &[
        "hour_start",
        "date",
        "year",
        "quarter",
        "month",
        "day",
        "hour",
        "day_of_week",
    ],
    guard: &[],
};

/// Written anew by every run over the same range: the later figures stand.
pub(super) const COMPLETENESS: Merge = Merge {
    table: "load_completeness",
    columns: &[
        "completeness_id",
        "run_id",
        "hour_start",
        "records_read",
        "records_loaded",
        "records_elsewhere",
        "records_dropped",
        "records_refused",
        "records_unexplained",
        "rows_written",
        "rows_unchanged",
        "written_at",
    ],
    guard: &[Guard::Time("written_at")],
};

/// A writer counts up, and writes what it has counted so far: the larger count is the later one, and
/// a commit that is repeated counts nothing twice.
pub(super) const FRESHNESS: Merge = Merge {
    table: "load_freshness",
    columns: &[
        "slot",
        "minute",
        "writer",
        "rows_loaded",
        "lag_max_ms",
        "lag_sum_ms",
        "newest_event",
    ],
    guard: &[Guard::Number("rows_loaded")],
};

/// All merges, in the order in which a transaction writes them: the same everywhere, so that two
/// transactions cannot wait for each other.
pub(super) const MERGES: &[&Merge] = &[
    &FACTS,
    &RECORDINGS,
    &AGENTS,
    &QUEUES,
    &HOURS,
    &FRESHNESS,
    &COMPLETENESS,
];

/// A query that stands in the schema under a name of its own.
pub(super) struct View {
    pub name: &'static str,
    /// The query; the schema's name comes first.
    pub query: fn(&dyn Words, &str) -> String,
}

/// All views.
pub(super) const VIEWS: &[View] = &[
    View {
        name: "freshness_by_hour",
        query: freshness_by_hour,
    },
    View {
        name: "completeness_by_hour",
        query: completeness_by_hour,
    },
];

fn freshness_by_hour(words: &dyn Words, schema: &str) -> String {
    let hour = words.hour("minute");
    format!(
        "SELECT {hour} AS hour_start, sum(rows_loaded) AS rows_loaded,\n    \
         max(lag_max_ms) / 1000.0 AS lag_max_seconds,\n    \
         sum(lag_sum_ms) / 1000.0 / sum(rows_loaded) AS lag_mean_seconds,\n    \
         max(newest_event) AS newest_event\n\
         FROM {}\nWHERE rows_loaded > 0\nGROUP BY {hour}",
        words.table(schema, "load_freshness")
    )
}

/// The completeness ledger, and beside each hour how many facts there are of it, whoever wrote them.
fn completeness_by_hour(words: &dyn Words, schema: &str) -> String {
    let (quote, hour) = (|name| words.quote(name), |of: String| words.hour(&of));
    let start = quote("hour_start");
    let columns: Vec<String> = COMPLETENESS.columns[1..]
        .iter()
        .map(|name| format!("c.{}", quote(name)))
        .collect();
    let event_hour = hour(quote("event_timestamp"));
    format!(
        "SELECT {}, f.{fact_rows}\nFROM {} c\nLEFT JOIN (\n    SELECT {event_hour} AS {start}, \
         COUNT(*) AS {fact_rows}\n    FROM {}\n    GROUP BY {event_hour}\n) f ON f.{start} = c.{start}",
        columns.join(", "),
        words.table(schema, COMPLETENESS.table),
        words.table(schema, FACTS.table),
        fact_rows = quote("fact_rows"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_write_every_column_but_created_at() {
        for merge in MERGES {
            let table = TABLES.iter().find(|t| t.name == merge.table).unwrap();
            let written: Vec<_> = table
                .columns
                .iter()
                .filter(|column| column.need != Need::Created)
                .map(|column| column.name)
                .collect();
            assert_eq!(merge.columns, written, "{}", merge.table);
            assert_eq!(table.columns[0].need, Need::Key);
        }
    }

    #[test]
    fn inputs_have_the_kind_of_their_column() {
        for input in &INPUTS {
            let column = TABLES
                .iter()
                .flat_map(|table| table.columns)
                .find(|column| column.name == input.name)
                .unwrap();
            assert_eq!(column.kind, input.kind, "{}", input.name);
        }
        assert_eq!(INPUTS[RECORDING_URL].name, "recording_url");
        assert_eq!(INPUTS[QUEUE_NAME].name, "queue_name");
    }
}
