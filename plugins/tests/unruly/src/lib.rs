//! A plugin that does what the events tell it, most of it forbidden. For `tests/plugins.rs`.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use serde_json::Value;

wit_bindgen::generate!({ path: "../../wit", world: "plugin" });

use exports::trunkline::plugin::transform::{Batch, Event, Guest, Mistake, Outcome, Rejection};
use trunkline::plugin::host::{Level, count, log};

#[cfg(feature = "wasi")]
#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(to: *mut u8, length: usize) -> i32;
}

thread_local! {
    static CONFIG: RefCell<Value> = const { RefCell::new(Value::Null) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LEAK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

struct Plugin;

impl Guest for Plugin {
    fn configure(config: String) -> Result<(), Vec<Mistake>> {
        #[cfg(feature = "wasi")]
        unsafe {
            let mut bytes = [0; 8];
            random_get(bytes.as_mut_ptr(), bytes.len());
        }
        let config: Value = serde_json::from_str(&config).unwrap_or_default();
        let mut mistakes = Vec::new();
        for (path, message) in config["mistakes"].as_object().into_iter().flatten() {
            mistakes.push(Mistake {
                path: path.clone(),
                message: message.as_str().unwrap_or_default().to_owned(),
            });
        }
        if config["start"] == "trap" {
            unreachable!();
        }
        if config["start"] == "say" {
            log(Level::Warn, &format!("configured with {config}"));
        }
        CONFIG.replace(config);
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }

    fn apply(batch: Batch) -> Result<Vec<Outcome>, String> {
        CALLS.set(CALLS.get() + 1);
        if batch
            .events
            .iter()
            .any(|it| it.body.contains("\"do\":\"refuse\""))
        {
            return Err("write to jane.doe@example.com about it".into());
        }
        let mut all: Vec<_> = batch.events.iter().map(|it| one(it, &batch)).collect();
        if batch
            .events
            .iter()
            .any(|it| it.body.contains("\"do\":\"miscount\""))
        {
            all.pop();
        }
        Ok(all)
    }
}

fn one(event: &Event, batch: &Batch) -> Outcome {
    let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
    let number = body["n"].as_u64().unwrap_or(1);
    match body["do"].as_str().unwrap_or("keep") {
        "trap" => unreachable!(),
        "loop" => loop {
            black_box(0);
        },
        "grow" => {
            let all: Vec<Vec<u8>> = (0..).map(|_| vec![1; 1 << 20]).take(1 << 20).collect();
            Outcome::Drop(all.len().to_string())
        }
        // Remains after the call: of one instance, sooner or later any call fails.
        "leak" => LEAK.with_borrow_mut(|leak| {
            leak.push(vec![1; number as usize]);
            Outcome::Keep
        }),
        "recurse" => Outcome::Drop(deep(0).to_string()),
        "large" => Outcome::Replace(vec![format!("\"{}\"", "x".repeat(number as usize))]),
        "bad_json" => Outcome::Replace(vec!["{\"a\":".into()]),
        "nothing" => Outcome::Replace(Vec::new()),
        "split" => Outcome::Replace((0..number).map(|n| format!("{{\"part\":{n}}}")).collect()),
        "drop" => Outcome::Drop(body["why"].as_str().unwrap_or("asked").to_owned()),
        "reject" => Outcome::Reject(Rejection {
            reason: "asked".into(),
            message: "it is of jane.doe@example.com".into(),
        }),
        "log" => {
            (0..number).for_each(|n| log(Level::Info, &format!("line {n} of +49 170 1234567")));
            Outcome::Keep
        }
        "log_for_ever" => loop {
            log(Level::Error, "again");
        },
        "count" => {
            (0..number).for_each(|n| count(&format!("name_{n}"), 1));
            count("Not a name", 1);
            Outcome::Keep
        }
        "say" => Outcome::Replace(vec![CONFIG.with_borrow(|it| it["say"].to_string())]),
        "calls" => Outcome::Replace(vec![CALLS.get().to_string()]),
        "meta" => {
            let origin = &batch.origins[event.origin as usize];
            let told = serde_json::json!({
                "source": origin.source, "object": origin.object, "line": event.line,
                "received": origin.received > 0, "time": event.time, "of": batch.events.len(),
            });
            Outcome::Replace(vec![told.to_string()])
        }
        _ => Outcome::Keep,
    }
}

fn deep(n: u64) -> u64 {
    // What a compiler can neither turn into a loop nor see the end of.
    match black_box(n) {
        u64::MAX => n,
        n => black_box(deep(n + 1)) + black_box(1),
    }
}

export!(Plugin);
