//! The same file with variables set: the bucket in S3, the warehouse in PostgreSQL.

use std::fs;

use crate::input::make;
use crate::place::{Place, Row, assert_is_whole, assert_same, meant};
use crate::postgres::{PASSWORD, Server};
use crate::storage::{ACCESS_KEY, Kind, SECRET_KEY, StorageServer};

/// The facts in the server, as [`Place::tables`] gives those of a file.
pub async fn facts(database: &Server) -> Vec<Row> {
    // It may have died a moment ago, and take nobody in yet.
    let client = database.client("postgres").await;
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
    let row = |row: &tokio_postgres::Row| std::array::from_fn(|cell| row.get(cell));
    rows.iter().map(row).collect()
}

/// What a pipeline has to be told of the database.
pub fn tell(database: &Server, place: &mut Place) {
    place.set("WAREHOUSE_DIALECT", "postgresql");
    place.set("WAREHOUSE_HOST", "127.0.0.1");
    place.set("WAREHOUSE_PORT", database.port().to_string());
    place.set("WAREHOUSE_DATABASE", "postgres");
    place.set("WAREHOUSE_USER", "postgres");
    place.set("WAREHOUSE_PASSWORD", PASSWORD);
    // On this machine; without it the warehouse wants a certificate.
    place.set("WAREHOUSE_TLS", "off");
}

/// The shipped bucket in a server of S3, and what a pipeline has to be told of it.
pub async fn bucket(place: &mut Place, kind: Kind) -> StorageServer {
    let server = StorageServer::start(kind).await;
    let shelf = server.bucket("exports").await;
    for object in make().objects {
        shelf
            .put(&format!("of/2026/{}", object.key), object.bytes)
            .await;
    }
    place_in(&server, place);
    server
}

/// A bucket that is there.
pub fn place_in(server: &StorageServer, place: &mut Place) {
    place.set("EXPORT_URL", "s3://exports/of/2026");
    place.set("S3_ENDPOINT", server.url());
    place.set("AWS_REGION", "us-east-1");
    place.set("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    place.set("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
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
    let database = Server::start();
    tell(&database, &mut place);
    let said = place.run();
    assert!(
        !said.contains(PASSWORD) && !said.contains(SECRET_KEY),
        "{said}"
    );
    assert_same(&facts(&database).await, &meant(&made));
    assert!(
        !place.path("WAREHOUSE").exists(),
        "no file where there is a server"
    );
    fs::remove_dir_all(place.path("STATE")).unwrap();
    place.run();
    assert_same(&facts(&database).await, &meant(&made));
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
    let database = Server::start();
    tell(&database, &mut place);
    place.set("WAREHOUSE_PASSWORD", "not-the-password");
    let output = place.command().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("password") || said.contains("28P01"),
        "{said}"
    );
    assert!(!said.contains("not-the-password"), "{said}");
}
