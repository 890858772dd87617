//! A server's process, from an environment of its own that `.ci/servers` makes.

#[path = "../kit/ports.rs"]
mod ports;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[allow(unused_imports, reason = "each test uses what it needs of it")]
pub use ports::free as free_port;

/// The folder of an environment.
pub fn environment(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let folder = cache.unwrap_or_else(home).join("trunkline").join(name);
    assert!(
        folder.join("complete").exists(),
        "`{name}` is needed here: `.ci/servers` installs it"
    );
    folder
}

/// A process that is killed with its test.
pub struct Program(Child);

impl Program {
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something answers there, whatever it says.
pub async fn answers(url: &str) {
    let client = trunkline::client::http::client(Duration::from_secs(5)).unwrap();
    for _ in 0..6_000 {
        if client.get(url).send().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody answers at {url}");
}
