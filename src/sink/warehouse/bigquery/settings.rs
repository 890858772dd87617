//! What a pipeline file says about BigQuery.

use std::path::PathBuf;
use std::time::Duration;

use super::super::login::read_key;
use crate::client::bigquery::{self, Auth, ServiceAccount, Url};
use crate::failure::Failure;
use crate::setting::{Fields, Secret};

/// How long a job may take unless told.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The fields of `dialect: bigquery`. The dataset is the sink's `schema`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `project`.
    pub project: String,
    /// `location`: where the dataset is, such as `EU`; default where BigQuery finds it.
    pub location: Option<String>,
    /// `credentials` (the JSON text of a service account's key), `credentials_file` or
    /// `access_token`: at most one of these. Without any: the machine's own account, from the
    /// metadata server; nobody, where there is a `url`.
    pub login: Login,
    /// `url`: instead of `https://bigquery.googleapis.com`.
    pub url: Option<Url>,
    /// `timeout`: the longest that one job may take; default `120s`.
    pub timeout: Duration,
}

/// As whom.
#[derive(Clone, Debug)]
pub enum Login {
    /// As the service account whose key this is.
    Key(Secret),
    /// As the service account whose key is in the file, which is read at the start.
    KeyFile(PathBuf),
    /// By a token that somebody else renews: it lasts an hour.
    Token(Secret),
    /// As the machine.
    Machine,
    /// As nobody.
    Nobody,
}

impl Settings {
    /// Reads the fields; all mistakes go into the report.
    pub(in super::super) fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let project = read_project(fields);
        let location = fields.filled("location");
        let url = read_url(fields);
        let login = read_login(fields, matches!(&url, Some(Some(_))));
        let timeout = fields.or("timeout", TIMEOUT);
        if timeout < Duration::from_secs(1) {
            let span = fields.span_of("timeout");
            fields.error("out-of-range", span, "`timeout` is at least `1s`");
        }
        Some(Self {
            project: project?,
            location,
            login: login?,
            url: url?,
            timeout,
        })
    }

    /// What the client takes; reads the key's file.
    pub(super) async fn client(&self) -> Result<bigquery::Settings, Failure> {
        let key = |text: &str| {
            let account = ServiceAccount::parse(text).map(Auth::ServiceAccount);
            account
                .map_err(|what| Failure::fatal("warehouse_key", format!("the credentials: {what}")))
        };
        Ok(bigquery::Settings {
            project: self.project.clone(),
            location: self.location.clone(),
            url: self.url.clone(),
            auth: match &self.login {
                Login::Key(text) => key(text.expose())?,
                Login::KeyFile(path) => key(read_key(path.clone()).await?.expose())?,
                Login::Token(token) => Auth::Token(token.clone()),
                Login::Machine => Auth::Metadata(None),
                Login::Nobody => Auth::None,
            },
            timeout: self.timeout,
        })
    }
}

/// Letters, digits and `-`, as Google has it (older ones also `.` and `:`).
fn read_project(fields: &mut Fields<'_>) -> Option<String> {
    let text: String = fields.required("project")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    if text.is_empty() || !text.chars().all(good) {
        let span = fields.span_of("project");
        let message = "the id of a project has letters, digits and `-`";
        fields.error("bad-name", span, message);
        return None;
    }
    Some(text)
}

fn read_login(fields: &mut Fields<'_>, has_url: bool) -> Option<Login> {
    let given: Vec<&str> = ["credentials", "credentials_file", "access_token"]
        .into_iter()
        .filter(|name| fields.node(name).is_some_and(|node| !node.is_unset()))
        .collect();
    let key = fields.filled("credentials").map(Login::Key);
    let file = fields.filled("credentials_file").map(Login::KeyFile);
    let token = fields.filled("access_token").map(Login::Token);
    if let [_, second, ..] = given.as_slice() {
        let span = fields.key_span_of(second);
        fields
            .error(
                "conflicting-fields",
                span,
                "there are two kinds of credentials",
            )
            .hint("say one of `credentials`, `credentials_file` and `access_token`");
        return None;
    }
    match key.or(file).or(token) {
        Some(login) => Some(login),
        // What is given and empty counts as not given: a variable without a value.
        None if has_url => Some(Login::Nobody),
        None => Some(Login::Machine),
    }
}

/// `Some(None)` when there is none.
#[allow(clippy::option_option, reason = "a mistake is not the same as nothing")]
fn read_url(fields: &mut Fields<'_>) -> Option<Option<Url>> {
    let Some(text) = fields.filled::<String>("url") else {
        return Some(None);
    };
    let url = Url::parse(&text).ok();
    let url = url.filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && bare && nobody
    });
    if url.is_none() {
        let span = fields.span_of("url");
        fields
            .error("bad-url", span, "this is not the address of a BigQuery")
            .hint("write it as `https://bigquery.example.com`, without `/bigquery/v2`");
        return None;
    }
    Some(url)
}
