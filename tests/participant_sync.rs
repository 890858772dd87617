//! `pipelines/participant-sync.yaml` as it is shipped, run by the real binary as a new user runs it.

#[path = "participant_sync/place.rs"]
mod place;
#[path = "kit/ports.rs"]
mod ports;
#[path = "participant_sync/process.rs"]
mod process;

use std::fs;
use std::net::SocketAddr;

use place::{Place, Run, active, sum};
use process::{Process, ask, node};

/// Participant events after which something has been seen.
const SOME: u64 = 150;

#[test]
fn points_and_a_view_appear_with_nothing_installed() {
    let place = Place::new();
    let mut run = place.start(&[]);
    let state = run.state("shown", |state| sum(state) >= SOME && active(state) > 0);
    let rows = state["heatmap"]["data"].as_array().unwrap();
    assert_eq!((rows.len(), rows[0].as_array().unwrap().len()), (24, 60));
    // It is the first hour of the day, since an hour goes by in a minute.
    let later = run.state("filling", |later| sum(later) > sum(&state));
    assert!(later["lastUpdated"].as_str() > state["lastUpdated"].as_str());

    let png = run.0.get("/api/v1/heatmap?format=png").unwrap();
    assert_eq!((png.status, png.kind.as_str()), (200, "image/png"));
    let image = png::Decoder::new(std::io::Cursor::new(&png.body)).read_info();
    let image = image.unwrap();
    assert!(image.info().width >= 800 && image.info().height >= 400);
    let svg = run.0.get("/api/v1/heatmap?format=svg").unwrap();
    assert_eq!((svg.status, svg.kind.as_str()), (200, "image/svg+xml"));
    let svg = String::from_utf8(svg.body).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));

    // Points are written while it runs, and not just at its end.
    run.0
        .until("written", |_| (!place.points().is_empty()).then_some(()));
    let summary = place.stop(run);
    let influx = &node(&summary, "influx")["delivered"];
    assert_eq!(influx.as_u64().unwrap(), place.points().len() as u64);
    place.assert_counted();
    assert_eq!(place.letters(), "");
}

#[test]
fn it_goes_on_after_a_stop_and_after_a_kill() {
    let place = Place::new();
    let mut run = place.start(&[]);
    let mut before = run.state("shown", |state| sum(state) >= SOME);
    let summary = place.stop(run);
    let counted = sum(&before).max(node(&summary, "activity")["delivered"].as_u64().unwrap());
    let written = place.points().len();

    for ends in ["INT", "KILL"] {
        let mut run = place.start(&[]);
        // As it was, before anything that is new.
        let first = run.state("shown", |_| true);
        assert!(sum(&first) >= sum(&before), "{ends}");
        before = run.state("going on", |state| sum(state) >= sum(&first) + SOME);
        match ends {
            "INT" => drop(place.stop(run)),
            _ => drop(run.0.kill()),
        }
    }
    assert!(sum(&before) > counted);
    let mut run = place.start(&[]);
    let last = run.state("shown", |_| true);
    // What a view has shown before a kill need not be on disk yet, but is told again.
    run.state("as before", |state| sum(state) >= sum(&before));
    assert!(sum(&last) + SOME / 2 >= sum(&before));
    place.stop(run);
    assert!(place.points().len() > written);
    place.assert_counted();
    assert_eq!(place.letters(), "");
}

#[test]
fn points_go_to_a_server_where_one_is_named() {
    let place = Place::new();
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let data = place.folder.path().join("metrics");
    let arguments = [
        format!("-httpListenAddr={address}"),
        format!("-storageDataPath={}", data.display()),
        "-retentionPeriod=100y".to_owned(),
        "-memory.allowedBytes=256MB".to_owned(),
    ];
    let arguments = arguments.each_ref().map(String::as_str);
    let path = [("PATH", "/usr/local/bin:/usr/bin:/bin")];
    let root = place.folder.path();
    let mut server = Process::start(root, "victoria-metrics", &arguments, &path);
    let healthy = |_: &Process| ask(address, "/health").filter(|it| it.status == 200);
    server.until("started", healthy);

    let url = format!("http://{address}");
    let mut run = place.start(&[("INFLUX_URL", &url)]);
    run.state("shown", |state| sum(state) >= SOME);
    let summary = place.stop(run);
    assert_eq!(place.points(), Vec::<String>::new());
    assert!(!place.data("points.lp").exists());

    ask(address, "/internal/force_flush").unwrap();
    let path = "/api/v1/export?match[]=participant_state_vector_clock";
    let found = String::from_utf8(ask(address, path).unwrap().body).unwrap();
    let points = found.lines().map(|line| {
        let series: serde_json::Value = serde_json::from_str(line).unwrap();
        series["values"].as_array().unwrap().len() as u64
    });
    let delivered = node(&summary, "influx")["delivered"].as_u64().unwrap();
    assert!(delivered >= SOME);
    assert_eq!(points.sum::<u64>(), delivered);
}

#[test]
fn a_region_with_credentials_is_the_platform_and_nothing_is_simulated() {
    let place = Place::new();
    let mut run = place.start(&[
        ("GENESYS_REGION", "mypurecloud.invalid"),
        ("GENESYS_CLIENT_ID", "someone"),
        ("GENESYS_CLIENT_SECRET", "hush-hush"),
    ]);
    let ledger = run.0.until("running", |run| {
        let ledger = run.json("/api/v1/pipelines/participant-sync/ledger")?;
        (ledger["run"]["state"] == "running").then_some(ledger)
    });
    assert_eq!(ledger["whole"]["received"], 0);
    run.0.signal("INT");
    let (code, told) = run.0.ended();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("simulator runs"), "{told}");
    assert!(!told.contains("hush"), "{told}");
    // The same words are there where one runs.
    let mut run = place.start(&[]);
    run.0.until("simulated", |run| {
        run.told().contains("simulator runs").then_some(())
    });
}

#[test]
fn half_of_what_a_platform_needs_is_a_mistake_at_its_place() {
    let shipped = fs::read_to_string(Place::pipeline()).unwrap();
    let place_of = |text: &str| {
        let found = shipped.lines().position(|line| line.contains(text));
        format!("participant-sync.yaml:{}:", found.unwrap() + 1)
    };
    let (auth, source) = (place_of("auth: {"), place_of("type: genesys_websocket"));
    let (region, id) = ("GENESYS_REGION", "GENESYS_CLIENT_ID");
    let ireland = (region, "mypurecloud.ie");
    for (set, said, at) in [
        (&[ireland][..], "needs `auth`", &source),
        (&[(id, "someone")], "`client_secret`", &auth),
        (&[(id, "someone")], "needs a `region`", &auth),
        (&[ireland, (id, "someone")], "`client_secret`", &auth),
    ] {
        let place = Place::new();
        let Run(run) = place.start(set);
        let (code, told) = run.ended();
        assert_eq!(code, Some(1), "{told}");
        assert!(
            told.contains(said) && told.contains(at),
            "{said} {at}\n{told}"
        );
        assert!(told.contains("error[missing-field]"), "{told}");
        // Nothing was begun.
        assert!(!place.data("").exists());
    }
}
