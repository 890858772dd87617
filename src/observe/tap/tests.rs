use super::*;
use crate::clock::Wall;
use std::time::Duration;
use tokio::sync::mpsc;

fn ask(nodes: &[&str]) -> TapAsk {
    TapAsk {
        nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        side: None,
        rate: 10,
        unmasked: false,
        allowed: TapPolicy::Unmasked,
    }
}

fn taps() -> Taps {
    let taps = Taps::new(Wall::real());
    taps.mask_with(|event| event.extra_mut().headers.clear());
    taps
}

fn batch(events: usize) -> Batch {
    crate::layer::testing::batch(events)
}

/// What is written within so many seconds.
async fn lines(look: Look, seconds: u64) -> Vec<String> {
    let (sender, mut lines) = mpsc::channel::<Vec<u8>>(4096);
    let task = tokio::spawn(look.write(sender, || false));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    task.abort();
    let mut all = Vec::new();
    while let Some(line) = lines.recv().await {
        all.push(String::from_utf8(line).unwrap());
    }
    all
}

fn missed(lines: &[String]) -> u64 {
    let counts = lines
        .iter()
        .filter_map(|line| line.strip_prefix("{\"not_shown\":"));
    counts
        .map(|rest| {
            rest.trim_end()
                .trim_end_matches('}')
                .parse::<u64>()
                .unwrap()
        })
        .sum()
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_and_all_else_is_counted() {
    let taps = taps();
    let out = taps.out_of("order", "");
    let look = taps.look(&ask(&["order"])).unwrap();
    let feed = async {
        for _ in 0..100 {
            out.pass(&batch(50));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (lines, ()) = tokio::join!(lines(look, 12), feed);
    let shown = lines
        .iter()
        .filter(|line| line.contains("\"event\":"))
        .count() as u64;
    assert!(
        (95..=103).contains(&shown),
        "{shown} in ten seconds at 10/s"
    );
    assert_eq!(shown + missed(&lines), 5_000);
    let head = "{\"node\":\"order\",\"direction\":\"out\",\"at\":\"";
    assert!(lines.iter().any(|line| line.starts_with(head)), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_stops_nothing_and_is_let_go() {
    let taps = taps();
    let out = taps.out_of("order", "");
    let look = taps
        .look(&TapAsk {
            rate: MOST_TAPPED,
            ..ask(&["*"])
        })
        .unwrap();
    let (sender, _unread) = mpsc::channel::<Vec<u8>>(4);
    let from = tokio::time::Instant::now();
    let task = tokio::spawn(look.write(sender, || false));
    for _ in 0..1_000 {
        // No future: a tap cannot make anybody wait.
        out.pass(&batch(10));
        tokio::task::yield_now().await;
    }
    assert_eq!(from.elapsed(), Duration::ZERO);
    task.await.unwrap();
    assert!(from.elapsed() < Duration::from_secs(70));
    assert!(!out.0.watched.load(Relaxed), "nobody looks any more");
}

#[test]
fn a_look_sees_the_sides_and_nodes_it_names_also_those_that_come_later() {
    let taps = taps();
    let all = [
        taps.entrance("order"),
        taps.out_of("order", ""),
        taps.out_of("order", "invalid"),
        taps.entrance("out"),
    ];
    let watched = |ask: &TapAsk| {
        let _look = taps.look(ask).unwrap();
        all.each_ref().map(|tap| tap.0.watched.load(Relaxed))
    };
    assert_eq!(watched(&ask(&["*"])), [false, true, true, true]);
    assert_eq!(watched(&ask(&["*.invalid"])), [false, false, true, false]);
    let into = TapAsk {
        side: Some(Side::In),
        ..ask(&["order", "out"])
    };
    assert_eq!(watched(&into), [true, false, false, true]);
    let look = taps.look(&ask(&["o*"])).unwrap();
    let later = taps.out_of("orders_2", "");
    assert!(later.0.watched.load(Relaxed));
    drop(look);
    assert!(!later.0.watched.load(Relaxed) && all.iter().all(|tap| !tap.0.watched.load(Relaxed)));
}

#[test]
fn what_is_not_allowed_is_refused_by_the_stricter_of_both() {
    let taps = taps();
    let _ = taps.out_of("order", "");
    let look = |policy, allowed, unmasked| {
        taps.allow(policy);
        let ask = TapAsk {
            allowed,
            unmasked,
            ..ask(&["order"])
        };
        taps.look(&ask)
            .map(|look| look.is_masked())
            .map_err(|refusal| {
                assert!(matches!(refusal, TapRefusal::Forbidden(_)), "{refusal:?}");
            })
    };
    use TapPolicy::{Masked, Off, Unmasked};
    assert_eq!(look(Unmasked, Unmasked, true), Ok(false));
    assert_eq!(look(Unmasked, Unmasked, false), Ok(true));
    for (policy, allowed) in [(Masked, Unmasked), (Unmasked, Masked), (Off, Unmasked)] {
        assert_eq!(look(policy, allowed, true), Err(()));
    }
    assert_eq!(look(Unmasked, Off, false), Err(()));
    assert_eq!(look(Masked, Masked, false), Ok(true));
    // Nobody said how to mask.
    let bare = Taps::new(Wall::real());
    let _ = bare.out_of("order", "");
    let refused = bare.look(&ask(&["order"]));
    assert!(matches!(refused, Err(TapRefusal::NotYet)));
}

#[test]
fn an_unknown_name_is_told_with_the_near_one() {
    let taps = taps();
    let _ = taps.out_of("order", "invalid");
    let told = |name: &str| match taps.look(&ask(&[name])) {
        Err(TapRefusal::Unknown(told)) => told,
        _ => panic!("{name}"),
    };
    assert!(told("order.invalit").ends_with("did you mean `order.invalid`?"));
    assert!(told(&"x".repeat(9_000)).len() < 200);
    assert!(matches!(taps.look(&ask(&[])), Err(TapRefusal::Wrong(_))));
    let looks: Vec<_> = (0..MOST_LOOKS)
        .map(|_| taps.look(&ask(&["*"])).unwrap())
        .collect();
    assert!(matches!(taps.look(&ask(&["*"])), Err(TapRefusal::Busy)));
    drop(looks);
    assert!(taps.look(&ask(&["*"])).is_ok());
}
