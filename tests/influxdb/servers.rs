//! Real servers of a test's own: a VictoriaMetrics, and an InfluxDB 1.6 behind a front that gives it
//! the paths of version 2.

#[path = "../kit/ports.rs"]
mod ports;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tempfile::TempDir;

use crate::runs::until;
use crate::stub::parameters;

/// A process that is killed with its test.
struct Process(Child);

impl Process {
    fn start(program: &str, arguments: &[String]) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| {
            panic!("`{program}` is needed here ({error}): `.ci/servers` installs it")
        }))
    }

    /// Asks it to end, and waits for that.
    fn stop(&mut self) {
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.unwrap().success());
        self.0.wait().unwrap();
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn get(url: String) -> Option<(u16, String)> {
    let response = trunkline::client::http::client(std::time::Duration::from_secs(10))
        .unwrap()
        .get(url)
        .send()
        .await
        .ok()?;
    let status = response.status().as_u16();
    Some((status, response.text().await.ok()?))
}

pub struct VictoriaMetrics {
    folder: TempDir,
    port: u16,
    process: Process,
}

impl VictoriaMetrics {
    pub async fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), ports::free());
        let process = Self::launch(&folder, port);
        let server = Self {
            folder,
            port,
            process,
        };
        server.wait().await;
        server
    }

    fn launch(folder: &TempDir, port: u16) -> Process {
        let arguments = [
            format!("-httpListenAddr=127.0.0.1:{port}"),
            format!("-storageDataPath={}", folder.path().display()),
            "-retentionPeriod=100y".to_owned(),
            "-memory.allowedBytes=256MB".to_owned(),
        ];
        Process::start("victoria-metrics", &arguments)
    }

    async fn wait(&self) {
        let url = || format!("{}/health", self.url());
        let answers = async || get(url()).await.is_some_and(|(status, _)| status == 200);
        until("started", answers).await;
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// It acknowledges what lies in its memory for some seconds, and writes that down when it is
    /// asked to end: that is how it is taken away here.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    pub async fn restart(&mut self) {
        self.process = Self::launch(&self.folder, self.port);
        self.wait().await;
    }

    /// All points of a field as participant -> (its tags, its times in ms, its values).
    pub async fn points(&self, field: &str) -> BTreeMap<String, serde_json::Value> {
        get(format!("{}/internal/force_flush", self.url()))
            .await
            .unwrap();
        let url = format!(
            "{}/api/v1/export?match[]=participant_state_{field}",
            self.url()
        );
        let (status, text) = get(url).await.unwrap();
        assert_eq!(status, 200, "{text}");
        let series = text.lines().map(|line| {
            let series: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = series["metric"]["participantId"]
                .as_str()
                .unwrap()
                .to_owned();
            (id, series)
        });
        series.collect()
    }
}

pub struct Influx {
    folder: TempDir,
    port: u16,
    process: Process,
    front: String,
}

impl Influx {
    pub async fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), ports::free());
        let process = Self::launch(&folder, port);
        let app = Router::new()
            .route("/api/v2/write", post(front))
            .with_state(port);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let server = Self {
            folder,
            port,
            process,
            front,
        };
        server.wait().await;
        server
    }

    fn launch(folder: &TempDir, port: u16) -> Process {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "reporting-enabled = false\nbind-address = \"127.0.0.1:0\"\n\
             [meta]\n  dir = '{}'\n[data]\n  dir = '{}'\n  wal-dir = '{}'\n\
             [monitor]\n  store-enabled = false\n[http]\n  bind-address = \"127.0.0.1:{port}\"\n",
            path("meta"),
            path("data"),
            path("wal")
        );
        std::fs::write(path("config"), config).unwrap();
        Process::start("influxd", &["run".into(), "-config".into(), path("config")])
    }

    async fn wait(&self) {
        let url = || format!("http://127.0.0.1:{}/ping", self.port);
        let answers = async || get(url()).await.is_some_and(|(status, _)| status == 204);
        until("started", answers).await;
    }

    /// Of the front.
    pub fn url(&self) -> &str {
        &self.front
    }

    /// What was answered lies in its log, which it syncs: `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub async fn restart(&mut self) {
        self.process = Self::launch(&self.folder, self.port);
        self.wait().await;
    }

    /// A statement of InfluxQL; the first cell of the first row behind its time.
    pub async fn ask(&self, query: &str) -> serde_json::Value {
        let client = trunkline::client::http::client(std::time::Duration::from_secs(20)).unwrap();
        let url = format!("http://127.0.0.1:{}/query?db=b", self.port);
        let request = client.post(url).form(&[("q", query)]);
        let text = request.send().await.unwrap().text().await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(json["results"][0]["error"].is_null(), "{text}");
        json["results"][0]["series"][0]["values"][0][1].clone()
    }
}

/// `/api/v2/write?bucket=b&precision=us` as `/write?db=b&precision=u`.
async fn front(
    State(port): State<u16>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = parameters(query);
    let precision = query["precision"].replace("us", "u");
    let url = format!(
        "http://127.0.0.1:{port}/write?db={}&precision={precision}",
        query["bucket"]
    );
    let client = trunkline::client::http::client(std::time::Duration::from_secs(20)).unwrap();
    let mut request = client.post(url).body(body);
    if let Some(encoding) = headers.get("content-encoding") {
        request = request.header("content-encoding", encoding);
    }
    match request.send().await {
        Ok(response) => {
            let status = StatusCode::from_u16(response.status().as_u16()).unwrap();
            (status, response.text().await.unwrap_or_default()).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
