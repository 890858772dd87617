//! Who asks for tokens, and with what: the emulator takes everybody.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use trunkline::client::bigquery::{Auth, Class, Client, ServiceAccount, Settings, Url};
use trunkline::setting::Secret;

use crate::front::{Fault, Front};
use crate::program::environment;

const JOB: &str = r#"{"jobReference":{"projectId":"p","location":"EU"},"status":{"state":"DONE"}}"#;

fn client(url: &str, auth: Auth) -> Client {
    let settings = Settings {
        project: "p".to_owned(),
        location: Some("EU".to_owned()),
        url: Url::parse(url).ok(),
        auth,
        timeout: Duration::from_secs(20),
    };
    Client::new(&settings).unwrap()
}

fn account(url: &str) -> Auth {
    account_with(url, key())
}

fn account_with(url: &str, key: &str) -> Auth {
    let file = serde_json::json!({
        "type": "service_account", "client_email": "loader@p.iam.gserviceaccount.com",
        "private_key_id": "k1", "private_key": key, "token_uri": format!("{url}/token"),
    });
    let account = ServiceAccount::parse(&file.to_string()).unwrap();
    assert!(!format!("{account:?}").contains("PRIVATE"));
    Auth::ServiceAccount(account)
}

fn python() -> Command {
    Command::new(environment("bqemulator-1.4.0").join("bin/python"))
}

/// A private key that was made for this run.
fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(new_key)
}

fn new_key() -> String {
    let script = "from cryptography.hazmat.primitives import serialization as s\n\
            from cryptography.hazmat.primitives.asymmetric import rsa\n\
            key = rsa.generate_private_key(65537, 2048)\n\
            print(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, \
            s.NoEncryption()).decode())\n";
    let output = python().args(["-c", script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn granted(token: &str) -> String {
    format!(r#"{{"access_token":"{token}","expires_in":3600,"token_type":"Bearer"}}"#)
}

#[tokio::test]
async fn a_service_accounts_token_is_fetched_once_and_again_when_it_is_refused() {
    let front = Front::start("").await;
    front.will(Fault::Answer("/token", 200, granted("one")));
    front.will(Fault::Answer("/jobs", 200, JOB.to_owned()));
    front.will(Fault::Answer("/jobs", 200, JOB.to_owned()));
    let client = client(&front.url, account(&front.url));
    client.run("SELECT 1", &[]).await.unwrap();
    client.run("SELECT 2", &[]).await.unwrap();
    let seen = front.seen();
    assert_eq!(seen.len(), 3);
    assert!(
        seen[0]
            .body
            .contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer")
    );
    assert!(
        seen[1..]
            .iter()
            .all(|seen| seen.authorization == "Bearer one")
    );
    // Revoked before its time.
    front.will(Fault::Answer("/jobs", 401, "{}".to_owned()));
    front.will(Fault::Answer("/token", 200, granted("two")));
    front.will(Fault::Answer("/jobs", 200, JOB.to_owned()));
    client.run("SELECT 3", &[]).await.unwrap();
    assert_eq!(front.seen().last().unwrap().authorization, "Bearer two");
    // Another 401 is one too many.
    front.will(Fault::Answer("/jobs", 401, "{}".to_owned()));
    front.will(Fault::Answer("/token", 200, granted("three")));
    front.will(Fault::Answer("/jobs", 401, "{}".to_owned()));
    let error = client.run("SELECT 4", &[]).await.unwrap_err();
    assert_eq!((error.class, front.left()), (Class::Setup, 0), "{error}");
}

#[tokio::test]
async fn a_key_that_is_revoked_says_so() {
    let front = Front::start("").await;
    let body = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
    front.will(Fault::Answer("/token", 400, body.to_owned()));
    let client = client(&front.url, account(&front.url));
    let error = client.run("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.class, Class::Setup);
    assert!(error.to_string().contains("invalid_grant"), "{error}");
    front.will(Fault::Answer("/token", 503, String::new()));
    let error = client.run("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.class, Class::Busy);
}

/// A server that is as strict as Google's, and verifies the signature (by OpenSSL, not by us).
#[tokio::test]
async fn a_strict_server_gives_a_token_for_the_right_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pub");
    let script = "import sys\n\
        from cryptography.hazmat.primitives import serialization as s\n\
        key = s.load_pem_private_key(sys.argv[1].encode(), None).public_key()\n\
        open(sys.argv[2], 'wb').write(key.public_bytes(s.Encoding.PEM, \
        s.PublicFormat.SubjectPublicKeyInfo))\n";
    let made = python()
        .args(["-c", script, key()])
        .arg(&file)
        .status()
        .unwrap();
    assert!(made.success());
    let strict = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/warehouse_bigquery/strict.py"
    );
    let mut child = python()
        .arg(strict)
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut port).unwrap();
    let _child = Killed(child);
    let url = format!("http://127.0.0.1:{}", port.trim());
    let good = client(&url, account(&url));
    good.run("SELECT 1", &[]).await.unwrap();
    // All tokens are revoked: one refusal, one new token, and on.
    let http = trunkline::client::http::client(Duration::from_secs(5)).unwrap();
    http.get(format!("{url}/revoke")).send().await.unwrap();
    good.run("SELECT 2", &[]).await.unwrap();
    let stranger = client(&url, account_with(&url, &new_key()));
    let error = stranger.run("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.class, Class::Setup);
    let told = format!("{error} {error:?}");
    assert!(
        told.contains("invalid_grant") && !told.contains("PRIVATE"),
        "{told}"
    );
    // Nobody is let in without one, or with one of somebody's making.
    for auth in [Auth::None, Auth::Token(Secret::new("token-0"))] {
        let error = client(&url, auth).run("SELECT 1", &[]).await.unwrap_err();
        assert_eq!(error.class, Class::Setup, "{error}");
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_machine_asks_the_metadata_server() {
    let front = Front::start("").await;
    front.will(Fault::Answer("/metadata", 200, granted("m")));
    front.will(Fault::Answer("/jobs", 200, JOB.to_owned()));
    let auth = Auth::Metadata(Url::parse(&format!("{}/metadata", front.url)).ok());
    client(&front.url, auth).run("SELECT 1", &[]).await.unwrap();
    assert_eq!(front.seen()[1].authorization, "Bearer m");
}

#[tokio::test]
async fn a_job_is_waited_for_by_its_id_where_it_runs() {
    let front = Front::start("").await;
    let running = JOB.replace("DONE", "RUNNING");
    front.will(Fault::Answer("POST ", 200, running));
    // In the middle of waiting, an answer that says nothing.
    front.will(Fault::Answer("GET ", 503, "{}".to_owned()));
    front.will(Fault::Answer("GET ", 200, JOB.to_owned()));
    client(&front.url, Auth::None)
        .run("SELECT 1", &[])
        .await
        .unwrap();
    let seen = front.seen();
    let job: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    let id = job["jobReference"]["jobId"].as_str().unwrap();
    let expected = format!("GET /bigquery/v2/projects/p/jobs/{id}?location=EU");
    assert!(
        seen[1..].iter().all(|seen| seen.line == expected),
        "{}",
        seen[1].line
    );
}
