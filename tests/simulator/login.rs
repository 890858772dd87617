//! OAuth, the errors that every path has, and rate limits.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::simulator::{Client as Known, Config, Limits, Simulator};

use crate::client::{Client, quiet, started, until};

async fn token(url: &str, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> (u16, Value) {
    let http = trunkline::client::http::client(Duration::from_secs(5)).unwrap();
    let request = http.post(format!("{url}/login/oauth/token")).form(form);
    let request = match basic {
        Some((id, secret)) => request.basic_auth(id, Some(secret)),
        None => request,
    };
    let reply = request.send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

#[tokio::test]
async fn tokens_are_given_for_basic_credentials_alone() {
    let simulator = Simulator::start(Config {
        refusal: 401,
        ..quiet()
    })
    .await
    .unwrap();
    let url = simulator.url();
    let grant = ("grant_type", "client_credentials");
    let (status, body) = token(&url, Some(("simulator", "simulator")), &[grant]).await;
    assert_eq!((status, &body["expires_in"]), (200, &json!(86_400)));
    let refused = |text: &str| json!({"error": "invalid_client", "description": text, "error_description": text});
    let wrong = token(&url, Some(("nobody", "simulator")), &[grant]).await;
    assert_eq!(wrong, (401, refused("client not found")));
    let wrong = token(&url, Some(("simulator", "guess")), &[grant]).await;
    assert_eq!(wrong, (401, refused("authentication failed")));
    // In the form instead of the header.
    let form = [
        grant,
        ("client_id", "simulator"),
        ("client_secret", "simulator"),
    ];
    assert_eq!(token(&url, None, &form).await.0, 401);
    let (status, body) = token(
        &url,
        Some(("simulator", "simulator")),
        &[("grant_type", "password")],
    )
    .await;
    assert_eq!(
        (status, &body["error"]),
        (400, &json!("unsupported_grant_type"))
    );
}

#[tokio::test]
async fn tokens_expire_on_the_simulated_clock_and_can_be_revoked() {
    let limits = Limits {
        token: Duration::from_secs(21_600),
        ..Limits::default()
    };
    let (simulator, client) = started(Config {
        speed: 10_000.0,
        limits,
        ..quiet()
    })
    .await;
    assert_eq!(client.get("/api/v2/users").await.status(), 200);
    simulator.control().revoke_tokens();
    let reply = client.get("/api/v2/users").await;
    assert_eq!(reply.status(), 401);
    let correlation = reply.headers()["inin-correlation-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let body: Value = reply.json().await.unwrap();
    assert_eq!(
        (&body["code"], &body["status"]),
        (&json!("bad.credentials"), &json!(401))
    );
    assert_eq!(body["contextId"], json!(correlation));
    let client = Client::login(&simulator.url(), "simulator", "simulator").await;
    // Six hours take 2.16 s.
    let control = simulator.control();
    let then = control.now();
    until("six hours", || {
        control.now().duration_since(then).as_hours() >= 6
    })
    .await;
    let body: Value = client.get("/api/v2/users").await.json().await.unwrap();
    assert_eq!(body["code"], "credentials.expired");
}

#[tokio::test]
async fn what_the_platform_would_refuse_is_refused() {
    let (simulator, client) = started(quiet()).await;
    let channels = "/api/v2/notifications/channels";
    let bare = client
        .http
        .get(format!("{}{channels}", client.url))
        .send()
        .await
        .unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(
        bare.json::<Value>().await.unwrap()["code"],
        "authentication.required"
    );
    // The same resource below both forms of path.
    assert_eq!(client.get(&format!("/api{channels}")).await.status(), 200);
    for (method, path, status, code) in [
        (Method::GET, "/api/v2/nothing", 404, "not.found"),
        (Method::GET, "/elsewhere", 404, "not.found"),
        (Method::DELETE, channels, 405, "method.not.allowed"),
        (Method::PUT, "/api/v2/users", 405, "method.not.allowed"),
        (Method::GET, "/oauth/token", 405, "method.not.allowed"),
        (
            Method::GET,
            "/api/v2/conversations/c0ffee",
            404,
            "not.found",
        ),
        (
            Method::GET,
            "/api/v2/notifications/channels/x/subscriptions",
            404,
            "not.found",
        ),
    ] {
        let reply = client.ask(method, path, None).await;
        assert_eq!(reply.status(), status, "{path}");
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["code"], code, "{path}");
        assert!(
            body["message"].is_string() && body["errors"] == json!([]),
            "{body}"
        );
    }
    let (id, _) = client.channel().await;
    let path = format!("{channels}/{id}/subscriptions");
    let raw = |kind: &'static str, body: &'static str| {
        let request = client
            .http
            .post(format!("{}{path}", client.url))
            .bearer_auth(&client.token);
        request.header("content-type", kind).body(body).send()
    };
    assert_eq!(raw("text/plain", "[]").await.unwrap().status(), 415);
    assert_eq!(raw("application/json", "[{").await.unwrap().status(), 400);
    assert_eq!(
        raw("application/json; charset=utf-8", "{\"id\": 1}")
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(
        raw("application/json", "[{\"id\": 5}]")
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(raw("application/json", "[]").await.unwrap().status(), 200);
    drop(simulator);
}

#[tokio::test]
async fn requests_are_limited_in_fixed_windows() {
    let limits = Limits {
        requests: 5,
        paths: vec![("/api/v2/users".into(), 2)],
        ..Limits::default()
    };
    let (simulator, client) = started(Config {
        limits,
        speed: 60.0,
        ..quiet()
    })
    .await;
    for used in 1..=2 {
        let reply = client.get("/api/v2/users").await;
        assert_eq!(reply.status(), 200);
        let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("inin-ratelimit-count"), used.to_string());
        assert_eq!(header("inin-ratelimit-allowed"), "2");
        // A simulated minute is a second of the client's.
        assert_eq!(header("inin-ratelimit-reset"), "1");
    }
    let reply = client.get("/api/v2/users").await;
    assert_eq!(reply.status(), 429);
    assert_eq!(reply.headers()["retry-after"], "1");
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["code"], "too.many.requests");
    assert_eq!(
        body["message"],
        "Rate limit exceeded the maximum. Retry the request in [1] seconds"
    );
    let key = "client.credentials.token.rate.per.minute";
    assert_eq!(
        body["limit"],
        json!({"key": key, "namespace": "platform.api", "value": 2})
    );
    // Others go on until the limit of the token; another token has its own.
    assert_eq!(client.get("/api/v2/organizations/me").await.status(), 200);
    assert_eq!(client.get("/api/v2/organizations/me").await.status(), 200);
    assert_eq!(client.get("/api/v2/organizations/me").await.status(), 429);
    let other = Client::login(&simulator.url(), "simulator", "simulator").await;
    assert_eq!(other.get("/api/v2/users").await.status(), 200);
    let control = simulator.control();
    let then = control.now();
    until("a minute", || {
        control.now().duration_since(then).as_mins() >= 1
    })
    .await;
    assert_eq!(client.get("/api/v2/users").await.status(), 200);
    assert_eq!(control.counts().limited, 2);
}

#[tokio::test]
async fn permissions_are_asked_for() {
    let known = Known {
        permissions: vec!["directory:user:view".into()],
        ..Known::new("few", "s")
    };
    let simulator = Simulator::start(Config {
        clients: vec![known],
        ..quiet()
    })
    .await
    .unwrap();
    let client = Client::login(&simulator.url(), "few", "s").await;
    assert_eq!(client.get("/api/v2/users").await.status(), 200);
    let reply = client.get("/api/v2/routing/queues").await;
    assert_eq!(reply.status(), 403);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["code"], "missing.any.permissions");
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("routing:queue:view")
    );
}
