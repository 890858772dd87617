//! The settings of sources and sinks that read and write bytes: what they take, and what they say.

use std::time::Duration;

use trunkline::codec::{Compression, Framing, LineSync};
use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::Report;
use trunkline::setting::Fields;
use trunkline::sink::{blackhole, file as file_sink, stdout};
use trunkline::source::file::{Config, Order, ReadMode};
use trunkline::source::stdin;

/// Reads `yaml` with `check`, and the codes of what is wrong with it.
fn read<T>(
    yaml: &str,
    check: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> (Option<T>, Vec<String>) {
    let loaded = parse("p.yaml", yaml, &Fixed::default());
    let tree = loaded.tree.expect("good YAML");
    let mut report = Report::new("p.yaml");
    let mut fields = Fields::new(&tree, "component `x`", &mut report).expect("a mapping");
    let config = check(&mut fields);
    fields.finish();
    let codes = report.iter().map(|found| found.code.to_owned()).collect();
    (config, codes)
}

fn good<T>(yaml: &str, check: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> T {
    let (config, codes) = read(yaml, check);
    assert!(codes.is_empty(), "{codes:?}");
    config.expect("no mistake was found")
}

#[test]
fn a_file_source_needs_a_path_and_has_defaults_for_the_rest() {
    let config = good("path: in", Config::check);
    assert_eq!(config, Config::new("in".into()));
    assert_eq!(config.format.compression, Compression::Auto);
    assert_eq!(config.format.limits.record_bytes, 1 << 20);
    assert_eq!(config.format.limits.block_records, 1000);
    let all = "
        path: exports/**/*.gz
        recursive: true
        read: follow
        poll: 5s
        include: ['a*', 'b*']
        exclude: ['*.tmp']
        order: modified
        framing: array
        compression: gzip
        max_record: 2KiB
        batch_events: 10";
    let config = good(all, Config::check);
    assert_eq!(
        (config.read, config.order),
        (ReadMode::Follow, Order::Modified)
    );
    assert_eq!(config.poll, Duration::from_secs(5));
    assert_eq!((config.include.len(), config.exclude.len()), (2, 1));
    assert_eq!(config.format.framing, Framing::Array);
    assert_eq!(config.format.limits.record_bytes, 2048);
}

#[test]
fn every_mistake_in_a_file_source_is_found_in_one_go() {
    let wrong = "
        path: 'in/{a'
        read: twice
        poll: 0s
        include: ['[']
        framing: rows
        max_record: 1GiB
        batch_events: 5000
        speed: 9";
    let (_, codes) = read(wrong, Config::check);
    let expected = [
        "unknown-value",
        "out-of-range",
        "unknown-value",
        "out-of-range",
        "out-of-range",
        "bad-glob",
        "bad-glob",
        "unknown-field",
    ];
    assert_eq!(codes.len(), expected.len(), "{codes:?}");
    for code in expected {
        let count = |codes: &mut dyn Iterator<Item = &str>| codes.filter(|c| *c == code).count();
        let found = count(&mut codes.iter().map(String::as_str));
        assert_eq!(
            found,
            count(&mut expected.into_iter()),
            "{code} in {codes:?}"
        );
    }
    let (config, codes) = read("read: once", Config::check);
    assert_eq!((config, codes), (None, vec!["missing-field".to_owned()]));
}

#[test]
fn the_standard_input_is_not_compressed_unless_said() {
    let config = good("batch_events: 5", stdin::Config::check);
    assert_eq!(config.format.compression, Compression::None);
    let config = good("compression: auto", stdin::Config::check);
    assert_eq!(config.format.compression, Compression::Auto);
    assert_eq!(read("path: x", stdin::Config::check).1, ["unknown-field"]);
}

#[test]
fn sinks_take_what_they_say() {
    let config = good("path: out/a.ndjson", file_sink::Config::check);
    assert_eq!((config.append, config.sync), (true, LineSync::None));
    let all = "{ path: a, append: false, sync: batch, format: json_lines }";
    let config = good(all, file_sink::Config::check);
    assert_eq!((config.append, config.sync), (false, LineSync::Batch));
    assert_eq!(read("path: out/", file_sink::Config::check).1, ["bad-path"]);
    assert_eq!(
        read("{ path: a, format: csv }", file_sink::Config::check).1,
        ["unknown-value"]
    );
    good("{}", stdout::Config::check);
    good("{}", blackhole::Config::check);
}
