//! A folder of its own for the pipeline, and what can be seen in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value as Json;

use crate::input::{FOLDER, Made};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a report asks for of a row: all columns but the counter and the moment of writing.
pub type Row = [Option<String>; 9];

/// What the pipeline looks at, besides the variables of AWS.
const VARIABLES: [&str; 28] = [
    "EXPORT_URL",
    "S3_ENDPOINT",
    "AZURE_ACCOUNT",
    "AZURE_ACCESS_KEY",
    "AZURE_SAS_TOKEN",
    "GOOGLE_KEY",
    "READ",
    "POLL",
    "QUEUE_URL",
    "RECONCILE",
    "API",
    "API_TOKEN",
    "WAREHOUSE_DIALECT",
    "WAREHOUSE_HOST",
    "WAREHOUSE_PORT",
    "WAREHOUSE_DATABASE",
    "WAREHOUSE_USER",
    "WAREHOUSE_PASSWORD",
    "WAREHOUSE_TLS",
    "WAREHOUSE_TOKEN",
    "SNOWFLAKE_ACCOUNT",
    "SNOWFLAKE_ROLE",
    "SNOWFLAKE_WAREHOUSE",
    "SNOWFLAKE_KEY_FILE",
    "BIGQUERY_PROJECT",
    "BIGQUERY_LOCATION",
    "BIGQUERY_KEY_FILE",
    "WAREHOUSE",
];

/// A folder in which the pipeline keeps everything, with the variables of its runs.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub pipeline: PathBuf,
    pub variables: BTreeMap<&'static str, String>,
    pub options: Vec<&'static str>,
}

impl Place {
    /// For the shipped pipeline, bucket and warehouse.
    pub fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let variables = BTreeMap::from([
            ("WAREHOUSE", inside("out/warehouse.db")),
            ("STATE", inside("state")),
            ("DEAD_LETTERS", inside("out/dead-letters.ndjson")),
        ]);
        Place {
            folder,
            pipeline: Path::new(ROOT).join("pipelines/export-to-warehouse.yaml"),
            variables,
            options: Vec::new(),
        }
    }

    /// With small batches, so that there are many moments between which something may happen.
    pub fn in_small_steps() -> Place {
        let mut place = Place::new();
        let text = fs::read_to_string(&place.pipeline).unwrap();
        assert!(text.contains("batch_events: 500"));
        place.pipeline = place.folder.path().join("pipeline.yaml");
        let text = text.replace("batch_events: 500", "batch_events: 8");
        fs::write(&place.pipeline, text).unwrap();
        place
    }

    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.insert(variable, value.into());
    }

    pub fn path(&self, variable: &str) -> &Path {
        Path::new(&self.variables[variable])
    }

    /// `trunkline run`, not yet started.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.arg("run").args(&self.options);
        command.arg("--summary").arg(self.summary_file());
        command.arg(&self.pipeline);
        self.surround(&mut command);
        command
    }

    /// Any other command on the pipeline.
    pub fn other(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.args(words).arg(&self.pipeline);
        self.surround(&mut command);
        command
    }

    fn surround(&self, command: &mut Command) {
        command.current_dir(ROOT);
        // Not what whoever runs the tests has set for themselves.
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.envs(&self.variables);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    pub fn start(&self) -> Child {
        let mut command = self.command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Runs to the end, which has to be a good one; what was said meanwhile.
    pub fn run(&self) -> String {
        let Output { status, stderr, .. } = self.command().output().unwrap();
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    fn summary_file(&self) -> PathBuf {
        self.folder.path().join("summary.json")
    }

    pub fn summary(&self) -> Json {
        serde_json::from_str(&fs::read_to_string(self.summary_file()).unwrap()).unwrap()
    }

    pub fn received(&self) -> u64 {
        self.summary()["whole"]["received"].as_u64().unwrap()
    }

    /// The facts in the SQLite file, and the recordings: their event, interaction and address.
    pub fn tables(&self) -> (Vec<Row>, Vec<Vec<String>>) {
        let connection = rusqlite::Connection::open(self.path("WAREHOUSE")).unwrap();
        let mut facts = connection
            .prepare(
                "SELECT event_id, interaction_id, event_timestamp, interaction_type, direction, \
                 state, CAST(duration_seconds AS TEXT), queue_name, agent_id \
                 FROM fact_interactions ORDER BY event_id",
            )
            .unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let mut cells: Row = Default::default();
            for (place, cell) in cells.iter_mut().enumerate() {
                *cell = row.get(place)?;
            }
            Ok(cells)
        };
        let facts = facts.query_map([], row).unwrap();
        let facts = facts.map(Result::unwrap).collect();
        let mut recordings = connection
            .prepare(
                "SELECT event_id, interaction_id, recording_url FROM call_recordings ORDER BY 1",
            )
            .unwrap();
        let three = |row: &rusqlite::Row<'_>| Ok(vec![row.get(0)?, row.get(1)?, row.get(2)?]);
        let recordings = recordings.query_map([], three).unwrap();
        (facts, recordings.map(Result::unwrap).collect())
    }

    /// Node, reason, object (below the bucket) and place of every dead letter, once each.
    pub fn letters(&self) -> BTreeSet<(String, String, String, u64)> {
        let text = fs::read_to_string(self.path("DEAD_LETTERS")).unwrap();
        let letter = |line: &str| {
            let json: Json = serde_json::from_str(line).unwrap();
            let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
            let object = text(&json["source"]["object"]);
            let below = ["records/", "events/", "analytics/", "recordings/"];
            let begins = below.iter().find_map(|folder| object.rfind(folder));
            (
                text(&json["node"]),
                text(&json["reason"]),
                object[begins.unwrap_or(0)..].to_owned(),
                json["source"]["offset"].as_u64().unwrap_or_default(),
            )
        };
        text.lines().map(letter).collect()
    }
}

/// What has to be in the facts, by what the generator meant.
pub fn meant(made: &Made) -> Vec<Row> {
    let row = |fact: &crate::input::Fact| -> Row {
        [
            Some(fact.event_id.clone()),
            Some(fact.interaction_id.clone()),
            Some(crate::input::time(fact.at, true)),
            Some(fact.kind.clone()),
            fact.direction.clone(),
            Some(fact.state.clone()),
            fact.seconds.map(|seconds| seconds.to_string()),
            fact.queue.clone(),
            fact.agent.clone(),
        ]
    };
    // A map is in the order of its keys, as the queries are.
    made.facts.values().map(row).collect()
}

/// Says which rows differ, and not just that some do.
pub fn assert_same(found: &[Row], meant: &[Row]) {
    let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) =
        (found.iter().collect(), meant.iter().collect());
    let missing: Vec<_> = theirs.difference(&ours).take(5).collect();
    let surplus: Vec<_> = ours.difference(&theirs).take(5).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing {missing:#?}, surplus {surplus:#?}"
    );
    assert_eq!(found.len(), meant.len());
}

/// The facts and the recordings are what was meant.
pub fn assert_is_whole(place: &Place, made: &Made) {
    let (facts, recordings) = place.tables();
    assert_same(&facts, &meant(made));
    let of = |row: &Vec<String>| (row[0].clone(), row[1].clone());
    let meant = made.recordings.iter();
    let meant: Vec<_> = meant
        .map(|it| (it.event_id.clone(), it.interaction_id.clone()))
        .collect();
    assert_eq!(recordings.iter().map(of).collect::<Vec<_>>(), meant);
    for row in &recordings {
        assert!(row[2].contains("***"), "where a recording lies is masked");
    }
}

/// The shipped bucket, seen from anywhere.
pub fn shipped() -> PathBuf {
    Path::new(ROOT).join(FOLDER)
}
