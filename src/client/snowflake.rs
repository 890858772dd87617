//! Snowflake, through its connector: a session that runs one statement at a time.
//!
//! The connector speaks the protocol of the drivers (JSON over HTTPS; rustls with aws-lc, the
//! machine's authorities). What it says of an error is sorted here by the server's number, and a
//! message is kept only where it can hold no value of a row.

mod error;

use std::time::Duration;

use serde_json::Value;
use snowflake_connector_rs::{
    AuthConfig, CellValue, Client, ClientConfig, DynamicRow, EndpointConfig, KeyPairConfig,
    QueryConfig, SessionConfig, Statement,
};

pub use error::{Class, Error};
pub use url::Url;

use crate::setting::Secret;

/// How a session proves who it is.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A password.
    Password(Secret),
    /// A key pair: the private key as PEM (PKCS #8), and what it is encrypted with.
    KeyPair {
        /// The text of the PEM file.
        pem: Secret,
        /// The passphrase, where it is encrypted.
        passphrase: Option<Secret>,
    },
}

/// Where to, as whom, and with what in sight.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account's identifier, such as `org-account`.
    pub account: String,
    /// The user who logs in.
    pub user: String,
    /// How the user proves it.
    pub auth: Auth,
    /// The role; the user's default if there is none.
    pub role: Option<String>,
    /// The virtual warehouse that runs statements; the user's default if there is none.
    pub warehouse: Option<String>,
    /// The database in which names are looked up.
    pub database: String,
    /// Instead of `https://ACCOUNT.snowflakecomputing.com`: PrivateLink, or a server for tests.
    pub url: Option<Url>,
    /// The longest that one statement may take, waiting included.
    pub timeout: Duration,
}

/// A session. It ends by itself when nobody has used it for some hours.
pub struct Session(snowflake_connector_rs::Session);

/// A row of an answer; numbers and times as text.
pub type Row = Vec<Option<String>>;

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// [`Class::Setup`] when the credentials are not taken or an address is none; [`Class::Busy`]
    /// when the server does not answer.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let auth = match &settings.auth {
            Auth::Password(password) => AuthConfig::password(password.expose()),
            Auth::KeyPair { pem, passphrase } => AuthConfig::key_pair(match passphrase {
                // Blank lines around it, which its reader minds, come easily with a variable.
                Some(passphrase) => KeyPairConfig::from_encrypted_pem(
                    pem.expose().trim(),
                    passphrase.expose().as_bytes().to_vec(),
                ),
                None => KeyPairConfig::from_pem(pem.expose().trim()),
            }),
        };
        let query = QueryConfig::new().with_query_response_timeout(settings.timeout);
        let mut config = ClientConfig::new(&settings.user, &settings.account, auth)
            .with_session(session(settings))
            .with_query(query);
        if let Some(url) = &settings.url {
            config = config.with_endpoint(EndpointConfig::custom_base_url(url.clone()));
        }
        let client = Client::new(config).map_err(Error::of)?;
        client.create_session().await.map(Self).map_err(Error::of)
    }

    /// Runs a statement whose `?` are these texts; all rows of the answer.
    ///
    /// Who no longer waits does not stop the statement: it goes on at the server, and so does the
    /// transaction that it belongs to.
    ///
    /// # Errors
    /// By [`Class`].
    pub async fn run(&self, sql: &str, texts: &[&str]) -> Result<Vec<Row>, Error> {
        let statement = Statement::new_positional(sql.to_owned());
        let statement = texts.iter().fold(statement, |statement, text| {
            statement.bind((*text).to_owned())
        });
        let cursor = self.0.query(statement).await.map_err(Error::of)?;
        let rows: Vec<DynamicRow> = cursor.collect().await.map_err(Error::of)?;
        Ok(rows.into_iter().map(row).collect())
    }
}

/// What holds for every statement of a session.
fn session(settings: &Settings) -> SessionConfig {
    let seconds = settings.timeout.as_secs().max(1);
    let mut session = SessionConfig::new()
        .with_database(&settings.database)
        .with_session_parameter("TIMEZONE", Value::from("UTC"))
        // Times and days come as text of ISO 8601; an account may have set that other text is read.
        .with_session_parameter("TIMESTAMP_INPUT_FORMAT", Value::from("AUTO"))
        .with_session_parameter("DATE_INPUT_FORMAT", Value::from("AUTO"))
        .with_session_parameter("QUERY_TAG", Value::from("trunkline"))
        // A statement that failed must not leave half a transaction to be committed.
        .with_session_parameter("TRANSACTION_ABORT_ON_ERROR", Value::from(true))
        // Two rows for one key would make the outcome a matter of luck: that is an error.
        .with_session_parameter("ERROR_ON_NONDETERMINISTIC_MERGE", Value::from(true))
        .with_session_parameter("STATEMENT_TIMEOUT_IN_SECONDS", Value::from(seconds))
        .with_session_parameter("LOCK_TIMEOUT", Value::from(seconds));
    if let Some(role) = &settings.role {
        session = session.with_role(role);
    }
    if let Some(warehouse) = &settings.warehouse {
        session = session.with_warehouse(warehouse);
    }
    session
}

fn row(row: DynamicRow) -> Row {
    let (_, cells) = row.into_parts();
    cells.into_iter().map(text).collect()
}

fn text(cell: CellValue) -> Option<String> {
    Some(match cell {
        CellValue::Null => return None,
        CellValue::String(text) => text,
        CellValue::Integer(number) => number.to_string(),
        CellValue::Boolean(value) => value.to_string(),
        CellValue::Float(value) => value.to_string(),
        CellValue::Decimal(value) => value.raw().to_owned(),
        CellValue::Date(value) => value.to_string(),
        CellValue::Time(value) => value.to_string(),
        CellValue::TimestampNtz(value) => value.to_string(),
        CellValue::TimestampLtz(value) => value.to_string(),
        CellValue::TimestampTz(value) => value.to_string(),
        CellValue::Json(value) => value.to_string(),
        // Binary columns and vectors: no statement here asks for one.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(auth: Auth) -> Settings {
        Settings {
            account: "org-account".to_owned(),
            user: "loader".to_owned(),
            auth,
            role: None,
            warehouse: None,
            database: "db".to_owned(),
            // Nobody listens on port 1.
            url: Url::parse("http://127.0.0.1:1").ok(),
            timeout: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn who_cannot_be_reached_is_asked_again() {
        let settings = settings(Auth::Password(Secret::new("hush")));
        let error = Session::open(&settings).await.err().unwrap();
        assert_eq!(error.class, Class::Busy, "{error}");
        assert!(!format!("{error} {error:?} {settings:?}").contains("hush"));
    }

    #[tokio::test]
    async fn a_key_that_is_none_says_what_is_needed() {
        let settings = settings(Auth::KeyPair {
            pem: Secret::new("-----BEGIN RSA PRIVATE KEY-----\nhush\n"),
            passphrase: None,
        });
        let error = Session::open(&settings).await.err().unwrap();
        assert_eq!(error.class, Class::Setup);
        let text = format!("{error} {error:?}");
        assert!(text.contains("PKCS #8") && !text.contains("hush"), "{text}");
    }
}
