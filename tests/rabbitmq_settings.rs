//! The settings of the source and the sink `rabbitmq`: what they take, and what they say.

use std::time::Duration;

use trunkline::client::amqp::{Declare, QueueKind};
use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::Report;
use trunkline::setting::Fields;
use trunkline::sink::rabbitmq as sink;
use trunkline::source::rabbitmq as source;

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

const URL: &str = "url: 'amqps://me:hush@broker:5671/v'";

#[test]
fn the_source_has_defaults_for_all_but_the_broker_and_the_queue() {
    let (config, codes) = read(&format!("{URL}\nqueue: q"), source::Config::check);
    assert!(codes.is_empty(), "{codes:?}");
    let config = config.unwrap();
    assert_eq!(
        (
            config.prefetch.get(),
            config.batch_events,
            config.max_deliveries
        ),
        (1000, 500, 20)
    );
    assert_eq!((config.max_message, config.max_per_group), (1 << 20, 500));
    assert_eq!(
        (config.declare, config.topology.queue.kind),
        (Declare::Passive, QueueKind::Quorum)
    );
    assert!(config.parking.is_none() && config.group_by.is_none() && !config.is_stream());
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn what_the_source_cannot_be_is_told() {
    for (more, code) in [
        ("prefetch: 0", "out-of-range"),
        ("prefetch: 65536", "out-of-range"),
        ("batch_events: 4096", "out-of-range"),
        ("max_message: 1GB", "out-of-range"),
        ("heartbeat: 0s", "out-of-range"),
        ("declare: maybe", "unknown-value"),
        ("topology: { type: lazy }", "unknown-value"),
        ("topology: { durable: false }", "conflicting-fields"),
        (
            "topology: { bindings: [ { routing_key: x } ] }",
            "missing-field",
        ),
        (
            "consumer: { arguments: { x-stream-offset: somewhere } }",
            "unknown-value",
        ),
        ("parking: { queue: 'p.{group}' }", "conflicting-fields"),
        ("group_by: .g\nparking: { queue: p }", "bad-template"),
        (
            "group_by: .g\nparking: { queue: 'p.{group}', expires: 1m }",
            "out-of-range",
        ),
        (
            "group_by: .g\nparking: { queue: 'p.{group}', type: quorum, expires: 7d }",
            "conflicting-fields",
        ),
        (
            "group_by: .g\nconsumer: { arguments: { x-stream-offset: first } }",
            "conflicting-fields",
        ),
        ("group_by: .g\nmax_per_group: 5000", "conflicting-limits"),
        ("client_cert: a.pem", "conflicting-fields"),
        ("sasl: magic", "unknown-value"),
        ("prefetsh: 3", "unknown-field"),
    ] {
        let yaml = format!("{URL}\nqueue: q\n{more}");
        let (_, codes) = read(&yaml, source::Config::check);
        assert_eq!(codes, [code], "{more}");
    }
    let (config, codes) = read("url: 'http://me:hush@x'\nqueue: ''", source::Config::check);
    assert!(config.is_none());
    assert_eq!(codes, ["bad-url", "empty-value"]);
}

#[test]
fn a_topology_is_a_queue_with_its_arguments() {
    let yaml = format!(
        "{URL}\nqueue: q\ndeclare: true\ntopology: {{ type: quorum, delivery_limit: 7, message_ttl: 2s, \
         max_length: 9, dead_letter_exchange: dlx, arguments: {{ x-queue-leader-locator: balanced }}, \
         bindings: [ {{ exchange: e, type: topic, routing_key: 'a.#' }} ] }}"
    );
    let (config, codes) = read(&yaml, source::Config::check);
    assert!(codes.is_empty(), "{codes:?}");
    let config = config.unwrap();
    assert_eq!(config.declare, Declare::Create);
    let names: Vec<_> = config
        .topology
        .queue
        .arguments
        .inner()
        .keys()
        .map(ToString::to_string)
        .collect();
    let due = [
        "x-dead-letter-exchange",
        "x-delivery-limit",
        "x-max-length",
        "x-message-ttl",
        "x-queue-leader-locator",
        "x-queue-type",
    ];
    assert_eq!(names, due);
    assert_eq!(
        config.topology.bindings[0].exchange.kind.as_deref(),
        Some("topic")
    );
}

#[test]
fn the_sink_goes_to_an_exchange_or_to_one_queue() {
    let (config, codes) = read(
        &format!("{URL}\nqueue: q\nexpiration: 1h"),
        sink::Config::check,
    );
    assert!(codes.is_empty(), "{codes:?}");
    let config = config.unwrap();
    assert_eq!((config.exchange.name.as_str(), config.in_flight), ("", 500));
    assert_eq!(config.routing_key, sink::Template::plain("q"));
    assert!(config.mandatory && config.persistent);
    assert_eq!(
        config.properties.expiration,
        Some(Duration::from_secs(3600))
    );
    for (more, codes) in [
        ("exchange: e", &[][..]),
        ("exchange: e\nrouting_key: 'a.{.b}'", &[]),
        ("exchange: e\nrouting_key: 'a.{b}'", &["bad-template"]),
        ("exchange: e\nqueue: q", &["conflicting-fields"]),
        ("routing_key: x", &["missing-field"]),
        ("mandatory: true", &["missing-field"]),
        (
            "exchange: e\ntopology: { type: classic }",
            &["conflicting-fields"],
        ),
        ("exchange: e\nin_flight: 0", &["out-of-range"]),
        ("exchange: e\nmessage_id: id", &["bad-field-path"]),
        ("exchange: e\nheaders: { a: '{' }", &["bad-template"]),
    ] {
        let (_, found) = read(&format!("{URL}\n{more}"), sink::Config::check);
        assert_eq!(found, codes, "{more}");
    }
}
