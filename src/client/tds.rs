//! TDS, the protocol of Microsoft's databases, by `tiberius`: one session, statements with bound
//! values, and what its errors mean.
//!
//! Always encrypted: a server that offers no TLS, or whose certificate nobody vouches for, gets no
//! password. `tiberius` builds its own TLS from the machine's authorities (Mozilla's list where the
//! machine has none) with aws-lc, as [`http::tls`](super::http::tls) does.
//!
//! A session must be dropped after [`Class::Gone`]: what the server still sends belongs to a
//! statement that nobody waits for any more.

mod fault;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt;
use tiberius::{AuthMethod, Client, EncryptionLevel, Query};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

pub use fault::{Class, Fault};

use crate::setting::Secret;

/// Values of one statement: the server takes 2,100 parameters, and two are the statement itself.
pub const MOST_VALUES: usize = 2_000;

/// Rows of one answer. No statement of ours asks for more; what answers more is no such server.
const MOST_ROWS: usize = 100_000;

/// Where a server is, and who we are there.
#[derive(Clone, Debug)]
pub struct Address {
    /// Name or address; the certificate must be for it.
    pub host: String,
    /// Usually 1433.
    pub port: u16,
    /// The database, which is the SQL pool.
    pub database: String,
    /// Who we are.
    pub login: Login,
    /// A file with the authorities (PEM) of a server that no public authority vouches for.
    pub ca_file: Option<PathBuf>,
    /// How long connecting and logging in may take, each.
    pub connect_timeout: Duration,
    /// How long a statement may say nothing.
    pub statement_timeout: Duration,
}

/// How a session proves who it is.
#[derive(Clone, Debug)]
pub enum Login {
    /// SQL authentication.
    Password {
        /// The user.
        user: String,
        /// And their password.
        password: Secret,
    },
    /// A token of Microsoft Entra ID for `https://database.windows.net/`.
    Token(Secret),
}

/// A bound value. It has no `Debug`: it may be personal data.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Text, as `NVARCHAR`.
    Text(&'a str),
    /// A `BIGINT`.
    Number(i64),
}

/// A logged-in session.
pub struct Session(Client<Compat<TcpStream>>);

impl Session {
    /// Connects, encrypts and logs in. A gateway may send it on to another server, once.
    ///
    /// # Errors
    /// See [`Fault::class`].
    pub async fn open(address: &Address) -> Result<Self, Fault> {
        match connect(address, &address.host, address.port).await {
            Err(tiberius::error::Error::Routing { host, port }) => {
                let session = connect(address, &host, port).await;
                session.map(Self).map_err(Fault::of)
            }
            session => session.map(Self).map_err(Fault::of),
        }
    }

    /// Runs statements without values, one batch, and drops what they answer.
    ///
    /// # Errors
    /// The first error of the batch.
    pub async fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        let answer = self.0.simple_query(sql).await.map_err(Fault::of)?;
        answer.into_results().await.map(drop).map_err(Fault::of)
    }

    /// Runs a statement with values, `@P1` and so on, and answers how many rows it touched.
    ///
    /// # Errors
    /// The server's, or of kind [`Class::Gone`].
    pub async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, Fault> {
        let query = bound(sql, values);
        let done = query.execute(&mut self.0).await.map_err(Fault::of)?;
        Ok(done.total())
    }

    /// Runs a query and answers its rows as text; whatever it asks for must be cast to `NVARCHAR`.
    ///
    /// # Errors
    /// As [`Session::execute`]; also when a column is no text, or the rows do not end.
    pub async fn rows(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Vec<Option<String>>>, Fault> {
        let answer = bound(sql, values).query(&mut self.0).await;
        let mut stream = answer.map_err(Fault::of)?.into_row_stream();
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await.map_err(Fault::of)? {
            if rows.len() == MOST_ROWS {
                return Err(Fault::strange("more rows than any query here asks for"));
            }
            let cells = (0..row.len()).map(|place| {
                let cell = row.try_get::<&str, usize>(place).map_err(Fault::of)?;
                Ok(cell.map(str::to_owned))
            });
            rows.push(cells.collect::<Result<_, Fault>>()?);
        }
        Ok(rows)
    }
}

fn bound<'a>(sql: &'a str, values: &[Value<'a>]) -> Query<'a> {
    let mut query = Query::new(sql);
    for value in values {
        match *value {
            Value::Null => query.bind(None::<&str>),
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        }
    }
    query
}

type Connected = Result<Client<Compat<TcpStream>>, tiberius::error::Error>;

async fn connect(address: &Address, host: &str, port: u16) -> Connected {
    let stream = within(address.connect_timeout, TcpStream::connect((host, port))).await?;
    // Statements are small and each waits for its answer.
    stream.set_nodelay(true)?;
    Client::connect(config(address, host, port), stream.compat_write()).await
}

async fn within<T>(
    most: Duration,
    work: impl Future<Output = std::io::Result<T>>,
) -> std::io::Result<T> {
    match tokio::time::timeout(most, work).await {
        Ok(done) => done,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

fn config(address: &Address, host: &str, port: u16) -> tiberius::Config {
    let mut config = tiberius::Config::new();
    config.host(host);
    config.port(port);
    config.database(&address.database);
    config.application_name("trunkline");
    // Everything, not only the login, and no connection without.
    config.encryption(EncryptionLevel::Required);
    config.authentication(match &address.login {
        Login::Password { user, password } => AuthMethod::sql_server(user, password.expose()),
        Login::Token(token) => AuthMethod::aad_token(token.expose()),
    });
    match &address.ca_file {
        Some(file) => config.trust_cert_ca(file.display()),
        None if rustls_native_certs::load_native_certs().certs.is_empty() => {
            config.trust_webpki_roots();
        }
        None => {}
    }
    config.handshake_timeout(Some(address.connect_timeout));
    config.command_timeout(Some(address.statement_timeout));
    config
}
