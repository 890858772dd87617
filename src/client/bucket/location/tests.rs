use super::*;
use crate::diagnostic::{Report, Span};
use crate::setting::{Key, Node, Value};

fn node(value: Value) -> Node {
    Node::new(value, Span::default())
}

fn map(entries: Vec<(&str, Node)>) -> Node {
    let key = |name: &str| Key {
        name: name.to_owned(),
        span: Span::default(),
    };
    let entries = entries.into_iter();
    node(Value::Map(
        entries.map(|(name, node)| (key(name), node)).collect(),
    ))
}

fn text(text: &str) -> Node {
    node(Value::Text(text.to_owned()))
}

fn check(node: &Node) -> (Option<Location>, Vec<&'static str>) {
    let mut report = Report::new("f");
    let mut fields = Fields::new(node, "source `s`", &mut report).unwrap();
    let location = Location::check(&mut fields);
    fields.finish();
    (location, report.iter().map(|item| item.code).collect())
}

fn of_url(url: &str) -> (Option<Location>, Vec<&'static str>) {
    check(&map(vec![("url", text(url))]))
}

#[test]
fn a_url_says_which_store_and_which_part_of_it() {
    for (url, shown, prefix) in [
        ("s3://b", "s3://b", ""),
        ("s3://b/", "s3://b", ""),
        ("s3://b/exports", "s3://b", "exports/"),
        ("gs://b/a b/ü+%/", "gs://b", "a b/ü+%/"),
        ("examples/exports", "examples/exports", ""),
        ("file:///data/x", "/data/x", ""),
    ] {
        let (location, found) = of_url(url);
        let location = location.unwrap();
        assert!(found.is_empty(), "{url}: {found:?}");
        assert_eq!(
            (location.to_string().as_str(), location.prefix.as_str()),
            (shown, prefix)
        );
    }
}

#[test]
fn what_is_no_bucket_is_refused() {
    for url in [
        "",
        "s3://",
        "s3:///x",
        "http://h/b",
        "s3://key:word@b/x",
        "file://host/x",
    ] {
        let (location, found) = of_url(url);
        assert!(location.is_none(), "{url}");
        assert_eq!(found, ["bad-url"], "{url}");
    }
    assert_eq!(of_url("az://c").1, ["missing-field"]);
    assert_eq!(check(&map(vec![])).1, ["missing-field"]);
    let both = map(vec![("url", text("s3://b")), ("bucket", text("b"))]);
    assert_eq!(check(&both).1, ["conflicting-fields"]);
    let slash = map(vec![("bucket", text("b/x"))]);
    assert_eq!(check(&slash).1, ["bad-name"]);
}

#[test]
fn an_endpoint_means_path_style_unless_told() {
    let endpoint = ("endpoint", text("http://127.0.0.1:9000"));
    let (location, _) = check(&map(vec![("bucket", text("b")), endpoint.clone()]));
    let Store::S3(s3) = location.unwrap().store else {
        panic!("a bucket is one of S3")
    };
    assert!(s3.path_style && s3.endpoint.is_some());
    let off = ("path_style", node(Value::Bool(false)));
    let (location, _) = check(&map(vec![("bucket", text("b")), endpoint, off]));
    assert!(matches!(location.unwrap().store, Store::S3(s3) if !s3.path_style));
    let bad = map(vec![
        ("bucket", text("b")),
        ("endpoint", text("http://u:p@h")),
    ]);
    assert_eq!(check(&bad).1, ["bad-url"]);
}

#[test]
fn settings_of_another_store_are_a_mistake_but_for_a_url_out_of_a_variable() {
    let auth = || {
        map(vec![
            ("access_key_id", text("AKIA")),
            ("secret_access_key", text("hush")),
            ("account", text("acc")),
        ])
    };
    let entries = |url: Node| {
        map(vec![
            ("url", url),
            ("region", text("eu-central-1")),
            ("auth", auth()),
        ])
    };
    assert_eq!(check(&entries(text("folder"))).1, ["conflicting-fields"; 3]);
    let mut url = text("folder");
    url.from_variable = true;
    let (location, found) = check(&entries(url));
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(location.unwrap().store, Store::Folder("folder".into()));
    let half = map(vec![
        ("bucket", text("b")),
        ("auth", map(vec![("access_key_id", text("AKIA"))])),
    ]);
    assert_eq!(check(&half).1, ["missing-field"]);
}

#[test]
fn nothing_secret_is_printed() {
    let auth = map(vec![
        ("access_key_id", text("AKIAHUSH")),
        ("secret_access_key", text("hush")),
        ("session_token", text("hush")),
    ]);
    let (location, _) = check(&map(vec![("bucket", text("b")), ("auth", auth)]));
    let shown = format!("{:?}", location.unwrap());
    assert!(!shown.to_lowercase().contains("hush"), "{shown}");
}
