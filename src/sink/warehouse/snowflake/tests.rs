use super::super::config::{Config, Target};
use super::super::model::AGENTS;
use super::*;
use crate::diagnostic::{Report, Span};
use crate::setting::{Fields, Key, Node, Value};

fn check(dialect: &str, entries: &[(&str, &str)]) -> (Option<Config>, Vec<&'static str>) {
    let span = Span::default();
    let entry = |(name, text): &(&str, &str)| {
        let value = match *text {
            "true" => Value::Bool(true),
            text => Value::Text(text.to_owned()),
        };
        let name = (*name).to_owned();
        (Key { name, span }, Node::new(value, span))
    };
    let dialect = [("dialect", dialect)];
    let entries = dialect.iter().chain(entries).map(entry).collect();
    let node = Node::new(Value::Map(entries), span);
    let mut report = Report::new("f");
    let mut fields = Fields::new(&node, "sink `w`", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    (config, report.iter().map(|item| item.code).collect())
}

const PLACE: &[(&str, &str)] = &[("account", "a"), ("user", "u"), ("database", "d")];

#[test]
fn a_user_logs_in_in_one_way() {
    for (login, expected) in [
        (&[][..], &["missing-field"][..]),
        (&[("password", "hush")], &[]),
        (
            &[("private_key", "hush"), ("private_key_passphrase", "hush")],
            &[],
        ),
        (&[("private_key_file", "/key.pem")], &[]),
        (
            &[("password", "hush"), ("private_key_file", "/k")],
            &["conflicting-fields"],
        ),
        (
            &[("password", "hush"), ("timeout", "1ms")],
            &["out-of-range"],
        ),
        (&[("password", "hush"), ("staging", "true")], &[]),
        (
            &[("password", "hush"), ("path", "w.db")],
            &["unknown-field"],
        ),
    ] {
        let (config, found) = check("snowflake", &[PLACE, login].concat());
        assert_eq!(found, expected, "{login:?}");
        assert!(!format!("{config:?}").contains("hush"));
    }
}

#[test]
fn an_address_is_a_host_and_nothing_else() {
    for url in [
        "a.b",
        "ftp://h",
        "https://h/x",
        "https://u:p@h",
        "https://h?q",
    ] {
        let fields = [PLACE, &[("password", "p"), ("url", url)]].concat();
        assert_eq!(check("snowflake", &fields).1, ["bad-url"], "{url}");
    }
    let fields = [PLACE, &[("password", "p"), ("url", "http://127.0.0.1:1")]].concat();
    let (config, found) = check("snowflake", &fields);
    assert!(found.is_empty() && matches!(config.unwrap().target, Target::Snowflake(_)));
}

#[test]
fn bigquery_takes_one_kind_of_credentials_and_a_dataset() {
    for (more, expected) in [
        (&[][..], &[][..]),
        (&[("credentials_file", "/key.json")], &[]),
        (
            &[("credentials", "hush"), ("access_token", "hush")],
            &["conflicting-fields"],
        ),
        (&[("schema", "cc-analytics")], &["bad-name"]),
        (&[("url", "https://h/x?y")], &["bad-url"]),
        (&[("staging", "true")], &[]),
    ] {
        let (config, found) = check("bigquery", &[&[("project", "p")], more].concat());
        assert_eq!(found, expected, "{more:?}");
        assert!(!format!("{config:?}").contains("hush"));
    }
    assert_eq!(check("bigquery", &[("project", "p/../q")]).1, ["bad-name"]);
}

#[test]
fn an_answer_is_counted() {
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect();
    assert_eq!(counted(&row(&["3", "4"])), 7);
    assert_eq!(counted(&row(&["ok"])), 0);
    // Every merge has a place in the list by which it is found.
    assert!(MERGES.iter().any(|merge| merge.table == AGENTS.table));
}

#[test]
fn a_failure_says_what_can_be_done() {
    let found = found(vec![
        Some("T".into()),
        Some("C".into()),
        Some("TEXT".into()),
    ])
    .unwrap();
    assert!(!found.nullable && found.length.is_none());
    assert!(remedy(Some("003001")).contains("SELECT, INSERT and UPDATE"));
    assert!(remedy(None).is_empty());
}
