//! What a probe of the sink finds out, and that it writes nothing.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::IntoResponse;
use trunkline::client::influx::{Server, probe};
use trunkline::layer::Grade;
use trunkline::setting::Secret;

use crate::servers::VictoriaMetrics;

fn server(url: &str, bucket: &str, token: &str) -> Server {
    Server {
        url: url.parse().unwrap(),
        org: "o".to_owned(),
        bucket: bucket.to_owned(),
        token: Some(Secret::new(token)),
    }
}

async fn grade(server: &Server) -> Grade {
    let found = probe(server).await;
    assert!(!format!("{found:?}").contains("hush"), "{found:?}");
    assert_eq!(found[0].grade, Grade::Warning, "it is plain HTTP");
    found.last().unwrap().grade
}

#[tokio::test(flavor = "multi_thread")]
async fn version_2_says_whether_the_token_sees_the_bucket() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    let answer = move |method: Method, uri: Uri, headers: HeaderMap| async move {
        seen.lock().unwrap().push(format!("{method} {uri}"));
        let known = headers["authorization"] == "Token hush-right";
        let there = uri.query().unwrap_or_default().contains("name=mine");
        match (known, there) {
            (false, _) => (axum::http::StatusCode::UNAUTHORIZED, "{}").into_response(),
            (true, true) => r#"{"buckets":[{"name":"mine"}]}"#.into_response(),
            (true, false) => r#"{"buckets":[]}"#.into_response(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer);
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(
        grade(&server(&url, "mine", "hush-right")).await,
        Grade::Good
    );
    assert_eq!(
        grade(&server(&url, "other", "hush-right")).await,
        Grade::Unknown
    );
    assert_eq!(
        grade(&server(&url, "mine", "hush-wrong")).await,
        Grade::Error
    );
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls[0], "GET /api/v2/buckets?org=o&name=mine");
    assert!(
        calls.iter().all(|call| call.starts_with("GET ")),
        "{calls:?}"
    );
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_there_or_not() {
    let mut victoria = VictoriaMetrics::start().await;
    let server = server(&victoria.url(), "b", "hush");
    assert_eq!(grade(&server).await, Grade::Unknown);
    victoria.stop();
    assert_eq!(grade(&server).await, Grade::Error);
}
