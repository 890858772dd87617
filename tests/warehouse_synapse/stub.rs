//! As much of a TDS server as a load needs: it encrypts, takes a log-in, writes down what is said,
//! and answers as a test tells it to. It runs no SQL.
//!
//! Packets and tokens: [MS-TDS], "Tabular Data Stream Protocol". TLS 1.2 alone, whose handshake ends
//! with the server: after that nothing is wrapped in packets of the pre-login any more.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

const BATCH: u8 = 0x01;
const RPC: u8 = 0x03;
const ANSWER: u8 = 0x04;
const LOGIN: u8 = 0x10;
const PRELOGIN: u8 = 0x12;

/// What a client said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Which connection, from 0.
    pub connection: usize,
    pub sql: String,
    pub values: Vec<Option<String>>,
}

/// What it gets for that.
pub enum Answer {
    Done,
    Rows(Vec<Vec<Option<String>>>),
    Error(i32, &'static str),
    /// The server dies.
    Close,
}

/// How the server behaves before anything is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Open,
    /// It knows nobody.
    WrongPassword,
    /// It offers no encryption.
    Plain,
    /// It is no such server.
    Garbage,
}

type Script = dyn Fn(&Said) -> Answer + Send + Sync;

pub struct Stub {
    pub port: u16,
    folder: TempDir,
    said: Arc<Mutex<Vec<Said>>>,
}

impl Stub {
    pub fn start(door: Door, script: impl Fn(&Said) -> Answer + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = certificate(&folder);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, script) = (said.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (tls, heard, script) = (tls.clone(), heard.clone(), script.clone());
                std::thread::spawn(move || {
                    // A client that goes away is no mistake.
                    let _ = serve(stream?, door, tls, connection, &heard, &*script);
                    io::Result::Ok(())
                });
            }
        });
        Self { port, folder, said }
    }

    /// The authority of its certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }
}

fn certificate(folder: &TempDir) -> Arc<ServerConfig> {
    let made = Command::new("openssl")
        .current_dir(folder.path())
        .args("req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2".split(' '))
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .output();
    let made = made.unwrap_or_else(|error| panic!("no `openssl` ({error}): run .ci/servers"));
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let certificate = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

fn serve(
    mut stream: TcpStream,
    door: Door,
    tls: Arc<ServerConfig>,
    connection: usize,
    heard: &Mutex<Vec<Said>>,
    script: &Script,
) -> io::Result<()> {
    let (kind, _) = packet(&mut stream)?;
    assert_eq!(kind, PRELOGIN);
    if door == Door::Garbage {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    // Version and encryption (1: on, 2: there is none).
    let encryption = if door == Door::Plain { 2 } else { 1 };
    let offer = [
        0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 10, 0, 0, 0, 0, 0, encryption,
    ];
    send(&mut stream, ANSWER, &offer)?;
    if door == Door::Plain {
        // Whatever comes now comes in plain text.
        let (kind, _) = packet(&mut stream)?;
        let sql = format!("a packet of type {kind:#x}");
        heard.lock().unwrap().push(Said {
            connection,
            sql,
            values: Vec::new(),
        });
        return Ok(());
    }
    let mut stream = handshake(stream, tls)?;
    let (kind, _) = packet(&mut stream)?;
    assert_eq!(kind, LOGIN);
    if door == Door::WrongPassword {
        let text = "Login failed for user 'loader'.";
        return send(
            &mut stream,
            ANSWER,
            &[error(18456, text), done(2, 0)].concat(),
        );
    }
    send(&mut stream, ANSWER, &[login_ack(), done(0, 0)].concat())?;
    loop {
        let (kind, body) = packet(&mut stream)?;
        let (sql, values) = match kind {
            BATCH => (text(headless(&body)), Vec::new()),
            RPC => call(headless(&body)),
            // "Attention" and what else there is.
            _ => return Ok(()),
        };
        let said = Said {
            connection,
            sql,
            values,
        };
        let answer = script(&said);
        heard.lock().unwrap().push(said);
        let tokens = match answer {
            Answer::Close => return Ok(()),
            Answer::Done => done(0, 0),
            Answer::Error(number, text) => [error(number, text), done(2, 0)].concat(),
            Answer::Rows(rows) => [table(&rows), done(0x10, rows.len() as u64)].concat(),
        };
        send(&mut stream, ANSWER, &tokens)?;
    }
}

/// TLS records in packets of the pre-login, until both sides are done.
fn handshake(
    mut stream: TcpStream,
    tls: Arc<ServerConfig>,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let mut connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        let (_, records) = packet(&mut stream)?;
        let mut records = &records[..];
        while !records.is_empty() {
            connection.read_tls(&mut records)?;
            connection.process_new_packets().map_err(io::Error::other)?;
        }
        let mut answer = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut answer)?;
        }
        if !answer.is_empty() {
            send(&mut stream, PRELOGIN, &answer)?;
        }
    }
    Ok(StreamOwned::new(connection, stream))
}

/// A message: its packets put together.
fn packet(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut body = Vec::new();
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])) - head.len();
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(&mut body[start..])?;
        if head[1] & 1 == 1 {
            return Ok((head[0], body));
        }
    }
}

fn send(stream: &mut impl Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let most = 4096 - 8;
    let last = body.len().div_ceil(most).max(1) - 1;
    for (number, part) in body.chunks(most).enumerate() {
        let length = (part.len() as u16 + 8).to_be_bytes();
        let end = u8::from(number == last);
        let head = [kind, end, length[0], length[1], 0, 0, number as u8 + 1, 0];
        stream.write_all(&[&head[..], part].concat())?;
    }
    stream.flush()
}

fn headless(body: &[u8]) -> &[u8] {
    &body[u32::from_le_bytes(body[..4].try_into().unwrap()) as usize..]
}

fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

/// A call of `sp_executesql`: the statement, the types of its values, and the values.
fn call(mut body: &[u8]) -> (String, Vec<Option<String>>) {
    assert_eq!(take(&mut body, 4), [0xff, 0xff, 10, 0]);
    take(&mut body, 2);
    let mut values = Vec::new();
    while !body.is_empty() {
        let name = usize::from(take(&mut body, 1)[0]);
        take(&mut body, 2 * name + 1);
        values.push(value(&mut body));
    }
    let sql = values.remove(0).unwrap();
    if !values.is_empty() {
        values.remove(0);
    }
    (sql, values)
}

fn value(body: &mut &[u8]) -> Option<String> {
    match take(body, 1)[0] {
        // Nothing, of no type.
        0x1f => None,
        // NVARCHAR, of a known length or in pieces.
        0xe7 => {
            let most = take(body, 2).to_vec();
            take(body, 5);
            if most != [0xff, 0xff] {
                let length = u16::from_le_bytes(take(body, 2).try_into().unwrap());
                return (length != 0xffff).then(|| text(take(body, length.into())));
            }
            if take(body, 8) == [0xff; 8] {
                return None;
            }
            let mut bytes = Vec::new();
            loop {
                let piece = u32::from_le_bytes(take(body, 4).try_into().unwrap()) as usize;
                if piece == 0 {
                    return Some(text(&bytes));
                }
                bytes.extend_from_slice(take(body, piece));
            }
        }
        // A number of up to eight bytes.
        0x26 => {
            take(body, 1);
            let length = usize::from(take(body, 1)[0]);
            let mut bytes = [0; 8];
            bytes[..length].copy_from_slice(take(body, length));
            (length > 0).then(|| i64::from_le_bytes(bytes).to_string())
        }
        // BIGINT.
        0x7f => Some(i64::from_le_bytes(take(body, 8).try_into().unwrap()).to_string()),
        kind => panic!("a value of type {kind:#x}"),
    }
}

fn take<'a>(body: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (first, rest) = body.split_at(length);
    *body = rest;
    first
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn login_ack() -> Vec<u8> {
    let mut body = vec![1, 0x74, 0, 0, 4, 4];
    body.extend(wide("stub"));
    body.extend([10, 0, 0, 0]);
    token(0xad, &body)
}

fn error(number: i32, text: &str) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.extend([1, 14]);
    body.extend((text.encode_utf16().count() as u16).to_le_bytes());
    body.extend(wide(text));
    body.extend([0, 0, 1, 0, 0, 0]);
    token(0xaa, &body)
}

fn token(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_le_bytes();
    [&[kind], &length[..], body].concat()
}

/// Status 2 is an error, 0x10 says that the count holds.
fn done(status: u16, rows: u64) -> Vec<u8> {
    let mut body = vec![0xfd];
    body.extend(status.to_le_bytes());
    body.extend([0, 0]);
    body.extend(rows.to_le_bytes());
    body
}

fn table(rows: &[Vec<Option<String>>]) -> Vec<u8> {
    let width = rows.first().map_or(1, Vec::len);
    let mut body = vec![0x81];
    body.extend((width as u16).to_le_bytes());
    for _ in 0..width {
        body.extend([0, 0, 0, 0, 1, 0, 0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0x34, 0]);
    }
    for row in rows {
        body.push(0xd1);
        for cell in row {
            match cell {
                None => body.extend([0xff, 0xff]),
                Some(text) => {
                    let bytes = wide(text);
                    body.extend((bytes.len() as u16).to_le_bytes());
                    body.extend(bytes);
                }
            }
        }
    }
    body
}
