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
mod endpoints;
mod notifications;
mod read;
mod refusal;
mod token;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use call::{Call, Method, Urgency};
pub use endpoints::{BadEndpoint, Endpoints, is_region};
pub use notifications::{Channel, Topic};
pub use refusal::{CallError, Limit, Refusal};

use budget::Budget;
use token::Tokens;

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
        Ok(Self(Arc::new(Inner {
            http: http::client(manner.timeout)?,
            tokens: Tokens::new(credentials),
            budget: Budget::default(),
            endpoints,
            manner,
        })))
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
