use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;

use super::*;
use crate::client::influx::Server;
use crate::observe::{NodeKind, Observer};

/// Answers with these statuses, one after the other, and notes how many lines it was sent.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
    asked: Arc<Mutex<Vec<usize>>>,
}

async fn answer(State(script): State<Script>, body: String) -> (StatusCode, &'static str) {
    script.asked.lock().unwrap().push(body.lines().count());
    let mut answers = script.answers.lock().unwrap();
    let (status, body) = match answers.is_empty() {
        true => (204, ""),
        false => answers.remove(0),
    };
    (StatusCode::from_u16(status).unwrap(), body)
}

async fn deliver(answers: &[(u16, &'static str)]) -> (Script, Observer, Deliver) {
    let script = Script::default();
    script.answers.lock().unwrap().extend(answers);
    let app = Router::new()
        .route("/api/v2/write", post(answer))
        .with_state(script.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        url: format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap(),
        org: String::new(),
        bucket: "b".to_owned(),
        token: None,
    };
    tokio::spawn(async move { axum::serve(listener, app).await });
    let second = Duration::from_secs(1);
    let client = Client::new(&server, 20 * second).unwrap();
    let observer = Observer::new("p");
    let meter = observer.node("s", NodeKind::Sink, "influxdb");
    let deliver = Deliver::new(client, Precision::Us, false, 20 * second, meter);
    (script, observer, deliver)
}

fn lines(count: usize) -> Lines {
    let mut lines = Lines::with_room(count);
    for place in 0..count {
        lines
            .text
            .extend_from_slice(format!("m n={place}\n").as_bytes());
        lines.end_line(Origin::new(1, place));
    }
    lines
}

#[tokio::test]
async fn what_a_person_has_to_mend_is_told_until_it_is_mended() {
    let (_, observer, deliver) = deliver(&[(401, ""), (404, "")]).await;
    for _ in 0..2 {
        let (origins, outcome) = deliver.send(lines(3)).await;
        let failure = outcome.of(&origins, 0..3).unwrap_err();
        assert_eq!(failure.kind(), Kind::Transient);
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(30)));
        assert_eq!(observer.alerts()[0].name, "influx_held");
        assert!(deliver.is_failing());
    }
    let (origins, outcome) = deliver.send(lines(3)).await;
    assert_eq!(outcome.of(&origins, 0..3), Ok(()));
    assert!(observer.alerts().is_empty() && !deliver.is_failing());
}

#[tokio::test]
async fn a_failure_on_the_way_leaves_what_is_known_and_gives_back_the_rest() {
    // Refused as a whole; the first half is taken; of the second half's two quarters the first is
    // refused, its first line is refused, and then the server is away.
    let answers = [
        (400, ""),
        (204, ""),
        (400, ""),
        (400, ""),
        (400, ""),
        (503, ""),
    ];
    let (script, _, deliver) = deliver(&answers).await;
    let (origins, outcome) = deliver.send(lines(8)).await;
    assert_eq!(*script.asked.lock().unwrap(), [8, 4, 4, 2, 1, 1]);
    let failure = outcome.of(&origins, 0..8).unwrap_err();
    let losses = failure.losses();
    let kinds: Vec<_> = losses
        .iter()
        .map(|loss| (loss.kind, loss.cause.reason))
        .collect();
    let expected = [
        (Kind::Rejected, "influx_partial_write"),
        (Kind::Transient, "influx_unavailable"),
    ];
    assert_eq!(kinds, expected);
    let lost = failure.lost_of(&origins);
    let places: Vec<_> = origins
        .iter()
        .filter(|o| lost.contains(o))
        .map(|o| o.index())
        .collect();
    assert_eq!(places, [4, 5, 6, 7]);
    assert_eq!(outcome.of(&origins, 0..4), Ok(()));
}

#[tokio::test]
async fn looking_for_lines_ends_and_what_is_not_found_comes_back_as_less() {
    // Refuses everything.
    let (script, _, deliver) = deliver(&[(400, ""); 1000]).await;
    let quick = Deliver(Arc::new(Shared {
        patience: Duration::ZERO,
        client: deliver.0.client.clone(),
        precision: Precision::Us,
        gzip: false,
        meter: deliver.0.meter.clone(),
        max_bytes: AtomicUsize::new(usize::MAX),
        failing: AtomicBool::new(false),
        held: AtomicBool::new(false),
    }));
    let (origins, outcome) = quick.send(lines(64)).await;
    let failure = outcome.of(&origins, 0..64).unwrap_err();
    assert_eq!(
        (failure.kind(), script.asked.lock().unwrap().len()),
        (Kind::Transient, 1)
    );
    assert_eq!(failure.lost_of(&origins).len(), 64);
    // With patience so many that were refused one by one stand for all.
    let (origins, outcome) = deliver.send(lines(4096)).await;
    let failure = outcome.of(&origins, 0..4096).unwrap_err();
    assert_eq!(failure.kind(), Kind::Rejected);
    assert_eq!(failure.lost_of(&origins).len(), 4096);
    assert!(script.asked.lock().unwrap().len() < 60);
}

#[tokio::test]
async fn a_size_is_learned_from_many_lines_and_not_from_one() {
    let (script, _, deliver) = deliver(&[(413, ""), (413, "")]).await;
    let mut large = lines(4096);
    let bytes = large.text.len();
    assert!(bytes > 2 * LEAST_BYTES);
    large.text.extend_from_slice(&[b'x'; 100]);
    large.end_line(Origin::new(1, 4096));
    let (origins, outcome) = deliver.send(large).await;
    assert_eq!(outcome.of(&origins, 0..4097), Ok(()));
    assert_eq!(deliver.max_bytes(), LEAST_BYTES);
    assert_eq!(
        script.asked.lock().unwrap().iter().skip(2).sum::<usize>(),
        4097
    );
    let (_, _, deliver) = self::deliver(&[(413, "")]).await;
    let (origins, outcome) = deliver.send(lines(1)).await;
    let failure = outcome.of(&origins, 0..1).unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "influx_too_large");
    assert_eq!(deliver.max_bytes(), usize::MAX);
}
