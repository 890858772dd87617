//! Organisations do not feel each other's trouble, and conversations keep their order.

use super::*;

/// Sends `each` messages to each organisation, `every` so often, each to another recipient; answers how
/// long each took, by organisation.
async fn load(
    bench: &Bench,
    organizations: &[&'static str],
    each: u64,
    every: Duration,
) -> BTreeMap<&'static str, Vec<Duration>> {
    let stage = bench.open().await;
    let took: Arc<Mutex<BTreeMap<&'static str, Vec<Duration>>>> = Arc::default();
    for n in 0..each {
        for name in organizations {
            let body = message(&format!("{name}-{n}"), name, &format!("{name}-{n}"));
            let (call, took) = (stage.clone().oneshot(batch(n + 1, &body)), took.clone());
            let (name, from) = (*name, Instant::now());
            tokio::spawn(async move {
                if call.await.is_ok() {
                    took.lock()
                        .unwrap()
                        .entry(name)
                        .or_default()
                        .push(from.elapsed());
                }
            });
        }
        tokio::time::sleep(every).await;
    }
    tokio::time::sleep(5 * SECOND).await;
    let took = took.lock().unwrap();
    took.clone()
}

fn p95(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() * 95 / 100]
}

fn well() -> Script {
    Script::of(vec![Answer::sent().after(Duration::from_millis(40))])
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_slow_or_throttled_changes_nobody_elses_times() {
    let every = Duration::from_millis(20);
    let alone = Bench::new(Policy::AtLeastOnce, vec![("good", well())]);
    let before = p95(&load(&alone, &["good"], 500, every).await["good"]);
    let troubles = [
        ("down", Answer::error(503, "x")),
        ("gone", Answer::refused()),
        ("slow", Answer::sent().after(15 * SECOND)),
        ("silent", Answer::silence(20 * SECOND)),
        (
            "throttled",
            Answer::error(429, "x").with("retry-after", "30"),
        ),
    ];
    for (name, trouble) in troubles {
        let scripts = vec![("good", well()), ("bad", Script::of(vec![trouble]))];
        let bench = Bench::new(Policy::AtLeastOnce, scripts);
        let times = load(&bench, &["good", "bad"], 500, every).await;
        let good = &times["good"];
        assert_eq!(good.len(), 500, "{name}");
        let after = p95(good);
        assert!(
            after <= before.mul_f64(1.1),
            "{name}: {before:?} became {after:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_a_second_go_through_and_a_budget_holds_what_is_more() {
    let bench = Bench::new(Policy::AtLeastOnce, vec![("eu", well())]);
    let times = load(&bench, &["eu"], 1_000, Duration::from_millis(20)).await;
    assert!(p95(&times["eu"]) < Duration::from_millis(500));
    let rate = Rate {
        events: 300,
        per: 60 * SECOND,
    };
    let bench = Bench::with(Policy::AtLeastOnce, rate, vec![("eu", well())]);
    let from = Instant::now();
    load(&bench, &["eu"], 400, Duration::from_millis(20)).await;
    assert_eq!(
        bench.heard().len(),
        300,
        "the rest waits for the next minute"
    );
    let metrics = crate::observe::render_metrics(std::slice::from_ref(&bench.observer));
    let figure = |name: &str| {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{")));
        let line = line.unwrap_or_else(|| panic!("no {name}"));
        assert!(line.contains("key=\"acme/eu\""), "{line}");
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(figure("trunkline_key_budget_allowed"), 300.0);
    assert_eq!(figure("trunkline_key_budget_used"), 300.0);
    assert!(from.elapsed() < 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_at_half_of_the_calls_of_a_minute_for_its_organisation_alone() {
    let bench = Bench::new(
        Policy::AtMostOnce,
        vec![
            ("bad", Script::of(vec![Answer::silence(20 * SECOND)])),
            ("good", well()),
        ],
    );
    let stage = bench.open().await;
    for n in 0..20 {
        let body = message(&n.to_string(), "bad", &n.to_string());
        tokio::spawn(stage.clone().oneshot(batch(n + 1, &body)));
    }
    tokio::time::sleep(45 * SECOND).await;
    // Sixteen were under way when the first answers failed to come; the others wait.
    assert_eq!(bench.script("bad").heard().len(), 16);
    assert_eq!(bench.reasons(), vec!["unanswered"; 16]);
    let alerts = bench.observer.alerts();
    let open = alerts.iter().find(|it| it.name == "breaker_open").unwrap();
    assert!(open.message.contains("`acme/bad`"), "{}", open.message);
    let body = message("g", "good", "ada");
    let from = Instant::now();
    assert_eq!(deliver(&stage, &body, SECOND).await, Some(Ok(())));
    assert!(from.elapsed() < SECOND);
    // Half open: one probe, and no more.
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(bench.script("bad").heard().len(), 17);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_keeps_its_order_under_retries_and_429s() {
    let script = Script::new(|number, heard| {
        let text = heard.body["textBody"].as_str().unwrap();
        match number % 5 {
            0 => Answer::error(503, "x"),
            2 => Answer::error(429, "x").with("retry-after", "2"),
            _ if text.starts_with("a") => Answer::sent().after(SECOND),
            _ => Answer::sent(),
        }
    });
    let bench = Bench::new(Policy::AtLeastOnce, vec![("eu", script.clone())]);
    let stage = bench.open().await;
    let calls = (0..40_u64).map(|n| {
        let (to, count) = if n % 2 == 0 {
            ("a", n / 2)
        } else {
            ("b", n / 2)
        };
        let mut body = message(&format!("m-{n}"), "eu", to);
        body["textBody"] = json!(format!("{to}{count}"));
        stage.clone().oneshot(batch(n + 1, &body))
    });
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    let told = bench.told.lock().unwrap().clone();
    for parity in [0, 1] {
        let ids = told
            .iter()
            .map(|it| it["messageId"].as_str().unwrap()[2..].parse().unwrap());
        let ids: Vec<u64> = ids.filter(|id: &u64| id % 2 == parity).collect();
        assert_eq!(ids.len(), 20);
        assert!(ids.is_sorted(), "{ids:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_in_letters_metrics_or_what_is_printed() {
    let answers = vec![Answer::error(400, "hush-hush token-1 ada@example.org")];
    let bench = Bench::new(Policy::AtLeastOnce, vec![("eu", Script::of(answers))]);
    let stage = bench.open().await;
    let body = message("m-1", "eu", "ada@example.org");
    assert_eq!(deliver(&stage, &body, 60 * SECOND).await, Some(Ok(())));
    let organization = bench.tenants.organization("acme", "eu").await.unwrap();
    let dead = bench.dead.lock().unwrap().join("\n");
    let detail: Json = serde_json::from_str(&dead).unwrap();
    let told = format!(
        "{organization:?} {:?} {:?} {} {} {:?}",
        bench.tenants,
        bench.tenants.config(),
        detail["detail"],
        crate::observe::render_metrics(std::slice::from_ref(&bench.observer)),
        bench.told.lock().unwrap(),
    );
    for secret in [SECRET, "token-1", "ada@example.org"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}
