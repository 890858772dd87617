//! The REST side of Genesys Cloud: OAuth by client credentials, calls with their limits, and the
//! few resources that components read.
//!
//! One [`Client`] stands for one OAuth client; clones share its token and its budget of calls, and
//! whoever talks to the platform under one pair of credentials should share it too, since the
//! platform counts calls by token. What it does for every call:
//!
//! - the token is cached, renewed before it expires, and once more after a 401 (`token`);
//! - 429 is obeyed by all callers together, and calls that can wait are spread when the budget of
//!   the minute runs low (`budget`);
//! - 408, 429 and most 5xx are tried again with back-off, a bounded number of times (`call`);
//! - refusals keep what the platform says about them ([`Refusal`]), and nothing secret: neither the
//!   token, nor the client's secret, nor the id of a channel, which is a credential in itself.

mod budget;
mod call;
mod conversations;
mod endpoints;
mod messaging;
mod notifications;
mod read;
mod refusal;
#[cfg(test)]
pub(crate) mod script;
mod shared;
mod token;
mod window;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use call::{Call, Method, Urgency};
pub use conversations::{Communication, Participant, Standing, Target};
pub use endpoints::{BadEndpoint, Endpoints, is_region};
pub use messaging::{Attachment, Body, Outgoing, Party, Sent, TEXT_CHARACTERS};
pub use notifications::{Channel, Topic};
pub use refusal::{CallError, Limit, Refusal, SendError};
pub use shared::{Shared, Shares};
pub use window::{Rate, Usage};

use budget::Budget;
use token::Tokens;
use window::Window;

use super::http;
use crate::failure::Failure;
use crate::setting::Secret;

/// Credentials of an OAuth client of the grant "client credentials".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its id: no secret, but nobody's business either.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
}

/// How the client behaves. The defaults suit the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// For one request, from the first byte out to the last one in; default 30 s.
    pub timeout: Duration,
    /// Longest answer that is read, in bytes; default 64 MiB.
    pub answer_bytes: usize,
    /// Tries of a call, the first included; default 5.
    pub tries: u32,
    /// The first wait between tries, which doubles; default 500 ms.
    pub first_wait: Duration,
    /// Longest wait between tries, and the longest that the platform may ask for before the call
    /// is given up; default 3 minutes.
    pub most_wait: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            answer_bytes: 64 << 20,
            tries: 5,
            first_wait: Duration::from_millis(500),
            most_wait: Duration::from_secs(180),
        }
    }
}

/// A client of the platform. Clones share the connections, the token and the budget.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    endpoints: Endpoints,
    manner: Manner,
    tokens: Tokens,
    budget: Budget,
    window: Window,
    /// Answers in place of the platform.
    #[cfg(test)]
    script: std::sync::OnceLock<script::Script>,
}

/// For one message, from the first byte out to the last one in. Shorter than the time that a sink gives
/// a write, so that what is uncertain is known to be.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest answer to a message, in bytes.
const SENT_BYTES: usize = 1 << 20;

/// The connections of clients that send messages: those of all organisations can share them.
///
/// # Errors
/// Fatal (`http_client`) when the machine has no randomness for TLS.
pub fn sending_http() -> Result<reqwest::Client, Failure> {
    http::client(SEND_TIMEOUT)
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Fatal (`http_client`) when the machine has no randomness for TLS.
    pub fn new(
        endpoints: Endpoints,
        credentials: Credentials,
        manner: Manner,
    ) -> Result<Self, Failure> {
        let http = http::client(manner.timeout)?;
        Ok(Self::over(http, endpoints, credentials, manner, None))
    }

    /// For an organisation that sends messages, over connections that it shares with others
    /// ([`sending_http`]), with a budget that it may share with other workers.
    pub fn sending(
        http: reqwest::Client,
        endpoints: Endpoints,
        credentials: Credentials,
        shared: Option<Shared>,
    ) -> Self {
        let manner = Manner {
            timeout: SEND_TIMEOUT,
            answer_bytes: SENT_BYTES,
            ..Manner::default()
        };
        Self::over(http, endpoints, credentials, manner, shared)
    }

    fn over(
        http: reqwest::Client,
        endpoints: Endpoints,
        credentials: Credentials,
        manner: Manner,
        shared: Option<Shared>,
    ) -> Self {
        Self(Arc::new(Inner {
            http,
            tokens: Tokens::new(credentials),
            budget: Budget::default(),
            window: Window::new(shared),
            endpoints,
            manner,
            #[cfg(test)]
            script: std::sync::OnceLock::new(),
        }))
    }

    /// How many messages may be sent in which time, from now on.
    pub fn set_rate(&self, rate: Rate) {
        self.0.window.set_rate(rate);
    }

    /// Waits until a message may go, and takes its place. Each try of a message takes one.
    pub async fn turn(&self) {
        self.0.window.turn().await;
    }

    /// How the organisation stands with its budget.
    pub fn usage(&self) -> Usage {
        self.0.window.usage()
    }

    /// Where it calls.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Client({:?})", self.0.endpoints)
    }
}
