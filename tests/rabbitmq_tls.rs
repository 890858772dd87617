//! A broker behind TLS with an authority of its own, which knows who we are by our certificate.

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "rabbitmq/run.rs"]
mod run;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use broker::{Broker, declare, free_port, publish, ready};
use run::{Run, With, bodies, complete, pipeline, until};
use tempfile::TempDir;
use trunkline::failure::{Failure, Kind};
use trunkline::graph::probe::probe;
use trunkline::layer::Grade;

const USER: &str = "outbound.example";

fn openssl(folder: &Path, words: &str) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args(words.split(' '))
        .output();
    let made = made.unwrap_or_else(|error| panic!("no `openssl` ({error}): run .ci/servers"));
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{words}: {told}");
}

fn authority(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"
        ),
    );
}

/// A certificate for this name, made by an authority.
fn certificate(folder: &Path, authority: &str, file: &str, name: &str) {
    openssl(
        folder,
        &format!(
            "req -new -newkey rsa:2048 -nodes -keyout {file}.key -out {file}.csr -subj /CN={name}"
        ),
    );
    let extensions =
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    openssl(
        folder,
        &format!(
            "x509 -req -in {file}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -out {file}.pem \
         -days 2 -extfile extensions"
        ),
    );
}

/// The broker, its port for TLS, and the files.
async fn encrypted() -> (Broker, u16, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["ours", "theirs"] {
        authority(at, name);
    }
    certificate(at, "ours", "server", "localhost");
    certificate(at, "ours", "client", USER);
    certificate(at, "ours", "nobody", "nobody.example");
    certificate(at, "theirs", "stranger", USER);
    let (port, place) = (free_port(), at.display());
    let settings = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {place}/ours.pem\n\
         ssl_options.certfile = {place}/server.pem\nssl_options.keyfile = {place}/server.key\n\
         ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
         ssl_cert_login_from = common_name\nauth_mechanisms.1 = EXTERNAL\nauth_mechanisms.2 = PLAIN"
    );
    let broker = Broker::with(&settings).await;
    broker.control(&["add_user", USER, "not-needed"]).await;
    broker
        .control(&["set_permissions", USER, ".*", ".*", ".*"])
        .await;
    (broker, port, folder)
}

/// The settings with this authority and this certificate of ours.
fn settings(folder: &TempDir, authority: &str, own: &str) -> String {
    let at = |name: &str, end: &str| {
        folder
            .path()
            .join(format!("{name}.{end}"))
            .display()
            .to_string()
    };
    let mut settings = "sasl: external".to_owned();
    if !authority.is_empty() {
        settings += &format!(", ca_file: '{}'", at(authority, "pem"));
    }
    if !own.is_empty() {
        settings += &format!(
            ", client_cert: '{}', client_key: '{}'",
            at(own, "pem"),
            at(own, "key")
        );
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn who_we_are_is_said_by_our_certificate_and_who_the_broker_is_by_its() {
    let (broker, port, folder) = encrypted().await;
    let channel = broker.channel().await;
    for queue in ["in", "out"] {
        declare(&channel, queue, "classic", &[]).await;
    }
    publish(&channel, "in", bodies(300, 4)).await;
    let ours = settings(&folder, "ours", "client");
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("amqps://{host}:{port}/%2f");
        let yaml = format!(
            "version: 1\nname: p\nsources:\n  in: {{ type: rabbitmq, url: '{url}', queue: in, {ours} }}\nsinks:\n  \
             out: {{ type: rabbitmq, inputs: [in], url: '{url}', queue: out, {ours} }}\n"
        );
        let found = probe(&pipeline(&yaml), Duration::from_secs(20)).await;
        let all: Vec<_> = found.iter().flat_map(|it| &it.findings).collect();
        assert!(all.iter().all(|it| it.grade == Grade::Good), "{all:?}");
        assert!(
            all.iter().any(|it| it.message.contains("is encrypted")),
            "{all:?}"
        );
        let run = Run::start(&yaml, With::default());
        until("all are over there", async || {
            ready(&channel, "out").await == 300
        })
        .await;
        let users = broker
            .control(&["list_connections", "user", "ssl", "auth_mechanism"])
            .await;
        let users = String::from_utf8_lossy(&users.stdout).into_owned();
        assert!(
            users.contains(&format!("{USER}\ttrue\tEXTERNAL")),
            "{users}"
        );
        run.stop().await;
        // Back again, for the other name of the host.
        let back = Run::reads(&url, "out", &ours, "", With::default());
        back.until(300).await;
        let taken = back.shelf.clone();
        back.stop().await;
        complete(&taken.all(), 300, 4);
        publish(&channel, "in", bodies(300, 4)).await;
    }
}

async fn refused(url: &str, more: &str) -> Failure {
    let run = Run::reads(url, "in", more, "", With::default());
    run.ended().await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_who_they_should_be_is_refused_and_told_so() {
    let (broker, port, folder) = encrypted().await;
    let channel = broker.channel().await;
    declare(&channel, "in", "classic", &[]).await;
    let url = format!("amqps://127.0.0.1:{port}/%2f");
    for (authority, own, reason, told) in [
        ("", "client", "broker_tls", "ca_file"),
        ("theirs", "client", "broker_tls", "ca_file"),
        ("ours", "", "broker_tls", "client_cert"),
        ("ours", "stranger", "broker_tls", "client_cert"),
        ("ours", "nobody", "access_refused", "may do"),
    ] {
        let failure = refused(&url, &settings(&folder, authority, own)).await;
        let cause = &failure.losses()[0].cause;
        let case = format!("{authority}, {own}: {failure}");
        assert_eq!(
            (failure.kind(), cause.reason),
            (Kind::Fatal, reason),
            "{case}"
        );
        assert!(cause.message.contains(told), "{case}");
    }
    // A file that is none.
    let broken = settings(&folder, "ours", "client").replace("client.key", "extensions");
    let failure = refused(&url, &broken).await;
    assert!(failure.to_string().contains("client_key"), "{failure}");
}
