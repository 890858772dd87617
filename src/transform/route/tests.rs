use std::sync::Arc;

use super::*;
use crate::config::Fixed;
use crate::event::PathSet;

fn check(yaml: &str) -> Result<Config, Vec<String>> {
    let loaded = crate::config::parse("t.yaml", yaml, &Fixed::default());
    let mut report = loaded.report;
    let tree = loaded.tree.unwrap();
    let mut fields = Fields::new(&tree, "transform `x` (route)", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    let told = report.iter().map(|item| {
        let at = item.span.map_or((0, 0), |span| (span.line, span.column));
        format!("{} {}:{}", item.code, at.0, at.1)
    });
    let told: Vec<_> = told.collect();
    match config {
        Some(config) if told.is_empty() => Ok(config),
        _ => Err(told),
    }
}

fn split(mut config: Config, bodies: &[&str]) -> (Vec<Vec<String>>, Vec<(&'static str, u64)>) {
    let mut set = PathSet::default();
    config.paths(&mut |path| set.intern(path));
    let set = Arc::new(set);
    let outputs = config.outputs().len();
    let parse = |body: &&str| Event::parse((*body).into(), &set, &Arc::default()).unwrap();
    let (batches, dropped) = config.open().split(bodies.iter().map(parse).collect());
    assert_eq!(batches.len(), outputs);
    let texts = |batch: &Batch| batch.events().iter().map(Event::to_json).collect();
    (batches.iter().map(texts).collect(), dropped)
}

const ROUTES: &str = "
routes:
  vip: { path: .q, equals: gold }
  call: { path: .t, equals: call }
";
const VIP: &str = r#"{"q":"gold","t":"call"}"#;
const CALL: &str = r#"{"t":"call"}"#;

#[test]
fn the_first_that_holds_wins_and_the_rest_has_an_output() {
    let config = check(ROUTES).unwrap();
    assert_eq!(config.outputs(), ["vip", "call", "else"]);
    let (outputs, dropped) = split(config, &["1", VIP, CALL, VIP, "2"]);
    assert_eq!(outputs, [vec![VIP, VIP], vec![CALL], vec!["1", "2"]]);
    assert!(dropped.is_empty());
    let config = check(&format!("{ROUTES}else: rest")).unwrap();
    assert_eq!(config.outputs(), ["vip", "call", "rest"]);
    let none: [Vec<String>; 3] = Default::default();
    assert_eq!(split(config, &[]).0, none);
}

#[test]
fn the_rest_can_be_dropped_and_is_counted() {
    let config = check(&format!("{ROUTES}else: drop")).unwrap();
    assert_eq!(config.outputs(), ["vip", "call"]);
    let (outputs, dropped) = split(config.clone(), &["1", CALL, "2"]);
    assert_eq!(outputs, [vec![], vec![CALL]]);
    assert_eq!(dropped, [("unrouted", 2)]);
    assert_eq!(split(config.clone(), &["1"]).1, [("unrouted", 1)]);
    assert_eq!(
        split(config, &[VIP, VIP]),
        (vec![vec![VIP.into(); 2], vec![]], vec![])
    );
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (yaml, expected) in [
        ("{}", vec!["missing-field 1:1"]),
        ("routes: {}", vec!["empty-value 1:9"]),
        ("routes: [a]", vec!["wrong-type 1:9"]),
        (
            "routes:\n  a.b: { label: late }\n  c: { labl: late }",
            vec!["bad-name 2:3", "unknown-field 3:8"],
        ),
        ("routes: { drop: { label: late } }", vec!["bad-name 1:11"]),
        (
            "routes: { invalid: { label: late } }",
            vec!["bad-name 1:11"],
        ),
        (
            "routes: { else: { label: late } }",
            vec!["duplicate-name 1:1"],
        ),
        (
            "{ routes: { a: { label: late } }, else: a }",
            vec!["duplicate-name 1:41"],
        ),
        (
            "{ routes: { a: { label: late } }, else: a b }",
            vec!["bad-name 1:41"],
        ),
        (
            "{ routes: { a: { label: late }, a: { label: gap } } }",
            vec!["duplicate-field 1:33"],
        ),
    ] {
        assert_eq!(check(yaml).unwrap_err(), expected, "{yaml}");
    }
}
