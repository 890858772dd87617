//! The source `genesys_webhook`: what Open Messaging posts to us, messages of agents and receipts.
//!
//! The platform signs what it posts, waits ten seconds for an answer, and posts again on a time-out, 429
//! or 5xx, five times with five seconds between (developer guide "Open Messaging", *Validate inbound
//! webhooks*). So a request is answered with 200 once what it brought is settled, and with 503 where that
//! takes too long, and comes again then. Whatever else it may get, 4xx for a request that is in order
//! ends the customer's conversation; what is signed and still no event goes to the dead letters.
//!
//! The same message can come several times, and two of them can overtake each other. A `dedup` by `.id`,
//! `.type` and `.status` behind the source takes the repeats out: a receipt has the id of its message.

mod about;

pub use about::ABOUT;

mod config;
mod receive;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

pub use config::{Config, Tls};

use receive::{Arrival, Receiver, router};

use crate::client::listener;
use crate::codec::{Block, Position, Record, decode, provenance};
use crate::event::PathSet;
use crate::failure::Failure;
use crate::layer::SourceContext;
use crate::stage::{Delivery, Redelivery, Settle, Source};

/// Listens as the source `context.node`.
///
/// # Errors
/// Fatal: the address cannot be bound, or the certificate not be read.
pub async fn open(config: &Config, context: &SourceContext) -> Result<Box<dyn Source>, Failure> {
    let tls = config.tls.as_ref().map(|files| {
        let made = listener::tls(&files.certificate, &files.key);
        made.map(Arc::new)
            .map_err(|why| Failure::fatal("bad_certificate", why))
    });
    let tls = tls.transpose()?;
    let address = config.listen;
    let bound = TcpListener::bind(address).await;
    let bound = bound.map_err(|error| {
        Failure::fatal(
            "cannot_listen",
            format!("cannot listen on {address}: {error}"),
        )
    })?;
    if let Ok(address) = bound.local_addr() {
        tracing::info!(source = %context.node, %address, "waiting for the platform's posts");
    }
    Ok(Box::new(listen(bound, tls, config, context)))
}

fn listen(
    bound: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    config: &Config,
    context: &SourceContext,
) -> Webhook {
    let (arrivals, arrived) = mpsc::channel(config.max_waiting);
    let (stop, stopped) = oneshot::channel::<()>();
    let receiver = Receiver::new(config, arrivals, context.meter.clone());
    // Ends by itself: with the source nobody holds `stop`, and what is under way is answered within the
    // time that a request has.
    tokio::spawn(listener::serve(
        bound,
        tls,
        router(&config.path, receiver),
        config.max_connections,
        stopped,
    ));
    Webhook {
        node: context.node.clone(),
        object: config.path.as_str().into(),
        paths: context.paths.clone(),
        arrived,
        _listening: stop,
    }
}

struct Webhook {
    node: Arc<str>,
    object: Arc<str>,
    paths: Arc<PathSet>,
    arrived: mpsc::Receiver<Arrival>,
    /// Dropped, it ends the listening.
    _listening: oneshot::Sender<()>,
}

impl Webhook {
    /// One request is one delivery: each is answered by what became of it alone.
    fn delivery(&self, arrival: Arrival) -> Delivery {
        let Arrival { body, answer } = arrival;
        let record = Record {
            start: 0,
            // Bodies are far shorter than that.
            end: u32::try_from(body.len()).unwrap_or(u32::MAX),
            number: 1,
            line: 1,
            offset: 0,
        };
        let block = Block {
            text: body.into(),
            records: vec![record],
            refused: Vec::new(),
            end: Position::default(),
        };
        let decoded = decode(block, &self.paths, &provenance(&self.node, &self.object));
        Delivery {
            refused: decoded.refused,
            redelivery: Redelivery::Source,
            settle: Settle::new(move |outcome| async move {
                // Who asked may have gone.
                let _ = answer.send(outcome.is_ok());
            }),
            ..Delivery::new(decoded.batch)
        }
    }
}

impl Source for Webhook {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async move {
            match self.arrived.recv().await {
                Some(arrival) => Ok(Some(self.delivery(arrival))),
                None => Err(Failure::disconnected("closed", "the listener has ended")),
            }
        }
        .boxed()
    }
}
