//! A plugin to copy: it sets one member of every event. `plugins/README.md` says how to go on.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::{Map, Value};

wit_bindgen::generate!({ path: "../wit", world: "plugin" });

use exports::trunkline::plugin::transform::{Batch, Guest, Mistake, Outcome, Rejection};
use trunkline::plugin::host::{Level, count, log};

/// What stands below `config:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The member that is set.
    field: String,
    /// Its value.
    value: Value,
}

thread_local! {
    // An instance has one thread, so this is its memory.
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
}

struct Plugin;

impl Guest for Plugin {
    fn configure(config: String) -> Result<(), Vec<Mistake>> {
        // What a panic says would be lost: a trap has no words.
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
        let mistake = |path: &str, message: String| Mistake {
            path: path.to_owned(),
            message,
        };
        let config: Config =
            serde_json::from_str(&config).map_err(|wrong| vec![mistake("", wrong.to_string())])?;
        if config.field.is_empty() {
            return Err(vec![mistake("/field", "it needs a name".into())]);
        }
        CONFIG.replace(Some(config));
        Ok(())
    }

    fn apply(batch: Batch) -> Result<Vec<Outcome>, String> {
        CONFIG.with_borrow(|config| {
            let config = config.as_ref().ok_or("it was not configured")?;
            Ok(batch
                .events
                .iter()
                .map(|it| one(config, &it.body))
                .collect())
        })
    }
}

fn one(config: &Config, body: &str) -> Outcome {
    let Ok(mut body) = serde_json::from_str::<Map<String, Value>>(body) else {
        return Outcome::Reject(Rejection {
            reason: "not_an_object".into(),
            message: "the event is no JSON object".into(),
        });
    };
    body.insert(config.field.clone(), config.value.clone());
    count("set", 1);
    match serde_json::to_string(&body) {
        Ok(body) => Outcome::Replace(vec![body]),
        Err(_) => Outcome::Keep,
    }
}

export!(Plugin);
