//! What is wrong in a file is told at its place, all of it at once.

use trunkline::config::{Fixed, parse};
use trunkline::setting::Fields;
use trunkline::source::s3_export::{Config, ReadMode};

pub fn check(yaml: &str) -> (Option<Config>, Vec<(String, String)>) {
    let mut loaded = parse("source.yaml", yaml, &Fixed::new());
    let tree = loaded.tree.take().unwrap();
    let mut fields = Fields::new(&tree, "the source", &mut loaded.report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    let told = |it: trunkline::diagnostic::Diagnostic| (it.code.to_owned(), it.message);
    (config, loaded.report.iter().map(told).collect())
}

#[test]
fn a_url_is_enough() {
    let (config, told) = check("url: exports");
    let config = config.unwrap();
    assert_eq!(told, []);
    assert_eq!((config.read, config.parallel), (ReadMode::Follow, 16));
    assert_eq!((config.range, config.max_read_ahead), (8 << 20, 64 << 20));
    assert_eq!(
        (config.poll.as_secs(), config.look_back.as_secs()),
        (60, 48 * 3600)
    );
}

#[test]
fn every_mistake_is_told() {
    let (_, told) = check(
        "url: s3://exports\nread: once\ninclude: [\"[\"]\nfrom: yesterday\nkey_time: DD-MM\n\
         poll: 0s\nparallel: 0\nrange: 1MiB\nmax_read_ahead: 1KiB\nmin_age: 3d\n\
         sqs: { queue_url: \"https://sqs.eu-central-1.amazonaws.com/1/q\", wait: 1m }\nprefx: a",
    );
    let codes: Vec<&str> = told.iter().map(|(code, _)| code.as_str()).collect();
    for (code, count) in [
        ("bad-glob", 1),
        ("wrong-type", 1),
        ("unknown-value", 1),
        ("out-of-range", 4),
        ("conflicting-limits", 1),
        ("conflicting-fields", 1),
        ("unknown-field", 1),
    ] {
        let found = codes.iter().filter(|found| **found == code).count();
        assert_eq!(found, count, "{code}: {told:?}");
    }
    assert_eq!(told.len(), 10, "{told:?}");
    let (_, told) = check("url: exports\ndated_keys: true");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "conflicting-fields");
    let (config, told) = check("url: exports\ndated_keys: true\nkey_time: YYYY/MM/DD");
    assert!(told.is_empty() && config.unwrap().dated_keys, "{told:?}");
    let (_, told) = check("url: exports\nfrom: 2026-11-02\nto: 2026-11-01");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1.contains("`to` has to be later"));
}
