//! What a look at the broker shows before anything runs.

use super::config::Config;
use crate::client::amqp::{Declare, Link, QueueKind, Settings, look_at, short};
use crate::failure::Failure;
use crate::layer::{Finding, Grade};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

impl Config {
    /// Connects and looks, without taking or changing anything.
    pub async fn probe(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        found.extend(encryption(&self.broker));
        if let Err(failure) = self.look(&mut found).await {
            found.push(Finding::new(Grade::Error, failure.to_string()));
        }
        found
    }

    async fn look(&self, found: &mut Vec<Finding>) -> Result<(), Failure> {
        let link = self.broker.connect("probe").await?;
        let place = self.broker.place();
        found.push(Finding::new(Grade::Good, format!("{place} takes us in")));
        let there = look_at(&link, &link.channel().await?, &self.queue).await;
        match there {
            Ok((messages, consumers)) => {
                let queue = &self.queue;
                let told = format!(
                    "the queue `{queue}` is there: {messages} messages, {consumers} consumers"
                );
                found.push(Finding::new(Grade::Good, told));
                if self.described {
                    found.extend(self.compared(&link).await);
                }
            }
            Err(failure) if self.declare == Declare::Create => {
                let told = format!("{failure}: it will be made");
                found.push(Finding::new(Grade::Good, told));
            }
            Err(failure) => found.push(Finding::new(Grade::Error, failure.to_string())),
        }
        if self.described {
            found.extend(self.promises());
        }
        link.close().await;
        Ok(())
    }

    /// The queue as it is, against what the file says. AMQP lists no arguments: what can be done is to
    /// declare it as it should be, which changes nothing where it is there.
    async fn compared(&self, link: &Link) -> Option<Finding> {
        let channel = link.channel().await.ok()?;
        let options = QueueDeclareOptions {
            durable: self.topology.queue.durable,
            ..QueueDeclareOptions::default()
        };
        let arguments: FieldTable = self.topology.queue.arguments.clone();
        let name = short(&self.queue)?;
        let declared = channel.queue_declare(name, options, arguments);
        let kind = self.topology.queue.kind.name();
        let doing = format!("agree that it is the {kind} queue that `topology` describes");
        let declared = link.ask(&doing, declared).await;
        match declared {
            Ok(_) => {
                let told = format!("it is the {kind} queue that `topology` describes");
                Some(Finding::new(Grade::Good, told))
            }
            Err(failure) => {
                let grade = match self.declare {
                    Declare::Create => Grade::Error,
                    Declare::Passive | Declare::Nothing => Grade::Warning,
                };
                Some(Finding::new(grade, failure.to_string()))
            }
        }
    }

    /// What `topology` says, against what a message to a customer needs.
    fn promises(&self) -> Vec<Finding> {
        let queue = &self.topology.queue;
        let mut found = Vec::new();
        let mut warn = |told: &str| found.push(Finding::new(Grade::Warning, told));
        match queue.kind {
            QueueKind::Classic if !queue.durable => {
                warn("the queue is not durable: its messages are gone when the broker restarts");
            }
            QueueKind::Classic => {
                warn(
                    "a classic queue is on one node, and gone while that is: `type: quorum` is not",
                );
            }
            QueueKind::Quorum | QueueKind::Stream => {}
        }
        let limited = queue.arguments.contains_key("x-delivery-limit");
        let letters = queue.arguments.contains_key("x-dead-letter-exchange");
        if queue.kind == QueueKind::Quorum && limited && !letters {
            warn(
                "the queue has a delivery limit and no dead-letter exchange: the broker throws away \
                 what was delivered too often",
            );
        }
        if queue.arguments.contains_key("x-message-ttl") && !letters {
            warn("messages of the queue expire and no dead-letter exchange takes them");
        }
        if let Some(limit) = queue.arguments.inner().get("x-delivery-limit")
            && crate::client::amqp::count_of(limit).is_some_and(|n| n < self.max_deliveries)
        {
            warn(
                "the delivery limit of the queue is below `max_deliveries`: the broker takes a poison \
                 message away before it is a dead letter here",
            );
        }
        if queue.kind != QueueKind::Stream && u32::from(self.prefetch.get()) > 10_000 {
            warn("`prefetch` above 10,000: the broker keeps all of these in memory as unanswered");
        }
        found
    }
}

/// Whether somebody on the way can read what is said.
fn encryption(broker: &Settings) -> Option<Finding> {
    if broker.is_encrypted() {
        return Some(Finding::new(Grade::Good, "the connection is encrypted"));
    }
    (!broker.is_local()).then(|| {
        let told = "the connection is not encrypted: `amqps://` is";
        Finding::new(Grade::Warning, told)
    })
}
