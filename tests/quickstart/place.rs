//! A folder of its own for a pipeline, and what can be seen in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// All rows of all tables, each as one text, by table.
pub type Dump = BTreeMap<String, Vec<String>>;

/// Reason, file and place of a dead letter.
pub type Letter = (String, String, u64);

/// A folder in which a pipeline keeps everything, with the settings of its runs.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub pipeline: PathBuf,
    pub variables: Vec<(&'static str, PathBuf)>,
    pub options: Vec<&'static str>,
}

impl Place {
    /// For the shipped pipeline and the shipped input.
    pub fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let variables = vec![
            ("INPUT", Path::new(ROOT).join(crate::input::FOLDER)),
            ("WAREHOUSE", folder.path().join("out/warehouse.db")),
            ("STATE", folder.path().join("state")),
            (
                "DEAD_LETTERS",
                folder.path().join("out/dead-letters.ndjson"),
            ),
        ];
        let pipeline = Path::new(ROOT).join("pipelines/quickstart.yaml");
        Place {
            folder,
            pipeline,
            variables,
            options: Vec::new(),
        }
    }

    /// For a copy of the shipped pipeline in which something is replaced.
    pub fn with(changes: &[(&str, &str)]) -> Place {
        let mut place = Place::new();
        let mut text = fs::read_to_string(&place.pipeline).unwrap();
        for (old, new) in changes {
            assert!(text.contains(old), "the pipeline has no `{old}` any more");
            text = text.replace(old, new);
        }
        place.pipeline = place.folder.path().join("pipeline.yaml");
        fs::write(&place.pipeline, text).unwrap();
        place
    }

    pub fn path(&self, variable: &str) -> &Path {
        let found = self.variables.iter().find(|(name, _)| *name == variable);
        &found.unwrap().1
    }

    pub fn set(&mut self, variable: &'static str, path: PathBuf) {
        self.variables.retain(|(name, _)| *name != variable);
        self.variables.push((variable, path));
    }

    /// `trunkline run`, not yet started.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command
            .arg("run")
            .args(&self.options)
            .arg("--summary")
            .arg(self.summary_file());
        command.arg(&self.pipeline);
        self.surround(&mut command);
        command
    }

    /// Gives a command the variables of this place, and nothing else that matters.
    pub fn surround(&self, command: &mut Command) {
        command
            .current_dir(ROOT)
            .envs(self.variables.iter().map(|(name, path)| (name, path)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    pub fn summary_file(&self) -> PathBuf {
        self.folder.path().join("summary.json")
    }

    /// Runs to the end, which has to be a good one.
    pub fn run(&self) -> Ended {
        let ended = Ended::of(self.command().output().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }

    pub fn summary(&self) -> Json {
        serde_json::from_str(&fs::read_to_string(self.summary_file()).unwrap()).unwrap()
    }

    /// Everything in the warehouse.
    pub fn dump(&self) -> Dump {
        self.dump_without(&[])
    }

    /// Everything but the moment at which each row was written first.
    pub fn facts(&self) -> Dump {
        self.dump_without(&["created_at"])
    }

    fn dump_without(&self, without: &[&str]) -> Dump {
        let connection = rusqlite::Connection::open(self.path("WAREHOUSE")).unwrap();
        let list = |query: &str| -> Vec<String> {
            let mut statement = connection.prepare(query).unwrap();
            let rows = statement
                .query_map([], |row| row.get::<_, String>(0))
                .unwrap();
            rows.map(Result::unwrap).collect()
        };
        // How far behind the rows were tells of the runs, not of the events.
        let tables = list(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'load_freshness' \
             ORDER BY name",
        );
        let dump_one = |table: String| {
            let columns = list(&format!("SELECT name FROM pragma_table_info('{table}')"));
            let kept = columns
                .iter()
                .filter(|name| !without.contains(&name.as_str()));
            let quoted: Vec<_> = kept
                .map(|name| format!("'{name}=' || quote(\"{name}\")"))
                .collect();
            let row = quoted.join(" || ' ' || ");
            (
                table.clone(),
                list(&format!("SELECT {row} AS r FROM \"{table}\" ORDER BY r")),
            )
        };
        tables.into_iter().map(dump_one).collect()
    }

    /// Every dead letter once. Each line has to be whole.
    pub fn letters(&self) -> BTreeSet<Letter> {
        let text = fs::read_to_string(self.path("DEAD_LETTERS")).unwrap();
        let letter = |line: &str| {
            let json: Json =
                serde_json::from_str(line).unwrap_or_else(|bad| panic!("{bad}: {line}"));
            let file = Path::new(json["source"]["object"].as_str().unwrap());
            let file = file.file_name().unwrap().to_str().unwrap().to_owned();
            (
                json["reason"].as_str().unwrap().to_owned(),
                file,
                json["source"]["offset"].as_u64().unwrap(),
            )
        };
        text.lines().map(letter).collect()
    }
}

/// How a run ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Checks for itself that what came in is what came out, for each node and the whole.
pub fn assert_adds_up(summary: &Json) {
    let number = |counts: &Json, name: &str| counts[name].as_u64().unwrap();
    let sum = |counts: &Json, name: &str| -> u64 {
        counts[name]
            .as_object()
            .unwrap()
            .values()
            .map(|n| n.as_u64().unwrap())
            .sum()
    };
    let nodes = summary["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 9);
    for counts in nodes.iter().chain([&summary["whole"]]) {
        let came = number(counts, "received") + number(counts, "created");
        let left = number(counts, "delivered")
            + sum(counts, "dropped")
            + sum(counts, "dead_lettered")
            + number(counts, "given_back");
        assert_eq!((came, &counts["held"]), (left, &Json::from(0)), "{counts}");
    }
}

/// Says which rows differ, and not just that some do.
pub fn assert_same(found: &Dump, expected: &Dump) {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (table, rows) in expected {
        let (theirs, ours): (BTreeSet<_>, BTreeSet<_>) =
            (rows.iter().collect(), found[table].iter().collect());
        let missing: Vec<_> = theirs.difference(&ours).take(5).collect();
        let surplus: Vec<_> = ours.difference(&theirs).take(5).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{table}: missing {missing:#?}, surplus {surplus:#?}"
        );
        assert_eq!(found[table].len(), rows.len(), "{table}");
    }
}
