//! Sending metrics: one document at a time, beside the pipeline, and never in its way.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::OtlpExport;
use crate::client::http;
use crate::layer::{Backoff, Finding, Grade};
use crate::observe::{Alert, Instance, Observer, render_otlp};

/// Between tries; a wait that is asked for (`Retry-After`) is obeyed where it is longer.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    most: Duration::from_secs(60),
};
/// For the last figures, at the end of a run.
const LAST: Duration = Duration::from_secs(2);
/// Longest answer that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Longest text of another system that is told.
const MAX_TOLD: usize = 200;

/// Sends the metrics of one run. Clones send the same.
#[derive(Clone)]
pub(in crate::graph) struct Pusher {
    export: OtlpExport,
    client: Client,
    observer: Observer,
    instance: Instance,
}

/// Why a document was not taken.
enum Refusal {
    /// It may be tried again, after so long at least (OTLP 1, "Retryable Response Codes").
    Later(String, Option<Duration>),
    /// It would be refused again.
    Never(String),
}

impl Pusher {
    /// `None` where nothing can be sent, which is logged.
    pub fn new(export: &OtlpExport, observer: &Observer) -> Option<Self> {
        let client = http::client_with(export.timeout, export.header_map());
        let client = client.inspect_err(|failure| {
            tracing::error!(%failure, "metrics: nothing can be sent");
        });
        Some(Self {
            client: client.ok()?,
            observer: observer.clone(),
            instance: Instance {
                service: export.service.clone(),
                id: export.instance.clone().unwrap_or_else(unique),
            },
            export: export.clone(),
        })
    }

    /// Sends what stands after each interval. What was not taken is not kept: figures add up since the
    /// beginning, so the next document says it too.
    pub async fn forever(self) {
        let mut failed = 0;
        let mut wait = self.export.interval;
        loop {
            sleep(wait).await;
            wait = match self.push().await {
                Ok(()) => {
                    failed = 0;
                    self.tell(false, "metrics are taken again".into());
                    self.export.interval
                }
                Err(Refusal::Later(why, asked)) => {
                    failed += 1;
                    self.tell(
                        true,
                        format!("metrics are not taken, and tried again: {why}"),
                    );
                    BACKOFF.wait(failed, asked)
                }
                Err(Refusal::Never(why)) => {
                    self.tell(true, format!("metrics are refused: {why}"));
                    self.export.interval
                }
            };
        }
    }

    /// Sends the last figures of a run, once.
    pub async fn last(&self) {
        let why = match timeout(LAST, self.push()).await {
            Ok(Ok(())) => return,
            Ok(Err(Refusal::Later(why, _) | Refusal::Never(why))) => why,
            Err(_) => format!("no answer within {LAST:?}"),
        };
        tracing::warn!(why, "metrics: the last figures were not taken");
    }

    /// One log line for each change, as for any alert.
    fn tell(&self, active: bool, message: String) {
        self.observer.alert(Alert {
            name: "metrics_unsent",
            node: None,
            message,
            active,
        });
    }

    async fn push(&self) -> Result<(), Refusal> {
        let document = render_otlp(&self.observer, &self.instance);
        post(&self.client, &self.export, &document).await
    }
}

async fn post(client: &Client, export: &OtlpExport, document: &Value) -> Result<(), Refusal> {
    let request = client
        .post(export.endpoint.expose())
        .header(CONTENT_TYPE, "application/json")
        .body(document.to_string());
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return Err(Refusal::Later(http::told(error), None)),
    };
    let status = answer.status();
    match status.as_u16() {
        200..=299 => taken(answer).await,
        429 | 502 | 503 | 504 => {
            let asked = answer.headers().get(reqwest::header::RETRY_AFTER);
            let asked = asked.and_then(http::retry_after);
            Err(Refusal::Later(status.to_string(), asked))
        }
        _ => Err(Refusal::Never(status.to_string())),
    }
}

/// A document that is taken in part is not to be sent again (OTLP 1, "Partial Success").
async fn taken(mut answer: Response) -> Result<(), Refusal> {
    let mut body = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        body.extend_from_slice(&part);
        if body.len() > MAX_BYTES {
            return Ok(());
        }
    }
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let partial = &told["partialSuccess"];
    let rejected = &partial["rejectedDataPoints"];
    let count = rejected
        .as_u64()
        .or_else(|| rejected.as_str()?.parse().ok());
    match count.unwrap_or(0) {
        0 => Ok(()),
        count => {
            let why = partial["errorMessage"].as_str().unwrap_or_default();
            let why = why.chars().filter(|c| !c.is_control()).take(MAX_TOLD);
            let why: String = why.collect();
            Err(Refusal::Never(format!(
                "{count} figures were not taken: {why}"
            )))
        }
    }
}

/// Sends a document without figures, which changes nothing there.
pub(in crate::graph) async fn probe(export: &OtlpExport) -> Vec<Finding> {
    let client = match http::client_with(export.timeout, export.header_map()) {
        Ok(client) => client,
        Err(failure) => return vec![Finding::new(Grade::Error, failure.to_string())],
    };
    // The pipeline runs without it, so no trouble here is an error.
    vec![
        match post(&client, export, &json!({ "resourceMetrics": [] })).await {
            Ok(()) => Finding::new(Grade::Good, "it takes metrics"),
            Err(Refusal::Later(why, _) | Refusal::Never(why)) => {
                Finding::new(Grade::Warning, format!("it takes no metrics: {why}"))
            }
        },
    ]
}

/// Tells workers apart that say nothing of themselves.
fn unique() -> String {
    let mut bytes = [0; 16];
    // Without randomness they cannot be told apart, and all else goes on.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
