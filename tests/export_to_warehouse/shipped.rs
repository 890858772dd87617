//! Undisturbed runs over the shipped bucket.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::Command;

use crate::input::make;
use crate::place::{Place, ROOT, assert_is_whole, shipped};

#[test]
fn the_shipped_objects_are_those_that_the_generator_makes() {
    let hint = "run `cargo run --example generate_exports`";
    for object in make().objects {
        let bytes = fs::read(shipped().join(&object.key)).unwrap();
        // What a library compresses to may change with its version; what is in it may not.
        let mut text = Vec::new();
        match object.key.rsplit('.').next() {
            Some("gz") => {
                // The end of one of them is missing.
                let _ = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text);
            }
            Some("zst") => text = zstd::decode_all(&bytes[..]).unwrap(),
            _ => text = bytes,
        }
        assert!(text == object.text, "{} differs: {hint}", object.key);
    }
}

#[test]
fn the_pipeline_is_valid_as_it_stands() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.args(["validate", "pipelines/export-to-warehouse.yaml"]);
    let output = command.current_dir(ROOT).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("ok, 1 source, 8 transforms, 1 sink"),
        "{said}"
    );
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_run_makes_what_was_meant_and_another_one_changes_nothing() {
    let made = make();
    let place = Place::new();
    place.run();
    assert_is_whole(&place, &made);
    let tables = place.tables();
    let letters = place.letters();
    let mut counted: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (node, reason, ..) in &letters {
        *counted.entry((node, reason)).or_default() += 1;
    }
    assert_eq!(counted, made.letters);
    let first = place.received();

    place.run();
    assert_eq!(place.received(), 0, "what was read is passed over");
    assert_eq!(place.tables(), tables);
    assert_eq!(place.letters(), letters);

    // Without any memory everything is read again, and still no row says anything else.
    fs::remove_dir_all(place.path("STATE")).unwrap();
    place.run();
    assert_eq!(place.received(), first);
    assert_eq!(place.tables(), tables);
    assert_eq!(place.letters(), letters);
}

/// Objects that come after all others were read, one with a name that sorts before theirs.
#[test]
fn what_comes_late_is_found() {
    let made = make();
    let bucket = tempfile::tempdir().unwrap();
    let put = |object: &crate::input::Object| {
        let path = bucket.path().join(&object.key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &object.bytes).unwrap();
    };
    let is_late = |key: &str| key.contains("/08/genesys") || key.contains("details-1");
    let (late, early): (Vec<_>, Vec<_>) =
        made.objects.iter().partition(|object| is_late(&object.key));
    assert_eq!(late.len(), 2);
    early.into_iter().for_each(put);
    let mut place = Place::new();
    place.set("EXPORT_URL", bucket.path().display().to_string());
    place.run();
    assert!(place.tables().0.len() < made.facts.len());
    late.into_iter().for_each(put);
    place.run();
    assert_is_whole(&place, &made);
}

/// Variables alone lead the same file to every store and every dialect, and none of them is misspelt.
#[test]
fn every_store_and_dialect_is_a_matter_of_variables() {
    let server = |more: &[(&'static str, &'static str)]| {
        let parts = [("HOST", "db"), ("DATABASE", "reports"), ("USER", "loader")];
        let names = ["WAREHOUSE_HOST", "WAREHOUSE_DATABASE", "WAREHOUSE_USER"];
        let parts = names.into_iter().zip(parts.map(|(_, value)| value));
        parts.chain(more.iter().copied()).collect::<Vec<_>>()
    };
    let password = ("WAREHOUSE_PASSWORD", "hidden-word");
    let token = ("WAREHOUSE_TOKEN", "hidden-word");
    let snowflake = |login| {
        let named = ["SNOWFLAKE_ACCOUNT", "SNOWFLAKE_ROLE", "SNOWFLAKE_WAREHOUSE"];
        let named: Vec<_> = named.map(|name| (name, "org-x")).into();
        server(&[named, vec![login]].concat())[1..].to_vec()
    };
    let dialects = [
        ("sqlite", vec![("WAREHOUSE", "w.db")]),
        (
            "postgresql",
            server(&[password, ("WAREHOUSE_PORT", "5433")]),
        ),
        ("redshift", server(&[password, ("WAREHOUSE_TLS", "prefer")])),
        ("synapse", server(&[password, ("WAREHOUSE_PORT", "1434")])),
        (
            "synapse",
            [server(&[token])[..2].to_vec(), vec![token]].concat(),
        ),
        ("snowflake", snowflake(password)),
        ("snowflake", snowflake(("SNOWFLAKE_KEY_FILE", "key.p8"))),
        ("bigquery", vec![("BIGQUERY_PROJECT", "org-x")]),
        (
            "bigquery",
            vec![
                ("BIGQUERY_PROJECT", "org-x"),
                ("BIGQUERY_LOCATION", "EU"),
                ("BIGQUERY_KEY_FILE", "key.json"),
            ],
        ),
    ];
    let stores = [
        vec![
            ("EXPORT_URL", "s3://exports/of"),
            ("S3_ENDPOINT", "http://localhost:9000"),
        ],
        vec![("EXPORT_URL", "gs://exports"), ("GOOGLE_KEY", "{}")],
        vec![
            ("EXPORT_URL", "az://exports/of"),
            ("AZURE_ACCOUNT", "org"),
            ("AZURE_SAS_TOKEN", "sig=hidden-word"),
        ],
        vec![("EXPORT_URL", "/exports")],
        vec![
            ("EXPORT_URL", "s3://exports"),
            ("READ", "follow"),
            ("RECONCILE", "2h"),
            (
                "QUEUE_URL",
                "https://sqs.eu-central-1.amazonaws.com/1/exports",
            ),
        ],
    ];
    for (place, (dialect, variables)) in dialects.iter().enumerate() {
        let mut there = Place::new();
        there.set("WAREHOUSE_DIALECT", *dialect);
        let store = &stores[place % stores.len()];
        for (name, value) in variables.iter().chain(store) {
            there.set(name, *value);
        }
        let said = |words: &[&str]| {
            let output = there.other(words).output().unwrap();
            let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
            assert_eq!(
                output.status.code(),
                Some(0),
                "{dialect}: {}",
                said.concat()
            );
            assert!(!said.concat().contains("hidden-word"));
            said.concat()
        };
        assert!(said(&["validate"]).contains("ok, 1 source"), "{dialect}");
        let mut alone = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        let alone = alone.args(["ddl", "--dialect", dialect]).output().unwrap();
        assert_eq!(said(&["ddl"]), String::from_utf8(alone.stdout).unwrap());
    }
    // A queue has no end, and somebody who has not said so hears of it.
    let mut place = Place::new();
    place.set(
        "QUEUE_URL",
        "https://sqs.eu-central-1.amazonaws.com/1/exports",
    );
    let output = place.other(&["validate"]).output().unwrap();
    let said =
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("conflicting-fields") && said.contains("`read: follow`"),
        "{said}"
    );
}
