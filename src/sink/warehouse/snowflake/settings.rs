//! What a pipeline file says about Snowflake.

use std::path::PathBuf;
use std::time::Duration;

use super::super::login::read_key;
use crate::client::snowflake::{self, Auth, Url};
use crate::failure::Failure;
use crate::setting::{Fields, Secret};

/// How long a statement may take unless told.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The fields of `dialect: snowflake`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `account`: the account's identifier, such as `org-account`.
    pub account: String,
    /// `user`.
    pub user: String,
    /// `password`, `private_key` (PEM text) or `private_key_file`: one of these.
    pub login: Login,
    /// `private_key_passphrase`: of a key that is encrypted.
    pub passphrase: Option<Secret>,
    /// `role`: default the user's own.
    pub role: Option<String>,
    /// `warehouse`: the virtual warehouse; default the user's own.
    pub warehouse: Option<String>,
    /// `database`.
    pub database: String,
    /// `url`: instead of `https://ACCOUNT.snowflakecomputing.com`.
    pub url: Option<Url>,
    /// `timeout`: the longest that one statement may take; default `120s`.
    pub timeout: Duration,
}

/// How the user logs in.
#[derive(Clone, Debug)]
pub enum Login {
    /// By a password.
    Password(Secret),
    /// By a private key.
    Key(Secret),
    /// By the private key in a file, which is read at the start.
    KeyFile(PathBuf),
}

impl Settings {
    /// Reads the fields; all mistakes go into the report.
    pub(in super::super) fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let account = named(fields, "account");
        let user = named(fields, "user");
        let login = read_login(fields);
        let passphrase = fields.filled("private_key_passphrase");
        let role = fields.filled("role");
        let warehouse = fields.filled("warehouse");
        let database = named(fields, "database");
        let url = read_url(fields);
        let timeout = fields.or("timeout", TIMEOUT);
        if timeout < Duration::from_secs(1) {
            let span = fields.span_of("timeout");
            fields.error("out-of-range", span, "`timeout` is at least `1s`");
        }
        Some(Self {
            account: account?,
            user: user?,
            login: login?,
            passphrase,
            role,
            warehouse,
            database: database?,
            url: url?,
            timeout,
        })
    }

    /// What the client takes; reads the key's file.
    pub(super) async fn client(&self) -> Result<snowflake::Settings, Failure> {
        let pem = match &self.login {
            Login::Password(_) => None,
            Login::Key(pem) => Some(pem.clone()),
            Login::KeyFile(path) => Some(read_key(path.clone()).await?),
        };
        let auth = match (pem, &self.login) {
            (Some(pem), _) => Auth::KeyPair {
                pem,
                passphrase: self.passphrase.clone(),
            },
            (None, Login::Password(password)) => Auth::Password(password.clone()),
            (None, _) => unreachable!("a key was read above"),
        };
        Ok(snowflake::Settings {
            account: self.account.clone(),
            user: self.user.clone(),
            auth,
            role: self.role.clone(),
            warehouse: self.warehouse.clone(),
            database: self.database.clone(),
            url: self.url.clone(),
            timeout: self.timeout,
        })
    }
}

/// A name that must be given and not be empty.
fn named(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text: String = fields.required(name)?;
    if text.is_empty() {
        let span = fields.span_of(name);
        fields.error("empty-value", span, format!("`{name}` is empty"));
        return None;
    }
    Some(text)
}

fn read_login(fields: &mut Fields<'_>) -> Option<Login> {
    let given: Vec<&str> = ["password", "private_key", "private_key_file"]
        .into_iter()
        .filter(|name| fields.node(name).is_some_and(|node| !node.is_unset()))
        .collect();
    let password = fields.filled("password").map(Login::Password);
    let key = fields.filled("private_key").map(Login::Key);
    let file = fields.filled("private_key_file").map(Login::KeyFile);
    if let [_, second, ..] = given.as_slice() {
        let span = fields.key_span_of(second);
        fields
            .error("conflicting-fields", span, "the user logs in in one way")
            .hint("say one of `password`, `private_key` and `private_key_file`");
        return None;
    }
    let login = password.or(key).or(file);
    if login.is_none() && given.is_empty() {
        let span = fields.span();
        fields
            .error("missing-field", span, "the warehouse has no way to log in")
            .hint("say one of `password`, `private_key` and `private_key_file`");
    }
    login
}

/// `Some(None)` when there is none.
#[allow(clippy::option_option, reason = "a mistake is not the same as nothing")]
fn read_url(fields: &mut Fields<'_>) -> Option<Option<Url>> {
    let Some(text) = fields.filled::<String>("url") else {
        return Some(None);
    };
    let url = Url::parse(&text).ok();
    let url = url.filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none() && url.path() == "/";
        let nobody = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && bare && nobody
    });
    if url.is_none() {
        let span = fields.span_of("url");
        fields
            .error("bad-url", span, "this is not the address of a Snowflake")
            .hint(
                "a host without a path: `https://org-account.privatelink.snowflakecomputing.com`",
            );
        return None;
    }
    Some(url)
}
