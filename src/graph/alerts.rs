//! `alerts:` of a pipeline: where it is told when an alert is raised or cleared, besides log and metric.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::timeout;
use url::Url;

use crate::client::http;
use crate::diagnostic::Report;
use crate::layer::Backoff;
use crate::observe::{Alert, Observer};
use crate::setting::{Fields, Node, Secret, Setting};

/// Posts of one alert in all, the first included.
const TRIES: u32 = 5;
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    most: Duration::from_secs(10),
};
/// For what is left to tell at the end of a run.
const LAST: Duration = Duration::from_secs(2);

/// What a pipeline file says of its alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertWebhook {
    /// `webhook`: each change is posted there as JSON. Held as a secret: such addresses often are one.
    url: Secret,
    /// `token`: sent as the bearer token; default none.
    token: Option<Secret>,
    /// `timeout` of one post; default 5 s.
    timeout: Duration,
}

/// `alerts: { webhook, token, timeout }`; `None` when it is absent, wrong (which is reported), or when
/// the variable that names the address is not set.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<AlertWebhook> {
    let read = |f: &mut Fields<'_>| {
        f.takes("webhook", Secret::shape);
        f.takes("token", Secret::shape);
        let node = f.required_node("webhook");
        let token = f.node("token").filter(|node| !node.is_unset());
        let token = token.and_then(|node| Secret::read(node, f.report()));
        let timeout = f.or("timeout", Duration::from_secs(5));
        if timeout.is_zero() {
            let span = f.span_of("timeout");
            f.error("out-of-range", span, "`timeout` must be longer than zero");
        }
        let node = node.filter(|node| !node.is_unset())?;
        Some(AlertWebhook {
            url: address("webhook", "https://alerts.example/hook", node, f.report())?,
            token,
            timeout,
        })
    };
    fields.section("alerts", "alerts", read)
}

/// A message about it never shows it.
pub(super) fn address(
    field: &str,
    such_as: &str,
    node: &Node,
    report: &mut Report,
) -> Option<Secret> {
    let secret = Secret::read(node, report)?;
    let url = Url::parse(secret.expose()).ok();
    if url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return Some(secret);
    }
    let place = node.from_variable.then_some(node.span);
    let message = format!("the `{field}` at line {} is no address", node.span.line);
    report
        .error("bad-url", place, message)
        .hint(format!("write it as `{such_as}`"));
    None
}

/// Tells every change until nobody can raise an alert any more. One that cannot be told is in the log.
pub(super) async fn tell(webhook: &AlertWebhook, changes: &mut Receiver<Alert>, of: &Observer) {
    let Some(client) = client(webhook) else {
        return;
    };
    loop {
        match changes.recv().await {
            Ok(alert) => post(&client, webhook, of, &alert).await,
            Err(RecvError::Lagged(missed)) => lagged(missed),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Tells what is left at the end of a run.
pub(super) async fn tell_last(
    webhook: &AlertWebhook,
    changes: &mut Receiver<Alert>,
    of: &Observer,
) {
    let Some(client) = client(webhook) else {
        return;
    };
    let rest = async {
        loop {
            match changes.try_recv() {
                Ok(alert) => post(&client, webhook, of, &alert).await,
                Err(TryRecvError::Lagged(missed)) => lagged(missed),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    };
    if timeout(LAST, rest).await.is_err() {
        tracing::warn!("alerts: the webhook did not take all of them before the end");
    }
}

fn client(webhook: &AlertWebhook) -> Option<reqwest::Client> {
    let client = http::client(webhook.timeout);
    if let Err(failure) = &client {
        tracing::error!(%failure, "alerts: nothing can be told to the webhook");
    }
    client.ok()
}

fn lagged(missed: u64) {
    tracing::warn!(
        missed,
        "alerts: the webhook is slower than they come; these were not told"
    );
}

async fn post(client: &reqwest::Client, webhook: &AlertWebhook, of: &Observer, alert: &Alert) {
    let said = json!({
        "pipeline": of.pipeline(),
        "node": alert.node,
        "alert": alert.name,
        "active": alert.active,
        "message": alert.message,
        "time": Timestamp::now().to_string(),
    });
    for attempt in 1..=TRIES {
        let mut request = client.post(webhook.url.expose()).json(&said);
        if let Some(token) = &webhook.token {
            request = request.bearer_auth(token.expose());
        }
        let why = match request.send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => {
                let status = answer.status();
                let may_pass = status.is_server_error() || status.as_u16() == 429;
                if !may_pass {
                    tracing::error!(%status, alert = alert.name, "alerts: the webhook refused it");
                    return;
                }
                status.to_string()
            }
            Err(error) => http::told(error),
        };
        if attempt == TRIES {
            tracing::error!(
                why,
                alert = alert.name,
                "alerts: the webhook cannot be told"
            );
            return;
        }
        tokio::time::sleep(BACKOFF.wait(attempt, None)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use tokio::net::TcpListener;
    use tokio::sync::{Mutex, mpsc};

    use super::*;

    /// What a post held, and its bearer token.
    type Posted = (serde_json::Value, Option<String>);
    type Shared = Arc<(mpsc::UnboundedSender<Posted>, Mutex<Vec<u16>>)>;

    /// Answers with these in turn, then with 200.
    async fn server(answers: &[u16]) -> (String, mpsc::UnboundedReceiver<Posted>) {
        let (posted, received) = mpsc::unbounded_channel();
        let shared: Shared = Arc::new((posted, Mutex::new(answers.to_vec())));
        let take = async |State(shared): State<Shared>, headers: HeaderMap, body: String| {
            let token = headers.get("authorization");
            let token = token.map(|token| token.to_str().unwrap().to_owned());
            let body = serde_json::from_str(&body).unwrap();
            shared.0.send((body, token)).unwrap();
            let mut answers = shared.1.lock().await;
            let status = match answers.is_empty() {
                true => 200,
                false => answers.remove(0),
            };
            StatusCode::from_u16(status).unwrap()
        };
        let router = Router::new().route("/hook", post(take)).with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move {
            crate::client::listener::serve(listener, None, router, 10, std::future::pending::<()>())
                .await
        });
        (url, received)
    }

    fn webhook(url: &str) -> AlertWebhook {
        AlertWebhook {
            url: Secret::new(url),
            token: Some(Secret::new("t0ken")),
            timeout: Duration::from_secs(5),
        }
    }

    fn alert(active: bool) -> Alert {
        Alert {
            name: "breaker_open",
            node: Some("messages".into()),
            message: "acme".into(),
            active,
        }
    }

    #[tokio::test]
    async fn changes_are_posted_in_order_and_again_where_that_may_help() {
        let (url, mut received) = server(&[503, 429]).await;
        let (observer, webhook) = (Observer::new("p"), webhook(&url));
        let mut changes = observer.alert_changes();
        observer.alert(alert(true));
        observer.alert(alert(true));
        observer.alert(alert(false));
        let told = tell(&webhook, &mut changes, &observer);
        let seen = async {
            let mut seen = Vec::new();
            while seen.len() < 4 {
                seen.push(received.recv().await.unwrap());
            }
            seen
        };
        let seen = tokio::select! {
            () = told => unreachable!("the observer lives"),
            seen = seen => seen,
        };
        let active: Vec<bool> = seen
            .iter()
            .map(|(body, _)| body["active"] == true)
            .collect();
        assert_eq!(
            active,
            [true, true, true, false],
            "twice again, then the other"
        );
        let (body, token) = &seen[0];
        assert_eq!(token.as_deref(), Some("Bearer t0ken"));
        for (name, value) in [
            ("pipeline", "p"),
            ("node", "messages"),
            ("alert", "breaker_open"),
        ] {
            assert_eq!(body[name], value);
        }
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_is_told_and_a_refusal_is_no_reason_to_wait() {
        let (url, mut received) = server(&[401]).await;
        let (observer, webhook) = (Observer::new("p"), webhook(&url));
        let mut changes = observer.alert_changes();
        observer.alert(alert(true));
        observer.alert(alert(false));
        tell_last(&webhook, &mut changes, &observer).await;
        assert_eq!(received.try_recv().unwrap().0["active"], true);
        assert_eq!(received.try_recv().unwrap().0["active"], false);
        assert!(received.try_recv().is_err());
        // Nobody there: it ends all the same, within its time.
        let webhook = self::webhook("http://127.0.0.1:1/hook");
        observer.alert(alert(true));
        tell_last(&webhook, &mut changes, &observer).await;
    }
}
