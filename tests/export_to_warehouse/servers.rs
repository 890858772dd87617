//! The same file with variables set: the bucket in S3, the warehouse in PostgreSQL.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::input::make;
use crate::place::{Place, Row, assert_is_whole, assert_same, meant};
use crate::storage::{ACCESS_KEY, Kind, SECRET_KEY, StorageServer};

const PASSWORD: &str = "a-password-of-a-test";

/// A PostgreSQL with a folder and a port of its own.
struct Database {
    dir: TempDir,
    port: u16,
    child: Child,
}

/// The newest that Debian has installed.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is missing: run .ci/servers")
}

/// A command of whoever may run a server: root may not.
fn command(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(program(name));
    let number = |option: &str| -> u32 {
        let output = Command::new("id")
            .args([option, "postgres"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .unwrap()
    };
    let me = Command::new("id").arg("-u").output().unwrap();
    if me.stdout.starts_with(b"0\n") {
        let (user, group) = (number("-u"), number("-g"));
        std::os::unix::fs::chown(dir, Some(user), Some(group)).unwrap();
        command.uid(user).gid(group);
    }
    command.current_dir(dir);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

impl Database {
    fn start() -> Database {
        let dir = tempfile::tempdir().unwrap();
        let (data, secret) = (dir.path().join("data"), dir.path().join("password"));
        fs::write(&secret, PASSWORD).unwrap();
        let made = command("initdb", dir.path())
            .arg("-D")
            .arg(&data)
            .args([
                "-U",
                "loader",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--no-sync",
            ])
            .arg("--pwfile")
            .arg(&secret)
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = command("postgres", dir.path())
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .spawn()
            .unwrap();
        let mut database = Database { dir, port, child };
        database.wait();
        database
    }

    fn is_ready(&self) -> bool {
        let asked = command("pg_isready", self.dir.path())
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status();
        asked.unwrap().success()
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        // It listens before it takes anybody in.
        while !self.is_ready() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no server came up"
            );
            assert!(self.child.try_wait().unwrap().is_none(), "it ended at once");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn tell(&self, place: &mut Place) {
        place.set("WAREHOUSE_DIALECT", "postgresql");
        place.set("PGHOST", "127.0.0.1");
        place.set("PGPORT", self.port.to_string());
        place.set("PGDATABASE", "postgres");
        place.set("PGUSER", "loader");
        place.set("PGPASSWORD", PASSWORD);
        // On this machine; without it the warehouse wants a certificate.
        place.set("PGTLS", "off");
    }

    async fn facts(&self) -> Vec<Row> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).dbname("postgres");
        config.user("loader").password(PASSWORD);
        // It may still be starting: it listens before it answers.
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute("SET TIME ZONE 'UTC'").await.unwrap();
        let rows = client
            .query(
                "SELECT event_id, interaction_id, \
                 to_char(event_timestamp, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
                 interaction_type, direction, state, duration_seconds::text, queue_name, agent_id \
                 FROM cc_analytics.fact_interactions ORDER BY event_id COLLATE \"C\"",
                &[],
            )
            .await
            .unwrap();
        driver.abort();
        let row = |row: &tokio_postgres::Row| std::array::from_fn(|cell| row.get(cell));
        rows.iter().map(row).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Its children end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.dir.path();
    }
}

/// The shipped bucket in a server of S3, and what a pipeline has to be told of it.
async fn bucket(place: &mut Place, kind: Kind) -> StorageServer {
    let server = StorageServer::start(kind).await;
    let shelf = server.bucket("exports").await;
    for object in make().objects {
        shelf
            .put(&format!("of/2026/{}", object.key), object.bytes)
            .await;
    }
    place.set("EXPORT_URL", "s3://exports/of/2026");
    place.set("S3_ENDPOINT", server.url());
    place.set("AWS_REGION", "us-east-1");
    place.set("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    place.set("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    server
}

#[tokio::test]
async fn the_same_tables_come_of_s3() {
    let (made, mut place) = (make(), Place::new());
    let _server = bucket(&mut place, Kind::Moto).await;
    place.run();
    assert_is_whole(&place, &made);
    let local = Place::new();
    local.run();
    assert_eq!(place.tables().0, local.tables().0);
    assert_eq!(place.letters(), local.letters());
    place.run();
    assert_eq!(place.received(), 0);
}

#[tokio::test]
async fn s3_and_postgresql_by_variables_alone() {
    let (made, mut place) = (make(), Place::new());
    let _server = bucket(&mut place, Kind::Moto).await;
    let database = Database::start();
    database.tell(&mut place);
    let said = place.run();
    assert!(
        !said.contains(PASSWORD) && !said.contains(SECRET_KEY),
        "{said}"
    );
    assert_same(&database.facts().await, &meant(&made));
    assert!(
        !place.path("WAREHOUSE").exists(),
        "no file where there is a server"
    );
    fs::remove_dir_all(place.path("STATE")).unwrap();
    place.run();
    assert_same(&database.facts().await, &meant(&made));
}

/// Wrong credentials end the run with a message that says so, and without them.
#[tokio::test]
async fn wrong_secrets_are_told_and_not_shown() {
    let mut place = Place::new();
    // The one that looks at secrets.
    let _server = bucket(&mut place, Kind::S3sFs).await;
    place.set("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-s3");
    let output = place.command().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("not-the-secret-of-s3"), "{said}");

    let mut place = Place::new();
    let database = Database::start();
    database.tell(&mut place);
    place.set("PGPASSWORD", "not-the-password");
    let output = place.command().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("password") || said.contains("28P01"),
        "{said}"
    );
    assert!(!said.contains("not-the-password"), "{said}");
}
