//! Run after run over the same queue and state, each killed, until the last one may finish.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use trunkline::simulator::Heard;

use crate::random::Random;
use crate::world::{Who, World, id, message};

/// How things stood when a run had been killed.
pub struct Kill {
    /// How many messages each platform had taken.
    pub taken: BTreeMap<Who, usize>,
    /// The messages that were told of as sent.
    pub told: HashSet<String>,
}

/// What is left of all lives.
pub struct Left {
    /// Messages that were to be sent.
    pub count: usize,
    pub heard: BTreeMap<Who, Vec<Heard>>,
    pub told: Vec<Value>,
    pub letters: Vec<Value>,
    pub kills: Vec<Kill>,
}

pub struct Lives {
    world: World,
    random: Random,
    count: usize,
    kills: Vec<Kill>,
}

impl Lives {
    /// All messages are in the queue.
    pub async fn begin(world: World, seed: u64, count: usize) -> Self {
        world
            .publish((0..count).map(|n| message(n).to_string()))
            .await;
        Self {
            world,
            random: Random(seed),
            count,
            kills: Vec::new(),
        }
    }

    /// One life: until so many messages more are sent, or for a moment that is mostly too short for that.
    pub async fn live(&mut self) {
        let run = self.world.start();
        let last = self.world.last();
        let over = last.values().filter(|it| *it != "accepted").count();
        let open = self.count - over;
        let longest = if open < 100 || self.random.once_in(4) {
            2_000
        } else {
            let more = 1 + self.random.below((self.count / 8).min(open / 2));
            self.world.until(&run, self.world.count() + more).await;
            30
        };
        let moment = self.random.below(longest) as u64;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        run.kill();
        self.note().await;
    }

    /// What was on its way when it died has come by then.
    async fn note(&mut self) {
        let mut before = self.world.count();
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.world.count();
            if now == before {
                break;
            }
            before = now;
        }
        self.world.listen().await;
        let heard = self.world.heard().into_iter();
        let sent = self.world.told.iter().filter(|it| it["status"] == "sent");
        self.kills.push(Kill {
            taken: heard.map(|(who, all)| (who, all.len())).collect(),
            told: sent
                .map(|it| it["messageId"].as_str().unwrap().to_owned())
                .collect(),
        });
    }

    /// The last one, which does what is left and is stopped.
    pub async fn end(mut self) -> Left {
        let run = self.world.start();
        let ids: Vec<_> = (0..self.count).map(id).collect();
        self.world.settled(&run, &ids).await;
        self.world.is_empty().await;
        self.world.stop(run);
        self.world.listen().await;
        self.world.is_empty().await;
        assert!(self.world.letters_before().is_empty());
        Left {
            count: self.count,
            heard: self.world.heard(),
            letters: self.world.letters().await,
            told: self.world.told,
            kills: self.kills,
        }
    }
}
