//! A sink of one's own in a binary of one's own, with all commands of Trunkline.
//!
//! ```sh
//! cargo run --example custom_sink -- run examples/custom_sink/pipeline.yaml
//! cargo run --example custom_sink -- validate examples/custom_sink/pipeline.yaml
//! ```
//!
//! The sink itself is what stands between the two lines: its settings and how it writes a batch.
//! Queue, time-out, retries, breaker, limits, metrics and dead letters are around it already.

use std::process::ExitCode;

use trunkline::graph::Components;

// ------------------------------------------------------------------------------------------------
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline::codec::push_line;
use trunkline::{event::Batch, failure::Failure, setting::Fields, stage::Sink};

/// `type: tcp_lines`: a batch is a connection, an event a line of JSON; the peer answers `ok` to it all.
#[derive(Clone)]
struct TcpLines(String);

impl TcpLines {
    fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let address: String = fields.required("address")?;
        if !address.contains(':') {
            fields.error("bad-address", fields.span_of("address"), "no `host:port`");
        }
        Some(Self(address))
    }

    async fn send(&self, lines: &[u8]) -> std::io::Result<bool> {
        let (mut peer, mut answer) = (TcpStream::connect(&self.0).await?, String::new());
        peer.write_all(lines).await?;
        peer.shutdown().await?;
        peer.take(8).read_to_string(&mut answer).await?;
        Ok(answer.trim() == "ok")
    }
}

impl Sink for TcpLines {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for event in batch.events() {
            push_line(&mut lines, event);
        }
        match self.send(&lines).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::rejected("not_ok", "refused by the peer")),
            Err(error) => Err(Failure::transient("tcp", error.to_string())),
        }
    }
}
// ------------------------------------------------------------------------------------------------

fn main() -> ExitCode {
    trunkline::cli::main_with(Components::default().sink("tcp_lines", TcpLines::check))
}

#[cfg(test)]
#[path = "custom_sink/tests.rs"]
mod tests;
