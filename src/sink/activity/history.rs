//! Days that are older than what is kept: asked of the InfluxDB that a sink `influxdb` writes.
//!
//! There a minute has as many points as different times, states and participants of conversations,
//! which is what is counted here too.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio::sync::Semaphore;

use super::days::Grid;
use crate::client::influx::{Client, Series, Server};
use crate::failure::Failure;
use crate::setting::Fields;

/// How long a query may take unless told.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Who asks over HTTP is told after ten seconds that it took too long.
const LONGEST: Duration = Duration::from_secs(9);
/// Queries at the same time: a day takes the server a while.
const QUERIES: usize = 2;

/// `history:` of the sink.
#[derive(Clone, Debug)]
pub struct History {
    /// `url`, `org`, `bucket`, `token`, as of the sink `influxdb`.
    pub server: Server,
    /// `measurement` (`participant_state`), `interaction` (the tag `interactionId`) and `counter`
    /// (the field `vector_clock`).
    pub series: Series,
    /// `timeout`: for one query; default 8 s, at most 9 s.
    pub timeout: Duration,
}

impl History {
    /// Reads `history: { type: influxdb, … }`. With an empty `url` there is none, so that a variable
    /// can switch it off.
    pub(super) fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.node("history")?.get("url");
        if url.is_some_and(|url| url.as_text() == Some("")) {
            return None;
        }
        fields.section("history", "the `history`", |f| {
            f.choice("type", &[("influxdb", ())]);
            let server = Server::check(f);
            let default = Series::default();
            let series = Series {
                measurement: f.or("measurement", default.measurement),
                conversation: f.or("interaction", default.conversation),
                counter: f.or("counter", default.counter),
            };
            let timeout = f.or("timeout", TIMEOUT);
            if timeout.is_zero() || timeout > LONGEST {
                let message = format!("`timeout` is not between 1 ms and {LONGEST:?}");
                f.error("out-of-range", f.span_of("timeout"), message);
            }
            Some(Self {
                server: server?,
                series,
                timeout,
            })
        })
    }

    /// Does not connect yet.
    ///
    /// # Errors
    /// `Fatal` when the token cannot be sent as it is.
    pub(super) fn open(&self) -> Result<Past, Failure> {
        Ok(Past {
            client: Client::new(&self.server, self.timeout)?,
            series: self.series.clone(),
            places: Semaphore::new(QUERIES),
        })
    }
}

/// An open history.
pub(super) struct Past {
    client: Client,
    series: Series,
    places: Semaphore,
}

impl Past {
    /// The day in this zone.
    ///
    /// # Errors
    /// When the server does not answer, or not as it should.
    pub async fn day(&self, date: Date, zone: &TimeZone) -> Result<Grid, Failure> {
        let closed = |_| Failure::transient("influx_query", "no more queries are made");
        let _place = self.places.acquire().await.map_err(closed)?;
        let points = self
            .client
            .activity_by_minute(&self.series, date, zone)
            .await?;
        let row = |row: [u64; 60]| row.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        Ok(Grid(points.map(row)))
    }
}
