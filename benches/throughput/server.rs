//! A server that takes points and counts them: as little HTTP as the sink needs.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Default)]
struct Taken {
    requests: AtomicU64,
    bytes: AtomicU64,
    lines: AtomicU64,
}

pub struct Server {
    address: SocketAddr,
    taken: Arc<Taken>,
}

impl Server {
    /// Runs until the process ends, with a thread for each connection.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let taken = Arc::new(Taken::default());
        let counted = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                // Ends when the other end closes the connection.
                std::thread::spawn(move || serve(&stream, &counted));
            }
        });
        Self { address, taken }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests, bytes and plain lines since the last call.
    pub fn taken(&self) -> (u64, u64, u64) {
        let Taken {
            requests,
            bytes,
            lines,
        } = &*self.taken;
        (
            requests.swap(0, Relaxed),
            bytes.swap(0, Relaxed),
            lines.swap(0, Relaxed),
        )
    }
}

fn serve(stream: &TcpStream, taken: &Taken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::with_capacity(256 << 10, stream);
    let mut line = String::new();
    loop {
        let (mut length, mut plain) = (0_usize, true);
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            plain &= !lower.starts_with("content-encoding:");
            if line == "\r\n" {
                break;
            }
        }
        let mut left = length;
        while left > 0 {
            let read = input.fill_buf()?;
            let count = read.len().min(left);
            if count == 0 {
                return Ok(());
            }
            if plain {
                let lines = memchr::memchr_iter(b'\n', &read[..count]).count();
                taken.lines.fetch_add(lines as u64, Relaxed);
            }
            input.consume(count);
            left -= count;
        }
        taken.requests.fetch_add(1, Relaxed);
        taken.bytes.fetch_add(length as u64, Relaxed);
        (&*stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
