//! What an earlier run left.

use std::collections::HashMap;

use super::super::conversation::Conversation;
use super::super::conversations::Conversations;
use super::super::hash::Keys;
use crate::failure::Failure;
use crate::layer::Lane;
use crate::state::{Op, Table};

/// Reads the conversations back: those of this lane, up to `most`, and those of other numbers of
/// lanes, up to `whole`, any of which may be this lane's now. Those beyond that are forgotten.
pub(super) fn load(
    table: &Table,
    into: &mut Conversations,
    lane: Lane,
    most: usize,
    whole: usize,
) -> Result<(), Failure> {
    let (mut damaged, mut own, mut inherited) = (false, 0, 0);
    table.scan(&mut |key, value| {
        let key = <[u8; 16]>::try_from(key).map(u128::from_be_bytes).ok();
        let Some((mut conversation, by)) = key.and_then(|key| Conversation::decode(key, value))
        else {
            damaged = true;
            return;
        };
        let (count, limit) = match by {
            by if by == lane => (&mut own, most),
            // Of another lane of this same run.
            by if by.of == lane.of => return,
            _ => (&mut inherited, whole),
        };
        conversation.inherited = by != lane;
        match *count < limit {
            true => {
                into.insert(conversation);
            }
            false => into
                .forgotten
                .push((conversation.key, conversation.counter)),
        }
        *count += 1;
    })?;
    match damaged {
        true => Err(Failure::fatal(
            "state_corrupt",
            "the state of a causal_reorder is damaged or of a newer version",
        )),
        false => Ok(()),
    }
}

/// Counters that another system remembers, by the text of their keys: each conversation goes on from
/// whichever is further. All of them, whatever the lane: which one they belong to is not known here.
/// The answer is what has to be kept of them: at the next start the state is believed, also about
/// conversations of which nothing was heard meanwhile.
pub(super) fn seed(
    counters: &HashMap<String, u64>,
    keys: &Keys,
    into: &mut Conversations,
) -> Vec<Op> {
    let mut kept = Vec::new();
    for (key, counter) in counters {
        let key = keys.conversation(key);
        let slot = into.find(key, u64::MAX);
        let conversation = into.at(slot);
        if conversation.counter < *counter {
            conversation.counter = *counter;
            conversation.inherited = true;
            // It has begun, whatever is remembered of it here.
            conversation.opened = true;
            kept.push(Op::PutNewer {
                key: key.to_be_bytes().to_vec(),
                version: *counter,
                // Read by any lane, as what another number of lanes has left.
                value: conversation.encode(Lane::WHOLE),
            });
        }
    }
    kept
}
