//! When lines go, on a paused clock: nothing here has a socket.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::time::{advance, sleep};

use super::*;
use crate::client::influx::Why;
use crate::failure::Kind;

const SECOND: Duration = Duration::from_secs(1);

/// Notes what is sent and when, and answers after a while.
#[derive(Clone)]
struct Server(Arc<Inner>);

struct Inner {
    sent: Mutex<Vec<(u128, Vec<u64>)>>,
    begun: Instant,
    takes: Duration,
    max_bytes: usize,
    /// Refuses the first line of each request and fails the last.
    picky: AtomicBool,
    failing: AtomicBool,
}

impl Server {
    fn new(takes: Duration) -> Self {
        Self::with(takes, usize::MAX)
    }

    fn with(takes: Duration, max_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            sent: Mutex::default(),
            begun: Instant::now(),
            takes,
            max_bytes,
            picky: AtomicBool::default(),
            failing: AtomicBool::default(),
        }))
    }

    /// When and how many lines.
    fn sizes(&self) -> Vec<(u128, usize)> {
        let sent = self.0.sent.lock().unwrap();
        sent.iter().map(|(at, lines)| (*at, lines.len())).collect()
    }

    fn order(&self) -> Vec<u64> {
        let sent = self.0.sent.lock().unwrap();
        sent.iter().flat_map(|(_, lines)| lines.clone()).collect()
    }
}

impl Send for Server {
    async fn send(&self, lines: Lines) -> (Vec<Origin>, Outcome) {
        let at = self.0.begun.elapsed().as_millis();
        let deliveries = lines.origins.iter().map(|origin| origin.delivery());
        self.0.sent.lock().unwrap().push((at, deliveries.collect()));
        sleep(self.0.takes).await;
        let mut outcome = Outcome::default();
        if self.0.picky.load(Ordering::SeqCst) {
            let busy = Failure::transient("busy", "not now");
            outcome.refused.push((0, Why::Other));
            outcome.failed = Some((vec![lines.len() - 1], busy));
        }
        (lines.origins, outcome)
    }

    fn max_bytes(&self) -> usize {
        self.0.max_bytes
    }

    fn is_failing(&self) -> bool {
        self.0.failing.load(Ordering::SeqCst)
    }
}

fn batches() -> Batches {
    Batches {
        max_events: 10,
        max_bytes: 1000,
        flush_interval: 10 * SECOND,
        quiet: SECOND,
        requests: 2,
    }
}

/// Lines of 10 bytes.
fn lines(delivery: u64, count: usize) -> Lines {
    let mut lines = Lines::with_room(count);
    for place in 0..count {
        lines.text.extend_from_slice(b"123456789\n");
        lines.end_line(Origin::new(delivery, place));
    }
    lines
}

fn spawn(gather: &Gather<Server>, lines: Lines) -> tokio::task::JoinHandle<Answer> {
    let gather = gather.clone();
    tokio::spawn(async move { gather.write(lines).await })
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_when_it_is_full_and_lines_keep_their_order() {
    let server = Server::new(SECOND / 2);
    let gather = Gather::new(batches(), 100, server.clone());
    let calls = (0..6).map(|n| spawn(&gather, lines(n, 4)));
    for call in join_all(calls).await {
        call.unwrap().unwrap();
    }
    // Two that are full at once; what is left waits until nothing more comes.
    assert_eq!(server.sizes(), [(0, 10), (0, 10), (1000, 4)]);
    let expected: Vec<u64> = (0..6).flat_map(|n| [n; 4]).collect();
    assert_eq!(server.order(), expected);
}

#[tokio::test(start_paused = true)]
async fn bytes_fill_a_request_too_and_a_long_line_goes_alone() {
    let server = Server::with(Duration::ZERO, 25);
    let gather = Gather::new(batches(), 100, server.clone());
    let mut one = lines(1, 3);
    one.text.extend_from_slice(&[b'x'; 2000]);
    one.end_line(Origin::new(1, 3));
    gather.write(one).await.unwrap();
    let sizes: Vec<_> = server.sizes().into_iter().map(|(_, size)| size).collect();
    assert_eq!(sizes, [2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_waits_for_quiet_and_a_steady_one_for_the_interval() {
    let server = Server::new(Duration::ZERO);
    let most = Batches {
        max_events: 1000,
        ..batches()
    };
    let gather = Gather::new(most, 1000, server.clone());
    let mut calls = vec![spawn(&gather, lines(0, 1))];
    sleep(5 * SECOND).await;
    assert_eq!(server.sizes(), [(1000, 1)]);
    for n in 0..25 {
        calls.push(spawn(&gather, lines(n, 1)));
        sleep(SECOND / 2).await;
    }
    sleep(5 * SECOND).await;
    // From 5 s on one each half second: after ten seconds those that came by then.
    assert_eq!(server.sizes()[1], (15_000, 20));
    assert_eq!(server.sizes()[2].1, 5);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_calls_that_cannot_come() {
    let server = Server::new(SECOND);
    let gather = Gather::new(batches(), 3, server.clone());
    let calls: Vec<_> = (0..3).map(|n| spawn(&gather, lines(n, 1))).collect();
    join_all(calls).await;
    assert_eq!(server.sizes(), [(0, 3)]);
    let gather = Gather::new(batches(), 1, server.clone());
    gather.write(lines(1, 1)).await.unwrap();
    assert_eq!(server.sizes()[1], (1000, 1));
}

#[tokio::test(start_paused = true)]
async fn while_the_server_is_slow_requests_grow() {
    let server = Server::new(60 * SECOND);
    let one = Batches {
        requests: 1,
        ..batches()
    };
    let gather = Gather::new(one, 100, server.clone());
    let first = spawn(&gather, lines(0, 1));
    sleep(2 * SECOND).await;
    let mut calls = vec![first];
    for n in 1..5 {
        calls.push(spawn(&gather, lines(n, 2)));
        // Longer than anything would wait for others.
        sleep(12 * SECOND).await;
    }
    join_all(calls).await;
    assert_eq!(server.sizes(), [(1000, 1), (61_000, 8)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_lines_go_at_once() {
    let server = Server::new(Duration::ZERO);
    server.0.failing.store(true, Ordering::SeqCst);
    let gather = Gather::new(batches(), 100, server.clone());
    gather.write(lines(0, 1)).await.unwrap();
    assert_eq!(server.sizes(), [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn everybody_hears_of_their_own_lines() {
    let server = Server::new(Duration::ZERO);
    server.0.picky.store(true, Ordering::SeqCst);
    let gather = Gather::new(batches(), 100, server.clone());
    let calls = [lines(7, 2), lines(8, 2), lines(9, 2)].map(|lines| spawn(&gather, lines));
    let answers = join_all(calls).await;
    let answers: Vec<Answer> = answers.into_iter().map(Result::unwrap).collect();
    let [Err(first), Ok(()), Err(last)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(first.kind(), Kind::Rejected);
    let origins = [Origin::new(7, 0), Origin::new(7, 1)];
    assert_eq!(first.lost_of(&origins), [origins[0]].into());
    assert_eq!(last.kind(), Kind::Transient);
    let origins = [Origin::new(9, 0), Origin::new(9, 1)];
    assert_eq!(last.lost_of(&origins), [origins[1]].into());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_neither_stops_others_nor_counts_on() {
    let server = Server::new(Duration::ZERO);
    let gather = Gather::new(batches(), 2, server.clone());
    let gone = spawn(&gather, lines(0, 1));
    advance(SECOND / 10).await;
    gone.abort();
    let _ = gone.await;
    gather.write(lines(1, 1)).await.unwrap();
    // Two calls are all there can be, but one of them is gone: it waits for quiet.
    assert_eq!(server.sizes(), [(1100, 2)]);
    assert_eq!(gather.0.calls.load(Ordering::SeqCst), 0);
}
