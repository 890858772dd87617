//! A way to a server on which things go wrong: answers are lost, or somebody else gives them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::routing::any;

/// What happens to the next request whose address or body holds a text.
pub enum Fault {
    /// It is answered so, and never reaches the server.
    Answer(&'static str, u16, String),
    /// It reaches the server, whose answer is lost.
    Lose(&'static str),
}

impl Fault {
    fn about(&self) -> &'static str {
        match self {
            Fault::Answer(text, ..) | Fault::Lose(text) => text,
        }
    }
}

/// What came.
#[derive(Clone)]
#[allow(dead_code, reason = "not every test looks at all of it")]
pub struct Seen {
    pub line: String,
    pub body: String,
    pub authorization: String,
}

#[derive(Default)]
struct Inside {
    target: Mutex<String>,
    faults: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<Seen>>,
}

/// The way.
#[derive(Clone)]
pub struct Front {
    inside: Arc<Inside>,
    pub url: String,
}

impl Front {
    /// To `target`; where that is empty only faults answer, and everything else is 404.
    pub async fn start(target: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inside = Arc::new(Inside::default());
        *inside.target.lock().unwrap() = target.to_owned();
        let app = Router::new().fallback(any(pass)).with_state(inside.clone());
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { inside, url }
    }

    pub fn will(&self, fault: Fault) {
        self.inside.faults.lock().unwrap().push_back(fault);
    }

    /// Faults that have not happened yet.
    pub fn left(&self) -> usize {
        self.inside.faults.lock().unwrap().len()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.inside.seen.lock().unwrap().clone()
    }
}

async fn pass(
    State(inside): State<Arc<Inside>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let text = String::from_utf8_lossy(&body).into_owned();
    let line = format!("{method} {uri}");
    let authorization = headers.get("authorization");
    let authorization = authorization.map_or("", |value| value.to_str().unwrap_or_default());
    inside.seen.lock().unwrap().push(Seen {
        line: line.clone(),
        body: text.clone(),
        authorization: authorization.to_owned(),
    });
    let fault = {
        let mut faults = inside.faults.lock().unwrap();
        let about = |fault: &Fault| line.contains(fault.about()) || text.contains(fault.about());
        let place = faults.iter().position(about);
        place.and_then(|place| faults.remove(place))
    };
    if let Some(Fault::Answer(_, status, body)) = fault {
        return answer(status, body.into());
    }
    let target = inside.target.lock().unwrap().clone();
    if target.is_empty() {
        return answer(404, "{}".into());
    }
    // The stand-in for BigQuery knows no keys that are not enforced.
    let keys = regex::Regex::new(r",\\n\s+PRIMARY KEY \([^)]*\) NOT ENFORCED").unwrap();
    let text = bound(keys.replace_all(&text, "").into_owned());
    let client = trunkline::client::http::client(std::time::Duration::from_secs(60)).unwrap();
    let mut request = client.request(method, format!("{target}{uri}")).body(text);
    for name in ["authorization", "content-type", "accept"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    match request.send().await {
        Err(_) => answer(503, "{}".into()),
        Ok(response) => {
            let status = response.status().as_u16();
            let body = response.bytes().await.unwrap_or_default();
            match fault {
                Some(_) => answer(503, "{}".into()),
                None => answer(status, body),
            }
        }
    }
}

/// The stand-in for BigQuery gives a query of several statements no parameters: here they are written
/// into it. What came is kept as it came.
fn bound(text: String) -> String {
    let Ok(mut job) = serde_json::from_str::<serde_json::Value>(&text) else {
        return text;
    };
    let Some(query) = job.pointer_mut("/configuration/query") else {
        return text;
    };
    let sql = query["query"].as_str().unwrap_or_default().to_owned();
    if !sql.contains("BEGIN TRANSACTION") {
        return text;
    }
    let parameters = query["queryParameters"].as_array().cloned();
    let parameters = parameters.unwrap_or_default();
    let name = regex::Regex::new("@([a-z_]+[0-9]*)").unwrap();
    let sql = name.replace_all(&sql, |found: &regex::Captures<'_>| {
        let mut known = parameters.iter();
        let parameter = known.find(|parameter| parameter["name"] == found[1]);
        let parameter = parameter.unwrap_or_else(|| panic!("no parameter {}", &found[1]));
        let value = parameter["parameterValue"]["value"].as_str().unwrap();
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        format!("'{}'", value.replace('\n', "\\n"))
    });
    query["query"] = sql.into_owned().into();
    query["queryParameters"] = serde_json::json!([]);
    job.to_string()
}

fn answer(status: u16, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}
