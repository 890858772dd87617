//! The queue of a sink, read again: for dead letters that a person looks at.

use std::sync::Arc;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};

use super::config::Config;
use crate::client::amqp::{Link, Settings, short};
use crate::failure::Failure;
use crate::layer::{Queued, Resting};

/// Messages that are looked at; those behind them are not seen.
const MOST_MESSAGES: usize = 100_000;
/// Bytes of them.
const MOST_BYTES: usize = 256 << 20;

impl Config {
    /// Where its messages can be read again, if they all go into one queue.
    pub fn rests(&self) -> Option<Resting> {
        let queue = Queue {
            broker: self.broker.clone(),
            name: self.queue.clone()?,
        };
        Some(Resting::Queue(Arc::new(queue)))
    }
}

#[derive(Clone)]
struct Queue {
    broker: Settings,
    name: String,
}

impl Queued for Queue {
    fn name(&self) -> String {
        format!("the queue `{}`", self.name)
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut bodies = Vec::new();
        self.visit(&mut |body| {
            bodies.push(body);
            false
        })?;
        Ok(bodies)
    }

    fn remove(&self, gone: &dyn Fn(&[u8]) -> bool) -> Result<u64, Failure> {
        let mut removed = 0;
        self.visit(&mut |body| {
            let is = gone(&body);
            removed += u64::from(is);
            is
        })?;
        Ok(removed)
    }
}

impl Queue {
    /// Shows every message, and takes away those of which `take` says so. Blocks.
    fn visit(&self, take: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<(), Failure> {
        let (send, mut bodies) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
        let (answer, answers) = tokio::sync::mpsc::channel::<bool>(1);
        let queue = self.clone();
        // A thread of its own, since whoever asks may be inside of a runtime.
        let going = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime
                .worker_threads(1)
                .enable_all()
                .build()
                .map_err(|error| {
                    Failure::fatal("letters_failed", format!("no threads: {error}"))
                })?;
            runtime.block_on(queue.walk(send, answers))
        });
        while let Some(body) = bodies.blocking_recv() {
            if answer.blocking_send(take(body)).is_err() {
                break;
            }
        }
        drop((bodies, answer));
        going.join().unwrap_or_else(|_| {
            let message = "reading the queue met an error of its own";
            Err(Failure::fatal("letters_failed", message))
        })
    }

    async fn walk(
        &self,
        send: tokio::sync::mpsc::Sender<Vec<u8>>,
        mut answers: tokio::sync::mpsc::Receiver<bool>,
    ) -> Result<(), Failure> {
        let link = self.broker.connect("dead letters").await?;
        let channel = link.channel().await?;
        let (mut kept, mut seen, mut bytes) = (Vec::new(), 0, 0);
        while seen < MOST_MESSAGES && bytes < MOST_BYTES {
            let Some((tag, body)) = self.get(&link, &channel).await? else {
                break;
            };
            (seen, bytes) = (seen + 1, bytes + body.len());
            if send.send(body).await.is_err() {
                kept.push(tag);
                break;
            }
            match answers.recv().await {
                Some(true) => {
                    let gone = channel.basic_ack(tag, BasicAckOptions::default());
                    link.ask("remove a letter", gone).await?;
                }
                Some(false) | None => kept.push(tag),
            }
        }
        if let Some(last) = kept.last() {
            // All at once, so that they are in their order again.
            let back = BasicNackOptions {
                multiple: true,
                requeue: true,
            };
            let back = channel.basic_nack(*last, back);
            link.ask("give letters back", back).await?;
        }
        link.close().await;
        Ok(())
    }

    async fn get(&self, link: &Link, channel: &Channel) -> Result<Option<(u64, Vec<u8>)>, Failure> {
        let name = short(&self.name).unwrap_or_default();
        let got = channel.basic_get(name, BasicGetOptions::default());
        let got = link.ask("read the queue", got).await?;
        Ok(got.map(|message| (message.delivery.delivery_tag, message.delivery.data)))
    }
}
