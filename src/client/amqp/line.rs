//! The socket of a connection, to be closed whatever lapin waits for.
//!
//! lapin's thread keeps its socket as long as something was asked and not answered, the greeting too. Where
//! a broker takes connections and says nothing, each attempt would leave one behind.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a socket comes to once it is there.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The same socket as lapin's.
    socket: Option<TcpStream>,
    is_cut: bool,
}

impl Line {
    /// Whoever has this keeps the line: it is cut when it is dropped.
    pub fn hold(&self) -> Held {
        Held(self.clone())
    }

    /// This is the socket now.
    ///
    /// # Errors
    /// When the line was cut meanwhile: nobody waits for the connection any more.
    pub fn take(&self, stream: &impl AsFd) -> io::Result<()> {
        let socket = stream.as_fd().try_clone_to_owned()?;
        let mut state = self.state();
        if state.is_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.socket = Some(socket.into());
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a line.
pub(super) struct Held(Line);

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_cut = true;
        if let Some(socket) = state.socket.take() {
            // One that is closed already cannot be shut down.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
