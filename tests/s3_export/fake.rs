//! An S3 that can be made to lie: objects in memory, and a twist for each answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::storage::{ACCESS_KEY, SECRET_KEY};

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Of the object; empty for a listing.
    pub key: String,
    pub query: HashMap<String, String>,
    /// The first byte asked for.
    pub from: usize,
    /// How many requests like this one (key and range) there were before.
    pub nth: u32,
    pub at: Instant,
}

impl Asked {
    pub fn lists(&self) -> bool {
        self.key.is_empty()
    }
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// What `Content-Length` says; `None`: it is not there.
    pub length: Option<usize>,
}

impl Reply {
    pub fn error(status: u16, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        Self {
            status,
            headers: Vec::new(),
            length: Some(body.len()),
            body: body.into_bytes(),
        }
    }

    /// In place of a header that is there.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.headers.retain(|(it, _)| *it != name);
        self.headers.push((name, value.to_owned()));
    }
}

type Twist = Box<dyn Fn(&Asked, &mut Reply) + Send + Sync>;

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, (Vec<u8>, u32)>,
    versions: u32,
    seen: HashMap<(String, String, usize), u32>,
    asked: Vec<Asked>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    twist: Mutex<Option<Twist>>,
}

pub struct Fake {
    shared: Arc<Shared>,
    port: u16,
    task: JoinHandle<()>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, shared.clone()));
                }
            }
        });
        Self { shared, port, task }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap()
    }

    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let mut inner = self.inner();
        inner.versions += 1;
        let version = inner.versions;
        inner
            .objects
            .insert(key.to_owned(), (bytes.into(), version));
    }

    /// From now on each answer is changed like this.
    pub fn twist(&self, twist: impl Fn(&Asked, &mut Reply) + Send + Sync + 'static) {
        *self.shared.twist.lock().unwrap() = Some(Box::new(twist));
    }

    pub fn honest(&self) {
        *self.shared.twist.lock().unwrap() = None;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner().asked.clone()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The fields of a source that reads it.
    pub fn yaml(&self, more: &str) -> String {
        format!(
            "url: s3://exports\nendpoint: {}\nregion: us-east-1\n\
             auth: {{ access_key_id: {ACCESS_KEY}, secret_access_key: {SECRET_KEY} }}\n{more}",
            self.url()
        )
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut text = Vec::new();
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(read @ 1..) => text.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    let text = String::from_utf8(text).unwrap();
    let (asked, mut reply) = {
        let mut inner = shared.inner.lock().unwrap();
        let (mut asked, header) = read(&text);
        let like = (asked.method.clone(), asked.key.clone(), asked.from);
        let seen = inner.seen.entry(like).or_default();
        asked.nth = *seen;
        *seen += 1;
        inner.asked.push(asked.clone());
        let reply = answer(&inner, &asked, &header);
        (asked, reply)
    };
    if let Some(twist) = &*shared.twist.lock().unwrap() {
        twist(&asked, &mut reply);
    }
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = reply.length {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    if asked.method != "HEAD" {
        let _ = stream.write_all(&reply.body).await;
    }
    let _ = stream.shutdown().await;
}

fn read(text: &str) -> (Asked, HashMap<String, String>) {
    let mut lines = text.lines();
    let mut first = lines.next().unwrap().split(' ');
    let method = first.next().unwrap().to_owned();
    let (path, query) = first
        .next()
        .map(|it| it.split_once('?').unwrap_or((it, "")))
        .unwrap();
    let header: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let range = header.get("range").and_then(|it| it.strip_prefix("bytes="));
    let from = range.and_then(|it| it.split('-').next()?.parse().ok());
    let key = path.trim_start_matches("/exports").trim_start_matches('/');
    let query = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let asked = Asked {
        method,
        key: decoded(key),
        query,
        from: from.unwrap_or(0),
        nth: 0,
        at: Instant::now(),
    };
    (asked, header)
}

fn decoded(path: &str) -> String {
    let pair = format!("k={}", path.replace('+', "%2B").replace('=', "%3D"));
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes()).into_owned();
    pairs.next().unwrap().1
}

fn answer(inner: &Inner, asked: &Asked, header: &HashMap<String, String>) -> Reply {
    if asked.lists() {
        return list(inner, asked);
    }
    let Some((bytes, version)) = inner.objects.get(&asked.key) else {
        return Reply::error(404, "NoSuchKey");
    };
    let tag = format!("\"v{version}\"");
    if header.get("if-match").is_some_and(|wanted| *wanted != tag) {
        return Reply::error(412, "PreconditionFailed");
    }
    let mut headers = vec![
        ("ETag", tag),
        ("Last-Modified", "Sat, 21 Nov 2026 12:00:00 GMT".to_owned()),
    ];
    let range: Option<usize> = header
        .get("range")
        .and_then(|it| it.split_once('-')?.1.parse().ok());
    let Some(last) = range else {
        return Reply {
            status: 200,
            headers,
            length: Some(bytes.len()),
            body: bytes.clone(),
        };
    };
    let end = bytes.len().min(last + 1usize);
    let body = bytes[asked.from..end].to_vec();
    let told = format!("bytes {}-{}/{}", asked.from, end - 1, bytes.len());
    headers.push(("Content-Range", told));
    Reply {
        status: 206,
        headers,
        length: Some(body.len()),
        body,
    }
}

/// Pages of 10, so that there are several.
fn list(inner: &Inner, asked: &Asked) -> Reply {
    let said = |name: &str| asked.query.get(name).cloned().unwrap_or_default();
    let after = match said("continuation-token") {
        token if token.is_empty() => said("start-after"),
        token => token,
    };
    let prefix = said("prefix");
    let mut keys = inner
        .objects
        .iter()
        .filter(|(key, _)| **key > after && key.starts_with(&prefix));
    let page: Vec<_> = keys.by_ref().take(10).collect();
    let mut body = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for (key, (bytes, version)) in &page {
        body.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified>\
             <ETag>\"v{version}\"</ETag><Size>{}</Size></Contents>",
            bytes.len()
        ));
    }
    if let (Some(_), Some((last, _))) = (keys.next(), page.last()) {
        body.push_str(&format!(
            "<IsTruncated>true</IsTruncated>\
             <NextContinuationToken>{last}</NextContinuationToken>"
        ));
    }
    body.push_str("</ListBucketResult>");
    Reply {
        status: 200,
        headers: vec![("Content-Type", "application/xml".to_owned())],
        length: Some(body.len()),
        body: body.into_bytes(),
    }
}
