//! What can be found out about a server of points without writing any.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::{Client, Server, body, unsent};
use crate::layer::{Finding, Grade};

/// For each question.
const QUESTION: Duration = Duration::from_secs(8);
/// Most of an answer that is read.
const MOST: usize = 1 << 20;

/// Looks whether the server can be reached, takes the token and has the bucket, without writing.
/// InfluxDB 2 is asked for the bucket by its name (`GET /api/v2/buckets`); other servers have no such
/// call, and nothing that says more than that they are there.
pub async fn probe(server: &Server) -> Vec<Finding> {
    let client = match Client::new(server, QUESTION) {
        Ok(client) => client,
        Err(failure) => return vec![Finding::new(Grade::Error, failure.to_string())],
    };
    let mut found = vec![match server.url.scheme() {
        "http" => Finding::new(
            Grade::Warning,
            "not encrypted on the way: `url` is an `http` URL",
        ),
        _ => Finding::new(Grade::Good, "encrypted on the way (TLS)"),
    }];
    found.push(client.bucket_there(server).await);
    found
}

impl Client {
    async fn bucket_there(&self, server: &Server) -> Finding {
        let url = server.at("buckets", false);
        let asked = self.http.get(url).query(&[("name", &server.bucket)]);
        let response = match asked.send().await {
            Ok(response) => response,
            Err(error) => return Finding::new(Grade::Error, unsent(error).to_string()),
        };
        let status = response.status();
        let answer = body(response, MOST).await.unwrap_or_default();
        let answer: Option<Value> = serde_json::from_slice(&answer).ok();
        told(status, answer.as_ref(), &server.bucket)
    }
}

fn told(status: StatusCode, answer: Option<&Value>, bucket: &str) -> Finding {
    let field = |name| answer.and_then(|answer| answer.get(name));
    let buckets = field("buckets").and_then(Value::as_array);
    let named = |found: &Value| found.get("name").and_then(Value::as_str) == Some(bucket);
    let unseen = "the server does not show the bucket to this token: it is not there, or the token may \
         only write";
    let number = status.as_u16();
    match (number, buckets) {
        (200, Some(buckets)) if buckets.iter().any(named) => {
            Finding::new(Grade::Good, "the token is taken, and the bucket is there")
        }
        (200, Some(_)) => Finding::new(Grade::Unknown, unseen),
        (404, _) if field("code").and_then(Value::as_str) == Some("not found") => {
            Finding::new(Grade::Unknown, unseen)
        }
        (401, _) => Finding::new(
            Grade::Error,
            "the server does not take the token (HTTP 401)",
        ),
        (403, _) => Finding::new(
            Grade::Unknown,
            "the token may not list buckets, so that the bucket was not looked for",
        ),
        (300..=399, _) => Finding::new(
            Grade::Error,
            format!("the server answers with a redirect, which is not followed (HTTP {number})"),
        ),
        (500.., _) => Finding::new(
            Grade::Error,
            format!("the server is not available (HTTP {number})"),
        ),
        _ => Finding::new(
            Grade::Unknown,
            "the server is there; whether it takes the token and has the bucket it does not say \
             without being written to",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_says_is_told() {
        let grade = |status: u16, answer: &Value| {
            told(StatusCode::from_u16(status).unwrap(), Some(answer), "b").grade
        };
        assert_eq!(
            grade(200, &json!({"buckets": [{"name": "b"}]})),
            Grade::Good
        );
        assert_eq!(
            grade(200, &json!({"buckets": [{"name": "c"}]})),
            Grade::Unknown
        );
        assert_eq!(grade(200, &json!({"status": "ok"})), Grade::Unknown);
        assert_eq!(grade(404, &json!({"code": "not found"})), Grade::Unknown);
        for status in [401, 302, 500, 503] {
            assert_eq!(grade(status, &json!({})), Grade::Error, "{status}");
        }
        for status in [400, 403, 404, 405] {
            assert_eq!(grade(status, &json!({})), Grade::Unknown, "{status}");
        }
    }
}
