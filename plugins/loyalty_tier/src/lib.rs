//! Enriches events with the loyalty tier of their customer, from a table in the configuration.
//!
//! ```yaml
//! config:
//!   key: .customer.id            # whose tier
//!   target: loyalty              # the member that is set; default `loyalty_tier`
//!   table: { c-17: gold, c-18: silver }
//!   rules:                       # asked in order where the table does not know the customer
//!     - { path: .order.total, at_least: 500, tier: silver }
//!   default: none                # without it, such an event goes on as it is
//! ```

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::{Map, Value};

wit_bindgen::generate!({ path: "../wit", world: "plugin" });

use exports::trunkline::plugin::transform::{Batch, Guest, Mistake, Outcome, Rejection};
use trunkline::plugin::host::{Level, count, log};

mod config;

use config::Config;

thread_local! {
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
}

struct Plugin;

impl Guest for Plugin {
    fn configure(config: String) -> Result<(), Vec<Mistake>> {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
        let mistake = |(path, message)| Mistake { path, message };
        let config = serde_json::from_str(&config).unwrap_or(Value::Null);
        let config = config::read(&config)
            .map_err(|mistakes| mistakes.into_iter().map(mistake).collect::<Vec<_>>())?;
        CONFIG.replace(Some(config));
        Ok(())
    }

    fn apply(batch: Batch) -> Result<Vec<Outcome>, String> {
        CONFIG.with_borrow(|config| {
            let config = config.as_ref().ok_or("it was not configured")?;
            let mut unknown = 0;
            let outcomes = batch
                .events
                .iter()
                .map(|it| one(config, &it.body, &mut unknown));
            let outcomes = outcomes.collect();
            count("unknown_customers", unknown);
            Ok(outcomes)
        })
    }
}

fn one(config: &Config, body: &str, unknown: &mut u64) -> Outcome {
    let Ok(mut body) = serde_json::from_str::<Map<String, Value>>(body) else {
        return Outcome::Reject(Rejection {
            reason: "not_an_object".into(),
            message: "the event is no JSON object".into(),
        });
    };
    let Some(tier) = config.tier(&body) else {
        *unknown += 1;
        return Outcome::Keep;
    };
    body.insert(config.target.clone(), tier.into());
    match serde_json::to_string(&body) {
        Ok(body) => Outcome::Replace(vec![body]),
        Err(_) => Outcome::Keep,
    }
}

impl Config {
    fn tier(&self, body: &Map<String, Value>) -> Option<&str> {
        let known = match at(body, &self.key) {
            Some(Value::String(key)) => self.table.get(key.as_str()),
            Some(Value::Number(key)) => self.table.get(key.to_string().as_str()),
            _ => None,
        };
        let ruled = || {
            let holds = |rule: &&config::Rule| {
                let value = at(body, &rule.path).and_then(Value::as_f64);
                value.is_some_and(|value| value >= rule.at_least)
            };
            self.rules.iter().find(holds).map(|rule| &rule.tier)
        };
        known
            .or_else(ruled)
            .or(self.default.as_ref())
            .map(String::as_str)
    }
}

/// What lies at a path of member names.
fn at<'v>(body: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(body.get(first)?, |value, name| value.get(name))
}

/// Customers and their tiers.
type Table = HashMap<String, String>;

export!(Plugin);
