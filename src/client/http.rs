//! The HTTP client, and the TLS configuration that everything which connects shares.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

use crate::failure::Failure;
use crate::layer::rehearsal::{Leaving, SECRET};

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);

/// TLS as everything here speaks it: rustls with aws-lc, the authorities that the machine trusts, and
/// Mozilla's list beside them, since a container often has none. Reads the machine's list each time:
/// to be called when something is opened, and kept.
pub fn tls() -> Arc<ClientConfig> {
    Arc::new(tls_of(RootCertStore::empty()))
}

/// The same, trusting also the authorities in this file (PEM). Blocks while it reads it.
///
/// # Errors
/// In words, when the file cannot be read or holds no certificate that can be used.
pub fn tls_trusting(file: &Path) -> Result<ClientConfig, String> {
    let told = |error| match error {
        pem::Error::Io(error) => error.to_string(),
        _ => "not a file of certificates (PEM)".to_owned(),
    };
    let mut roots = RootCertStore::empty();
    for found in CertificateDer::pem_file_iter(file).map_err(told)? {
        let found = found.map_err(told)?;
        roots.add(found).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("it holds no certificate".to_owned()),
        false => Ok(tls_of(roots)),
    }
}

fn tls_of(mut roots: RootCertStore) -> ClientConfig {
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        // aws-lc has suites for every version that rustls knows.
        .unwrap_or_else(|_| unreachable!("aws-lc speaks TLS 1.2 and 1.3"));
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// A request as it would go. What only the connection adds (`host`, `content-length`) is left out.
pub fn leaving(request: &reqwest::Request) -> Leaving {
    let head = format!("{} {}", request.method(), request.url());
    let mut leaving = Leaving::new("request", head);
    for (name, value) in request.headers() {
        let text = match value.is_sensitive() {
            true => SECRET.into(),
            false => String::from_utf8_lossy(value.as_bytes()),
        };
        leaving = leaving.with(name.as_str(), text.as_ref());
    }
    match request.body().and_then(reqwest::Body::as_bytes) {
        Some(body) => leaving.body(String::from_utf8_lossy(body).into_owned()),
        None => leaving,
    }
}

/// A client for one system: connections are pooled by whoever holds it, redirects are not followed
/// (a redirect would take credentials elsewhere), and `timeout` bounds a whole request.
///
/// # Errors
/// `Fatal` (`http_client`), when the machine has no randomness for TLS.
pub fn client(timeout: Duration) -> Result<reqwest::Client, Failure> {
    client_with(timeout, HeaderMap::new())
}

/// The same, with headers that every request has.
///
/// # Errors
/// As [`client`].
pub fn client_with(timeout: Duration, headers: HeaderMap) -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .default_headers(headers)
        .tls_backend_preconfigured(ClientConfig::clone(&tls()))
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::fatal("http_client", format!("no HTTP client: {}", told(error))))
}

/// An error of the HTTP client in words, without its URL: that may hold a token.
pub fn told(error: reqwest::Error) -> String {
    use std::error::Error;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or the date from which on it may be tried again. At
/// most an hour.
pub fn retry_after(header: &HeaderValue) -> Option<Duration> {
    let text = header.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = date.duration_since(jiff::Timestamp::now());
    let wait = Duration::try_from(wait).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_names_its_cause_and_not_the_url() {
        let client = client(Duration::from_secs(5)).unwrap();
        // Nobody listens on port 1.
        let url = "http://127.0.0.1:1/api?access_token=hush";
        let error = client.get(url).send().await.unwrap_err();
        let text = told(error);
        assert!(
            !text.contains("hush") && !text.contains("127.0.0.1"),
            "{text}"
        );
        assert!(text.contains("refused"), "{text}");
    }
}
