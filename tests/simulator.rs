//! The simulated platform, held to its rules by a client that knows only the wire.

#[path = "simulator/channels.rs"]
mod channels;
#[path = "simulator/client.rs"]
mod client;
#[path = "simulator/conversations.rs"]
mod conversations;
#[path = "simulator/faults.rs"]
mod faults;
#[path = "simulator/login.rs"]
mod login;
#[path = "simulator/messaging.rs"]
mod messaging;
#[path = "simulator/process.rs"]
mod process;
#[path = "simulator/sockets.rs"]
mod sockets;
#[path = "simulator/stream.rs"]
mod stream;
