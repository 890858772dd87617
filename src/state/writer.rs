//! The thread that writes: whatever has gathered becomes one transaction.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::{QUEUE, Shared, Waiting};
use crate::failure::Failure;

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
    while let Some(first) = queue.blocking_recv() {
        let mut groups = vec![first.group];
        let mut answers = vec![first.answer];
        while groups.len() < QUEUE
            && let Ok(next) = queue.try_recv()
        {
            groups.push(next.group);
            answers.push(next.answer);
        }
        let written = shared.write_all(groups);
        for answer in answers {
            // A caller that no longer waits needs no answer.
            let _ = answer.send(written.clone());
        }
    }
}
