//! The simulated platform, held to its rules by a client that knows only the wire.

#[path = "simulator/client.rs"]
mod client;
#[path = "simulator/stream.rs"]
mod stream;
