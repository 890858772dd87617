//! What is asked of an InfluxDB 2: the counters of conversations, and the activity of a day.
//!
//! Names go into a query as string literals, escaped so that nothing in them can end the literal or
//! begin an interpolation.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Client, Row};
use crate::clock::{format_timestamp, parse_timestamp};
use crate::failure::Failure;

/// What the sink has written, by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Default `participant_state`.
    pub measurement: String,
    /// The tag that holds the conversation's id; default `interactionId`.
    pub conversation: String,
    /// The field that holds the conversation's counter, and that every point has; default
    /// `vector_clock`.
    pub counter: String,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            measurement: "participant_state".to_owned(),
            conversation: "interactionId".to_owned(),
            counter: "vector_clock".to_owned(),
        }
    }
}

/// How many points there are for each minute of a day: by hour and minute.
pub type Heatmap = Box<[[u64; 60]; 24]>;

impl Client {
    /// The greatest counter of each conversation that has points since `since`, in microseconds
    /// since 1970.
    ///
    /// # Errors
    /// As [`Client::query_flux`]; `Fatal` too where a counter is no whole number.
    pub async fn max_counters(
        &self,
        series: &Series,
        since: i64,
    ) -> Result<HashMap<String, u64>, Failure> {
        let mut counters: HashMap<String, u64> = HashMap::new();
        let mut is_odd = false;
        let flux = counters_query(series, &self.bucket, since);
        let mut take = |row: Row| match (row.get(&series.conversation), row.count("_value")) {
            // One row for each, after `group()`; but nothing else promises it.
            (Some(id), Some(counter)) => {
                let kept = counters.entry(id.to_owned()).or_default();
                *kept = counter.max(*kept);
            }
            _ => is_odd = true,
        };
        self.ask(&flux, &mut take).await?;
        if is_odd {
            return Err(odd("a conversation or its counter"));
        }
        Ok(counters)
    }

    /// How many points there are for each minute of a day, by event time in a time zone. Where the
    /// clock is set back an hour counts twice, and where it is put forward an hour is empty.
    ///
    /// # Errors
    /// As [`Client::query_flux`]; `Fatal` too where the zone has no such day.
    pub async fn activity_by_minute(
        &self,
        series: &Series,
        day: Date,
        zone: &TimeZone,
    ) -> Result<Heatmap, Failure> {
        let no_day = |_| Failure::fatal("influx_query", "there is no such day");
        let next = day.tomorrow().map_err(no_day)?;
        let start = |day: Date| {
            let start = day.to_zoned(zone.clone()).map_err(no_day)?;
            Ok::<i64, Failure>(start.timestamp().as_microsecond())
        };
        let flux = activity(series, &self.bucket, start(day)?, start(next)?);
        let mut heatmap: Heatmap = Box::new([[0; 60]; 24]);
        for row in self.query_flux(&flux).await? {
            let time = row.get("_time").and_then(parse_timestamp);
            let time = time.and_then(|micros| Timestamp::from_microsecond(micros).ok());
            let (Some(time), Some(count)) = (time, row.count("_value")) else {
                return Err(odd("a minute or its count"));
            };
            let local = zone.to_datetime(time);
            let (hour, minute) = (local.hour() as usize, local.minute() as usize);
            heatmap[hour][minute] += count;
        }
        Ok(heatmap)
    }
}

fn odd(what: &str) -> Failure {
    let message = format!("the answer to the query has a row without {what}");
    Failure::fatal("influx_query", message)
}

fn counters_query(series: &Series, bucket: &str, since: i64) -> String {
    let conversation = literal(&series.conversation);
    format!(
        "{}  |> group(columns: [{conversation}])\n  |> max()\n  |> group()\n  \
         |> keep(columns: [{conversation}, \"_value\"])\n",
        points(
            series,
            bucket,
            &format!("start: {}", format_timestamp(since))
        )
    )
}

fn activity(series: &Series, bucket: &str, start: i64, stop: i64) -> String {
    let range = format!(
        "start: {}, stop: {}",
        format_timestamp(start),
        format_timestamp(stop)
    );
    format!(
        "{}  |> group()\n  |> aggregateWindow(every: 1m, fn: count, createEmpty: false, \
         timeSrc: \"_start\")\n  |> keep(columns: [\"_time\", \"_value\"])\n",
        points(series, bucket, &range)
    )
}

/// One value of each point of the series in a span of time.
fn points(series: &Series, bucket: &str, range: &str) -> String {
    format!(
        "from(bucket: {})\n  |> range({range})\n  \
         |> filter(fn: (r) => r._measurement == {} and r._field == {})\n",
        literal(bucket),
        literal(&series.measurement),
        literal(&series.counter)
    )
}

/// A string literal of Flux, quotes included.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // `${` begins an interpolation.
            '$' => out.push_str("\\x24"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\x20' | '\x7f' => {
                // A `String` takes everything.
                let _ = write!(out, "\\x{:02x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_literals() {
        assert_eq!(literal("plain ö"), "\"plain ö\"");
        assert_eq!(
            literal("a\") |> drop() //\\ ${x}\n\u{1}"),
            "\"a\\\") |> drop() //\\\\ \\x24{x}\\n\\x01\""
        );
        // Whatever the text: no quote but the outer ones is bare, and no line ends inside.
        for text in ["\"", "\\", "\\\"", "${", "\r\n", "$\\{"] {
            let literal = literal(text);
            let inside = &literal[1..literal.len() - 1];
            let mut letters = inside.chars();
            while let Some(letter) = letters.next() {
                assert!(letter != '"' && letter != '\n' && letter != '$', "{text:?}");
                if letter == '\\' {
                    letters.next().unwrap();
                }
            }
        }
    }

    #[test]
    fn queries_read_as_they_should() {
        let series = Series::default();
        assert_eq!(
            counters_query(&series, "b\"x", 1_763_629_200_000_000),
            "from(bucket: \"b\\\"x\")\n  |> range(start: 2025-11-20T09:00:00.000Z)\n  \
             |> filter(fn: (r) => r._measurement == \"participant_state\" and r._field == \"vector_clock\")\n  \
             |> group(columns: [\"interactionId\"])\n  |> max()\n  |> group()\n  \
             |> keep(columns: [\"interactionId\", \"_value\"])\n"
        );
        let flux = activity(&series, "b", 0, 86_400_000_000);
        assert!(
            flux.contains("range(start: 1970-01-01T00:00:00.000Z, stop: 1970-01-02T00:00:00.000Z)")
        );
        assert!(flux.contains("aggregateWindow(every: 1m, fn: count, createEmpty: false"));
    }
}
