//! Tells the language of a text, by its letters and by which three of them follow each other.
//!
//! ```yaml
//! config:
//!   text: .message.body          # what is read
//!   target: language             # set to { code: de, confidence: 0.97 }; default `language`
//!   among: [en, de, fr, es]      # default: all that it knows
//!   least: 0.5                   # what is told with less confidence is left open; default 0
//! ```
//!
//! A short text says little: `ok` is a word of many languages. An event without such a text, or with one
//! that nothing can be said of, goes on as it is.

use std::cell::RefCell;

use serde_json::{Map, Value, json};
use whatlang::{Detector, Lang};

wit_bindgen::generate!({ path: "../wit", world: "plugin" });

use exports::trunkline::plugin::transform::{Batch, Guest, Mistake, Outcome};
use trunkline::plugin::host::{Level, count, log};

/// Codes of two letters (ISO 639-1) for those of three that the detector has.
const LANGUAGES: &[(&str, Lang)] = &[
    ("ar", Lang::Ara),
    ("cs", Lang::Ces),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hu", Lang::Hun),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("ko", Lang::Kor),
    ("nb", Lang::Nob),
    ("nl", Lang::Nld),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("sv", Lang::Swe),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("zh", Lang::Cmn),
];

struct Config {
    text: Vec<String>,
    target: String,
    detector: Detector,
    least: f64,
}

thread_local! {
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
}

struct Plugin;

impl Guest for Plugin {
    fn configure(config: String) -> Result<(), Vec<Mistake>> {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
        let config: Value = serde_json::from_str(&config).unwrap_or_default();
        let mut wrong = Vec::new();
        let read = read(&config, &mut |path, message| {
            wrong.push(Mistake {
                path,
                message: message.to_owned(),
            });
        });
        if !wrong.is_empty() {
            return Err(wrong);
        }
        CONFIG.replace(Some(read));
        Ok(())
    }

    fn apply(batch: Batch) -> Result<Vec<Outcome>, String> {
        CONFIG.with_borrow(|config| {
            let config = config.as_ref().ok_or("it was not configured")?;
            let outcomes = batch.events.iter().map(|it| one(config, &it.body));
            let outcomes: Vec<_> = outcomes.collect();
            let open = outcomes.iter().filter(|it| matches!(it, Outcome::Keep));
            count("left_open", open.count() as u64);
            Ok(outcomes)
        })
    }
}

fn read(config: &Value, wrong: &mut dyn FnMut(String, &str)) -> Config {
    for name in config.as_object().into_iter().flat_map(Map::keys) {
        if !["text", "target", "among", "least"].contains(&name.as_str()) {
            let name = name.replace('~', "~0").replace('/', "~1");
            wrong(format!("/{name}"), "there is no such field");
        }
    }
    let path = config["text"].as_str().unwrap_or_default();
    let text: Vec<_> = path.split('.').skip(1).map(str::to_owned).collect();
    if !path.starts_with('.') || text.iter().any(String::is_empty) {
        wrong("/text".into(), "expected a path such as `.message.body`");
    }
    let target = match &config["target"] {
        Value::Null => "language",
        Value::String(target) if !target.is_empty() => target,
        _ => {
            wrong("/target".into(), "expected the name of a member");
            ""
        }
    };
    let least = match &config["least"] {
        Value::Null => 0.0,
        least => least.as_f64().unwrap_or(-1.0),
    };
    if !(0.0..=1.0).contains(&least) {
        wrong("/least".into(), "expected a number between 0 and 1");
    }
    Config {
        text,
        target: target.to_owned(),
        detector: Detector::with_allowlist(among(&config["among"], wrong)),
        least,
    }
}

fn among(among: &Value, wrong: &mut dyn FnMut(String, &str)) -> Vec<Lang> {
    let all = || LANGUAGES.iter().map(|(_, language)| *language).collect();
    let codes = match among {
        Value::Null => return all(),
        Value::Array(codes) if !codes.is_empty() => codes,
        _ => {
            wrong(
                "/among".into(),
                "expected a list of languages such as `[en, de]`",
            );
            return all();
        }
    };
    let mut languages = Vec::new();
    for (number, code) in codes.iter().enumerate() {
        let known = LANGUAGES.iter().find(|(known, _)| code == known);
        match known {
            Some((_, language)) => languages.push(*language),
            None => wrong(format!("/among/{number}"), "it does not know this language"),
        }
    }
    languages
}

fn one(config: &Config, body: &str) -> Outcome {
    let Ok(mut body) = serde_json::from_str::<Map<String, Value>>(body) else {
        return Outcome::Keep;
    };
    let Some((first, rest)) = config.text.split_first() else {
        return Outcome::Keep;
    };
    let text = rest
        .iter()
        .try_fold(body.get(first), |value, name| Some(value?.get(name)));
    let Some(text) = text.flatten().and_then(Value::as_str) else {
        return Outcome::Keep;
    };
    let Some(found) = config.detector.detect(text) else {
        return Outcome::Keep;
    };
    let code = LANGUAGES
        .iter()
        .find(|(_, language)| *language == found.lang());
    let (Some((code, _)), true) = (code, found.confidence() >= config.least) else {
        return Outcome::Keep;
    };
    // Two digits: more would be noise.
    let confidence = (found.confidence() * 100.0).round() / 100.0;
    let told = json!({ "code": code, "confidence": confidence });
    body.insert(config.target.clone(), told);
    match serde_json::to_string(&body) {
        Ok(body) => Outcome::Replace(vec![body]),
        Err(_) => Outcome::Keep,
    }
}

export!(Plugin);
