//! A real PostgreSQL of a test's own. Its programs refuse to run as root, so that root lets the user
//! `postgres` of the package run them.

#![allow(dead_code, reason = "each test uses what it needs of it")]

#[path = "../kit/ports.rs"]
pub mod ports;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

pub const PASSWORD: &str = "not-a-secret-of-anybody";

pub struct Server {
    folder: TempDir,
    port: u16,
    child: Child,
    extra: Vec<String>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(&["fsync=off"])
    }

    /// With settings such as `fsync=off`.
    pub fn with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        own(folder.path());
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        own(&password);
        let data = folder.path().join("data");
        let mut init = program("initdb");
        init.arg("-D").arg(&data).arg("--pwfile").arg(&password);
        init.args([
            "-U",
            "postgres",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]);
        init.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        let output = init.stdin(Stdio::null()).output().unwrap_or_else(|error| {
            panic!("PostgreSQL is needed here ({error}): `.ci/servers` installs it")
        });
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self::launch(folder, settings.iter().map(|s| (*s).to_owned()).collect())
    }

    fn launch(folder: TempDir, extra: Vec<String>) -> Self {
        let port = ports::free();
        let child = run(folder.path(), port, &extra);
        let server = Self {
            folder,
            port,
            child,
            extra,
        };
        server.wait();
        server
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", PASSWORD, database)
    }

    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "postgresql://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Through the socket in its folder.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgresql://postgres@{folder}:{}/{database}", self.port)
    }

    pub async fn client(&self, database: &str) -> Client {
        client(&self.url(database)).await.unwrap()
    }

    /// `kill -9` of the server and, by that, of all who work for it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`kill`](Self::kill), with what it had on its disk.
    pub fn restart(&mut self) {
        // Those who worked for the old one end by themselves, and it does not start before.
        let started = Instant::now();
        loop {
            self.child = run(self.folder.path(), self.port, &self.extra);
            while self.child.try_wait().unwrap().is_none() {
                if self.is_up() {
                    return;
                }
                pause(started);
            }
        }
    }

    fn is_up(&self) -> bool {
        let mut ask = program("pg_isready");
        ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        ask.status().unwrap().success()
    }

    fn wait(&self) {
        let started = Instant::now();
        while !self.is_up() {
            pause(started);
        }
    }
}

fn pause(started: Instant) {
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "postgres does not start"
    );
    std::thread::sleep(Duration::from_millis(20));
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown, which takes all who work for it along.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.child.wait();
    }
}

pub async fn client(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn run(folder: &Path, port: u16, settings: &[String]) -> Child {
    let mut server = program("postgres");
    server
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string()]);
    server.args(["-c", "listen_addresses=127.0.0.1"]);
    let sockets = format!("unix_socket_directories={}", folder.display());
    server.args(["-c", &sockets, "-c", "deadlock_timeout=100ms"]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    server.spawn().unwrap()
}

/// The newest version that is there.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .collect();
    found.retain(|path| path.exists());
    found.sort();
    let path = found
        .pop()
        .expect("PostgreSQL is needed here: `.ci/servers` installs it");
    let mut command = Command::new(path);
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// The ids of the user `postgres`, if we are root.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .unwrap()
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

/// Gives a file to who runs the server.
pub fn own(path: &Path) {
    if let Some((user, group)) = other_user() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}
