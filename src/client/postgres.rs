//! PostgreSQL's wire protocol (tokio-postgres): settings, a connection over the one TLS stack, and
//! what its errors mean. Redshift speaks it too.
//!
//! Works through PgBouncer when that keeps prepared statements (`max_prepared_statements`, from 1.21
//! on): no setting outlives a transaction here, and nothing else is kept on a connection.

mod verdict;

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::http;
use crate::failure::Failure;
use crate::setting::{Fields, Secret};

pub use verdict::{Verdict, verdict};

/// How long a connection may take to stand, unless told.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a statement may take, unless told.
const STATEMENT: Duration = Duration::from_secs(60);
/// A connection on which nothing is said is asked after so long whether it is alive.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long what was begun may go on when nobody waits for it any more.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where a server is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host`, `port`, `database`, `user`, `password`, or all of them in `url`.
    login: Login,
    /// `tls`: default `require`.
    pub tls: Tls,
    /// `ca_file`: a file of certificates (PEM) of authorities that are trusted besides the known ones,
    /// such as that of Amazon RDS.
    pub ca_file: Option<PathBuf>,
    /// `application_name`: as the server shows it in its lists; default `trunkline`.
    pub application_name: String,
    /// `connect_timeout`: default 10 s.
    pub connect_timeout: Duration,
    /// `statement_timeout`: the server ends what takes longer; default 60 s.
    pub statement_timeout: Duration,
}

#[derive(Clone, Debug)]
enum Login {
    Url(Secret),
    Parts {
        host: String,
        port: u16,
        database: String,
        user: String,
        password: Option<Secret>,
    },
}

/// Whether the connection is encrypted. The server's certificate is always checked, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Always.
    Require,
    /// Where the server can.
    Prefer,
    /// Never.
    Off,
}

impl Tls {
    const ALL: [(&'static str, Tls); 3] = [
        ("require", Tls::Require),
        ("prefer", Tls::Prefer),
        ("off", Tls::Off),
    ];
}

impl Settings {
    /// Reads the fields. `port` is the default of the kind of server.
    pub fn check(fields: &mut Fields<'_>, port: u16) -> Option<Self> {
        let login = Login::check(fields, port);
        let unset = fields.node("tls").is_some_and(|node| node.is_unset());
        let tls = (!unset).then(|| fields.choice("tls", &Tls::ALL)).flatten();
        let tls = tls.unwrap_or(Tls::Require);
        let ca_file = fields.filled("ca_file");
        let application_name = fields.or("application_name", "trunkline".to_owned());
        let connect_timeout = positive(fields, "connect_timeout", CONNECT);
        let statement_timeout = positive(fields, "statement_timeout", STATEMENT);
        Some(Self {
            login: login?,
            tls,
            ca_file,
            application_name,
            connect_timeout,
            statement_timeout,
        })
    }

    /// Settings of a URL, for tests and tools.
    pub fn of_url(url: &str, tls: Tls) -> Self {
        Self {
            login: Login::Url(Secret::new(url)),
            tls,
            ca_file: None,
            application_name: "trunkline".to_owned(),
            connect_timeout: CONNECT,
            statement_timeout: STATEMENT,
        }
    }

    /// Where that is, for people: never with a password.
    pub fn place(&self) -> String {
        match &self.login {
            Login::Parts {
                host,
                port,
                database,
                ..
            } => format!("`{database}` at {host}:{port}"),
            Login::Url(url) => match url.expose().parse::<tokio_postgres::Config>() {
                Ok(config) => format!("`{}`", config.get_dbname().unwrap_or("postgres")),
                Err(_) => "the database".to_owned(),
            },
        }
    }

    fn config(&self) -> Result<tokio_postgres::Config, Failure> {
        let mut config = match &self.login {
            Login::Url(url) => url.expose().parse().map_err(|_| {
                Failure::fatal("warehouse_login", "`url` is no URL of a PostgreSQL server")
            })?,
            Login::Parts {
                host,
                port,
                database,
                user,
                password,
            } => {
                let mut config = tokio_postgres::Config::new();
                config.host(host).port(*port).dbname(database).user(user);
                if let Some(password) = password {
                    config.password(password.expose());
                }
                config
            }
        };
        // There is none on a socket of the same machine.
        let local = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(_) => false,
            #[cfg(unix)]
            Host::Unix(_) => true,
        });
        config.ssl_mode(match self.tls {
            _ if local => SslMode::Disable,
            Tls::Require => SslMode::Require,
            Tls::Prefer => SslMode::Prefer,
            Tls::Off => SslMode::Disable,
        });
        config.application_name(&self.application_name);
        config.connect_timeout(self.connect_timeout);
        config.keepalives_idle(KEEPALIVE);
        config.tcp_user_timeout(KEEPALIVE);
        Ok(config)
    }
}

impl Login {
    fn check(fields: &mut Fields<'_>, port: u16) -> Option<Self> {
        if fields.node("url").is_some_and(|node| !node.is_unset()) {
            let url: Option<Secret> = fields.optional("url");
            for name in ["host", "port", "database", "user", "password"] {
                if fields.node(name).is_some_and(|node| !node.is_unset()) {
                    let message = format!("`url` says what `{name}` says");
                    fields.error("conflicting-fields", fields.key_span_of(name), message);
                }
            }
            let url = url?;
            if url.expose().parse::<tokio_postgres::Config>().is_err() {
                // Without the text: a password may stand in it.
                let message = "`url` is no URL of a PostgreSQL server";
                fields
                    .error("bad-url", fields.span_of("url"), message)
                    .hint("such as `postgresql://user:password@host:5432/database`");
                return None;
            }
            return Some(Self::Url(url));
        }
        let host: Option<String> = fields.required("host");
        let port = fields.filled("port").unwrap_or(port);
        let database: Option<String> = fields.required("database");
        let user: Option<String> = fields.required("user");
        let password = fields.filled("password");
        Some(Self::Parts {
            host: host?,
            port,
            database: database?,
            user: user?,
            password,
        })
    }
}

fn positive(fields: &mut Fields<'_>, name: &'static str, default: Duration) -> Duration {
    let value = fields.or(name, default);
    if value.is_zero() {
        let message = format!("`{name}` must be longer than nothing");
        fields.error("out-of-range", fields.span_of(name), message);
    }
    value
}

/// An open connection. What is on its way when it is dropped has five seconds to end; then
/// the socket is closed.
pub struct Connection {
    client: Client,
    _open: oneshot::Sender<()>,
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// `Disconnected`, when the server cannot be reached; `Fatal` for credentials and the like.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        let config = settings.config()?;
        let tls = tls(settings).await?;
        let connecting = async {
            match config.get_ssl_mode() {
                SslMode::Disable => {
                    let (client, connection) = config.connect(NoTls).await?;
                    Ok((client, drive(connection)))
                }
                _ => {
                    let tls = MakeRustlsConnect::new(tls);
                    let (client, connection) = config.connect(tls).await?;
                    Ok((client, drive(connection)))
                }
            }
        };
        // The library bounds only the socket's part of it; a server may fall silent after that.
        let limit = settings.connect_timeout.saturating_mul(2);
        let connected = tokio::time::timeout(limit, connecting).await;
        let connected: Result<_, tokio_postgres::Error> = connected.map_err(|_| {
            let message = format!("{} did not answer in time", settings.place());
            Failure::disconnected("warehouse_unreachable", message)
        })?;
        match connected {
            Ok((client, open)) => Ok(Self {
                client,
                _open: open,
            }),
            Err(error) => Err(verdict(&error, &settings.place()).into_failure()),
        }
    }
}

/// Moves the connection's bytes until it ends, or for a moment longer than anybody holds its other
/// side.
fn drive<C>(connection: C) -> oneshot::Sender<()>
where
    C: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    let (open, held) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        // How it ends shows to whoever waits for an answer on it.
        tokio::select! {
            _ = &mut connection => {}
            _ = held => {
                let _ = tokio::time::timeout(FAREWELL, connection).await;
            }
        }
    });
    open
}

async fn tls(settings: &Settings) -> Result<ClientConfig, Failure> {
    let Some(file) = settings.ca_file.clone() else {
        return Ok(ClientConfig::clone(&http::tls()));
    };
    let shown = file.display().to_string();
    let read = tokio::task::spawn_blocking(move || http::tls_trusting(&file)).await;
    let read = read.map_err(|_| "it could not be read".to_owned());
    read.and_then(|read| read).map_err(|problem| {
        Failure::fatal("warehouse_tls", format!("`ca_file` `{shown}`: {problem}"))
    })
}
