//! An emulator of a test's own, behind a front.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use trunkline::client::bigquery::{Auth, Client, Settings, Url};

use crate::front::Front;
use crate::load::{Rows, TABLES, is_time};
use crate::program::{Program, answers, environment, free_port};

pub struct Server {
    folder: TempDir,
    ports: [u16; 2],
    program: Program,
    pub front: Front,
    client: Client,
}

impl Server {
    pub async fn start() -> Self {
        let (folder, ports) = (tempfile::tempdir().unwrap(), [free_port(), free_port()]);
        let program = launch(&folder, ports);
        let direct = format!("http://127.0.0.1:{}", ports[0]);
        answers(&direct).await;
        let front = Front::start(&direct).await;
        let client = Client::new(&Settings {
            project: "p".to_owned(),
            location: None,
            url: Url::parse(&direct).ok(),
            auth: Auth::None,
            timeout: Duration::from_secs(60),
        });
        Self {
            folder,
            ports,
            program,
            front,
            client: client.unwrap(),
        }
    }

    /// What a sink says to come here.
    pub fn fields<'s>(&'s self, schema: &'s str) -> Vec<(&'s str, &'s str)> {
        vec![
            ("dialect", "bigquery"),
            ("project", "p"),
            ("schema", schema),
            ("url", &self.front.url),
        ]
    }

    pub async fn run(&self, sql: &str) {
        let ran = self.client.run(sql, &[]).await;
        ran.unwrap_or_else(|error| panic!("{error}: {}", error.in_full()));
    }

    pub async fn query(&self, sql: &str) -> Rows {
        let rows = self.client.query(sql, &[]).await;
        rows.unwrap_or_else(|error| panic!("{error}: {}", error.in_full()))
    }

    /// Waits until a query says `true`.
    pub async fn until(&self, sql: &str) {
        for _ in 0..3_000 {
            if self.query(sql).await[0][0].as_deref() == Some("true") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not in half a minute: {sql}");
    }

    /// All tables.
    pub async fn tables(&self, schema: &str) -> Vec<Rows> {
        let mut tables = Vec::new();
        for (table, columns) in TABLES {
            let names: Vec<String> = columns
                .iter()
                .map(|name| match is_time(name) {
                    true => format!("CAST(UNIX_MILLIS(`{name}`) AS STRING)"),
                    false => format!("CAST(`{name}` AS STRING)"),
                })
                .collect();
            let sql = format!("SELECT {} FROM `{schema}`.`{table}`", names.join(", "));
            let mut rows = self.query(&sql).await;
            rows.sort();
            tables.push(rows);
        }
        tables
    }

    pub fn kill(&mut self) {
        self.program.kill();
    }

    pub async fn restart(&mut self) {
        self.program = launch(&self.folder, self.ports);
        answers(&format!("http://127.0.0.1:{}", self.ports[0])).await;
    }
}

fn launch(folder: &TempDir, [rest, grpc]: [u16; 2]) -> Program {
    let environment = environment("bqemulator-1.4.0");
    let mut command = Command::new(environment.join("bin/bqemulator"));
    command
        .args([
            "start",
            "--persistent",
            "--project",
            "p",
            "--log-level",
            "error",
        ])
        .args([
            "--rest-port",
            &rest.to_string(),
            "--grpc-port",
            &grpc.to_string(),
        ])
        .arg("--data-dir")
        .arg(folder.path())
        // DuckDB looks for its extensions below it.
        .env("HOME", environment.join("home"))
        .current_dir(folder.path());
    Program::start(command)
}
