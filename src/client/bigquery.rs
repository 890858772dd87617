//! BigQuery by its REST API, version 2: query jobs, and what tables there are.
//!
//! A job's id is made here. When the answer to its insertion is lost, the job is asked for by that
//! id instead of being inserted once more (the API's own advice for `jobs.insert`).

mod error;
mod token;

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

pub use error::{Class, Error};
pub use token::{Auth, ServiceAccount};
pub use url::Url;

use super::http;
use crate::failure::Failure;
use token::Tokens;

/// Where the API is.
const API: &str = "https://bigquery.googleapis.com/";
/// Longest that a single request may take.
const REQUEST: Duration = Duration::from_secs(60);
/// How long to wait before a job is looked at again: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(5);
/// How often an insertion without an answer is repeated.
const INSERTIONS: usize = 3;
/// Most rows that are read of an answer. What is asked for here is far shorter.
const MOST_ROWS: usize = 50_000;
/// Most bytes of an answer.
const MOST_ANSWER: usize = 32 << 20;
/// Longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Which project, and as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The project that is billed and whose datasets are named without a project.
    pub project: String,
    /// Where jobs run, such as `EU`; BigQuery looks for itself if there is none.
    pub location: Option<String>,
    /// Instead of `https://bigquery.googleapis.com`: a private endpoint, or a server for tests.
    pub url: Option<Url>,
    /// How requests prove who sends them.
    pub auth: Auth,
    /// The longest that a job may take, waiting included.
    pub timeout: Duration,
}

/// A connection to one project. Holds a pool and a token.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    project: String,
    location: Option<String>,
    timeout: Duration,
    tokens: Tokens,
}

/// A row of an answer; numbers and times as text.
pub type Row = Vec<Option<String>>;

/// What a job was, once it is done.
struct Done {
    id: String,
    location: Option<String>,
}

impl Client {
    /// To this project; does not connect yet.
    ///
    /// # Errors
    /// `Fatal`, when the machine has no randomness for TLS.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let http = http::client(REQUEST.min(settings.timeout))?;
        let base = settings.url.clone().or_else(|| Url::parse(API).ok());
        let base = base.unwrap_or_else(|| unreachable!("the address of the API is one"));
        Ok(Self {
            tokens: Tokens::new(settings.auth.clone(), http.clone()),
            http,
            base,
            project: settings.project.clone(),
            location: settings.location.clone(),
            timeout: settings.timeout,
        })
    }

    /// Runs a statement to its end. `texts` are its parameters, by name.
    ///
    /// # Errors
    /// By [`Class`].
    pub async fn run(&self, sql: &str, texts: &[(&str, &str)]) -> Result<(), Error> {
        self.job(sql, texts).await.map(drop)
    }

    /// Runs a query; all rows of the answer.
    ///
    /// # Errors
    /// By [`Class`]; `Setup` for more than 50,000 rows or 32 MiB.
    pub async fn query(&self, sql: &str, texts: &[(&str, &str)]) -> Result<Vec<Row>, Error> {
        let done = self.job(sql, texts).await?;
        let mut url = self.at(&["queries", &done.id]);
        url.query_pairs_mut()
            .append_pair("maxResults", &MOST_ROWS.to_string());
        let answer = self
            .call(Method::GET, in_location(url, &done), None)
            .await?;
        if answer
            .get("pageToken")
            .is_some_and(|token| !token.is_null())
        {
            return Err(Error::setup("the answer has too many rows"));
        }
        let rows = answer.get("rows").and_then(Value::as_array);
        Ok(rows.into_iter().flatten().map(row).collect())
    }

    /// Lets BigQuery look at a statement without running it: costs nothing and changes nothing.
    ///
    /// # Errors
    /// What running it would say about tables, columns and rights.
    pub async fn prove(&self, sql: &str, texts: &[(&str, &str)]) -> Result<(), Error> {
        let mut job = self.description(&job_id()?, sql, texts);
        job["configuration"]["dryRun"] = Value::from(true);
        let job = self
            .call(Method::POST, self.at(&["jobs"]), Some(&job))
            .await?;
        outcome(&job)
    }

    /// What the API says about a dataset (`datasets.get`).
    ///
    /// # Errors
    /// By [`Class`].
    pub async fn dataset(&self, name: &str) -> Result<Value, Error> {
        let url = self.at(&["datasets", name]);
        self.call(Method::GET, url, None).await
    }

    /// What the API says about a table (`tables.get`).
    ///
    /// # Errors
    /// By [`Class`]; [`Error::is_missing`] where there is none.
    pub async fn table(&self, dataset: &str, name: &str) -> Result<Value, Error> {
        let url = self.at(&["datasets", dataset, "tables", name]);
        self.call(Method::GET, url, None).await
    }

    /// Which of these permissions we have on a table (`tables.testIamPermissions`).
    ///
    /// # Errors
    /// By [`Class`].
    pub async fn permissions(
        &self,
        dataset: &str,
        name: &str,
        asked: &[&str],
    ) -> Result<Vec<String>, Error> {
        let name = format!("{name}:testIamPermissions");
        let url = self.at(&["datasets", dataset, "tables", &name]);
        let body = json!({ "permissions": asked });
        let answer = self.call(Method::POST, url, Some(&body)).await?;
        // Of somebody who has none of them there is no list at all.
        let held = answer.get("permissions").and_then(Value::as_array);
        let held = held.into_iter().flatten().filter_map(Value::as_str);
        Ok(held.map(str::to_owned).collect())
    }

    async fn job(&self, sql: &str, texts: &[(&str, &str)]) -> Result<Done, Error> {
        let id = job_id()?;
        let deadline = Instant::now() + self.timeout;
        let mut job = self.insert(&id, sql, texts).await?;
        let location = job
            .pointer("/jobReference/location")
            .and_then(Value::as_str);
        let done = Done {
            id,
            location: location
                .map(str::to_owned)
                .or_else(|| self.location.clone()),
        };
        let mut wait = FIRST_LOOK;
        while job.pointer("/status/state").and_then(Value::as_str) != Some("DONE") {
            if Instant::now() + wait > deadline {
                self.cancel(&done).await;
                return Err(Error::busy("timeout", "the job did not end in time"));
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(LAST_LOOK);
            match self.call(Method::GET, self.at_job(&done), None).await {
                Ok(seen) => job = seen,
                // The job runs on meanwhile; the deadline bounds this.
                Err(error) if error.class == Class::Busy => {}
                Err(error) => return Err(error),
            }
        }
        outcome(&job).map(|()| done)
    }

    /// Inserts the job once, however often that takes.
    async fn insert(&self, id: &str, sql: &str, texts: &[(&str, &str)]) -> Result<Value, Error> {
        let job = self.description(id, sql, texts);
        let mut last = Error::busy("no_answer", "BigQuery does not answer");
        for attempt in 0..INSERTIONS {
            if attempt > 0 {
                sleep(FIRST_LOOK * (1 << attempt)).await;
            }
            match self
                .call(Method::POST, self.at(&["jobs"]), Some(&job))
                .await
            {
                Ok(job) => return Ok(job),
                Err(error) if error.may_have_begun() => last = error,
                Err(error) => return Err(error),
            }
            // The request may have been lost, or its answer.
            let done = Done {
                id: id.to_owned(),
                location: self.location.clone(),
            };
            match self.call(Method::GET, self.at_job(&done), None).await {
                Ok(job) => return Ok(job),
                Err(error) if error.is_missing() || error.class == Class::Busy => {}
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Asks for the end of a job that nobody waits for any more; whether that is heard or not.
    async fn cancel(&self, done: &Done) {
        let url = in_location(self.at(&["jobs", &done.id, "cancel"]), done);
        let _ = self.call(Method::POST, url, None).await;
    }

    fn description(&self, id: &str, sql: &str, texts: &[(&str, &str)]) -> Value {
        let parameters: Vec<Value> = texts
            .iter()
            .map(|(name, value)| {
                json!({
                    "name": name,
                    "parameterType": { "type": "STRING" },
                    "parameterValue": { "value": value },
                })
            })
            .collect();
        let mut reference = json!({ "projectId": self.project, "jobId": id });
        if let Some(location) = &self.location {
            reference["location"] = Value::from(location.as_str());
        }
        json!({
            "jobReference": reference,
            "configuration": {
                "jobTimeoutMs": self.timeout.as_millis().to_string(),
                "labels": { "made_by": "trunkline" },
                "query": {
                    "query": sql,
                    "useLegacySql": false,
                    "parameterMode": "NAMED",
                    "queryParameters": parameters,
                },
            },
        })
    }

    fn at(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["bigquery", "v2", "projects", &self.project])
                .extend(parts);
        }
        url
    }

    fn at_job(&self, done: &Done) -> Url {
        in_location(self.at(&["jobs", &done.id]), done)
    }

    async fn call(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Value, Error> {
        let request = |method: &Method| {
            let request = self.http.request(method.clone(), url.clone());
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        let token = self.tokens.get().await?;
        match self
            .send(authorized(request(&method), token.as_deref()))
            .await
        {
            // Revoked or past its time before it should be: another one, once.
            Err(error) if error.is_unauthorized() && self.tokens.forget(token).await => {
                let token = self.tokens.get().await?;
                self.send(authorized(request(&method), token.as_deref()))
                    .await
            }
            answer => answer,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, Error> {
        let response = request.send().await.map_err(Error::unsent)?;
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        let wait = wait.map(|wait| Duration::from_secs(wait).min(LONGEST_WAIT));
        let body = body(response).await?;
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            200..300 if json.is_object() => Ok(json),
            200..300 => Err(Error::busy("bad_answer", "BigQuery's answer is no JSON")),
            _ => Err(Error::answered(status, &json, wait)),
        }
    }
}

fn authorized(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

fn in_location(mut url: Url, done: &Done) -> Url {
    if let Some(location) = &done.location {
        url.query_pairs_mut().append_pair("location", location);
    }
    url
}

/// A job that is done may have failed.
fn outcome(job: &Value) -> Result<(), Error> {
    match job.pointer("/status/errorResult") {
        None | Some(Value::Null) => Ok(()),
        Some(error) => Err(Error::reported(error)),
    }
}

fn row(row: &Value) -> Row {
    let cells = row.get("f").and_then(Value::as_array);
    let text = |cell: &Value| match cell.get("v") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    cells.into_iter().flatten().map(text).collect()
}

/// An id that no other job has: 128 random bits.
fn job_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::busy("no_randomness", "the machine has no randomness"))?;
    Ok(format!("trunkline-{:032x}", u128::from_be_bytes(bytes)))
}

async fn body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::unsent)? {
        if bytes.len() + chunk.len() > MOST_ANSWER {
            return Err(Error::setup("the answer is longer than 32 MiB"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
