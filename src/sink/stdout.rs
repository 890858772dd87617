//! The sink `stdout`: events as JSON lines on the program's standard output.
//!
//! `Ok` means that the operating system has taken the lines: they are in the pipe, the terminal or
//! the file that the output was redirected to, and not yet necessarily read or on a disk.

mod about;

pub use about::ABOUT;

use std::io::{self, ErrorKind, Write};

use crate::codec::{LineWriter, Target};
use crate::event::Batch;
use crate::failure::Failure;
use crate::setting::Fields;
use crate::stage::Sink;

/// The settings of a sink of type `stdout`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config;

impl Config {
    /// Reads the fields, of which there are none.
    pub fn check(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// Writes batches as lines, whole and in order.
#[derive(Clone)]
pub struct Stdout(LineWriter);

/// Opens the standard output as the sink `node`.
///
/// # Errors
/// When the machine has no room for a thread.
pub fn open(node: &str) -> Result<Stdout, Failure> {
    LineWriter::start(node, Output(io::stdout())).map(Stdout)
}

impl Sink for Stdout {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        self.0.write(batch).await
    }
}

struct Output<W>(W);

impl<W: Write + Send + 'static> Target for Output<W> {
    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        // `write_all` takes the lock once, so nothing else gets between two lines.
        let written = self.0.write_all(lines).and_then(|()| self.0.flush());
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::fatal(
                "stdout_closed",
                "the program that reads the standard output has closed it",
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::fatal(
                "disk_full",
                format!("the standard output is a file on a full disk: {error}"),
            ),
            _ => Failure::fatal(
                "stdout_failed",
                format!("cannot write to the standard output: {error}"),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_output_stops_the_run() {
        let failure = Output(Closed).write(b"{}\n").unwrap_err();
        assert_eq!(failure.kind(), crate::failure::Kind::Fatal);
        assert_eq!(failure.losses()[0].cause.reason, "stdout_closed");
    }

    #[test]
    fn lines_are_out_when_it_answers() {
        let mut output = Output(io::BufWriter::new(Vec::new()));
        output.write(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
        assert_eq!(output.0.get_ref(), b"{\"a\":1}\n{\"a\":2}\n");
    }
}
