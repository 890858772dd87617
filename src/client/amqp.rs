//! AMQP 0-9-1 as RabbitMQ speaks it (lapin): settings, a connection over the one TLS stack, queues and
//! exchanges, and what errors mean.
//!
//! A connection here never recovers by itself: whoever holds it opens another, so that there is one
//! place that knows which messages are still to be answered, and a delivery tag of a dead channel can
//! never be mistaken for one of its successor.

mod about;

pub use about::ABOUT;

mod line;
mod table;
mod topology;
mod verdict;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::line::{Held, Line};
use super::http;
use crate::failure::Failure;
use crate::setting::{Fields, Secret};

pub use table::{count_of, short, table_of, text_of};
pub use topology::{Binding, Declare, Exchange, Queue, QueueKind, Topology, arguments_of, look_at};
pub use verdict::failure;

/// How long a connection may take to stand, unless told.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one request may go without an answer, unless told.
const REQUEST: Duration = Duration::from_secs(30);
/// How long the broker may take to say farewell.
const CLOSE: Duration = Duration::from_secs(2);
/// How often each side says that it is alive, unless told.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The longest name that a connection may have here, in bytes.
const LONGEST_NAME: usize = 200;

/// Where a broker is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `url`: `amqp://user:password@host:5672/vhost`, or `amqps://…:5671/…`. The virtual host `/` is
    /// written `%2f`, or left out together with its slash.
    url: Secret,
    /// `sasl`: `plain` (default), or `external`: who we are stands in the client certificate.
    pub external: bool,
    /// `ca_file`: certificates (PEM) of authorities that are trusted besides the known ones.
    pub ca_file: Option<PathBuf>,
    /// `client_cert`: a file with our certificate and those above it (PEM).
    pub client_cert: Option<PathBuf>,
    /// `client_key`: a file with its key (PEM).
    pub client_key: Option<PathBuf>,
    /// `heartbeat`: default 30 s. A connection on which nothing comes for twice that long is dead.
    pub heartbeat: Duration,
    /// `connect_timeout`: default 10 s.
    pub connect_timeout: Duration,
    /// `request_timeout`: default 30 s. A broker that says that it lives and does not answer a request for
    /// so long is left, and asked again over another connection. It does not count while the broker says
    /// that it takes nothing.
    pub request_timeout: Duration,
    /// `connection_name`: as the broker's lists show it; default `trunkline <node>`.
    pub connection_name: Option<String>,
}

impl Settings {
    /// Reads the fields.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let url: Option<Secret> = fields.required("url");
        let url = url.filter(|url| {
            let sound = url.expose().parse::<AMQPUri>().is_ok();
            if !sound {
                // Without the text: a password may stand in it.
                let message = "`url` is no URL of an AMQP broker";
                fields
                    .error("bad-url", fields.span_of("url"), message)
                    .hint("such as `amqps://user:password@host:5671/vhost`");
            }
            sound
        });
        let external = fields.choice("sasl", &[("plain", false), ("external", true)]);
        let external = external.unwrap_or_default();
        let ca_file = fields.filled("ca_file");
        let client_cert: Option<PathBuf> = fields.filled("client_cert");
        let client_key: Option<PathBuf> = fields.filled("client_key");
        if client_cert.is_some() != client_key.is_some() {
            let message = "`client_cert` and `client_key` need each other";
            fields.error("conflicting-fields", fields.span(), message);
        }
        let heartbeat = in_range(fields, "heartbeat", HEARTBEAT, 1..=3600);
        let connect_timeout = in_range(fields, "connect_timeout", CONNECT, 1..=300);
        let request_timeout = in_range(fields, "request_timeout", REQUEST, 1..=300);
        let connection_name: Option<String> = fields.filled("connection_name");
        if connection_name
            .as_ref()
            .is_some_and(|name| name.len() > LONGEST_NAME)
        {
            let message = format!("`connection_name` has at most {LONGEST_NAME} bytes");
            fields.error("out-of-range", fields.span_of("connection_name"), message);
        }
        Some(Self {
            url: url?,
            external,
            ca_file,
            client_cert,
            client_key,
            heartbeat,
            connect_timeout,
            request_timeout,
            connection_name,
        })
    }

    /// Settings of a URL, for tests and tools.
    pub fn of_url(url: &str) -> Self {
        Self {
            url: Secret::new(url),
            external: false,
            ca_file: None,
            client_cert: None,
            client_key: None,
            heartbeat: HEARTBEAT,
            connect_timeout: CONNECT,
            request_timeout: REQUEST,
            connection_name: None,
        }
    }

    fn uri(&self) -> Result<AMQPUri, Failure> {
        let parsed = self.url.expose().parse::<AMQPUri>();
        let mut uri = parsed
            .map_err(|_| Failure::fatal("broker_url", "`url` is no URL of an AMQP broker"))?;
        uri.query.heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        if self.external {
            uri.query.auth_mechanism = Some(SASLMechanism::External);
        }
        Ok(uri)
    }

    /// Where that is, for people: never with a password.
    pub fn place(&self) -> String {
        match self.uri() {
            Ok(uri) => {
                let (host, port) = (&uri.authority.host, uri.authority.port);
                format!("{host}:{port} (virtual host `{}`)", uri.vhost)
            }
            Err(_) => "the broker".to_owned(),
        }
    }

    /// Whether what is said can be read on the way.
    pub fn is_encrypted(&self) -> bool {
        self.uri().is_ok_and(|uri| uri.scheme == AMQPScheme::AMQPS)
    }

    /// Whether the broker is this machine.
    pub fn is_local(&self) -> bool {
        let local = ["localhost", "127.0.0.1", "[::1]", "::1"];
        self.uri()
            .is_ok_and(|uri| local.contains(&uri.authority.host.as_str()))
    }

    /// Connects. `who` goes into the name of the connection.
    ///
    /// # Errors
    /// `Disconnected` where the broker does not answer; `Fatal` where it does not want us, or a file of
    /// certificates cannot be used.
    pub async fn connect(&self, who: &str) -> Result<Link, Failure> {
        let uri = self.uri()?;
        let tls = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(RustlsConnector::from(self.tls().await?)),
        };
        let name = self.connection_name.clone();
        let name = name.unwrap_or_else(|| format!("trunkline {who}"));
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime();
        let runtime = runtime.map_err(|error| failure("start a connection", &error))?;
        let line = Line::default();
        let held = line.hold();
        let connecting = Connection::connector(
            uri,
            runtime,
            async move |mut uri: AMQPUri, runtime| {
                // The stream is opened plain here: what lapin would put over it has a store of its own.
                let host = uri.authority.host.clone();
                uri.scheme = AMQPScheme::AMQP;
                let plain = uri.connect_async(&runtime).await?;
                if let AsyncTcpStream::Plain(stream) = &plain {
                    line.take(stream.get_ref())?;
                }
                Ok(match &tls {
                    Some(tls) => plain.into_rustls(tls, &host).await?,
                    None => plain,
                })
            },
            properties,
        );
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(Link::over(connection, held, self.request_timeout)),
            Ok(Err(error)) => {
                let doing = format!("connect to {}", self.place());
                Err(failure(&doing, &error))
            }
            Err(_) => {
                let (place, limit) = (self.place(), self.connect_timeout);
                let message = format!("cannot connect to {place}: no answer within {limit:?}");
                Err(Failure::disconnected("broker_away", message))
            }
        }
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, Failure> {
        let settings = self.clone();
        let read = tokio::task::spawn_blocking(move || settings.read_tls());
        read.await
            .unwrap_or_else(|_| Err("it met an error of its own".to_owned()))
            .map(Arc::new)
            .map_err(|told| Failure::fatal("broker_tls", format!("TLS cannot be set up: {told}")))
    }

    fn read_tls(&self) -> Result<ClientConfig, String> {
        let mut config = match &self.ca_file {
            Some(file) => {
                let read = http::tls_trusting(file);
                read.map_err(|told| format!("`ca_file`: {told}"))?
            }
            None => ClientConfig::clone(&http::tls()),
        };
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
            let chain = chain.map_err(|_| "`client_cert` cannot be read as PEM".to_owned())?;
            let key = PrivateKeyDer::from_pem_file(key);
            let key = key.map_err(|_| "`client_key` cannot be read as PEM".to_owned())?;
            let own = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
            let own = own.map_err(|error| format!("`client_cert`: {error}"))?;
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(own));
        }
        Ok(config)
    }
}

fn in_range(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    seconds: std::ops::RangeInclusive<u64>,
) -> Duration {
    let said = fields.or(name, default);
    if seconds.contains(&said.as_secs()) {
        return said;
    }
    let (least, most) = (seconds.start(), seconds.end());
    let message = format!("`{name}` has to be between {least} s and {most} s");
    fields.error("out-of-range", fields.span_of(name), message);
    default
}

/// A connection that stands, or stood. It is closed when it is dropped: whoever has a channel of it keeps it.
pub struct Link {
    connection: Arc<Connection>,
    /// There until it is dropped.
    held: Option<Held>,
    blocked: watch::Receiver<Option<String>>,
    listening: JoinHandle<()>,
    request_timeout: Duration,
}

impl Link {
    fn over(connection: Connection, held: Held, request_timeout: Duration) -> Self {
        let (tell, blocked) = watch::channel(None);
        let mut events = Box::pin(connection.events_listener());
        let listening = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let told = match event {
                    Event::ConnectionBlocked(reason) => tell.send(Some(reason)),
                    Event::ConnectionUnblocked => tell.send(None),
                    _ => Ok(()),
                };
                if told.is_err() {
                    return;
                }
            }
        });
        Self {
            connection: Arc::new(connection),
            held: Some(held),
            blocked,
            listening,
            request_timeout,
        }
    }

    /// What the broker answers to a request on one of the channels: to `doing`, a clause such as `declare
    /// the queue`. Time in which the broker says that it takes nothing does not count.
    ///
    /// # Errors
    /// As the broker says; `Disconnected` where it does not answer within `request_timeout`.
    pub async fn ask<T>(
        &self,
        doing: &str,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answered = request => answered.map_err(|error| failure(doing, &error)),
            () = self.silence() => {
                let limit = self.request_timeout;
                let message = format!("cannot {doing}: the broker has not answered within {limit:?}");
                Err(Failure::disconnected("broker_silent", message))
            }
        }
    }

    /// Until the broker has taken requests for as long as one may take.
    async fn silence(&self) {
        let mut blocked = self.blocked();
        loop {
            // Who cannot say any more that it is blocked is not.
            let _ = blocked.wait_for(Option::is_none).await;
            let again = async { blocked.wait_for(Option::is_some).await.is_ok() };
            match tokio::time::timeout(self.request_timeout, again).await {
                Ok(true) => {}
                Ok(false) => return tokio::time::sleep(self.request_timeout).await,
                Err(_) => return,
            }
        }
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// `Disconnected` when the connection is gone, or nobody answers.
    pub async fn channel(&self) -> Result<Channel, Failure> {
        self.ask("open a channel", self.connection.create_channel())
            .await
    }

    /// Why the broker takes nothing from this connection (its memory or disk is short), while it does
    /// not. Acknowledgements wait too if anything was published on the connection.
    pub fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.blocked.clone()
    }

    /// Whether it stands.
    pub fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Takes leave of the broker: what was said before has been read when this returns.
    pub async fn close(&self) {
        close(&self.connection).await;
    }
}

async fn close(connection: &Connection) {
    let closing = connection.close(200, "done".into());
    // Who does not answer has gone already.
    let _ = tokio::time::timeout(CLOSE, closing).await;
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Link(up: {})", self.is_up())
    }
}

impl Drop for Link {
    /// By itself lapin keeps a connection on which an answer is missing: it would live on, with all that
    /// the broker had handed to its consumers.
    fn drop(&mut self) {
        self.listening.abort();
        let held = self.held.take();
        if !self.is_up() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let connection = self.connection.clone();
            runtime.spawn(async move {
                close(&connection).await;
                drop(held);
            });
        }
    }
}

#[cfg(test)]
mod tests;
