//! What a pipeline file says about the source.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::signature::Secrets;
use crate::diagnostic::Report;
use crate::setting::{Fields, Node, Secret, Setting, Size, wrong_type};

/// The platform takes no secret of fewer letters (`outboundNotificationWebhookSignatureSecretToken` has
/// to be longer than 15; SDK).
const SHORTEST_SECRET: usize = 16;
/// Integrations with secrets of their own.
const MOST_SECRETS: usize = 10_000;
/// What the platform waits for an answer (developer guide).
const PATIENCE: Duration = Duration::from_secs(10);

/// Files with which TLS is spoken to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// The settings of a source of type `genesys_webhook`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listen`: where posts are taken. The platform posts to port 443 alone: behind a proxy that speaks
    /// TLS, or here with `tls`.
    pub listen: SocketAddr,
    /// `path`: default `/webhooks/genesys`.
    pub path: String,
    /// `secret`, `secrets`: what posts are signed with, for all integrations or for each.
    pub secrets: Secrets,
    /// `tls: { certificate, key }`; default none.
    pub tls: Option<Tls>,
    /// Longest body in bytes; default 512,000, which is the platform's own limit of a request.
    pub max_body: usize,
    /// What is not settled by then is answered with 503; default 8 s, of the 10 s that the platform waits.
    pub answer_within: Duration,
    /// Posts that wait for the engine; default 1,000.
    pub max_waiting: usize,
    /// Connections at once; default 256.
    pub max_connections: usize,
}

impl Config {
    /// Reads the fields.
    pub fn check(f: &mut Fields<'_>) -> Option<Self> {
        let listen = f.required::<String>("listen");
        let listen = listen.and_then(|text| address(f, &text));
        let path = path(f);
        let secrets = secrets(f);
        let tls = f.section("tls", "tls", |f| {
            let (certificate, key) = (f.required("certificate"), f.required("key"));
            Some(Tls {
                certificate: certificate?,
                key: key?,
            })
        });
        let max_body = f.or("max_body", Size(512_000));
        within(f, "max_body", max_body.0, 1..=16 << 20);
        let answer_within = f.or("answer_within", Duration::from_secs(8));
        if answer_within.is_zero() || answer_within >= PATIENCE {
            let message =
                "`answer_within` has to be above 0 s and below the 10 s that the platform waits";
            f.error("out-of-range", f.span_of("answer_within"), message);
        }
        let max_waiting = f.or("max_waiting", 1000_usize);
        within(f, "max_waiting", max_waiting as u64, 1..=100_000);
        let max_connections = f.or("max_connections", 256_usize);
        within(f, "max_connections", max_connections as u64, 1..=10_000);
        Some(Self {
            listen: listen?,
            path: path?,
            secrets: secrets?,
            tls,
            max_body: max_body.bytes(),
            answer_within,
            max_waiting: max_waiting.max(1),
            max_connections: max_connections.max(1),
        })
    }
}

fn within(
    f: &mut Fields<'_>,
    name: &'static str,
    value: u64,
    range: std::ops::RangeInclusive<u64>,
) {
    if !range.contains(&value) {
        let message = format!(
            "`{name}` has to be between {} and {}",
            range.start(),
            range.end()
        );
        f.error("out-of-range", f.span_of(name), message);
    }
}

fn address(f: &mut Fields<'_>, text: &str) -> Option<SocketAddr> {
    let found = text.parse().ok();
    if found.is_none() {
        let message = "`listen` is not an IP address and a port";
        f.error("bad-address", f.span_of("listen"), message)
            .hint("write it as 0.0.0.0:8443");
    }
    found
}

/// Of plain segments: nothing that a router would read otherwise.
fn path(f: &mut Fields<'_>) -> Option<String> {
    let path = f.or("path", "/webhooks/genesys".to_owned());
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.~".contains(letter);
    if path.len() <= 256 && path.starts_with('/') && path.chars().all(plain) {
        return Some(path);
    }
    let message = "`path` has to begin with `/` and to hold letters, digits, `-`, `_`, `.` and `~`";
    f.error("out-of-range", f.span_of("path"), message);
    None
}

fn secrets(f: &mut Fields<'_>) -> Option<Secrets> {
    f.takes("secret", Secret::shape);
    f.takes("secrets", || Secret::shape().map());
    let shared = f
        .node("secret")
        .map(|node| secret("secret", node, f.report()));
    let each = f.node("secrets").map(|node| each(node, f.report()));
    if shared.is_none() && each.is_none() {
        let message = "there is neither `secret` nor `secrets`: anybody could post what the platform did not say";
        f.error("missing-field", f.span(), message)
            .hint("set it to the integration's `outboundNotificationWebhookSignatureSecretToken`");
        return None;
    }
    Some(Secrets {
        shared: shared.map_or(Some(None), |read| read.map(Some))?,
        each: each.map_or(Some(HashMap::new()), |read| read)?,
    })
}

fn each(node: &Node, report: &mut Report) -> Option<HashMap<String, Secret>> {
    let Some(entries) = node.as_map() else {
        wrong_type(
            node,
            "a mapping of integration ids to their secrets",
            report,
        );
        return None;
    };
    if entries.is_empty() || entries.len() > MOST_SECRETS {
        let message = format!("`secrets` has to name between 1 and {MOST_SECRETS} integrations");
        report.error("out-of-range", node.span, message);
        return None;
    }
    let read = |(key, node): &(crate::setting::Key, Node), report: &mut Report| {
        let read = secret("secrets", node, report)?;
        Some((key.name.clone(), read))
    };
    // All of them, so that all mistakes show.
    let all: Vec<_> = entries.iter().map(|entry| read(entry, report)).collect();
    all.into_iter().collect()
}

/// A message about a secret written into the file has no place: the line would be shown with it.
fn secret(name: &str, node: &Node, report: &mut Report) -> Option<Secret> {
    let secret = Secret::read(node, report)?;
    let line = node.span.line;
    if secret.expose().chars().count() < SHORTEST_SECRET {
        let place = node.from_variable.then_some(node.span);
        let message =
            format!("the `{name}` at line {line} is shorter than {SHORTEST_SECRET} letters");
        report
            .error("out-of-range", place, message)
            .hint("the platform takes no shorter one");
        return None;
    }
    if !node.from_variable {
        let message = format!("`{name}` at line {line} is written into the file, for all to read");
        let hint = "take it from a variable or a file: `\"${NAME}\"`, `\"${file:PATH}\"`";
        report.warning("plain-secret", None, message).hint(hint);
    }
    Some(secret)
}
