//! What is still to be answered on one channel.
//!
//! One acknowledgement takes all messages up to it where all before it are answered, and one by one
//! what is answered behind a slow message: nobody's answer waits for another's. What was settled while
//! frames were on their way goes together in the next turn.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use crate::client::amqp::Link;
use crate::failure::Failure;

/// How it stands with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Under way.
    Open,
    /// Answered here; the broker does not know.
    Done,
    /// To go back; the broker does not know.
    Back,
    /// The broker knows, or will never hear of it.
    Told,
}

/// One thing to tell the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// All up to this one are done.
    UpTo(u64),
    /// This one is done.
    Done(u64),
    /// This one goes back into its queue.
    Back(u64),
}

/// The delivery tags of a channel: numbers from 1, given out in order.
#[derive(Debug, Default)]
struct Tags {
    /// The tag of the first state.
    first: u64,
    states: VecDeque<State>,
    changed: bool,
}

impl Tags {
    /// A message came.
    fn came(&mut self, tag: u64) {
        if self.states.is_empty() {
            self.first = tag;
        }
        // A tag that was passed over is none that could be answered.
        while self.first + (self.states.len() as u64) < tag {
            self.states.push_back(State::Told);
        }
        if self.first + (self.states.len() as u64) == tag {
            self.states.push_back(State::Open);
        }
    }

    fn set(&mut self, tag: u64, state: State) {
        let at = tag
            .checked_sub(self.first)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| self.states.get_mut(at))
            && *slot == State::Open
        {
            *slot = state;
            self.changed = true;
        }
    }

    /// What there is to tell, in order. It counts as told from now on.
    fn take(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        if !std::mem::take(&mut self.changed) {
            return words;
        }
        let prefix = self
            .states
            .iter()
            .take_while(|state| **state != State::Open);
        let prefix = prefix.count();
        // What goes back is told before: an acknowledgement of all would take it along.
        for (tag, state) in (self.first..).zip(&mut self.states) {
            if *state == State::Back {
                *state = State::Told;
                words.push(Word::Back(tag));
            }
        }
        let done = |state: &State| *state == State::Done;
        let head = self.states.iter().take(prefix);
        match head.clone().filter(|state| done(state)).count() {
            0 => {}
            count => {
                let last = head.clone().rposition(done).unwrap_or_default() as u64;
                let last = self.first + last;
                words.push(if count == 1 {
                    Word::Done(last)
                } else {
                    Word::UpTo(last)
                });
            }
        }
        self.states.drain(..prefix);
        self.first += prefix as u64;
        for (tag, state) in (self.first..).zip(&mut self.states) {
            if *state == State::Done {
                *state = State::Told;
                words.push(Word::Done(tag));
            }
        }
        words
    }

    #[cfg(test)]
    fn open(&self) -> usize {
        let open = |state: &&State| **state == State::Open;
        self.states.iter().filter(open).count()
    }
}

/// A channel whose messages are to be answered.
pub(super) struct Acks {
    link: Arc<Link>,
    channel: Channel,
    tags: Mutex<Tags>,
    /// Who speaks: what is told out of turn would name a tag that was told of already, which is an error.
    turn: tokio::sync::Mutex<()>,
}

impl Acks {
    pub fn over(link: Arc<Link>, channel: Channel) -> Self {
        Self {
            link,
            channel,
            tags: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn tags(&self) -> std::sync::MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that the channel is of.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The channel, to say something else on it.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A message came.
    pub fn came(&self, tag: u64) {
        self.tags().came(tag);
    }

    /// These were dealt with, or have to come again. Returns once the broker was told; one that is gone
    /// hands them to somebody else by itself, and its tags mean nothing to another channel.
    pub async fn settle(&self, tags: &[u64], well: bool) {
        let state = if well { State::Done } else { State::Back };
        {
            let mut known = self.tags();
            tags.iter().for_each(|tag| known.set(*tag, state));
        }
        let _turn = self.turn.lock().await;
        let words = self.tags().take();
        let told = words.into_iter().map(|word| self.tell(word));
        for outcome in join_all(told).await {
            if let Err(failure) = outcome {
                tracing::debug!(%failure, "the broker could not be told: it delivers again");
                return;
            }
        }
    }

    async fn tell(&self, word: Word) -> Result<(), Failure> {
        let ack = |multiple| BasicAckOptions { multiple };
        let told = async {
            match word {
                Word::UpTo(tag) => self.channel.basic_ack(tag, ack(true)).await,
                Word::Done(tag) => self.channel.basic_ack(tag, ack(false)).await,
                Word::Back(tag) => {
                    // Not a rejection, which brokers from 4.3 on count as the message's own fault.
                    let back = BasicNackOptions {
                        multiple: false,
                        requeue: true,
                    };
                    self.channel.basic_nack(tag, back).await
                }
            }
        };
        self.link.ask("answer a message", told).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(count: u64) -> Tags {
        let mut tags = Tags::default();
        (1..=count).for_each(|tag| tags.came(tag));
        tags
    }

    #[test]
    fn what_is_answered_in_order_takes_one_word() {
        let mut tags = tags(10);
        (1..=4).for_each(|tag| tags.set(tag, State::Done));
        assert_eq!(tags.take(), [Word::UpTo(4)]);
        assert_eq!(tags.take(), []);
        tags.set(5, State::Done);
        assert_eq!(tags.take(), [Word::Done(5)]);
        assert_eq!((tags.open(), tags.first), (5, 6));
    }

    #[test]
    fn a_slow_message_holds_up_no_other() {
        let mut tags = tags(6);
        for tag in [2, 3, 5] {
            tags.set(tag, State::Done);
        }
        assert_eq!(tags.take(), [Word::Done(2), Word::Done(3), Word::Done(5)]);
        tags.set(1, State::Done);
        tags.set(4, State::Done);
        // Those between were told of; the last one was not, or its tag would be unknown.
        assert_eq!(tags.take(), [Word::UpTo(4)]);
        tags.set(6, State::Done);
        assert_eq!(tags.take(), [Word::Done(6)]);
        assert!(tags.states.is_empty());
    }

    #[test]
    fn what_goes_back_is_not_taken_along() {
        let mut tags = tags(4);
        tags.set(2, State::Back);
        for tag in [1, 3, 4] {
            tags.set(tag, State::Done);
        }
        assert_eq!(tags.take(), [Word::Back(2), Word::UpTo(4)]);
        tags.set(2, State::Done);
        assert_eq!(tags.take(), [], "it was told of once");
    }

    #[test]
    fn every_tag_is_told_of_once_whatever_the_order() {
        let mut seed = 7_u64;
        for _ in 0..200 {
            let mut tags = tags(40);
            let mut left: Vec<u64> = (1..=40).collect();
            let mut told = std::collections::BTreeSet::new();
            while !left.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                for _ in 0..=(seed >> 60) % 5 {
                    if !left.is_empty() {
                        let tag = left.remove((seed >> 33) as usize % left.len());
                        let back = seed & 8 == 0;
                        tags.set(tag, if back { State::Back } else { State::Done });
                    }
                }
                for word in tags.take() {
                    match word {
                        Word::Done(tag) | Word::Back(tag) => assert!(told.insert(tag)),
                        Word::UpTo(tag) => {
                            assert!(!told.contains(&tag), "a word about a tag that is over");
                            told.extend(1..=tag);
                        }
                    }
                }
                let open: Vec<u64> = left
                    .iter()
                    .copied()
                    .filter(|tag| told.contains(tag))
                    .collect();
                assert!(
                    open.is_empty(),
                    "told of before they were answered: {open:?}"
                );
            }
            assert_eq!(told.len(), 40);
            assert!(tags.states.is_empty());
        }
    }

    #[test]
    fn a_tag_that_was_passed_over_is_never_told_of() {
        let mut tags = Tags::default();
        tags.came(3);
        tags.came(6);
        tags.set(4, State::Done);
        tags.set(3, State::Done);
        tags.set(6, State::Done);
        assert_eq!(tags.take(), [Word::UpTo(6)]);
    }
}
