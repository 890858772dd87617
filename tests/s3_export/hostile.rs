//! Buckets that lie, deny, take away, and are busy: what can be read comes once, and what cannot is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use trunkline::failure::Kind;

use crate::bench::{Bench, lines, records};
use crate::fake::{Asked, Fake, Reply};

/// Reasons of the letters about this object.
fn told<'a>(bench: &'a Bench, object: &str) -> Vec<&'a str> {
    let about = |it: &&(&'static str, String)| it.1 == format!("s3://exports/{object}");
    bench.letters.iter().filter(about).map(|it| it.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_or_denied_is_told_once_and_the_others_are_read() {
    let fake = Fake::start().await;
    for key in ["a", "denied", "gone", "z"] {
        fake.put(key, lines(&records(key, 40)));
    }
    let denies = Arc::new(AtomicBool::new(true));
    let still = denies.clone();
    // Between the listing and the reading.
    fake.twist(move |asked, reply| match asked.key.as_str() {
        "gone" => *reply = Reply::error(404, "NoSuchKey"),
        "denied" if still.load(Ordering::SeqCst) => *reply = Reply::error(403, "AccessDenied"),
        _ => {}
    });
    let mut bench = Bench::new(&fake.yaml("poll: 20ms"));
    let tries = |key: &str| fake.asked().iter().filter(|it| it.key == key).count();
    bench.until("several looks", |_| tries("denied") >= 3).await;
    bench.has_once(["a", "z"].iter().flat_map(|name| records(name, 40)));
    assert_eq!(told(&bench, "gone"), ["object_gone"]);
    assert_eq!(told(&bench, "denied"), ["object_denied"]);
    assert_eq!(bench.letters.len(), 2, "{:?}", bench.letters);
    let figured = |bench: &Bench| bench.figure("objects_set_aside") > 0;
    bench.until("figures", figured).await;
    assert_eq!(bench.figure("objects_set_aside"), 2, "each counts once");
    assert_eq!(tries("gone"), 1, "it is the same version");
    assert_eq!(bench.reopened, 0);
    // Allowed, it is read; put there again, so is the other.
    denies.store(false, Ordering::SeqCst);
    bench
        .until("allowed", |bench| bench.bodies.len() == 120)
        .await;
    fake.honest();
    fake.put("gone", lines(&records("back", 40)));
    bench.until("back", |bench| bench.bodies.len() == 160).await;
    bench.has_once(
        ["a", "z", "denied", "back"]
            .iter()
            .flat_map(|name| records(name, 40)),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nothing_may_be_read_the_run_ends() {
    let fake = Fake::start().await;
    for number in 0..12 {
        fake.put(&format!("{number:02}"), "{}\n");
    }
    fake.twist(|asked, reply| {
        if !asked.lists() {
            *reply = Reply::error(403, "AccessDenied");
        }
    });
    let mut bench = Bench::new(&fake.yaml("read: once"));
    let failure = loop {
        match bench.step().await {
            Ok(true) => {}
            Ok(false) => panic!("it ended well"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.kind(), Kind::Fatal);
    assert!(
        failure.to_string().contains("10 objects in a row"),
        "{failure}"
    );
}

/// A lie, by its name.
type Lie = (&'static str, fn(&mut Reply));

/// Ranges that are not what was asked for, whatever they say.
const LIES: [Lie; 9] = [
    ("a length that is too long", |it| {
        it.length = it.length.map(|length| length + 7)
    }),
    ("a length that is too short", |it| {
        it.length = it.length.map(|length| length - 7)
    }),
    ("a body that is cut off", |it| it.body.truncate(100)),
    ("no length, and cut off", |it| {
        it.length = None;
        it.body.truncate(100);
    }),
    ("no version", |it| {
        it.headers.retain(|(name, _)| *name != "ETag")
    }),
    ("another range", |it| {
        it.set("Content-Range", "bytes 1-4096/9999")
    }),
    ("the whole", |it| it.status = 200),
    ("too much at a time", |it| {
        *it = Reply::error(503, "SlowDown")
    }),
    ("an error that is called a success", |it| {
        *it = Reply {
            status: 206,
            ..Reply::error(200, "InternalError")
        };
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_lie_are_asked_for_again() {
    let all = async |(name, lie): Lie| {
        let fake = Fake::start().await;
        for key in ["a", "b"] {
            fake.put(key, lines(&records(key, 300)));
        }
        // The second range of each object, twice.
        fake.twist(move |asked, reply| {
            if asked.from == 8192 && asked.nth < 2 && !asked.lists() {
                lie(reply);
            }
        });
        let mut bench = Bench::new(&fake.yaml("read: once\nrange: 8KiB"));
        bench.drain().await;
        let expected: Vec<String> = ["a", "b"]
            .iter()
            .flat_map(|key| records(key, 300))
            .collect();
        assert_eq!(bench.bodies, expected, "{name}");
        assert!(bench.letters.is_empty(), "{name}: {:?}", bench.letters);
        assert_eq!(bench.reopened, 0, "{name}");
    };
    futures::future::join_all(LIES.into_iter().map(all)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_slow_down_costs_time_and_nothing_else() {
    let fake = Fake::start().await;
    let names: Vec<String> = (0..30).map(|number| format!("{number:02}")).collect();
    for name in &names {
        fake.put(name, lines(&records(name, 100)));
    }
    // More often than one opening tries: the engine has to open the source anew.
    fake.twist(|asked, reply| {
        if !asked.lists() && asked.nth < 5 {
            *reply = Reply::error(503, "SlowDown");
        }
    });
    let mut bench = Bench::new(&fake.yaml("read: once\nparallel: 32"));
    bench.drain().await;
    assert!(bench.reopened >= 1, "it was no storm");
    let expected: Vec<String> = names.iter().flat_map(|name| records(name, 100)).collect();
    assert_eq!(bench.bodies, expected);
    assert!(bench.letters.is_empty(), "{:?}", bench.letters);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_between_two_ranges_is_told_and_never_mixed() {
    let fake = Fake::start().await;
    let (old, new) = (records("old", 300), records("new", 300));
    fake.put("a", lines(&old));
    fake.put("b", lines(&records("b", 10)));
    // A server that takes no account of `If-Match`, and one that does: both are believed to have
    // another version.
    for obeys in [true, false] {
        fake.twist(move |asked, reply| {
            if asked.key == "a" && asked.from >= 8192 {
                match obeys {
                    true => *reply = Reply::error(412, "PreconditionFailed"),
                    false => {
                        reply.set("ETag", "\"other\"");
                        reply.body.fill(b'x');
                    }
                }
            }
        });
        let more = "read: once\nrange: 8KiB\nbatch_events: 20";
        let mut bench = Bench::new(&fake.yaml(more));
        bench.drain().await;
        assert_eq!(told(&bench, "a"), ["object_changed"], "{:?}", bench.letters);
        let (part, rest): (Vec<_>, Vec<_>) = bench
            .bodies
            .iter()
            .cloned()
            .partition(|body| body.contains("\"old\""));
        assert!(
            part.len() > 50 && old.starts_with(&part),
            "whole records of the old"
        );
        assert_eq!(rest, records("b", 10), "the others go on");
        fake.put("a", lines(&new));
        fake.honest();
        let mut again = Bench::over(bench.store, &fake.yaml(more));
        again.drain().await;
        assert_eq!(again.bodies, new, "anew, from its beginning");
        fake.put("a", lines(&old));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_goes_round_or_never_ends_is_told_and_nothing_is_read_twice() {
    let fake = Fake::start().await;
    let names: Vec<String> = (0..25).map(|number| format!("{number:02}")).collect();
    for name in &names {
        fake.put(name, lines(&records(name, 2)));
    }
    let lies: [fn(&Asked, &mut Reply); 2] = [
        // The second page is the first again.
        |asked, reply| {
            let text = String::from_utf8(reply.body.clone()).unwrap();
            if asked.query.contains_key("continuation-token") {
                reply.body = text
                    .replace("<Key>1", "<Key>0")
                    .replace("<Key>2", "<Key>0")
                    .into();
            }
        },
        // Behind the last key there is always more, and nothing in it.
        |_, reply| {
            let text = String::from_utf8(reply.body.clone()).unwrap();
            if !text.contains("IsTruncated") {
                let more = "<IsTruncated>true</IsTruncated>\
                    <NextContinuationToken>24</NextContinuationToken></ListBucketResult>";
                let text = text.replace("</ListBucketResult>", more);
                (reply.length, reply.body) = (Some(text.len()), text.into());
            }
        },
    ];
    for lie in lies {
        fake.twist(move |asked, reply| {
            if asked.lists() {
                lie(asked, reply);
            }
        });
        let mut bench = Bench::new(&fake.yaml("read: once"));
        bench.until("told", |bench| bench.reopened >= 2).await;
        fake.honest();
        bench.drain().await;
        bench.has_once(names.iter().flat_map(|name| records(name, 2)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_asked_for_is_told_once_and_stalls_nothing() {
    let fake = Fake::start().await;
    for key in ["a", "b/../c", "b/./c", "z"] {
        fake.put(key, lines(&records("x", 1)));
    }
    let looks = || fake.asked().iter().filter(|it| it.lists()).count();
    let mut bench = Bench::new(&fake.yaml("poll: 20ms"));
    bench.until("several looks", |_| looks() >= 4).await;
    for key in ["b/../c", "b/./c"] {
        assert_eq!(told(&bench, key), ["object_key"], "{:?}", bench.letters);
    }
    assert_eq!(bench.bodies.len(), 2);
    let figured = |bench: &Bench| bench.figure("objects_set_aside") > 0;
    bench.until("figures", figured).await;
    assert_eq!(bench.figure("objects_set_aside"), 2, "each counts once");
    assert_eq!(bench.reopened, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_bytes_a_second_than_are_allowed() {
    let fake = Fake::start().await;
    let mut bytes = 0;
    for number in 0..10 {
        let text = lines(&records(&format!("{number}"), 200));
        bytes += text.len();
        fake.put(&format!("{number}"), text);
    }
    let began = Instant::now();
    let mut bench = Bench::new(&fake.yaml("read: once\nrange: 4KiB\nmax_rate: 100KB"));
    bench.drain().await;
    assert_eq!(bench.bodies.len(), 2000);
    let allowed = |time: Duration| time.as_secs_f64() * 100_000.0 + 4096.0;
    assert!(
        allowed(began.elapsed()) >= bytes as f64,
        "{:?} for {bytes}",
        began.elapsed()
    );
    // And not in one go at some time: with each request that is made, all before it were in time.
    let ranges: Vec<_> = fake.asked().into_iter().filter(|it| !it.lists()).collect();
    for (before, asked) in ranges.iter().enumerate() {
        let most = allowed(asked.at - began) + 4096.0;
        let lengths = before as f64 * 3000.0;
        assert!(
            lengths < most.max(8192.0),
            "{before} requests in {:?}",
            asked.at - began
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_keys_have_dates_only_those_of_the_range_are_listed() {
    let fake = Fake::start().await;
    for month in 1..=12 {
        for day in 1..=28 {
            let name = format!("org/dt=2026-{month:02}-{day:02}/x");
            fake.put(&name, lines(&records(&name, 1)));
        }
    }
    let more =
        "prefix: org/\nread: once\nfrom: 2026-06-03\nto: 2026-06-20\nkey_time: dt=YYYY-MM-DD";
    let expected = || (3..20).flat_map(|day| records(&format!("org/dt=2026-06-{day:02}/x"), 1));
    let mut whole = Bench::new(&fake.yaml(more));
    whole.drain().await;
    whole.has_once(expected());
    let pages = fake.asked().iter().filter(|it| it.lists()).count();
    assert!(pages > 30, "{pages}");
    let mut dated = Bench::new(&fake.yaml(&format!("{more}\ndated_keys: true")));
    dated.drain().await;
    dated.has_once(expected());
    let dated = fake.asked().iter().filter(|it| it.lists()).count() - pages;
    assert!(dated <= 3, "{dated} pages of 10 for 17 objects");
}
