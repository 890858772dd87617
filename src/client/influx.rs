//! InfluxDB over HTTP: writing line protocol and asking by Flux.
//!
//! `POST /api/v2/write` is what InfluxDB 2 and 3, InfluxDB Cloud and 1.8 take (and what
//! VictoriaMetrics takes too); `POST /api/v2/query` is 2's alone. What answers mean follows the API
//! document of InfluxDB 2; where 1 and 3 word it differently, `answer` reads all three.

mod about;

pub use about::ABOUT;

mod answer;
mod csv;
mod flux;
mod probe;
mod server;

use std::time::Duration;

pub use answer::{Refused, Why};
pub use csv::{Column, Row};
pub use flux::{Heatmap, Series};
pub use hyper::body::Bytes;
pub use probe::probe;
pub use server::Server;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Url};

use super::http;
use crate::failure::{Cause, Failure, Kind};
use crate::layer::rehearsal::{Leaving, SECRET};

/// Most of an error's body that is read: a line of it for each of some ten thousand lines.
const MOST_ERROR: usize = 4 << 20;
/// Most of an answer to a query.
const MOST_ANSWER: usize = 64 << 20;
/// How long to wait where only a person can help (a token, a bucket), before it is tried again.
const HELD: Duration = Duration::from_secs(30);

/// The unit of the times in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl Precision {
    /// All with their names, which are those of the parameter `precision`.
    pub const ALL: [(&'static str, Precision); 4] = [
        ("ns", Precision::Ns),
        ("us", Precision::Us),
        ("ms", Precision::Ms),
        ("s", Precision::S),
    ];

    fn name(self) -> &'static str {
        match self {
            Precision::Ns => "ns",
            Precision::Us => "us",
            Precision::Ms => "ms",
            Precision::S => "s",
        }
    }
}

/// Why lines were not written.
#[derive(Debug)]
pub enum NotWritten {
    /// The server does not take some of the lines (400, 422).
    Refused(Refused),
    /// The request is larger than the server takes (413).
    TooLarge,
    /// Nothing will be taken until somebody acts: a token, a bucket, an address. All of these can be
    /// mended while events wait, so it is tried again, at long intervals.
    Held(Failure),
    /// It may go well if tried again.
    Failed(Failure),
}

/// A connection to one bucket. Clones share the pool.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    write: Url,
    query: Url,
    bucket: String,
    /// Whether each request has one.
    has_token: bool,
}

impl Client {
    /// To this server; does not connect yet. `timeout` bounds each request.
    ///
    /// # Errors
    /// `Fatal`, when the token cannot be sent as it is, or the machine has no randomness for TLS.
    pub fn new(server: &Server, timeout: Duration) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &server.token {
            let header = HeaderValue::from_str(&format!("Token {}", token.expose()));
            let mut header = header.map_err(|_| {
                let message = "the token has characters that no HTTP header takes";
                Failure::fatal("influx_token", message)
            })?;
            header.set_sensitive(true);
            headers.insert(AUTHORIZATION, header);
        }
        Ok(Self {
            http: http::client_with(timeout, headers)?,
            write: server.at("write", true),
            query: server.at("query", false),
            bucket: server.bucket.clone(),
            has_token: server.token.is_some(),
        })
    }

    /// A request that writes, without its lines.
    fn writing(&self, precision: Precision, gzip: bool) -> reqwest::RequestBuilder {
        let mut url = self.write.clone();
        url.query_pairs_mut()
            .append_pair("precision", precision.name());
        let request = self.http.post(url);
        let request = request.header(CONTENT_TYPE, "text/plain; charset=utf-8");
        match gzip {
            true => request.header(CONTENT_ENCODING, "gzip"),
            false => request,
        }
    }

    /// A request that would write, without its lines.
    pub fn leaving(&self, precision: Precision, gzip: bool) -> Leaving {
        let request = self.writing(precision, gzip).build();
        // The address was checked when the file was.
        let leaving = request.map_or_else(
            |_| Leaving::new("request", String::new()),
            |request| http::leaving(&request),
        );
        match self.has_token {
            true => leaving.with("authorization", SECRET),
            false => leaving,
        }
    }

    /// Writes lines of line protocol, which `gzip` says are compressed.
    ///
    /// # Errors
    /// When not all of them are written; see [`NotWritten`].
    pub async fn write(
        &self,
        lines: Bytes,
        precision: Precision,
        gzip: bool,
    ) -> Result<(), NotWritten> {
        let request = self.writing(precision, gzip).body(lines);
        let response = request
            .send()
            .await
            .map_err(|error| NotWritten::Failed(unsent(error)))?;
        let status = response.status();
        match status.as_u16() {
            200..300 => Ok(()),
            400 | 422 => {
                let body = body(response, MOST_ERROR).await;
                // An answer that is cut off says as much as one that says nothing.
                let body = body.unwrap_or_default();
                Err(NotWritten::Refused(answer::read(&body)))
            }
            413 => Err(NotWritten::TooLarge),
            _ => Err(not_taken(&response)),
        }
    }

    /// Asks by Flux; all rows of all tables of the answer.
    ///
    /// # Errors
    /// `Transient` for what may pass; `Fatal` (`influx_query`) when the server does not take the
    /// query, or answers what is no annotated CSV, more than 64 MiB or two million rows.
    pub async fn query_flux(&self, flux: &str) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        self.ask(flux, &mut |row| rows.push(row)).await?;
        Ok(rows)
    }

    async fn ask(&self, flux: &str, visit: &mut (dyn FnMut(Row) + Send)) -> Result<(), Failure> {
        let dialect = serde_json::json!({
            "query": flux, "type": "flux",
            "dialect": { "header": true, "annotations": ["datatype", "group", "default"] },
        });
        let request = self.http.post(self.query.clone());
        let request = request.header(ACCEPT, "application/csv").json(&dialect);
        let response = request.send().await.map_err(unsent)?;
        match response.status().as_u16() {
            200..300 => {}
            400 | 422 => {
                return Err(Failure::fatal(
                    "influx_query",
                    "InfluxDB does not take the query",
                ));
            }
            _ => match not_taken(&response) {
                NotWritten::Failed(failure) | NotWritten::Held(failure) => return Err(failure),
                NotWritten::TooLarge | NotWritten::Refused(_) => {
                    unreachable!("`not_taken` says neither")
                }
            },
        }
        let answer = body(response, MOST_ANSWER).await?;
        let text = std::str::from_utf8(&answer)
            .map_err(|_| Failure::fatal("influx_query", "the answer is not UTF-8"))?;
        csv::parse(text, visit)
            .map_err(|bad| Failure::fatal("influx_query", format!("the answer to the query {bad}")))
    }
}

/// What a status says that is no answer to what was sent.
fn not_taken(response: &Response) -> NotWritten {
    let status = response.status();
    let (reason, message) = match status.as_u16() {
        401 | 403 => ("influx_unauthorized", "InfluxDB does not take the token"),
        404 => (
            "influx_not_found",
            "InfluxDB has no such bucket, or the address is not its own",
        ),
        // A redirect would take the token elsewhere.
        300..=399 => (
            "influx_redirect",
            "InfluxDB answers with a redirect, which is not followed",
        ),
        408 | 429 | 500.. => return NotWritten::Failed(busy(response, status)),
        _ => (
            "influx_request",
            "InfluxDB does not take requests of this kind",
        ),
    };
    let cause = Cause {
        retry_after: Some(HELD),
        ..Cause::new(reason, format!("{message} (HTTP {})", status.as_u16()))
    };
    NotWritten::Held(Failure::new(Kind::Transient, cause))
}

/// Too much at the time, or ill.
fn busy(response: &Response, status: StatusCode) -> Failure {
    let (reason, what) = match status.as_u16() {
        429 => ("influx_throttled", "asks to be written to less often"),
        _ => ("influx_unavailable", "is not available"),
    };
    let message = format!("InfluxDB {what} (HTTP {})", status.as_u16());
    let asked = response.headers().get(RETRY_AFTER);
    let cause = Cause {
        retry_after: asked.and_then(http::retry_after),
        ..Cause::new(reason, message)
    };
    Failure::new(Kind::Transient, cause)
}

/// A request without an answer.
fn unsent(error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::transient("influx_timeout", "InfluxDB did not answer in time");
    }
    let message = format!("InfluxDB cannot be reached: {}", http::told(error));
    Failure::transient("influx_connection", message)
}

/// A body of at most `most` bytes.
async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unsent)? {
        if bytes.len() + chunk.len() > most {
            let message = format!("the answer is longer than {} MiB", most >> 20);
            return Err(Failure::fatal("influx_query", message));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_date() {
        let wait = |text: &str| http::retry_after(&HeaderValue::from_str(text).unwrap());
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999"), Some(Duration::from_secs(3600)));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(100);
        let text = jiff::fmt::rfc2822::to_string(&later.to_zoned(jiff::tz::TimeZone::UTC));
        let asked = wait(&text.unwrap()).unwrap();
        assert!((95..=100).contains(&asked.as_secs()), "{asked:?}");
    }
}
