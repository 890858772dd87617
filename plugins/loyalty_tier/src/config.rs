//! Reads the configuration by hand, so that every mistake is told at its place, all in one go.

use serde_json::{Map, Value};

use crate::Table;

/// What stands below `config:`.
pub struct Config {
    pub key: Vec<String>,
    pub target: String,
    pub table: Table,
    pub rules: Vec<Rule>,
    pub default: Option<String>,
}

/// A tier for all that have at least so much.
pub struct Rule {
    pub path: Vec<String>,
    pub at_least: f64,
    pub tier: String,
}

/// Where, as a JSON pointer, and what.
pub type Mistakes = Vec<(String, String)>;

const FIELDS: &[&str] = &["key", "target", "table", "rules", "default"];
const RULE: &[&str] = &["path", "at_least", "tier"];

pub fn read(config: &Value) -> Result<Config, Mistakes> {
    let mut wrong = Mistakes::new();
    let empty = Map::new();
    let fields = config.as_object().unwrap_or(&empty);
    unknown(fields, FIELDS, "", &mut wrong);
    let config = Config {
        key: path(fields, "key", "", &mut wrong),
        target: match fields.get("target") {
            None => "loyalty_tier".to_owned(),
            Some(_) => text(fields, "target", "", &mut wrong),
        },
        table: table(fields.get("table"), &mut wrong),
        rules: rules(fields.get("rules"), &mut wrong),
        default: fields
            .get("default")
            .map(|_| text(fields, "default", "", &mut wrong)),
    };
    match wrong.is_empty() {
        true => Ok(config),
        false => Err(wrong),
    }
}

fn unknown(fields: &Map<String, Value>, known: &[&str], within: &str, wrong: &mut Mistakes) {
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("there is no such field; there are `{}`", known.join("`, `"));
        wrong.push((format!("{within}/{}", escaped(name)), message));
    }
}

/// A name as a step of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn text(fields: &Map<String, Value>, name: &str, within: &str, wrong: &mut Mistakes) -> String {
    match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => return text.clone(),
        Some(_) => wrong.push((format!("{within}/{name}"), "expected text".into())),
        None => wrong.push((within.to_owned(), format!("the field `{name}` is missing"))),
    }
    String::new()
}

/// `.customer.id` as its names.
fn path(
    fields: &Map<String, Value>,
    name: &str,
    within: &str,
    wrong: &mut Mistakes,
) -> Vec<String> {
    let before = wrong.len();
    let text = text(fields, name, within, wrong);
    let names = text.strip_prefix('.').map(|names| names.split('.'));
    let names: Vec<_> = names.into_iter().flatten().map(str::to_owned).collect();
    if wrong.len() == before && (names.is_empty() || names.iter().any(String::is_empty)) {
        let message = "expected a path such as `.customer.id`";
        wrong.push((format!("{within}/{name}"), message.into()));
    }
    names
}

fn table(table: Option<&Value>, wrong: &mut Mistakes) -> Table {
    let mut read = Table::new();
    match table {
        None => {}
        Some(Value::Object(entries)) => {
            for (customer, tier) in entries {
                match tier.as_str() {
                    Some(tier) => drop(read.insert(customer.clone(), tier.to_owned())),
                    None => wrong.push((
                        format!("/table/{}", escaped(customer)),
                        "expected the name of a tier".into(),
                    )),
                }
            }
        }
        Some(_) => wrong.push((
            "/table".into(),
            "expected customers with their tiers".into(),
        )),
    }
    read
}

fn rules(rules: Option<&Value>, wrong: &mut Mistakes) -> Vec<Rule> {
    let Some(rules) = rules else {
        return Vec::new();
    };
    let Some(rules) = rules.as_array() else {
        wrong.push(("/rules".into(), "expected a list of rules".into()));
        return Vec::new();
    };
    let mut read = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let within = format!("/rules/{number}");
        let Some(fields) = rule.as_object() else {
            wrong.push((
                within,
                "expected a rule with `path`, `at_least`, `tier`".into(),
            ));
            continue;
        };
        unknown(fields, RULE, &within, wrong);
        let at_least = fields.get("at_least").and_then(Value::as_f64);
        if at_least.is_none() {
            let there = fields.contains_key("at_least");
            let at = if there { "/at_least" } else { "" };
            wrong.push((
                format!("{within}{at}"),
                "`at_least` has to be a number".into(),
            ));
        }
        read.push(Rule {
            path: path(fields, "path", &within, wrong),
            at_least: at_least.unwrap_or_default(),
            tier: text(fields, "tier", &within, wrong),
        });
    }
    read
}
