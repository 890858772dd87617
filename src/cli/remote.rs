//! The interface of a running process, as commands ask it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use reqwest::Response;
use serde_json::Value;

use super::show;
use super::table::tame;
use crate::client::http;
use crate::config::{Environment, Variables};
use crate::graph::Components;
use crate::graph::Interface;
use crate::setting::Secret;

/// Where a process is asked that says nothing else.
const USUAL: &str = "http://127.0.0.1:9100";
/// The token, where neither a file nor the command line has one.
const TOKEN: &str = "TRUNKLINE_TOKEN";
/// For the head of an answer, and the whole of a refusal.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest refusal that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Where a process is asked.
#[derive(clap::Args)]
pub(super) struct Where {
    /// The interface of the process; default: `api` of the pipeline file, else http://127.0.0.1:9100.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Its token; default: that of the pipeline file, else the variable TRUNKLINE_TOKEN.
    ///
    /// Other users of this machine may see it on the command line.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// A process that runs, over its interface.
pub(super) struct Remote {
    url: url::Url,
    token: Option<Secret>,
    client: reqwest::Client,
}

impl Remote {
    /// Connects to nothing yet. `api` is what a pipeline file says.
    ///
    /// # Errors
    /// In words, when the URL is none.
    pub(super) fn new(at: &Where, api: Option<&Interface>) -> Result<Self, String> {
        let url = match (&at.url, api) {
            (Some(url), _) => url.clone(),
            (None, Some(api)) => format!("http://{}", reached(api.address)?),
            (None, None) => USUAL.to_owned(),
        };
        let parsed = url::Url::parse(&url).ok();
        let web = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = web.ok_or_else(|| format!("`{}` is no URL such as {USUAL}", tame(&url)))?;
        let token = at.token.clone().map(Secret::new);
        // The token of a file goes where the file says, and nowhere else.
        let filed = api
            .filter(|_| at.url.is_none())
            .and_then(|api| api.token.clone());
        let token = token.or(filed);
        let token = token.or_else(|| Environment.get(TOKEN).map(Secret::new));
        let client = http::client(LIMIT).map_err(|failure| failure.to_string())?;
        Ok(Self { url, token, client })
    }

    /// As people read it.
    pub(super) fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// An answer whose body may come for ever; its head has ten seconds.
    ///
    /// # Errors
    /// In words, when there is none, or another than 200.
    pub(super) async fn stream(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Response, String> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.get(url);
        // The bound of the client is for whole answers.
        request = request.timeout(Duration::from_secs(u64::from(u32::MAX)));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = tokio::time::timeout(LIMIT, request.send()).await;
        let silent = || format!("{} does not answer", self.place());
        let answer = answer.map_err(|_| silent())?;
        let answer = answer.map_err(|error| format!("{}: {}", silent(), http::told(error)))?;
        if answer.status() == reqwest::StatusCode::OK {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    /// The whole of an answer, of at most so many bytes.
    ///
    /// # Errors
    /// In words, when there is none, or another than 200.
    pub(super) async fn get(&self, path: &[&str], most: usize) -> Result<Vec<u8>, String> {
        let answer = self.stream(path, &[]).await?;
        let body = bounded(answer, most).await;
        body.ok_or_else(|| format!("{} broke off its answer", self.place()))
    }

    /// What an answer other than 200 says, in words.
    async fn refusal(&self, answer: Response) -> String {
        let status = answer.status();
        let body = bounded(answer, MAX_BYTES).await.unwrap_or_default();
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no reason given");
        let mut text = format!("{}: {} ({status})", self.place(), tame(detail));
        if let Some(names) = problem["pipelines"].as_array() {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).map(tame).collect();
            text.push_str(&format!(": there are `{}`", names.join("`, `")));
        }
        if status == reqwest::StatusCode::UNAUTHORIZED {
            text.push_str("; give the pipeline file, `--token`, or the variable TRUNKLINE_TOKEN");
        }
        text
    }
}

/// The body, if it comes in time and is not too long.
async fn bounded(answer: Response, most: usize) -> Option<Vec<u8>> {
    let read = async {
        let (mut body, mut parts) = (Vec::new(), answer.bytes_stream());
        while let Some(part) = parts.next().await {
            body.extend_from_slice(&part.ok()?);
            if body.len() > most {
                return None;
            }
        }
        Some(body)
    };
    tokio::time::timeout(LIMIT, read).await.ok().flatten()
}

/// Where a process is reached that listens there.
fn reached(mut address: SocketAddr) -> Result<SocketAddr, String> {
    if address.port() == 0 {
        return Err("`api.address` takes any free port: say where with `--url`".into());
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// The name of a pipeline and its interface, from its file; or the word itself, where no such file is.
///
/// # Errors
/// In words, when the file has mistakes or no `api`.
pub(super) fn named(
    word: &str,
    at: &Where,
    own: &Components,
) -> Result<(String, Option<Interface>), String> {
    if !Path::new(word).is_file() {
        if word.contains('/') || word.ends_with(".yaml") || word.ends_with(".yml") {
            return Err(format!("there is no file `{}`", tame(word)));
        }
        return Ok((word.to_owned(), None));
    }
    let (_, checked) = show::read(Path::new(word), own);
    let Some(pipeline) = checked.pipeline else {
        let hint = "see `trunkline validate`, or give the pipeline's name and `--url`";
        return Err(format!("{} has mistakes: {hint}", tame(word)));
    };
    if pipeline.api.is_none() && at.url.is_none() {
        let hint = "a running process is asked over it: add `api: { address: 127.0.0.1:9100 }`, or say \
                    where with `--url`";
        return Err(format!("{} has no `api`: {hint}", tame(word)));
    }
    Ok((pipeline.name.to_string(), pipeline.api))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        let told = |text: &str| reached(text.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(told("0.0.0.0:9").unwrap(), "127.0.0.1:9");
        assert_eq!(told("[::]:9").unwrap(), "[::1]:9");
        assert_eq!(told("10.1.2.3:9").unwrap(), "10.1.2.3:9");
        assert!(told("127.0.0.1:0").is_err());
    }

    #[test]
    fn a_files_token_goes_nowhere_else() {
        let api = Interface {
            address: "127.0.0.1:9".parse().unwrap(),
            token: Some(Secret::new("s3same".to_owned())),
            cors: Vec::new(),
            protect_metrics: false,
            tap: crate::observe::TapPolicy::Masked,
        };
        let at = |url: Option<&str>| Where {
            url: url.map(str::to_owned),
            token: None,
        };
        let own = Remote::new(&at(None), Some(&api)).unwrap();
        assert_eq!(own.token.unwrap().expose(), "s3same");
        assert_eq!(own.url.as_str(), "http://127.0.0.1:9/");
        let other = Remote::new(&at(Some("http://example.com")), Some(&api)).unwrap();
        assert!(other.token.is_none_or(|token| token.expose() != "s3same"));
        assert!(Remote::new(&at(Some("ftp://x")), None).is_err());
    }
}
