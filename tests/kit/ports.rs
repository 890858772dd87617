//! Ports for servers that a test starts as processes.
//!
//! A port that the kernel chose and that was let go again is no good for that: until the server has
//! taken it, the kernel may give it to any connection that goes out, even to the one that looks
//! whether the server is up, which is then connected to itself. These are below the range that is
//! used for that, and no two tests get the same one, whichever processes they run in.

#![allow(clippy::duplicate_mod, reason = "each kind of server brings it along")]

use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Linux gives those from 32,768 on to connections (`ip_local_port_range`).
const PORTS: Range<u16> = 10_000..32_000;

/// A name in the kernel for each port that was handed out, which goes with this process.
static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// One that nobody listens on, and that is this process's as long as it lives.
pub fn free() -> u16 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let count = u32::from(PORTS.end - PORTS.start);
    let first = now
        .subsec_micros()
        .wrapping_add(std::process::id().wrapping_mul(7_919));
    let from = |step: u32| PORTS.start + u16::try_from(first.wrapping_add(step) % count).unwrap();
    for port in (0..count).map(from) {
        let name = SocketAddr::from_abstract_name(format!("trunkline-test-port-{port}")).unwrap();
        let Ok(name) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            TAKEN.lock().unwrap().push(name);
            return port;
        }
    }
    panic!("none of the ports {PORTS:?} is free");
}
