//! `metrics:` of a pipeline: its figures are sent to OpenTelemetry, besides being there for Prometheus.

mod push;

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::alerts;
use crate::setting::{Fields, Secret, Setting};

pub(super) use push::{Pusher, probe};

/// Headers that a file may add.
const MOST_HEADERS: usize = 16;
/// Shortest and longest interval.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);
/// Those that the request has by itself.
const OWN: [&str; 6] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// Where metrics are sent, by OTLP over HTTP with JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpExport {
    /// `endpoint`, with `/v1/metrics` where it says no path. Held as a secret: it may have a password.
    endpoint: Secret,
    /// `interval` between two; default 15 s.
    interval: Duration,
    /// `timeout` of one; default 10 s.
    timeout: Duration,
    /// `headers` that are added to each, such as `authorization`; default none.
    headers: Vec<(String, Secret)>,
    /// `service`: the attribute `service.name`; default `trunkline`.
    service: String,
    /// `instance`: the attribute `service.instance.id`; default one of its own for each run.
    instance: Option<String>,
}

/// `metrics: { otlp: { … } }`; `None` when it is absent, wrong (which is reported), or when the
/// variable that names the endpoint is not set.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<OtlpExport> {
    fields.section("metrics", "metrics", |f| f.section("otlp", "otlp", otlp))
}

fn otlp(f: &mut Fields<'_>) -> Option<OtlpExport> {
    f.takes("endpoint", Secret::shape);
    let node = f.required_node("endpoint");
    let interval = f.or("interval", Duration::from_secs(15));
    if !(SHORTEST..=LONGEST).contains(&interval) {
        let span = f.span_of("interval");
        f.error("out-of-range", span, "`interval` is from 1s to 1h");
    }
    let timeout = f.or("timeout", Duration::from_secs(10));
    if timeout.is_zero() || timeout > LONGEST {
        let span = f.span_of("timeout");
        f.error(
            "out-of-range",
            span,
            "`timeout` is longer than zero, and at most 1h",
        );
    }
    let mut headers = Vec::new();
    let _ = f.section("headers", "`headers`", |f| {
        headers = added(f);
        Some(())
    });
    let service = f
        .filled("service")
        .unwrap_or_else(|| "trunkline".to_owned());
    let instance = f.filled("instance");
    // A variable that is not set, and may not be, asks for none.
    let node = node.filter(|node| !node.is_unset())?;
    let endpoint = alerts::address("endpoint", "https://otel.example:4318", node, f.report())?;
    Some(OtlpExport {
        endpoint: whole(&endpoint),
        interval,
        timeout,
        headers,
        service,
        instance,
    })
}

/// Messages never show a value: it may be a key.
fn added(f: &mut Fields<'_>) -> Vec<(String, Secret)> {
    f.all_take(Secret::shape);
    let entries = f.entries();
    if entries.len() > MOST_HEADERS {
        let message = format!(
            "there are {} headers, of at most {MOST_HEADERS}",
            entries.len()
        );
        f.error("out-of-range", f.span(), message);
    }
    let mut headers = Vec::new();
    for (key, node) in entries.iter().filter(|(_, node)| !node.is_unset()) {
        let name = key.name.to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() || OWN.contains(&&*name) {
            let message = "this is no name of a header that can be added";
            f.error("out-of-range", key.span, message);
            continue;
        }
        let Some(value) = Secret::read(node, f.report()) else {
            continue;
        };
        if HeaderValue::from_str(value.expose()).is_err() {
            let message = "the value has letters that no header can carry";
            f.error("out-of-range", key.span, message);
            continue;
        }
        headers.push((name, value));
    }
    headers
}

/// The address of a collector, or that of its metrics (as `OTEL_EXPORTER_OTLP_ENDPOINT` and
/// `…_METRICS_ENDPOINT` have it).
fn whole(endpoint: &Secret) -> Secret {
    match Url::parse(endpoint.expose()) {
        Ok(mut url) if url.path() == "/" => {
            url.set_path("/v1/metrics");
            Secret::new(url.as_str())
        }
        _ => endpoint.clone(),
    }
}

impl OtlpExport {
    /// Values are kept out of every debug output of the client.
    fn header_map(&self) -> HeaderMap {
        let pair = |(name, value): &(String, Secret)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        };
        self.headers.iter().filter_map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Fixed};
    use crate::graph::check::{Checked, check};

    fn checked(otlp: &str) -> Checked {
        let text = format!(
            "version: 1\nname: p\nmetrics: {{ otlp: {otlp} }}\nsources:\n  in: {{ type: stdin }}\n\
             sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n\
             dead_letter: {{ type: blackhole }}\n"
        );
        let variables = Fixed::new()
            .with("KEY", "s3same")
            .with("BAD", "s3\u{7}same");
        check(&config::parse("p.yaml", &text, &variables))
    }

    #[test]
    fn all_of_it_is_read_and_no_secret_is_seen() {
        let otlp = "{ endpoint: \"http://u:hidden@127.0.0.1:4318\", interval: 5s, timeout: 2s, \
                    service: calls, instance: one, headers: { Api-Key: \"${KEY}\" } }";
        let export = checked(otlp).pipeline.unwrap().metrics.unwrap();
        assert_eq!(
            export.endpoint.expose(),
            "http://u:hidden@127.0.0.1:4318/v1/metrics"
        );
        assert_eq!(export.header_map()["api-key"], "s3same");
        assert_eq!(export.interval, Duration::from_secs(5));
        let shown = format!("{export:?} {:?}", export.header_map());
        assert!(
            !shown.contains("hidden") && !shown.contains("s3same"),
            "{shown}"
        );
        let own = checked("{ endpoint: \"https://x.example/otlp/metrics\" }");
        let own = own.pipeline.unwrap().metrics.unwrap();
        assert_eq!(own.endpoint.expose(), "https://x.example/otlp/metrics");
        assert_eq!(
            (own.interval, own.service.as_str()),
            (Duration::from_secs(15), "trunkline")
        );
        let unset = checked("{ endpoint: \"${OTLP:-}\" }");
        assert_eq!(
            (unset.report.errors(), unset.pipeline.unwrap().metrics),
            (0, None)
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        let with = |rest: &str| format!("{{ endpoint: \"http://h:4318\", {rest} }}");
        for (otlp, code) in [
            ("{ interval: 5s }".to_owned(), "missing-field"),
            ("{ endpoint: \"s3same:4318\" }".to_owned(), "bad-url"),
            (with("interval: 100ms"), "out-of-range"),
            (with("interval: 2h"), "out-of-range"),
            (with("timeout: 0s"), "out-of-range"),
            (with("headers: { \"a b\": x }"), "out-of-range"),
            (with("headers: { Content-Type: x }"), "out-of-range"),
            (with("headers: { key: \"${BAD}\" }"), "out-of-range"),
            (with("protocol: grpc"), "unknown-field"),
        ] {
            let checked = checked(&otlp);
            let told: Vec<_> = checked
                .report
                .iter()
                .map(|it| (it.code, it.message.clone()))
                .collect();
            assert!(told.len() == 1 && told[0].0 == code, "{otlp}: {told:?}");
            assert!(!told[0].1.contains("s3"), "{told:?}");
        }
    }
}
