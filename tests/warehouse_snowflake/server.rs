//! A stand-in for Snowflake of a test's own, behind a front.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use trunkline::client::snowflake::{Auth, Session, Settings, Url};
use trunkline::setting::Secret;

use crate::front::Front;
use crate::load::{Rows, TABLES, is_time};
use crate::program::{Program, answers, environment, free_port};

pub struct Server {
    folder: TempDir,
    port: u16,
    program: Program,
    pub front: Front,
}

impl Server {
    /// With the database `DB`.
    pub async fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let program = launch(&folder, port);
        let direct = format!("http://127.0.0.1:{port}");
        answers(&direct).await;
        let front = Front::start(&direct).await;
        let server = Self {
            folder,
            port,
            program,
            front,
        };
        server.query("CREATE DATABASE IF NOT EXISTS DB").await;
        server
    }

    /// What a sink says to come here.
    pub fn fields<'s>(&'s self, schema: &'s str) -> Vec<(&'s str, &'s str)> {
        vec![
            ("dialect", "snowflake"),
            ("account", "org-account"),
            ("user", "loader"),
            ("password", "right"),
            ("database", "DB"),
            ("schema", schema),
            ("url", &self.front.url),
        ]
    }

    /// A user's key pair: the server knows the public key from now on. The private key, and the same
    /// under the passphrase `open`.
    pub fn key(&self) -> [String; 2] {
        let script = "import sys\n\
            from cryptography.hazmat.primitives import serialization as s\n\
            from cryptography.hazmat.primitives.asymmetric import rsa\n\
            key = rsa.generate_private_key(65537, 2048)\n\
            for lock in [s.NoEncryption(), s.BestAvailableEncryption(b'open')]:\n\
            \x20   print(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, lock).decode())\n\
            open(sys.argv[1], 'wb').write(key.public_key().public_bytes(s.Encoding.PEM, \
            s.PublicFormat.SubjectPublicKeyInfo))\n";
        let output = Command::new(environment("fakesnow-0.12.1").join("bin/python"))
            .args(["-c", script])
            .arg(self.folder.path().join("loader.pub"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (plain, locked) = said.split_once("\n\n").unwrap();
        [plain.to_owned() + "\n", locked.trim_start().to_owned()]
    }

    async fn session(&self) -> Session {
        let settings = Settings {
            account: "org-account".to_owned(),
            user: "reader".to_owned(),
            auth: Auth::Password(Secret::new("right")),
            role: None,
            warehouse: None,
            database: "DB".to_owned(),
            url: Url::parse(&format!("http://127.0.0.1:{}", self.port)).ok(),
            timeout: Duration::from_secs(60),
        };
        Session::open(&settings).await.unwrap()
    }

    pub async fn query(&self, sql: &str) -> Rows {
        let session = self.session().await;
        let rows = session.run(sql, &[]).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
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

    /// All tables, asked for as reports do: without quotes.
    pub async fn tables(&self, schema: &str) -> Vec<Rows> {
        let mut tables = Vec::new();
        for (table, columns) in TABLES {
            let names: Vec<String> = columns
                .iter()
                .map(|name| match is_time(name) {
                    true => format!("DATE_PART(EPOCH_MILLISECOND, {name})::VARCHAR"),
                    false => format!("{name}::VARCHAR"),
                })
                .collect();
            let sql = format!("SELECT {} FROM {schema}.{table}", names.join(", "));
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
        self.program = launch(&self.folder, self.port);
        answers(&format!("http://127.0.0.1:{}", self.port)).await;
        self.query("CREATE DATABASE IF NOT EXISTS DB").await;
    }
}

fn launch(folder: &TempDir, port: u16) -> Program {
    let environment = environment("fakesnow-0.12.1");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/warehouse_snowflake/server.py");
    let mut command = Command::new(environment.join("bin/python"));
    command
        .arg(script)
        .arg(port.to_string())
        .arg(folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path());
    Program::start(command)
}
