//! Where a test works, and how it calls the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// When all rehearsals begin.
pub const AT: &str = "2026-04-01T00:00:00Z";

/// What shipped pipelines ask for.
const VARIABLES: &[&str] = &[
    "API_TOKEN",
    "AMQP_URL",
    "GENESYS_REGION",
    "INFLUX_URL",
    "INPUT",
    "TENANT_SERVICE_URL",
    "WAREHOUSE_URL",
    "WEBHOOK_SECRET",
];
const FILES: &[&str] = &[
    "STATE",
    "STATUSES",
    "DEAD_LETTERS",
    "OTHERS",
    "POINTS",
    "WAREHOUSE",
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder in which everything lies that is written.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file; answers its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.at(name), text).unwrap();
        self.at(name).display().to_string()
    }

    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub fn trunkline(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.current_dir(root()).args(arguments);
        for name in VARIABLES {
            command.env_remove(name);
        }
        for name in FILES {
            command.env(name, self.at(&name.to_lowercase()));
        }
        command.env("API", "127.0.0.1:0").env("NO_COLOR", "1");
        command
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.trunkline(&[&["dry-run"], arguments].concat())
    }

    pub fn dry_run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A real run, which has to go well.
    pub fn run(&self, pipeline: &str) {
        let output = self.trunkline(&["run", pipeline]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
