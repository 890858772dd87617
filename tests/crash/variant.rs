//! The pipelines that are crashed: one shape, with the settings that make a difference.

/// Where a pipeline's events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Files that grow and files that are added: what is lost in a crash is read again.
    File,
    /// A pipe: what is lost in a crash is gone.
    Stdin,
}

/// What is special about a pipeline. Empty texts change nothing.
#[derive(Debug)]
pub struct Variant {
    pub name: &'static str,
    pub ends: &'static [Ends],
    /// Settings of the pipeline itself, a line each.
    pub pipeline: &'static str,
    /// Transforms between `in` and `valid`, a line each, and the last of them.
    pub transforms: &'static str,
    pub last: &'static str,
    /// `buffer: ...` in front of `valid`, and in front of both sinks.
    pub middle: &'static str,
    pub end: &'static str,
    /// Settings of the sink `rows`.
    pub rows: &'static str,
    /// Events come again in the input, and a `dedup` takes the repeats out.
    pub repeats: bool,
    /// What is delivered overtakes nothing: one line, tried until it goes well.
    pub one_line: bool,
    /// What is delivered of one key overtakes nothing.
    pub by_key: bool,
    /// An event comes to a sink twice only in two runs. What a buffer on disk took over and the
    /// source delivers again after a crash comes twice in one.
    pub once_a_life: bool,
}

const BOTH: &[Ends] = &[Ends::File, Ends::Stdin];
const STATE: &str = "state: { type: embedded, path: state }";
const PATIENT: &str =
    "retry: { attempts: 100000, backoff: 5ms, max_backoff: 20ms }, breaker: false";
const UNIQUE: &str = "unique: { type: dedup, inputs: [in], key: .id }";

const PLAIN: Variant = Variant {
    name: "memory",
    ends: BOTH,
    pipeline: STATE,
    transforms: UNIQUE,
    last: "unique",
    middle: "",
    end: "",
    rows: PATIENT,
    repeats: true,
    one_line: true,
    by_key: true,
    once_a_life: true,
};

/// All of them. Kills are spread over them evenly.
pub const ALL: &[Variant] = &[
    PLAIN,
    Variant {
        name: "state_in_memory",
        pipeline: "state: { type: memory }",
        ..PLAIN
    },
    Variant {
        name: "drops",
        ends: &[Ends::File],
        end: "buffer: { max_events: 30, batch_events: 10, when_full: drop_newest }",
        ..PLAIN
    },
    // Tries are used up while the warehouse is locked, so that events go the whole way again.
    Variant {
        name: "exhausted",
        rows: "retry: { attempts: 2, backoff: 1ms, max_backoff: 1ms }, breaker: false",
        one_line: false,
        by_key: false,
        once_a_life: false,
        ..PLAIN
    },
    Variant {
        name: "disk_at_the_sinks",
        transforms: "",
        last: "in",
        repeats: false,
        end: "buffer: { type: disk, max_size: 64MiB }",
        once_a_life: false,
        ..PLAIN
    },
    Variant {
        name: "disk_in_the_middle",
        transforms: "\
unique: { type: dedup, inputs: [in], key: .id }
  again: { type: dedup, inputs: [unique], key: .id, buffer: { type: disk, max_size: 64MiB } }",
        last: "again",
        ..PLAIN
    },
    Variant {
        name: "spill",
        end: "buffer: { max_events: 40, batch_events: 20, when_full: spill, max_size: 64MiB }",
        // What had spilled is there after a crash, and what was in front of it comes again.
        one_line: false,
        by_key: false,
        once_a_life: false,
        ..PLAIN
    },
    Variant {
        name: "partitions",
        middle: "buffer: { partition_by: .key, partitions: 4 }",
        one_line: false,
        ..PLAIN
    },
    Variant {
        name: "priority",
        end: "buffer: { priority: [{ path: .class, equals: urgent }] }",
        one_line: false,
        ..PLAIN
    },
    Variant {
        name: "encryption",
        pipeline: "\
state: { type: embedded, path: state }
encryption: { key: \"${BUFFER_KEY}\" }",
        middle: "buffer: { type: disk, max_size: 64MiB }",
        once_a_life: false,
        ..PLAIN
    },
];

/// Those whose settings are not there yet.
pub const WAITING: &[&str] = &[];

/// How many cases the kills are spread over.
pub fn cases() -> usize {
    let running = ALL.iter().filter(|v| !WAITING.contains(&v.name));
    running.map(|variant| variant.ends.len()).sum()
}

impl Variant {
    pub fn named(name: &str) -> &'static Variant {
        let found = ALL.iter().find(|variant| variant.name == name);
        found.expect("a variant of this name")
    }

    /// The pipeline file. With `once` its files end, so that a run does.
    pub fn yaml(&self, ends: Ends, once: bool) -> String {
        let source = match (ends, once) {
            (Ends::Stdin, _) => "type: stdin",
            (Ends::File, false) => "type: file, path: in, read: follow, poll: 5ms",
            (Ends::File, true) => "type: file, path: in, read: once",
        };
        let more = |setting: &str| match setting {
            "" => String::new(),
            setting => format!(", {setting}"),
        };
        let Variant {
            pipeline,
            transforms,
            last,
            ..
        } = self;
        let (middle, end, rows) = (more(self.middle), more(self.end), more(self.rows));
        format!(
            "\
version: 1
name: crash
{pipeline}
api: {{ address: 127.0.0.1:0 }}
dead_letter: {{ type: file, path: out/letters.ndjson }}
sources:
  in: {{ {source}, batch_events: 20, framing: lines }}
transforms:
  {transforms}
  valid: {{ type: schema_validate, inputs: [{last}], unknown_fields: keep, \
fields: {{ id: string, key: string, n: integer }}{middle} }}
sinks:
  lines: {{ type: file, inputs: [valid], path: \"${{OUT_LINES}}\"{end} }}
  rows: {{ type: warehouse, inputs: [valid], path: out/rows.db, \
columns: {{ event_id: .row, interaction_id: .key, event_timestamp: .time, duration_seconds: .n }}\
{end}{rows} }}
"
        )
    }
}
