//! A server that says whatever it is told to, to whoever asks.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use trunkline::client::bucket::{Azure, Google, Location, S3, Store};
use trunkline::failure::Kind;
use trunkline::setting::Secret;

use super::Ends;
use super::storage::keys;

/// What it answers.
#[derive(Clone)]
pub enum Lie {
    /// This, and then it hangs up.
    Text(String),
    /// This, and then nonsense without end.
    Endless(String),
    /// Nothing.
    Silent,
}

pub struct Liar {
    port: u16,
    task: JoinHandle<()>,
}

impl Liar {
    pub async fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, lie.clone()));
            }
        });
        Self { port, task }
    }

    /// As S3, as Google's, as Azure's.
    pub fn locations(&self) -> [Location; 3] {
        let endpoint = Some(format!("http://127.0.0.1:{}", self.port).parse().unwrap());
        let account = r#"{"disable_oauth": true, "client_email": "", "private_key": "",
            "private_key_id": ""}"#;
        let stores = [
            Store::S3(S3 {
                bucket: "b".to_owned(),
                region: None,
                endpoint: endpoint.clone(),
                path_style: true,
                keys: Some(keys("hush")),
                expected_bucket_owner: None,
                request_payer: false,
            }),
            Store::Google(Google {
                bucket: "b".to_owned(),
                service_account: Some(Secret::new(account)),
                endpoint: endpoint.clone(),
            }),
            Store::Azure(Azure {
                container: "b".to_owned(),
                account: "a".to_owned(),
                access_key: None,
                sas_token: Some(Secret::new("sp=rl&sig=hush")),
                endpoint,
            }),
        ];
        stores.map(|store| Location {
            store,
            prefix: String::new(),
        })
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, lie: Lie) {
    // One request, however it is cut: none here has a body.
    let mut asked = Vec::new();
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4_096];
        match stream.read(&mut part).await {
            Ok(read @ 1..) => asked.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    match lie {
        Lie::Text(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Lie::Endless(text) => {
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
            let part = [b'x'; 1 << 16];
            while stream.write_all(&part).await.is_ok() {}
        }
        Lie::Silent => std::future::pending().await,
    }
}

fn said(status: &str, headers: &str, body: &str) -> Lie {
    Lie::Text(raw(status, headers, body))
}

fn raw(status: &str, headers: &str, body: &str) -> String {
    let dated = "Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\nConnection: close\r\n";
    format!("HTTP/1.1 {status}\r\n{dated}{headers}\r\n{body}")
}

fn error(status: &str, code: &str, message: &str) -> Lie {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let headers = format!(
        "Content-Length: {}\r\nContent-Type: application/xml\r\n",
        body.len()
    );
    said(status, &headers, &body)
}

/// Answers to `GET` of bytes 0 to 9 of version `v1`.
pub fn reads() -> Vec<(&'static str, Lie, Ends)> {
    const PART: &str = "206 Partial Content";
    const TAG: &str = "ETag: \"v1\"\r\n";
    const RANGE: &str = "Content-Range: bytes 0-9/100\r\n";
    let tagged = format!("{TAG}{RANGE}");
    let length = |length: u32| format!("{tagged}Content-Length: {length}\r\n");
    let denied = "Access to hush denied";
    vec![
        (
            "a body that is cut off",
            said(PART, &length(10), "01234"),
            Ends::Passing,
        ),
        (
            "a length that is too short",
            said(PART, &length(5), "01234"),
            Ends::Passing,
        ),
        (
            "a length that is too long",
            said(PART, &length(11), "0123456789a"),
            Ends::Passing,
        ),
        (
            "no length and too little",
            said(PART, &tagged, "01234"),
            Ends::Passing,
        ),
        (
            "another version",
            said(
                PART,
                &format!("ETag: \"v2\"\r\n{RANGE}Content-Length: 10\r\n"),
                "0123456789",
            ),
            Ends::Changed,
        ),
        (
            "another range",
            said(
                PART,
                &format!("{TAG}Content-Range: bytes 10-19/100\r\nContent-Length: 10\r\n"),
                "0123456789",
            ),
            Ends::Passing,
        ),
        (
            "the whole in the place of a range",
            said(
                "200 OK",
                &format!("{TAG}Content-Length: 10\r\n"),
                "0123456789",
            ),
            Ends::Passing,
        ),
        (
            "an error that is called a success",
            error("200 OK", "InternalError", "hush"),
            Ends::Failed(Kind::Transient, "bucket_answer"),
        ),
        (
            "a body without end",
            Lie::Endless(raw(PART, &tagged, "")),
            Ends::Passing,
        ),
        (
            "a redirect",
            said(
                "307 Temporary Redirect",
                "Location: http://127.0.0.1:1/hush\r\nContent-Length: 0\r\n",
                "",
            ),
            Ends::Failed(Kind::Fatal, "bucket_region"),
        ),
        (
            "no HTTP",
            Lie::Text("hush\r\n\r\n".to_owned()),
            Ends::Passing,
        ),
        ("nothing", Lie::Text(String::new()), Ends::Passing),
        (
            "too much at a time",
            error("503 Slow Down", "SlowDown", "hush"),
            Ends::Passing,
        ),
        (
            "a fault",
            error("500 Internal Server Error", "InternalError", "hush"),
            Ends::Passing,
        ),
        (
            "a denial",
            error("403 Forbidden", "AccessDenied", denied),
            Ends::Denied("bucket_denied"),
        ),
        (
            "a denial of the key",
            error(
                "403 Forbidden",
                "AccessDenied",
                "not authorized to perform: kms:Decrypt hush",
            ),
            Ends::Denied("kms_denied"),
        ),
        (
            "a key that is off",
            error(
                "400 Bad Request",
                "KMS.DisabledException",
                "arn hush is disabled",
            ),
            Ends::Denied("kms_denied"),
        ),
        (
            "an archived object",
            error("403 Forbidden", "InvalidObjectState", "hush"),
            Ends::Failed(Kind::Rejected, "object_archived"),
        ),
        (
            "credentials that have expired",
            error("400 Bad Request", "ExpiredToken", "hush"),
            Ends::Failed(Kind::Fatal, "aws_credentials"),
        ),
        (
            "another region",
            error("400 Bad Request", "AuthorizationHeaderMalformed", "hush"),
            Ends::Failed(Kind::Fatal, "aws_credentials"),
        ),
    ]
}

/// Answers to a listing of `p/`.
pub fn listings() -> Vec<(&'static str, Lie)> {
    let page = |keys: &[&str], token: &str| {
        let mut text = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
        for key in keys {
            text.push_str(&format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified>\
                 <ETag>\"v\"</ETag><Size>1</Size></Contents>"
            ));
        }
        if !token.is_empty() {
            text.push_str(&format!(
                "<IsTruncated>true</IsTruncated>\
                 <NextContinuationToken>{token}</NextContinuationToken>"
            ));
        }
        text.push_str("</ListBucketResult>");
        said(
            "200 OK",
            &format!("Content-Length: {}\r\n", text.len()),
            &text,
        )
    };
    let unsized_ = "<ListBucketResult><Contents><Key>p/hush</Key></Contents></ListBucketResult>";
    vec![
        ("keys out of turn", page(&["p/b", "p/a"], "")),
        ("a page that comes again", page(&["p/a", "p/b"], "again")),
        ("empty pages without end", page(&[], "again")),
        (
            "an error that is called a success",
            error("200 OK", "InternalError", "hush"),
        ),
        ("no XML", said("200 OK", "Content-Length: 4\r\n", "hush")),
        (
            "objects without a size",
            said(
                "200 OK",
                &format!("Content-Length: {}\r\n", unsized_.len()),
                unsized_,
            ),
        ),
        (
            "a list without end",
            Lie::Endless(raw("200 OK", "", "<ListBucketResult><Contents><Key>p/")),
        ),
        (
            "a cut list",
            said("200 OK", "Content-Length: 500\r\n", "<ListBucketResult>"),
        ),
        (
            "a redirect",
            said(
                "301 Moved",
                "Location: http://h/hush\r\nContent-Length: 0\r\n",
                "",
            ),
        ),
        ("a denial", error("403 Forbidden", "AccessDenied", "hush")),
    ]
}
