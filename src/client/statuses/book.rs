//! Who keeps the status of each message: the pipeline's state, a Redis, or a service over HTTP.
//!
//! While it is away nothing is guessed: what it is asked for fails for a passing reason.

use std::collections::VecDeque;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::config::Statuses;
use super::record::Record;
use crate::client::http::{self, told};
use crate::client::redis::Redis;
use crate::failure::Failure;
use crate::setting::Secret;
use crate::stage::Checkpoint;
use crate::state::Store;

/// Rows that are remembered where the pipeline's state is in memory: two for a message that was sent.
const IN_MEMORY: usize = 200_000;
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 << 10;
const DAY: i64 = 86_400;
/// Days before the last that are looked at for what was not taken away.
const BACKLOG: i64 = 35;
/// Rows that are taken away in one commit.
const AT_ONCE: usize = 1_000;

/// See the module.
pub struct Book(Keeper);

enum Keeper {
    Local(Local),
    Redis {
        redis: Redis,
        keep: Duration,
    },
    Http {
        client: reqwest::Client,
        url: Url,
        token: Option<Secret>,
    },
}

/// A row of the state: its section and its key.
type Row = (Arc<str>, Vec<u8>);

/// Statuses in the pipeline's state: a section for each day, so that a whole day can be taken away.
struct Local {
    store: Store,
    node: Arc<str>,
    days: i64,
    /// Of a state in memory: the rows that are there, the oldest first.
    rows: Option<Mutex<VecDeque<Row>>>,
    /// The last day whose end was tended to.
    pruned: AtomicI64,
    /// Where rows are looked for on this day.
    sections: Mutex<(i64, Arc<[Arc<str>]>)>,
}

impl Book {
    /// As a pipeline file says it; `node` is the sink whose messages they are of. Connects to nothing
    /// yet.
    ///
    /// # Errors
    /// Fatal (`http_client`) when the machine has no randomness for TLS.
    pub fn open(statuses: &Statuses, node: &str, store: &Store) -> Result<Self, Failure> {
        Ok(Self(match statuses {
            Statuses::Local { keep } => Keeper::Local(Local {
                store: store.clone(),
                node: node.into(),
                // Written at the end of a day, it is kept for that long.
                days: i64::try_from(keep.as_secs()).unwrap_or(DAY).div_euclid(DAY) + 1,
                rows: (!store.is_durable()).then(Mutex::default),
                pruned: AtomicI64::new(0),
                sections: Mutex::default(),
            }),
            Statuses::Redis { url, keep } => Keeper::Redis {
                redis: Redis::new(url.clone()),
                keep: *keep,
            },
            Statuses::Http { url, token } => Keeper::Http {
                client: http::client(TIMEOUT)?,
                url: url.clone(),
                token: token.clone(),
            },
        }))
    }

    /// The key of the message that the platform knows by this id.
    ///
    /// # Errors
    /// Transient (`statuses_away`).
    pub async fn key_of(&self, platform: &str) -> Result<Option<String>, Failure> {
        let read = |bytes: &[u8]| {
            let wrong = |_| away("what the keeper of statuses says cannot be read".to_owned());
            let found: Known = serde_json::from_slice(bytes).map_err(wrong)?;
            Ok(found.key)
        };
        match &self.0 {
            Keeper::Local(local) => {
                let found = local.row(&by_platform(platform)).await?;
                found.map(|bytes| read(&bytes)).transpose()
            }
            Keeper::Redis { redis, .. } => {
                let mut cmd = redis::cmd("GET");
                cmd.arg(name(&by_platform(platform)));
                let found: Option<Vec<u8>> = redis.ask(&cmd).await?;
                found.map(|bytes| read(&bytes)).transpose()
            }
            Keeper::Http { client, url, token } => {
                let request = client.get(index(url, platform)?);
                match answer(authorised(request, token.as_ref())).await? {
                    (404, _) => Ok(None),
                    (200..300, body) => read(&body).map(Some),
                    (status, _) => Err(answers(status)),
                }
            }
        }
    }

    /// What is known of a message.
    ///
    /// # Errors
    /// Transient (`statuses_away`).
    pub async fn read(&self, key: &str) -> Result<Option<Record>, Failure> {
        match &self.0 {
            Keeper::Local(local) => {
                let found = local.row(key).await?;
                found.map(|bytes| parse(&bytes)).transpose()
            }
            Keeper::Redis { redis, .. } => {
                let mut cmd = redis::cmd("GET");
                cmd.arg(name(key));
                let found: Option<Vec<u8>> = redis.ask(&cmd).await?;
                found.map(|bytes| parse(&bytes)).transpose()
            }
            Keeper::Http { client, url, token } => {
                let request = client.get(address(url, key)?);
                match answer(authorised(request, token.as_ref())).await? {
                    (404, _) => Ok(None),
                    (200..300, body) => parse(&body).map(Some),
                    (status, _) => Err(answers(status)),
                }
            }
        }
    }

    /// Durable when it returns. A message that was sent is found by the platform's id from then on.
    ///
    /// # Errors
    /// Transient (`statuses_away`).
    pub async fn write(&self, key: &str, record: &Record) -> Result<(), Failure> {
        let sent = (record.platform_message_id.as_deref()).filter(|_| record.state.is_taken());
        let known = serde_json::to_vec(&Known {
            key: key.to_owned(),
        })
        .unwrap_or_default();
        match &self.0 {
            Keeper::Local(local) => {
                let mut rows = vec![(key.to_owned(), bytes(record))];
                rows.extend(sent.map(|id| (by_platform(id), known)));
                local.write(rows).await
            }
            Keeper::Redis { redis, keep } => {
                let life = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
                if let Some(id) = sent {
                    let mut cmd = redis::cmd("SET");
                    cmd.arg(name(&by_platform(id))).arg(known);
                    redis.ask::<String>(cmd.arg("PX").arg(life)).await?;
                }
                let mut cmd = redis::cmd("SET");
                cmd.arg(name(key)).arg(bytes(record)).arg("PX").arg(life);
                redis.ask::<String>(&cmd).await.map(|_| ())
            }
            Keeper::Http { client, url, token } => {
                if let Some(id) = sent {
                    // The index first: a status that is there can be found. A service may keep none;
                    // then receipts find no messages.
                    let known = Known {
                        key: key.to_owned(),
                    };
                    let request = client.put(index(url, id)?).json(&known);
                    match answer(authorised(request, token.as_ref())).await? {
                        (200..300 | 404 | 405 | 501, _) => {}
                        (status, _) => return Err(answers(status)),
                    }
                }
                let request = client.put(address(url, key)?).json(record);
                match answer(authorised(request, token.as_ref())).await? {
                    (200..300, _) => {}
                    (status, _) => return Err(answers(status)),
                }
                Ok(())
            }
        }
    }

    /// Takes away what is too old. To be called now and then; it looks once a day.
    pub async fn prune(&self) {
        if let Keeper::Local(local) = &self.0
            && let Err(failure) = local.prune(today()).await
        {
            tracing::warn!(%failure, "old statuses of messages were not taken away");
        }
    }
}

/// What the platform's id leads to.
#[derive(Serialize, Deserialize)]
struct Known {
    key: String,
}

fn answers(status: u16) -> Failure {
    away(format!("the keeper of statuses answers {status}"))
}

/// Tenants have no empty id, so this is nobody's key.
fn by_platform(id: &str) -> String {
    format!("/{id}")
}

/// `{url}/platform-messages/{id}`.
fn index(base: &Url, id: &str) -> Result<Url, Failure> {
    let mut url = base.clone();
    let wrong = |()| away("the address of the keeper of statuses takes no path".to_owned());
    url.path_segments_mut()
        .map_err(wrong)?
        .pop_if_empty()
        .extend(["platform-messages", id]);
    Ok(url)
}

impl Local {
    fn section(&self, day: i64) -> Arc<str> {
        format!("{}/status/{day}", self.node).into()
    }

    async fn row(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let sections = self.looked_at(today());
        (self.store)
            .first_checkpoint(&sections, key.as_bytes())
            .await
    }

    /// The sections of all days that are kept, the last first: made once a day.
    fn looked_at(&self, today: i64) -> Arc<[Arc<str>]> {
        let mut made = self.sections.lock().unwrap_or_else(PoisonError::into_inner);
        if made.0 != today || made.1.is_empty() {
            let days = (today - self.days..=today).rev();
            *made = (today, days.map(|day| self.section(day)).collect());
        }
        made.1.clone()
    }

    async fn write(&self, rows: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        let section = self.section(today());
        let mut written = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let key = key.into_bytes();
            written.extend(self.room_for(&section, &key).await?);
            written.push((section.clone(), Checkpoint { key, value }));
        }
        self.store.commit(Vec::new(), written).await
    }

    /// In memory there are so many rows and no more: which one goes for this one, if it is new.
    async fn room_for(
        &self,
        section: &Arc<str>,
        key: &[u8],
    ) -> Result<Option<(Arc<str>, Checkpoint)>, Failure> {
        let Some(rows) = &self.rows else {
            return Ok(None);
        };
        if self.store.checkpoint(section, key).await?.is_some() {
            return Ok(None);
        }
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push_back((section.clone(), key.to_vec()));
        let gone = (rows.len() > IN_MEMORY).then(|| rows.pop_front()).flatten();
        let value = Vec::new();
        Ok(gone.map(|(section, key)| (section, Checkpoint { key, value })))
    }

    async fn prune(&self, today: i64) -> Result<(), Failure> {
        if self.pruned.swap(today, Relaxed) == today {
            return Ok(());
        }
        let last = today - self.days - 1;
        for day in last - BACKLOG..=last {
            let section = self.section(day);
            let rows = self.store.checkpoints(&section).await?;
            for part in rows.chunks(AT_ONCE) {
                let gone = part.iter().map(|row| {
                    let key = row.key.clone();
                    (
                        section.clone(),
                        Checkpoint {
                            key,
                            value: Vec::new(),
                        },
                    )
                });
                self.store.commit(Vec::new(), gone.collect()).await?;
            }
        }
        Ok(())
    }
}

/// Days since 1970.
fn today() -> i64 {
    Timestamp::now().as_second().div_euclid(DAY)
}

fn name(key: &str) -> String {
    format!("trunkline:message:{key}")
}

fn bytes(record: &Record) -> Vec<u8> {
    // A record is text and numbers: nothing that JSON could not hold.
    serde_json::to_vec(record).unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Result<Record, Failure> {
    let wrong = |_| away("what the keeper of statuses says cannot be read".to_owned());
    serde_json::from_slice(bytes).map_err(wrong)
}

fn away(message: String) -> Failure {
    Failure::transient("statuses_away", message)
}

/// `{url}/messages/{id}/status?tenant=...&organization=...`: ids of different tenants may be the same.
fn address(base: &Url, key: &str) -> Result<Url, Failure> {
    let mut parts = key.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (tenant, organization, id) = (part(), part(), part());
    let mut url = base.clone();
    let wrong = |()| away("the address of the keeper of statuses takes no path".to_owned());
    url.path_segments_mut()
        .map_err(wrong)?
        .pop_if_empty()
        .extend(["messages", id, "status"]);
    url.query_pairs_mut()
        .append_pair("tenant", tenant)
        .append_pair("organization", organization);
    Ok(url)
}

fn authorised(request: reqwest::RequestBuilder, token: Option<&Secret>) -> reqwest::RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token.expose()),
        None => request,
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), Failure> {
    let failed = |error| away(format!("the keeper of statuses: {}", told(error)));
    let response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let (mut stream, mut body) = (response.bytes_stream(), Vec::new());
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(failed)?;
        if body.len() + piece.len() > ANSWER_BYTES {
            return Err(away("the keeper of statuses says too much".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(store: &Store) -> Local {
        Local {
            store: store.clone(),
            node: "messages".into(),
            days: 7,
            rows: None,
            pruned: AtomicI64::new(0),
            sections: Mutex::default(),
        }
    }

    #[tokio::test]
    async fn what_is_too_old_is_taken_away_once_a_day_and_nothing_else() {
        let store = Store::memory_durable();
        let book = local(&store);
        let row = |key: &str| Checkpoint {
            key: key.into(),
            value: bytes(&Record::default()),
        };
        for (day, key) in [
            (today(), "new"),
            (today() - 7, "old"),
            (today() - 9, "gone"),
        ] {
            let rows = vec![(book.section(day), row(key))];
            store.commit(Vec::new(), rows).await.unwrap();
        }
        book.prune(today()).await.unwrap();
        assert!(book.row("new").await.unwrap().is_some());
        assert!(book.row("old").await.unwrap().is_some());
        let section = book.section(today() - 9);
        assert!(store.checkpoints(&section).await.unwrap().is_empty());
    }

    #[test]
    fn an_address_holds_its_ids_apart() {
        let base = Url::parse("https://state.example.org/v1/").unwrap();
        let url = address(&base, "acme/eu/a/b?c").unwrap();
        assert_eq!(
            url.as_str(),
            "https://state.example.org/v1/messages/a%2Fb%3Fc/status?tenant=acme&organization=eu"
        );
    }
}
