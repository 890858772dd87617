//! Genesys Cloud as a client sees it: OAuth, notification channels and their sockets, conversations
//! by REST, Open Messaging, analytics jobs. One HTTP server is all of the platform's hosts.
//!
//! Conversations run along one timeline (`timeline`, `script`) and are told in every shape that the
//! platform has for them (`snapshot`, `flat`, `detail`, `interaction`, `record`). What was told to
//! whom, and what became of it, is written down by an oracle, so a client can be held to it.
//!
//! Two clocks: everything the platform promises (life of a channel, heartbeats, rate limits) is in
//! simulated time, which may run fast; frames come at a rate of real time. Spans that a client acts
//! on by its own clock (`expires_in`, `Retry-After`, `inin-ratelimit-reset`) are told in real
//! seconds; points in time (`expires`, times of conversations) are simulated.

mod analytics;
mod bridge;
mod channel;
mod channels;
mod config;
mod control;
mod conversation;
mod conversations;
mod detail;
mod directory;
mod engine;
mod faults;
mod flat;
mod interaction;
mod messaging;
mod notify;
mod oauth;
mod oracle;
mod outbound;
mod platform;
mod random;
mod record;
mod reply;
mod route;
mod script;
mod sending;
mod server;
mod snapshot;
mod socket;
mod teller;
mod timeline;
mod token;
mod topic;
mod words;
mod write;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

pub use config::{Client, Config, Faults, Integration, Limits, SendFaults};
pub use control::{Control, How};
pub use faults::{Heard, SendFault};
pub use oracle::{Counts, Fate, Shown, Told};

use channel::Ending;
use platform::Shared;

/// For sockets to close at the end, and between two looks whether they are.
const GRACE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// A running platform. Dropping it ends it at once.
pub struct Simulator {
    shared: Arc<Shared>,
}

impl Simulator {
    /// Opens the port and begins to generate conversations.
    ///
    /// # Errors
    /// When a setting is out of its range, the address cannot be bound, or the oracle's file not be
    /// created.
    pub async fn start(config: Config) -> io::Result<Self> {
        config.check()?;
        let listener = TcpListener::bind(config.address).await?;
        let shared = Arc::new(Shared::new(config, listener.local_addr()?)?);
        shared.spawn(server::run(listener, Arc::clone(&shared)));
        shared.spawn(engine::run(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// Such as `http://127.0.0.1:40123`: all hosts of the platform in one.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// To change what the platform does, and to ask what it did.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Tells nothing more, closes every socket (1001) once what waits for it is sent, and writes the
    /// files out. A client that does not take it is waited for two seconds.
    pub async fn stop(self) {
        {
            let mut platform = self.shared.platform();
            platform.paused = true;
            for channel in platform.teller.channels.all_mut() {
                channel.hang_up(Ending::Code(1001));
            }
        }
        let closed = async {
            while self.shared.platform().sockets > 0 {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(GRACE, closed).await;
        let mut tasks = self.shared.take_tasks();
        tasks.shutdown().await;
        self.shared.platform().teller.flush();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.take_tasks().abort_all();
    }
}
