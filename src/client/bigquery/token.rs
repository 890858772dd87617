//! Tokens for Google's APIs: by a service account's key (RFC 7523, as Google's page "Using OAuth 2.0
//! for server to server applications" has it), or from the metadata server of a machine in the cloud.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::error::Error;
use crate::setting::Secret;

/// What a token is asked to open.
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
/// A token is renewed this long before its time.
const EARLY: Duration = Duration::from_secs(60);
/// Bounds of how long a token is kept.
const SHORTEST: u64 = 120;
const LONGEST: u64 = 12 * 3600;
/// Where the machines of the cloud learn who they are.
const METADATA: &str = "http://metadata.google.internal/computeMetadata/v1/instance/\
                        service-accounts/default/token";

/// How requests prove who sends them.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all: servers for tests.
    None,
    /// By a token that somebody else renews.
    Token(Secret),
    /// By a service account's key.
    ServiceAccount(ServiceAccount),
    /// As the machine itself; `None` for the address that all of the cloud's machines know.
    Metadata(Option<Url>),
}

/// A service account with its key.
#[derive(Clone)]
pub struct ServiceAccount {
    email: String,
    key_id: String,
    token_url: Url,
    key: Arc<dyn SigningKey>,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({})", self.email)
    }
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    token_uri: String,
}

impl ServiceAccount {
    /// From the JSON text of a key file.
    ///
    /// # Errors
    /// What is wrong with it, in words that hold nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: KeyFile = serde_json::from_str(text).map_err(|_| {
            "it is not the JSON of a service account's key (`client_email`, `private_key`, \
             `token_uri`)"
        })?;
        let key = PrivateKeyDer::from_pem_slice(file.private_key.as_bytes())
            .map_err(|_| "its `private_key` is no PEM")?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| "its `private_key` is no RSA key")?;
        let token_url = Url::parse(&file.token_uri).ok();
        // The assertion is worth a token: it goes over TLS, or does not leave the machine.
        let token_url = token_url.filter(|url| match url.host_str() {
            Some("127.0.0.1" | "localhost" | "[::1]") => true,
            _ => url.scheme() == "https",
        });
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            token_url: token_url.ok_or("its `token_uri` is no https address")?,
            key,
        })
    }

    /// What is exchanged for a token: a JWT, signed by RS256 (RSASSA-PKCS1-v1_5 with SHA-256).
    fn assertion(&self, now: i64) -> Result<String, Error> {
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_url.as_str(),
            "iat": now, "exp": now + 3600,
        });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signature = signer.and_then(|signer| signer.sign(text.as_bytes()).ok());
        let signature =
            signature.ok_or_else(|| Error::setup("the service account's key cannot sign"))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The token of the time.
pub(super) struct Tokens {
    auth: Auth,
    http: reqwest::Client,
    /// Held while a token is fetched, so that it is fetched once.
    kept: Mutex<Option<(String, Instant)>>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl Tokens {
    pub fn new(auth: Auth, http: reqwest::Client) -> Self {
        Self {
            auth,
            http,
            kept: Mutex::default(),
        }
    }

    /// A token that holds for a while; `None` where none is needed.
    pub async fn get(&self) -> Result<Option<String>, Error> {
        self.kept_or_new().await.map_err(Error::before)
    }

    async fn kept_or_new(&self) -> Result<Option<String>, Error> {
        let request = match &self.auth {
            Auth::None => return Ok(None),
            Auth::Token(token) => return Ok(Some(token.expose().to_owned())),
            Auth::ServiceAccount(_) | Auth::Metadata(_) => self.request(),
        };
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = kept.as_ref()
            && Instant::now() + EARLY < *until
        {
            return Ok(Some(token.clone()));
        }
        let response = request?.send().await.map_err(Error::unsent)?;
        let status = response.status().as_u16();
        let body = super::body(response).await?;
        if !(200..300).contains(&status) {
            return Err(refused(status, &body));
        }
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| Error::busy("bad_answer", "the answer to who we are holds no token"))?;
        let lasts = Duration::from_secs(granted.expires_in.clamp(SHORTEST, LONGEST));
        *kept = Some((granted.access_token.clone(), Instant::now() + lasts));
        Ok(Some(granted.access_token))
    }

    fn request(&self) -> Result<reqwest::RequestBuilder, Error> {
        match &self.auth {
            Auth::ServiceAccount(account) => {
                let assertion = account.assertion(jiff::Timestamp::now().as_second())?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let form = [("grant_type", grant), ("assertion", &assertion)];
                Ok(self.http.post(account.token_url.clone()).form(&form))
            }
            Auth::Metadata(url) => {
                let url = url.as_ref().map_or(METADATA, Url::as_str);
                Ok(self.http.get(url).header("Metadata-Flavor", "Google"))
            }
            Auth::None | Auth::Token(_) => unreachable!("`get` asks for neither"),
        }
    }

    /// Throws away a token that was refused. Whether another may be had.
    pub async fn forget(&self, refused: Option<String>) -> bool {
        if matches!(self.auth, Auth::None | Auth::Token(_)) {
            return false;
        }
        let mut kept = self.kept.lock().await;
        // Another request may have fetched a new one meanwhile.
        if kept.as_ref().map(|(token, _)| token) == refused.as_ref() {
            *kept = None;
        }
        true
    }
}

fn refused(status: u16, body: &[u8]) -> Error {
    if matches!(status, 408 | 429 | 500..) {
        return Error::busy("token", "who gives tokens is not available");
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").and_then(Value::as_str).unwrap_or("no");
    let error: String = error
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(40)
        .collect();
    Error::setup(format!(
        "no token for these credentials (HTTP {status}, {error}): is the key still valid?"
    ))
}
