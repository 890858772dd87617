//! The warehouse's dialect `synapse` against a stub that speaks TDS and runs no SQL: what is said in
//! which order, and what comes of a server that refuses, dies or lies. No Synapse pool was there.

#[path = "warehouse_synapse/stub.rs"]
mod stub;

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use stub::{Answer, Door, Said, Stub};

const EVENTS: usize = 50;

struct Run {
    folder: TempDir,
    output: Output,
}

impl Run {
    /// Fifty events, the tenth of which is called `odd`, into the pool.
    fn into(stub: &Stub, fields: &str) -> Self {
        let ca = format!("ca_file: {}", stub.authority().display());
        Self::with(stub, &format!("{ca}, {fields}"))
    }

    fn with(stub: &Stub, fields: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = (0..EVENTS).map(|number| event(number) + "\n").collect();
        fs::write(folder.path().join("in.ndjson"), lines).unwrap();
        let pipeline = format!(
            "version: 1\nname: calls\ndead_letter: {{ type: file, path: letters.ndjson }}\n\
             sources:\n  in: {{ type: file, path: in.ndjson }}\n\
             sinks:\n  pool: {{ type: warehouse, inputs: [in], dialect: synapse, host: localhost, \
             port: {}, database: calls, user: loader, password: \"hunter2\", connect_timeout: 5s, \
             retry: {{ attempts: 5, backoff: 10ms, max_backoff: 50ms }}, {fields} }}\n",
            stub.port
        );
        fs::write(folder.path().join("p.yaml"), pipeline).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .current_dir(folder.path())
            .args(["run", "p.yaml"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Self { folder, output }
    }

    fn log(&self) -> String {
        let text = [&self.output.stdout[..], &self.output.stderr].concat();
        String::from_utf8(text).unwrap()
    }

    fn letters(&self) -> Vec<String> {
        let path = self.folder.path().join("letters.ndjson");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn event(number: usize) -> String {
    let name = if number == 10 {
        "odd".to_owned()
    } else {
        format!("e{number}")
    };
    format!(
        r#"{{"event_id":"{name}","interaction_id":"i{number}","timestamp":"2026-01-02T03:04:05Z","agent_id":"a","duration_seconds":{number}}}"#
    )
}

fn is_merge(said: &Said, table: &str) -> bool {
    said.sql
        .starts_with(&format!("MERGE INTO [cc_analytics].[{table}]"))
}

fn plain(said: &Said) -> Answer {
    match said.sql.starts_with("SELECT") {
        true => Answer::Rows(Vec::new()),
        false => Answer::Done,
    }
}

/// Keys that stood in the temporary table whenever a transaction was committed.
fn committed(said: &[Said]) -> Vec<String> {
    let (mut staged, mut merged, mut committed) = (Vec::new(), Vec::new(), Vec::new());
    for said in said {
        match said.sql.as_str() {
            "TRUNCATE TABLE #trunkline_fact_interactions;" => staged.clear(),
            "BEGIN TRANSACTION;" => merged.clear(),
            "COMMIT TRANSACTION;" => committed.append(&mut merged),
            sql if sql.starts_with("INSERT INTO #trunkline_fact_interactions") => {
                staged.extend(said.values.chunks(11).filter_map(|row| row[0].clone()));
            }
            _ if is_merge(said, "fact_interactions") => merged.clone_from(&staged),
            _ => {}
        }
    }
    committed.sort();
    committed
}

#[test]
fn a_batch_is_one_transaction_of_merges() {
    let stub = Stub::start(Door::Open, plain);
    let run = Run::into(&stub, "freshness: false");
    assert!(run.output.status.success(), "{}", run.log());
    let said = stub.said();
    let place = |start: &str| {
        said.iter()
            .position(|it| it.sql.starts_with(start))
            .unwrap()
    };
    // What is missing is made, then the session's own tables, all before the transaction.
    let order = [
        "SELECT CAST(t.name",
        "-- cc_analytics",
        "IF OBJECT_ID('tempdb..#trunkline_fact",
        "TRUNCATE TABLE #trunkline_fact",
        "INSERT INTO #trunkline_fact",
        "BEGIN TRANSACTION",
        "MERGE INTO [cc_analytics].[fact_interactions]",
        "MERGE INTO [cc_analytics].[dim_time]",
        "COMMIT TRANSACTION",
    ];
    assert!(order.map(place).is_sorted(), "{said:#?}");
    let within = &said[place("BEGIN")..place("COMMIT")];
    assert!(
        within[1..].iter().all(|it| it.sql.starts_with("MERGE")),
        "{within:#?}"
    );
    let row = &said[place("INSERT INTO #trunkline_fact")].values;
    assert_eq!(row.len(), EVENTS * 11);
    let first: Vec<_> = row[..11]
        .iter()
        .map(|value| value.as_deref().unwrap_or("-"))
        .collect();
    assert_eq!(
        first,
        [
            "e0",
            "i0",
            "2026-01-02T03:04:05.000",
            "-",
            "-",
            "-",
            "0",
            "-",
            "a",
            "GENESYS_CLOUD",
            "0"
        ]
    );
    assert_eq!(committed(&said).len(), EVENTS);
    // Values are bound, one and all.
    assert!(
        said.iter()
            .all(|it| !it.sql.contains("i7") && !it.sql.contains("hunter2"))
    );
}

#[test]
fn a_row_that_is_refused_is_found_and_the_rest_committed() {
    let stub = Stub::start(Door::Open, |said| {
        let odd = said.values.iter().flatten().any(|value| value == "odd");
        match odd && said.sql.starts_with("INSERT INTO #trunkline_fact") {
            true => Answer::Error(2628, "truncated value: 'personal data'"),
            false => plain(said),
        }
    });
    let run = Run::into(&stub, "freshness: false");
    assert!(run.output.status.success(), "{}", run.log());
    let letters = run.letters();
    assert!(
        letters.len() == 1 && letters[0].contains("odd"),
        "{letters:?}"
    );
    assert!(letters[0].contains("the length of a column"), "{letters:?}");
    assert!(!letters[0].contains("personal") && !run.log().contains("personal"));
    let committed = committed(&stub.said());
    assert!(committed.len() == EVENTS - 1 && !committed.contains(&"odd".to_owned()));
}

#[test]
fn a_deadlock_is_undone_and_tried_again() {
    let merges = AtomicUsize::new(0);
    let stub = Stub::start(Door::Open, move |said| {
        match is_merge(said, "fact_interactions") && merges.fetch_add(1, Ordering::SeqCst) < 2 {
            true => Answer::Error(1205, "deadlocked"),
            false => plain(said),
        }
    });
    let run = Run::into(&stub, "freshness: false");
    assert!(
        run.output.status.success() && run.letters().is_empty(),
        "{}",
        run.log()
    );
    let said = stub.said();
    let undone = said
        .iter()
        .filter(|it| it.sql.contains("ROLLBACK TRANSACTION"))
        .count();
    assert_eq!((undone, committed(&said).len()), (2, EVENTS));
    assert!(
        said.iter().all(|it| it.connection == 0),
        "the session was still good"
    );
}

#[test]
fn a_server_that_dies_during_a_load_gets_the_batch_again() {
    for deadly in ["INSERT INTO #trunkline_fact", "MERGE", "COMMIT"] {
        let deaths = AtomicUsize::new(0);
        let stub = Stub::start(Door::Open, move |said| {
            match said.sql.starts_with(deadly) && deaths.fetch_add(1, Ordering::SeqCst) < 2 {
                true => Answer::Close,
                false => plain(said),
            }
        });
        let run = Run::into(&stub, "freshness: false");
        assert!(run.output.status.success(), "{deadly}: {}", run.log());
        assert!(run.letters().is_empty(), "{deadly}: {:?}", run.letters());
        let said = stub.said();
        let last: Vec<Said> = said
            .iter()
            .filter(|it| it.connection == 2)
            .cloned()
            .collect();
        assert_eq!(committed(&last).len(), EVENTS, "{deadly}");
    }
}

#[test]
fn a_staged_load_lets_the_server_judge() {
    let stub = Stub::start(Door::Open, |said| {
        match said.sql.starts_with("SELECT CAST([line]") {
            // The first check is that of the missing id; a line of 9,000 is made up.
            true => Answer::Rows(vec![
                vec![Some("10".into()), Some("0".into())],
                vec![Some("9000".into()), Some("0".into())],
            ]),
            false => plain(said),
        }
    });
    let run = Run::into(&stub, "staging: true, freshness: false");
    assert!(run.output.status.success(), "{}", run.log());
    let letters = run.letters();
    assert!(
        letters.len() == 1 && letters[0].contains("missing_event_id"),
        "{letters:?}"
    );
    let said = stub.said();
    let merges: Vec<&Said> = said
        .iter()
        .filter(|it| it.sql.starts_with("MERGE"))
        .collect();
    assert_eq!(merges.len(), 5);
    assert_eq!(merges[0].values, [Some("GENESYS_CLOUD".to_owned())]);
    let judged = said
        .iter()
        .position(|it| it.sql.starts_with("DELETE FROM #trunkline_staged"));
    let begun = said.iter().position(|it| it.sql == "BEGIN TRANSACTION;");
    assert!(judged.unwrap() < begun.unwrap());
}

#[test]
fn a_door_that_stays_shut_says_why() {
    for (door, says) in [
        (Door::WrongPassword, "Login failed"),
        (Door::Plain, "encrypt"),
        (Door::Garbage, "the server"),
    ] {
        let stub = Stub::start(door, plain);
        let run = Run::into(&stub, "freshness: false, start_timeout: 0s");
        let log = run.log();
        assert!(
            !run.output.status.success() && log.contains(says),
            "{says}: {log}"
        );
        assert!(!log.contains("hunter2"), "{log}");
        // Above all no log-in, which is of type 0x10.
        assert!(stub.said().is_empty(), "{:?}", stub.said());
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_gets_no_password() {
    let stub = Stub::start(Door::Open, plain);
    let run = Run::with(&stub, "freshness: false");
    let log = run.log();
    assert!(!run.output.status.success(), "{log}");
    assert!(
        log.contains("no encrypted connection") && log.contains("ca_file"),
        "{log}"
    );
    assert!(stub.said().is_empty());
}
