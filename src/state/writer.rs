//! The thread that writes: whatever has gathered becomes one transaction.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{QUEUE, Shared, Waiting};
use crate::failure::Failure;

/// So many that waited for one transaction are a crowd: others are on their way.
const CROWD: usize = 4;
/// How long the next transaction then waits for them. A transaction costs about the same for one change
/// as for twenty, and who is part of a crowd does not notice the time.
const GATHERING: Duration = Duration::from_millis(4);

/// Starts the thread. It ends when the queue is closed and empty.
pub(super) fn start(
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Waiting>,
) -> Result<JoinHandle<()>, Failure> {
    thread::Builder::new()
        .name("state-writer".into())
        .spawn(move || run(&shared, queue))
        .map_err(|error| {
            let text = format!("cannot start the writer of the state store: {error}");
            Failure::fatal("state_io", text)
        })
}

fn run(shared: &Shared, mut queue: mpsc::Receiver<Waiting>) {
    let mut last = 0;
    while let Some(first) = queue.blocking_recv() {
        let gathered = gather(first, &mut queue, last, || thread::sleep(GATHERING));
        last = gathered.len();
        let (groups, answers): (Vec<_>, Vec<_>) = (gathered.into_iter())
            .map(|waiting| (waiting.group, waiting.answer))
            .unzip();
        let written = shared.write_all(groups);
        for answer in answers {
            // A caller that no longer waits needs no answer.
            let _ = answer.send(written.clone());
        }
    }
}

/// All that is to be written at once; where a crowd wrote last, also what comes while it `waits`.
fn gather<T>(first: T, queue: &mut mpsc::Receiver<T>, last: usize, wait: impl FnOnce()) -> Vec<T> {
    if last >= CROWD {
        wait();
    }
    let mut gathered = vec![first];
    while gathered.len() < QUEUE
        && let Ok(next) = queue.try_recv()
    {
        gathered.push(next);
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(last: usize) -> Vec<u32> {
        let (sender, mut queue) = mpsc::channel(10);
        sender.try_send(2).unwrap();
        gather(1, &mut queue, last, || sender.try_send(3).unwrap())
    }

    #[test]
    fn who_comes_alone_does_not_wait_and_a_crowd_waits_for_its_own() {
        assert_eq!(gathered(CROWD - 1), [1, 2]);
        assert_eq!(gathered(CROWD), [1, 2, 3]);
    }
}
