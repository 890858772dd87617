//! A real Redis of a test's own, and a way to it that can be cut.

#[path = "../kit/ports.rs"]
mod ports;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server with a folder and a port of its own. What it answered lies on its disk.
pub struct RedisServer {
    dir: TempDir,
    port: u16,
    child: Child,
    password: Option<&'static str>,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::with(None)
    }

    pub fn with(password: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = ports::free();
        let child = launch(&dir, port, password);
        let server = Self {
            dir,
            port,
            child,
            password,
        };
        server.wait();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`kill`](Self::kill), with what it had on its disk.
    pub fn restart(&mut self) {
        self.child = launch(&self.dir, self.port, self.password);
        self.wait();
    }

    /// It accepts connections and answers nothing, until [`go_on`](Self::go_on).
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The first line of the answer to a command of plain words.
    pub fn command(&self, words: &str) -> std::io::Result<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        (&stream).write_all(format!("{words}\r\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn wait(&self) {
        let started = Instant::now();
        while !self
            .command("PING")
            .is_ok_and(|answer| answer == "+PONG" || answer.contains("NOAUTH"))
        {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "redis-server does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(dir: &TempDir, port: u16, password: Option<&str>) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args([
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]);
    command.arg("--dir").arg(dir.path());
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.expect("a Redis is needed here: apt-get install redis-server")
}

const OPEN: u8 = 0;
const CUT: u8 = 1;
/// Requests pass, answers do not: the connection breaks instead.
const DEAF: u8 = 2;

/// Passes bytes on, until told otherwise.
pub struct Proxy {
    port: u16,
    mode: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(AtomicU8::new(OPEN));
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (its_mode, its_open) = (mode.clone(), open.clone());
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if its_mode.load(Ordering::SeqCst) == CUT {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                its_open.lock().unwrap().extend(both);
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass(from, to, None));
                let mode = its_mode.clone();
                std::thread::spawn(move || pass(server, client, Some(&mode)));
            }
        });
        Self { port, mode, open }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Breaks what is open, and refuses what comes.
    pub fn cut(&self) {
        self.mode.store(CUT, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The next answer is lost, and the connection with it; from then on it is cut.
    pub fn lose_the_next_answer(&self) {
        self.mode.store(DEAF, Ordering::SeqCst);
    }

    pub fn is_cut(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == CUT
    }

    pub fn mend(&self) {
        self.mode.store(OPEN, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mode: Option<&AtomicU8>) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let is_lost = mode.is_some_and(|mode| {
            let lost = mode.compare_exchange(DEAF, CUT, Ordering::SeqCst, Ordering::SeqCst);
            lost.is_ok()
        });
        if is_lost || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
