//! The same metrics as an `ExportMetricsServiceRequest` of OpenTelemetry, in the JSON encoding of OTLP 1:
//! names in lowerCamelCase, 64-bit integers as text, enumerations as numbers.

use serde_json::{Value, json};

use super::{BOUNDS_US, HistogramReading, Observer, Reading, Sheet, seconds, walk};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: counted since the run began, as Prometheus has it. What is not
/// sent is missing in nothing but time.
const CUMULATIVE: u8 = 2;

/// Whose metrics they are: the attributes of the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: tells workers of one service apart.
    pub id: String,
}

/// The metrics of one run as they stand now. A counter begins with the run; a family without figures
/// is left out. Names are those of Prometheus without `_total`, which that adds to a counter of
/// OpenTelemetry by itself.
#[must_use]
pub fn render(observer: &Observer, instance: &Instance) -> Value {
    let reading = observer.read();
    let mut sheet = Metrics {
        started: nanos(reading.started),
        now: nanos(observer.clock().now()),
        family: None,
        points: Vec::new(),
        done: Vec::new(),
    };
    walk(std::slice::from_ref::<Reading>(&reading), &mut sheet);
    sheet.finish();
    json!({ "resourceMetrics": [{
        "resource": { "attributes": attributes(&[
            ("service.name", &instance.service),
            ("service.instance.id", &instance.id),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ]) },
        "scopeMetrics": [{
            "scope": { "name": "trunkline", "version": env!("CARGO_PKG_VERSION") },
            "metrics": sheet.done,
        }],
    }] })
}

struct Metrics {
    started: String,
    now: String,
    /// Name, kind and help of the family whose points come.
    family: Option<(&'static str, &'static str, &'static str)>,
    points: Vec<Value>,
    done: Vec<Value>,
}

impl Metrics {
    fn finish(&mut self) {
        let points = std::mem::take(&mut self.points);
        let Some((name, kind, help)) = self.family.take().filter(|_| !points.is_empty()) else {
            return;
        };
        let name = name.strip_suffix("_total").unwrap_or(name);
        let mut metric = json!({ "name": name, "description": help, "unit": unit(name) });
        let (member, data) = match kind {
            "counter" => (
                "sum",
                json!({
                    "dataPoints": points,
                    "aggregationTemporality": CUMULATIVE,
                    "isMonotonic": true,
                }),
            ),
            "histogram" => (
                "histogram",
                json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE }),
            ),
            _ => ("gauge", json!({ "dataPoints": points })),
        };
        metric[member] = data;
        self.done.push(metric);
    }
}

impl Sheet for Metrics {
    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        self.finish();
        self.family = Some((name, kind, help));
    }

    fn sample(&mut self, _: &'static str, labels: &[(&str, &str)], value: f64) {
        let mut point = json!({
            "attributes": attributes(labels),
            "timeUnixNano": self.now,
            "asDouble": value,
        });
        // What a gauge shows began at no time.
        if matches!(self.family, Some((_, "counter", _))) {
            point["startTimeUnixNano"] = self.started.as_str().into();
        }
        self.points.push(point);
    }

    fn histogram(&mut self, _: &'static str, labels: &[(&str, &str)], reading: &HistogramReading) {
        // There each bucket has its own count, those below it not included.
        let before = [0].into_iter().chain(reading.cumulative.iter().copied());
        let counts = reading.cumulative.iter().zip(before);
        let counts = counts.map(|(n, before)| n.saturating_sub(before).to_string());
        let bounds = BOUNDS_US.iter().map(|us| seconds(*us));
        self.points.push(json!({
            "attributes": attributes(labels),
            "startTimeUnixNano": self.started,
            "timeUnixNano": self.now,
            "count": reading.count().to_string(),
            "sum": reading.sum_seconds,
            "bucketCounts": counts.collect::<Vec<_>>(),
            "explicitBounds": bounds.collect::<Vec<_>>(),
        }));
    }
}

/// As UCUM writes it.
fn unit(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

/// An empty label is none.
fn attributes(labels: &[(&str, &str)]) -> Vec<Value> {
    let all = labels.iter().filter(|(_, value)| !value.is_empty());
    all.map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } }))
        .collect()
}

/// Nanoseconds since 1970; times before that are none of a clock that is set.
fn nanos(time: jiff::Timestamp) -> String {
    time.as_nanosecond().max(0).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::{NodeKind, RunState};

    fn told() -> (Observer, Value) {
        let observer = Observer::new("calls");
        let sink = observer.node("out", NodeKind::Sink, "influxdb");
        sink.received(10, 2_000);
        sink.dropped("stale", 1);
        sink.buffer(5, 500, 1_000, 65_536);
        sink.latency(Duration::from_micros(70));
        sink.latency(Duration::from_secs(90));
        observer.set_state(RunState::Running);
        let instance = Instance {
            service: "trunkline".into(),
            id: "one".into(),
        };
        let told = render(&observer, &instance);
        (observer, told)
    }

    fn metric<'a>(told: &'a Value, name: &str) -> &'a Value {
        let all = &told["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        let mut found = all
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["name"] == name);
        let metric = found
            .next()
            .unwrap_or_else(|| panic!("no {name} in {all:#}"));
        assert!(found.next().is_none(), "{name} twice");
        metric
    }

    #[test]
    fn counters_gauges_and_histograms_are_what_they_are_there() {
        let (_observer, told) = told();
        let received = metric(&told, "trunkline_events_received");
        assert_eq!(
            (&received["unit"], &received["sum"]["isMonotonic"]),
            (&json!("1"), &json!(true))
        );
        assert_eq!(received["sum"]["aggregationTemporality"], 2);
        let point = &received["sum"]["dataPoints"][0];
        assert_eq!(point["asDouble"], 10.0);
        let attribute = |key, value| json!({ "key": key, "value": { "stringValue": value } });
        let expected = [
            attribute("pipeline", "calls"),
            attribute("node", "out"),
            attribute("component", "influxdb"),
        ];
        assert_eq!(point["attributes"], json!(expected));
        let time = |name: &str| point[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("timeUnixNano"));
        assert!(time("startTimeUnixNano") > 1_700_000_000_000_000_000);

        let buffer = metric(&told, "trunkline_buffer_bytes");
        assert_eq!(
            (
                &buffer["unit"],
                &buffer["gauge"]["dataPoints"][0]["asDouble"]
            ),
            (&json!("By"), &json!(500.0))
        );
        assert!(
            buffer["gauge"]["dataPoints"][0]
                .get("startTimeUnixNano")
                .is_none()
        );

        let latency = metric(&told, "trunkline_batch_latency_seconds");
        let point = &latency["histogram"]["dataPoints"][0];
        assert_eq!(
            (&latency["unit"], &point["count"]),
            (&json!("s"), &json!("2"))
        );
        let counts = point["bucketCounts"].as_array().unwrap();
        let bounds = point["explicitBounds"].as_array().unwrap();
        assert_eq!(counts.len(), bounds.len() + 1);
        assert_eq!(
            (&counts[1], &counts[2], &counts[19]),
            (&json!("1"), &json!("0"), &json!("1"))
        );
        assert_eq!(bounds[1], 0.0001);
    }

    #[test]
    fn it_says_the_same_as_the_page_for_prometheus() {
        let (observer, told) = told();
        let page = crate::observe::render_metrics(std::slice::from_ref(&observer));
        let metrics = &told["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        let points = |it: &Value| {
            let data = ["sum", "gauge", "histogram"]
                .iter()
                .find_map(|kind| it.get(kind));
            data.unwrap()["dataPoints"].as_array().unwrap().len()
        };
        let all: usize = metrics.as_array().unwrap().iter().map(points).sum();
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let lines =
            lines.filter(|line| !line.contains("_bucket{") && !line.contains("seconds_sum{"));
        assert_eq!(all, lines.count());
        let resource = told["resourceMetrics"][0]["resource"]["attributes"]
            .as_array()
            .unwrap();
        let keys: Vec<_> = resource
            .iter()
            .map(|it| it["key"].as_str().unwrap())
            .collect();
        assert_eq!(
            keys,
            ["service.name", "service.instance.id", "service.version"]
        );
    }
}
