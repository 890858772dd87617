//! `pipelines/export-to-warehouse.yaml` from end to end: the real binary, the shipped file, the
//! shipped bucket, as a folder and in S3, into SQLite and PostgreSQL.

#[path = "../examples/generate_exports.rs"]
mod input;

#[path = "export_to_warehouse/disturbed.rs"]
mod disturbed;
#[path = "export_to_warehouse/place.rs"]
mod place;
#[path = "warehouse_postgres/server.rs"]
mod postgres;
#[path = "export_to_warehouse/privacy.rs"]
mod privacy;
#[path = "export_to_warehouse/servers.rs"]
mod servers;
#[path = "export_to_warehouse/shipped.rs"]
mod shipped;
#[path = "kit/storage.rs"]
mod storage;
#[path = "export_to_warehouse/storm.rs"]
mod storm;
