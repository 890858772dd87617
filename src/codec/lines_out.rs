//! Lines out: one thread that serialises batches and writes them, in the order of the calls.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use tokio::sync::oneshot;

use crate::event::{Batch, Event};
use crate::failure::Failure;

/// Batches that wait are written in one go up to this many bytes, so that they share a flush.
const GROUP_BYTES: usize = 4 << 20;
/// A buffer that one huge batch made larger than this is not kept.
const KEPT_BYTES: usize = 16 << 20;

/// Where lines go. Called from one thread.
pub trait Target: Send + 'static {
    /// Writes whole lines.
    ///
    /// # Errors
    /// When they are not all written; then none of them should be there.
    fn write(&mut self, lines: &[u8]) -> Result<(), Failure>;
}

struct Job {
    lines: Lines,
    reply: oneshot::Sender<Result<(), Failure>>,
}

/// What is to be written.
enum Lines {
    /// Each event as one line of JSON.
    Events(Batch),
    /// Whole lines, as they are.
    Text(Vec<u8>),
}

/// The way to the thread, which ends when the last clone is dropped and all is written.
#[derive(Clone)]
pub struct LineWriter {
    jobs: Sender<Job>,
}

impl LineWriter {
    /// Starts the thread of the sink `name`.
    ///
    /// # Errors
    /// When the machine has no room for a thread.
    pub fn start(name: &str, target: impl Target) -> Result<Self, Failure> {
        let (jobs, waiting) = channel();
        std::thread::Builder::new()
            .name(format!("write {name}"))
            .spawn(move || run(&waiting, target))
            .map_err(|error| {
                let message = format!("cannot start a thread to write: {error}");
                Failure::fatal("no_thread", message)
            })?;
        Ok(Self { jobs })
    }

    /// Writes each event as a line; answers when the target has taken them. The place in the order
    /// is taken at the first poll.
    ///
    /// # Errors
    /// As the target says.
    pub async fn write(&self, batch: Batch) -> Result<(), Failure> {
        match batch.is_empty() {
            true => Ok(()),
            false => self.send(Lines::Events(batch)).await,
        }
    }

    /// The same with lines that are made already; each ends with its line break.
    ///
    /// # Errors
    /// As the target says.
    pub async fn write_text(&self, lines: Vec<u8>) -> Result<(), Failure> {
        match lines.is_empty() {
            true => Ok(()),
            false => self.send(Lines::Text(lines)).await,
        }
    }

    async fn send(&self, lines: Lines) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        // A thread that is gone drops the job, and its reply with it.
        let _ = self.jobs.send(Job { lines, reply });
        answer.await.unwrap_or_else(|_| {
            let message = "the thread that writes met an error of its own";
            Err(Failure::fatal("writer_gone", message))
        })
    }
}

fn run(waiting: &Receiver<Job>, mut target: impl Target) {
    let mut lines = Vec::new();
    let mut replies = Vec::new();
    while let Ok(first) = waiting.recv() {
        let mut next = Ok(first);
        while let Ok(Job { lines: more, reply }) = next {
            match more {
                Lines::Events(batch) => {
                    let events = batch.events().iter();
                    events.for_each(|event| push_line(&mut lines, event));
                }
                Lines::Text(text) => lines.extend_from_slice(&text),
            }
            replies.push(reply);
            next = if lines.len() < GROUP_BYTES {
                waiting.try_recv()
            } else {
                Err(TryRecvError::Empty)
            };
        }
        let answer = target.write(&lines);
        for reply in replies.drain(..) {
            // Who no longer listens has given its events up as not delivered.
            let _ = reply.send(answer.clone());
        }
        lines.clear();
        lines.shrink_to(KEPT_BYTES);
    }
}

/// One event as one line, with its line break. What arrived with line breaks between its members keeps them until here;
/// within a text JSON has none, so each is only white space.
pub fn push_line(lines: &mut Vec<u8>, event: &Event) {
    let start = lines.len();
    event.write_json(lines);
    let mut rest = &mut lines[start..];
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        rest[at] = b' ';
        rest = &mut rest[at + 1..];
    }
    lines.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::sync::{Arc, Mutex};

    use super::*;

    fn batch(bodies: &[&str]) -> Batch {
        let event = |body: &&str| {
            Event::parse((*body).to_owned(), &Arc::default(), &Arc::default()).unwrap()
        };
        bodies.iter().map(event).collect()
    }

    #[test]
    fn an_event_is_one_line_however_it_arrived() {
        let mut lines = Vec::new();
        let pretty = "{\n  \"a\": [\r\n1,\n2],\n\"b\\n\": \"c\\nd\"\n}";
        push_line(&mut lines, &batch(&[pretty]).events()[0]);
        let text = String::from_utf8(lines).unwrap();
        assert_eq!(text, "{   \"a\": [  1, 2], \"b\\n\": \"c\\nd\" }\n");
    }

    /// Waits for leave before each write.
    struct Gated {
        leave: Receiver<Result<(), Failure>>,
        written: Arc<Mutex<Vec<String>>>,
    }

    impl Target for Gated {
        fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
            self.leave.recv().unwrap()?;
            let lines = String::from_utf8(lines.to_vec()).unwrap();
            self.written.lock().unwrap().push(lines);
            Ok(())
        }
    }

    #[tokio::test]
    async fn keeps_the_order_and_writes_what_waits_in_one_go() {
        let (allow, leave) = sync_channel(9);
        let written = Arc::new(Mutex::new(Vec::new()));
        let target = Gated {
            leave,
            written: written.clone(),
        };
        let writer = LineWriter::start("test", target).unwrap();
        let mut first = Box::pin(writer.write(batch(&["{\"n\":1}", "{\"n\":2}"])));
        assert!(futures::poll!(&mut first).is_pending());
        allow.send(Ok(())).unwrap();
        first.await.unwrap();
        let mut calls = Vec::new();
        for body in ["{\"n\":3}", "{\"n\":4}", "{\"n\":5}"] {
            let mut call = Box::pin(writer.write(batch(&[body])));
            assert!(futures::poll!(&mut call).is_pending());
            calls.push(call);
        }
        for _ in 0..3 {
            allow.send(Ok(())).unwrap();
        }
        futures::future::try_join_all(calls).await.unwrap();
        let written = written.lock().unwrap();
        assert_eq!(written[0], "{\"n\":1}\n{\"n\":2}\n");
        assert_eq!(written[1..].concat(), "{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n");
    }

    #[tokio::test]
    async fn a_failure_is_that_of_its_batches_alone() {
        let (allow, leave) = sync_channel(9);
        let written = Arc::default();
        let writer = LineWriter::start("test", Gated { leave, written }).unwrap();
        let failure = Failure::fatal("disk_full", "full");
        allow.send(Err(failure.clone())).unwrap();
        allow.send(Ok(())).unwrap();
        assert_eq!(writer.write(batch(&["{}"])).await, Err(failure));
        assert_eq!(writer.write(batch(&["{}"])).await, Ok(()));
        // The gate is gone, so the thread panics: that is an answer too.
        drop(allow);
        for _ in 0..2 {
            let failure = writer.write(batch(&["{}"])).await.unwrap_err();
            assert_eq!(failure.losses()[0].cause.reason, "writer_gone");
        }
    }
}
