//! `counters:`: where the numbers of conversations are read back from when the state has lost them.
//!
//! What was written last is in InfluxDB, so its greatest counter of each conversation is where the
//! conversation goes on. Without it numbers would begin anew, and points that were written would be
//! written over by earlier ones.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::influx::{Client, Series, Server};
use crate::failure::{Failure, Kind};
use crate::setting::Fields;

/// How far back, unless told.
const SINCE: Duration = Duration::from_secs(24 * 3600);
/// How long a server that is away is waited for at the start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// For one query.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The section `counters`.
#[derive(Clone, Debug)]
pub struct Counters {
    server: Server,
    series: Series,
    since: Duration,
}

impl Counters {
    /// Reads `type` (`influxdb`, the only one), `url`, `org`, `bucket`, `token`, `since` (default
    /// 24 h), `measurement`, `conversation` (a tag) and `counter` (a field; the three default to what
    /// the sink `influxdb` writes). With an empty `url` nothing is read back.
    pub(super) fn check(fields: &mut Fields<'_>) -> Option<Self> {
        fields.section("counters", "`counters`", |f| {
            f.choice("type", &[("influxdb", ())]);
            let unset = f.node("url").is_some_and(|node| node.is_unset());
            let default = Series::default();
            let series = Series {
                measurement: f.or("measurement", default.measurement),
                conversation: f.or("conversation", default.conversation),
                counter: f.or("counter", default.counter),
            };
            let since = f.or("since", SINCE);
            if since.is_zero() {
                let span = f.span_of("since");
                f.error("out-of-range", span, "`since` must be longer than zero");
            }
            if unset {
                for name in ["org", "bucket", "token"] {
                    f.node(name);
                }
                return None;
            }
            let server = Server::check(f)?;
            Some(Self {
                server,
                series,
                since,
            })
        })
    }

    /// The counters, by the text of their conversations' keys. Waits up to 30 s for a server that is
    /// away.
    ///
    /// # Errors
    /// `Fatal`, when they cannot be read: numbers that begin anew would be wrong for good.
    pub(super) async fn read(&self) -> Result<HashMap<String, u64>, Failure> {
        let client = Client::new(&self.server, TIMEOUT)?;
        let until = Instant::now() + PATIENCE;
        let since = jiff::Timestamp::now().as_microsecond();
        let since = since.saturating_sub(i64::try_from(self.since.as_micros()).unwrap_or(i64::MAX));
        loop {
            match client.max_counters(&self.series, since).await {
                Ok(counters) => return Ok(counters),
                Err(failure) if failure.kind() == Kind::Transient && Instant::now() < until => {
                    tracing::warn!(%failure, "the counters of conversations cannot be read back yet");
                    sleep(failure.retry_after().unwrap_or(PAUSE).min(PAUSE)).await;
                }
                Err(failure) => {
                    let message = format!("counters cannot be read back: {failure}");
                    return Err(Failure::fatal("counters_away", message));
                }
            }
        }
    }
}
