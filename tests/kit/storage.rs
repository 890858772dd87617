//! Servers of object storage, each of a test's own, and a way to put objects into them.

#![allow(dead_code, reason = "each test uses what it needs of it")]

#[path = "ports.rs"]
mod ports;

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use trunkline::client::bucket::{Azure, Google, Keys, Location, S3, Store};
use trunkline::client::http;
use trunkline::setting::Secret;

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// S3, SQS and the XML side of Google Cloud Storage, in memory. Takes any secret.
    Moto,
    /// S3 on a folder, which checks the secret.
    S3sFs,
    /// The same, which lets everybody in.
    S3sFsOpen,
    /// Azure Blob Storage.
    Azurite,
}

/// What s3s-fs is started with.
pub const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
pub const SECRET_KEY: &str = "s3s-fs-secret-of-a-test";
/// What every Azurite has, by its documentation.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server with a folder and a port of its own.
pub struct StorageServer {
    pub kind: Kind,
    pub dir: TempDir,
    port: u16,
    child: Child,
}

fn installed(name: &str, program: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).unwrap_or_default();
    let path = cache.join("trunkline").join(name).join(program);
    assert!(
        path.exists(),
        "{} is missing: run .ci/servers",
        path.display()
    );
    path
}

impl StorageServer {
    pub async fn start(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = ports::free();
        let child = launch(kind, &dir, port);
        let mut server = Self {
            kind,
            dir,
            port,
            child,
        };
        server.wait().await;
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`kill`](Self::kill), with what it had on its disk.
    pub async fn restart(&mut self) {
        self.child = launch(self.kind, &self.dir, self.port);
        self.wait().await;
    }

    async fn wait(&mut self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no server came up"
            );
            let gone = self.child.try_wait().unwrap();
            assert!(gone.is_none(), "{:?} ended at once: {gone:?}", self.kind);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a bucket.
    pub async fn bucket(&self, name: &str) -> Shelf {
        match self.kind {
            Kind::Moto => {
                let url = format!("{}/{name}", self.url());
                request("PUT", &url, Vec::new()).await;
                Shelf::Http(url)
            }
            Kind::S3sFs | Kind::S3sFsOpen => {
                let dir = self.dir.path().join(name);
                fs::create_dir_all(&dir).unwrap();
                Shelf::Folder(dir)
            }
            Kind::Azurite => {
                let url = format!("{}/{ACCOUNT}", self.url());
                // The store of the crate has no call for it: any `PUT` with a signature will do.
                azure_container(&url, name).await;
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let builder = MicrosoftAzureBuilder::new()
                    .with_account(ACCOUNT)
                    .with_access_key(ACCOUNT_KEY)
                    .with_container_name(name)
                    .with_endpoint(url)
                    .with_allow_http(true);
                Shelf::Azure(Arc::new(builder.build().unwrap()))
            }
        }
    }

    /// Where a pipeline finds it.
    pub fn location(&self, bucket: &str) -> Location {
        let endpoint = Some(self.url().parse().unwrap());
        let store = match self.kind {
            Kind::Moto | Kind::S3sFs | Kind::S3sFsOpen => Store::S3(S3 {
                bucket: bucket.to_owned(),
                region: None,
                endpoint,
                path_style: true,
                keys: Some(keys(SECRET_KEY)),
                expected_bucket_owner: None,
                request_payer: false,
            }),
            Kind::Azurite => Store::Azure(Azure {
                container: bucket.to_owned(),
                account: ACCOUNT.to_owned(),
                access_key: Some(Secret::new(ACCOUNT_KEY)),
                sas_token: None,
                endpoint: Some(format!("{}/{ACCOUNT}", self.url()).parse().unwrap()),
            }),
        };
        Location {
            store,
            prefix: String::new(),
        }
    }

    /// Moto as Google Cloud Storage: its XML interface is that of S3.
    pub fn google(&self, bucket: &str) -> Location {
        let account = r#"{"disable_oauth": true, "client_email": "", "private_key": "",
            "private_key_id": ""}"#;
        Location {
            store: Store::Google(Google {
                bucket: bucket.to_owned(),
                service_account: Some(Secret::new(account)),
                endpoint: Some(self.url().parse().unwrap()),
            }),
            prefix: String::new(),
        }
    }
}

impl Drop for StorageServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn keys(secret: &str) -> Keys {
    Keys {
        access_key_id: Secret::new(ACCESS_KEY),
        secret_access_key: Secret::new(secret),
        session_token: None,
    }
}

fn launch(kind: Kind, dir: &TempDir, port: u16) -> Child {
    let port = port.to_string();
    let mut command = match kind {
        Kind::Moto => {
            let mut command = Command::new(installed("moto-5.2.5", "bin/moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &port]);
            command
        }
        Kind::S3sFs | Kind::S3sFsOpen => {
            let mut command = Command::new(installed("s3s-fs-0.14.1", "bin/s3s-fs"));
            command.args(["--host", "127.0.0.1", "--port", &port]);
            if kind == Kind::S3sFs {
                command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]);
            }
            command.arg(dir.path());
            command
        }
        Kind::Azurite => {
            let script = "node_modules/azurite/dist/src/blob/main.js";
            let mut command = Command::new("node");
            command.arg(installed("azurite-3.35.0", script));
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port, "--silent"]);
            command.args(["--disableTelemetry", "--skipApiVersionCheck"]);
            command.arg("--location").arg(dir.path());
            command
        }
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{kind:?} does not start ({error}): run .ci/servers"))
}

/// A bucket as whoever fills it sees it.
#[derive(Clone)]
pub enum Shelf {
    /// By plain requests to this URL.
    Http(String),
    /// Files below a folder.
    Folder(PathBuf),
    /// Through the store's own client.
    Azure(Arc<dyn ObjectStore>),
}

impl Shelf {
    /// Puts an object there, in the place of another if need be.
    pub async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        match self {
            Shelf::Http(url) => request("PUT", &format!("{url}/{}", escaped(key)), bytes).await,
            Shelf::Folder(dir) => {
                let path = dir.join(key);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // As a careful writer does it: nobody sees half of it.
                let temporary = dir.with_extension("new");
                fs::write(&temporary, bytes).unwrap();
                fs::rename(temporary, path).unwrap();
            }
            Shelf::Azure(store) => {
                let key = Key::parse(key).unwrap();
                store.put(&key, bytes.into()).await.unwrap();
            }
        }
    }

    /// Takes an object away.
    pub async fn remove(&self, key: &str) {
        match self {
            Shelf::Http(url) => {
                request("DELETE", &format!("{url}/{}", escaped(key)), Vec::new()).await;
            }
            Shelf::Folder(dir) => fs::remove_file(dir.join(key)).unwrap(),
            Shelf::Azure(store) => store.delete(&Key::parse(key).unwrap()).await.unwrap(),
        }
    }
}

/// One request that must go well; its answer.
pub async fn request(method: &str, url: &str, body: Vec<u8>) {
    // Moto looks at none of this, but what was written by nobody may be read by nobody.
    let by = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, \
        SignedHeaders=host, Signature=00";
    let mut headers = HashMap::from([("authorization", by)]);
    // And as Google's store it is asked without credentials.
    if method == "PUT" && !url.contains('?') {
        headers.insert("x-amz-acl", "public-read");
    }
    answer(method, url, headers, body).await;
}

/// The same with headers, and what was answered.
pub async fn answer(
    method: &str,
    url: &str,
    headers: HashMap<&str, &str>,
    body: Vec<u8>,
) -> String {
    let client = http::client(Duration::from_secs(60)).unwrap();
    let mut request = client.request(method.parse().unwrap(), url).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{method} {url}: {status} {text}");
    text
}

/// Asks moto's SQS. It takes any signature, and finds the service in it.
pub async fn ask_queues(url: &str, action: &str, body: serde_json::Value) -> serde_json::Value {
    let target = format!("AmazonSQS.{action}");
    let scope = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/sqs/aws4_request, \
         SignedHeaders=host, Signature=0";
    let headers = HashMap::from([
        ("authorization", scope),
        ("x-amz-target", &target),
        ("content-type", "application/x-amz-json-1.0"),
    ]);
    let text = answer("POST", url, headers, body.to_string().into()).await;
    serde_json::from_str(&text).unwrap_or(serde_json::Value::Null)
}

/// Messages of a queue that are there, hidden ones included.
pub async fn messages(url: &str, queue: &str) -> u64 {
    let asked = serde_json::json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
    let answer = ask_queues(url, "GetQueueAttributes", asked).await;
    let number = |name: &str| -> u64 {
        let text = answer["Attributes"][name].as_str();
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    number("ApproximateNumberOfMessages") + number("ApproximateNumberOfMessagesNotVisible")
}

fn escaped(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let letter = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    key.bytes().map(letter).collect()
}

/// `PUT /container?restype=container`, signed by the shared key of the account.
async fn azure_container(url: &str, name: &str) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, Mac};
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let date = date.to_string();
    let version = "2021-08-06";
    // "Authorize with Shared Key": the header lines, then the resource, the account twice in
    // path-style URLs.
    let text = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n\
         /{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    );
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(&STANDARD.decode(ACCOUNT_KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let authorization = format!("SharedKey {ACCOUNT}:{signature}");
    let headers = HashMap::from([
        ("x-ms-date", date.as_str()),
        ("x-ms-version", version),
        ("authorization", authorization.as_str()),
    ]);
    let url = format!("{url}/{name}?restype=container");
    answer("PUT", &url, headers, Vec::new()).await;
}
