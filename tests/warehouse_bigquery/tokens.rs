//! Who asks for tokens, and with what: the emulator takes everybody.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use trunkline::client::bigquery::{Auth, Class, Client, ServiceAccount, Settings, Url};

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
    let key = key();
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
    KEY.get_or_init(|| {
        let script = "from cryptography.hazmat.primitives import serialization as s\n\
            from cryptography.hazmat.primitives.asymmetric import rsa\n\
            key = rsa.generate_private_key(65537, 2048)\n\
            print(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, \
            s.NoEncryption()).decode())\n";
        let output = python().args(["-c", script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    })
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

/// The assertion is a JWT that the account's public key verifies (by OpenSSL, not by us).
#[tokio::test]
async fn the_assertion_is_signed() {
    let front = Front::start("").await;
    front.will(Fault::Answer("/token", 400, "{}".to_owned()));
    let client = client(&front.url, account(&front.url));
    client.run("SELECT 1", &[]).await.unwrap_err();
    let body = front.seen()[0].body.clone();
    let (_, assertion) = body.split_once("assertion=").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = "import sys, jwt\n\
        from cryptography.hazmat.primitives import serialization as s\n\
        key = s.load_pem_private_key(open(sys.argv[1], 'rb').read(), None).public_key()\n\
        claims = jwt.decode(sys.argv[2], key, algorithms=['RS256'], audience=sys.argv[3])\n\
        print(claims['iss'], claims['exp'] - claims['iat'], claims['scope'])\n";
    let file = folder.path().join("key.pem");
    std::fs::write(&file, key()).unwrap();
    let output = python()
        .args(["-c", script, file.to_str().unwrap(), assertion])
        .arg(format!("{}/token", front.url))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let expected =
        "loader@p.iam.gserviceaccount.com 3600 https://www.googleapis.com/auth/bigquery\n";
    assert_eq!(
        said,
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
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
