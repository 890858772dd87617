//! From the topics of the file to those of each channel.

use std::collections::HashSet;
use std::sync::Arc;

/// Longest id of a topic, in characters: the platform's limit.
const LONGEST: usize = 200;
/// Placeholders, each for an id.
const QUEUE: &str = "{queue}";
const USER: &str = "{user}";

/// Why a text is no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub code: &'static str,
    pub message: &'static str,
    pub hint: &'static str,
}

/// Whether a text can be a topic, placeholders included. A combined topic
/// (`v2.users.{id}?presence&routingStatus`) is one.
pub(super) fn check(topic: &str) -> Result<(), Bad> {
    let bad = |code, message, hint| {
        Err(Bad {
            code,
            message,
            hint,
        })
    };
    if topic.is_empty() {
        return bad("empty-value", "a topic is empty", "name it, or take it out");
    }
    if topic.chars().count() > LONGEST {
        let hint = "name fewer parts of a combined topic";
        return bad("out-of-range", "a topic has at most 200 characters", hint);
    }
    let bare = topic.replace(QUEUE, "").replace(USER, "");
    if topic.contains(QUEUE) && topic.contains(USER) {
        let hint = "every queue with every user would be too many topics";
        return bad(
            "bad-template",
            "a topic takes one kind of placeholder",
            hint,
        );
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_?&:*@+".contains(c);
    if !bare.chars().all(plain) {
        let hint = "placeholders are `{queue}` and `{user}`";
        return bad(
            "bad-template",
            "a topic has a character or placeholder of no topic",
            hint,
        );
    }
    Ok(())
}

/// Whether any of the topics needs this list.
pub(super) fn needs_queues(topics: &[String]) -> bool {
    topics.iter().any(|topic| topic.contains(QUEUE))
}

/// As [`needs_queues`].
pub(super) fn needs_users(topics: &[String]) -> bool {
    topics.iter().any(|topic| topic.contains(USER))
}

/// Every topic that is meant, once, in the order of the file; and how many were left out, since
/// with an id in them they are longer than the platform takes.
pub(super) fn expand(
    topics: &[String],
    queues: &[String],
    users: &[String],
) -> (Vec<String>, usize) {
    let (mut known, mut found, mut left_out) = (HashSet::new(), Vec::new(), 0);
    let mut take = |topic: String| {
        if check(&topic).is_err() {
            left_out += 1;
        } else if known.insert(topic.clone()) {
            found.push(topic);
        }
    };
    for topic in topics {
        let (mark, ids) = match topic {
            topic if topic.contains(QUEUE) => (QUEUE, queues),
            topic if topic.contains(USER) => (USER, users),
            topic => {
                take(topic.clone());
                continue;
            }
        };
        ids.iter().for_each(|id| take(topic.replace(mark, id)));
    }
    (found, left_out)
}

/// The topics of each channel. A topic stays where it is for as long as it is wanted, so that a new
/// queue does not subscribe every channel anew.
#[derive(Default)]
pub(super) struct Shards(Vec<Arc<Vec<String>>>);

impl Shards {
    /// Puts the wanted topics in place of those before, at most `room` on a channel, on as few
    /// channels as fit. What has not changed is the same `Arc` as before.
    pub fn assign(&mut self, wanted: Vec<String>, room: usize) -> &[Arc<Vec<String>>] {
        let mut missing: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        for shard in &mut self.0 {
            if shard.iter().any(|topic| !missing.contains(topic.as_str())) {
                let kept = shard
                    .iter()
                    .filter(|topic| missing.contains(topic.as_str()));
                *shard = Arc::new(kept.cloned().collect());
            }
            shard.iter().for_each(|topic| {
                missing.remove(topic.as_str());
            });
        }
        let mut left = wanted
            .iter()
            .filter(|topic| missing.contains(topic.as_str()))
            .peekable();
        for shard in &mut self.0 {
            let free = room.saturating_sub(shard.len());
            if free > 0 && left.peek().is_some() {
                Arc::make_mut(shard).extend(left.by_ref().take(free).cloned());
            }
        }
        while left.peek().is_some() {
            let next: Vec<String> = left.by_ref().take(room).cloned().collect();
            self.0.push(Arc::new(next));
        }
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn placeholders_stand_for_every_id_and_nothing_comes_twice() {
        let topics = texts(&[
            "v2.routing.queues.{queue}.conversations",
            "a",
            "v2.users.{user}?presence&station",
        ]);
        let (found, left) = expand(&topics, &texts(&["q1", "q2", "q1"]), &texts(&["u"]));
        let expected = texts(&[
            "v2.routing.queues.q1.conversations",
            "v2.routing.queues.q2.conversations",
            "a",
            "v2.users.u?presence&station",
        ]);
        assert_eq!((found, left), (expected, 0));
        let long = "x".repeat(190);
        let (found, left) = expand(&topics[..1], &[long], &[]);
        assert_eq!((found.len(), left), (0, 1));
    }

    #[test]
    fn what_is_no_topic_is_told() {
        assert_eq!(check(&"x".repeat(201)).unwrap_err().code, "out-of-range");
        assert_eq!(check("").unwrap_err().code, "empty-value");
        for bad in ["v2.{queues}.x", "a b", "{queue}{user}", "a\nb"] {
            assert_eq!(check(bad).unwrap_err().code, "bad-template", "{bad}");
        }
    }

    #[test]
    fn as_few_channels_as_fit_and_topics_stay_where_they_are() {
        let mut shards = Shards::default();
        let first = shards.assign(texts(&["a", "b", "c", "d", "e"]), 2).to_vec();
        assert_eq!(first.len(), 3);
        let second = shards.assign(texts(&["a", "c", "d", "e", "f"]), 2).to_vec();
        assert_eq!(*second[0], texts(&["a", "f"]));
        assert!(Arc::ptr_eq(&first[1], &second[1]) && Arc::ptr_eq(&first[2], &second[2]));
        let third = shards.assign(texts(&["g", "h"]), 2).to_vec();
        assert_eq!((third.len(), third[0].len(), third[1].len()), (3, 2, 0));
    }
}
