//! The source `stdin`: records from the program's standard input.
//!
//! What has arrived goes on at once; nothing waits for a batch to be full. There is no place to go
//! on from: what the engine had not delivered when the run ended is lost, unless the other end
//! writes it again.

mod about;

pub use about::ABOUT;

use std::io::{self, Read, Stdin};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Format;
use crate::codec::{Compression, Feed, Outlet, Piece, ReadError, Reader, letter_about, provenance};
use crate::event::{PathSet, Position};
use crate::failure::Failure;
use crate::observe::Progress;
use crate::setting::Fields;
use crate::stage::{Delivery, Source};

/// Bytes that a pipe is asked to hold: the most that Linux gives to anybody. The default of 64 KiB
/// is a tenth of a batch, and each turn of a smaller one is two switches between processes.
const PIPE_BYTES: usize = 1 << 20;

/// The settings of a source of type `stdin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `compression` is `none` where nothing is said: telling would mean to wait for four bytes.
    pub format: Format,
}

impl Config {
    /// Reads the fields.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let format = Format::check(fields, Compression::None);
        Some(Self { format })
    }
}

/// Opens the standard input as the source `node`. `paths` are those that the pipeline looks up.
///
/// # Errors
/// When the machine has no room for a thread.
pub fn open(
    config: &Config,
    node: &str,
    paths: Arc<PathSet>,
    progress: Progress,
) -> Result<Box<dyn Source>, Failure> {
    // Only pipes have a size: what else the input is, it stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(io::stdin(), PIPE_BYTES);
    over(Arrived(io::stdin()), config, node, paths, progress)
}

/// The standard input, with as much in one read as has arrived.
struct Arrived(Stdin);

impl Read for Arrived {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // The buffer of the standard library is passed by for reads as large as the reader's.
        let mut filled = self.0.read(into)?;
        while filled > 0 && filled < into.len() && waiting(&self.0) {
            match self.0.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                // It fails again at the next call, when nothing else has to be handed over.
                Err(_) => break,
            }
        }
        Ok(filled)
    }
}

/// Whether a read would not wait.
fn waiting(input: &Stdin) -> bool {
    rustix::io::ioctl_fionread(input).is_ok_and(|bytes| bytes > 0)
}

/// As [`open`], over any input.
fn over(
    input: impl Read + Send + 'static,
    config: &Config,
    node: &str,
    paths: Arc<PathSet>,
    progress: Progress,
) -> Result<Box<dyn Source>, Failure> {
    progress.unbounded();
    let (format, source) = (config.format, Arc::from(node));
    let feed = Feed::start(node, paths, None, move |outlet| {
        read(input, format, &source, outlet);
    })?;
    Ok(Box::new(Records { feed, progress }))
}

/// The reading thread. What it marks is how many bytes were read since the last piece.
fn read(input: impl Read, format: Format, source: &Arc<str>, outlet: Outlet<u64>) {
    let mut reader = Reader::open(input, format.compression, format.framing, format.limits);
    let object = Arc::from("");
    let mut told = 0;
    loop {
        let next = reader.next_block();
        let bytes = reader.compressed_bytes_read();
        let mark = bytes - std::mem::replace(&mut told, bytes);
        let from = provenance(source, &object);
        let (block, letters) = match next {
            Ok(None) => return,
            Ok(Some(block)) => (Some(block), Vec::new()),
            Err(ReadError::Io(error)) => {
                let message = format!("cannot read the standard input: {error}");
                return outlet.fail(Failure::fatal("stdin_failed", message));
            }
            Err(ReadError::Corrupt { what, offset, .. }) => {
                let place = Position { line: 0, offset };
                let letter = letter_about("corrupt_input", what, place, &from);
                (None, vec![letter])
            }
        };
        let piece = Piece {
            block,
            letters,
            from,
            mark,
        };
        if !outlet.send(piece) {
            return;
        }
    }
}

struct Records {
    feed: Feed<u64>,
    progress: Progress,
}

impl Source for Records {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async {
            let Some(fed) = self.feed.next().await.transpose()? else {
                return Ok(None);
            };
            self.progress.bytes_done(fed.mark);
            self.progress.records(fed.decoded.records());
            Ok(Some(Delivery {
                refused: fed.decoded.refused,
                ..Delivery::new(fed.decoded.batch)
            }))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Framing, Limits};

    fn config(compression: Compression) -> Config {
        Config {
            format: Format {
                framing: Framing::Auto,
                compression,
                limits: Limits::default(),
            },
        }
    }

    async fn drain(input: Vec<u8>, compression: Compression) -> (Vec<String>, Vec<&'static str>) {
        let progress = Progress::default();
        let input = io::Cursor::new(input);
        let config = config(compression);
        let mut source = over(input, &config, "in", Arc::default(), progress.clone()).unwrap();
        let (mut bodies, mut reasons) = (Vec::new(), Vec::new());
        while let Some(delivery) = source.next().await.unwrap() {
            assert!(delivery.checkpoints.is_empty());
            bodies.extend(delivery.batch.events().iter().map(|e| e.to_json()));
            reasons.extend(delivery.refused.iter().map(|letter| letter.reason));
        }
        let snapshot = progress.snapshot();
        assert_eq!(snapshot.records, (bodies.len() + reasons.len()) as u64);
        assert_eq!(snapshot.bytes_total, None);
        (bodies, reasons)
    }

    #[tokio::test]
    async fn reads_to_the_end_and_refuses_what_is_no_event() {
        let input = b"{\"a\":1}\nno\n{\"a\":2}".to_vec();
        let (bodies, reasons) = drain(input, Compression::None).await;
        assert_eq!(bodies, ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(reasons, ["not_json"]);
    }

    #[tokio::test]
    async fn a_damaged_stream_is_a_letter_after_what_was_whole() {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
        let mut input = gzip.finish().unwrap();
        input.truncate(input.len() - 3);
        let (bodies, reasons) = drain(input, Compression::Auto).await;
        assert_eq!(bodies, ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(reasons, ["corrupt_input"]);
    }

    /// An input that fails at its first read.
    struct Fails;

    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    #[tokio::test]
    async fn an_input_that_fails_ends_the_run() {
        let config = config(Compression::None);
        let progress = Progress::default();
        let mut source = over(Fails, &config, "in", Arc::default(), progress).unwrap();
        let failure = source.next().await.err().unwrap();
        assert_eq!(failure.losses()[0].cause.reason, "stdin_failed");
    }
}
