//! A real RabbitMQ of a test's own, and a way to it that can be cut.

#![allow(dead_code, reason = "each test uses what it needs of it")]

#[path = "../kit/ports.rs"]
mod ports;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A queue of several nodes tells nobody what it has confirmed until it has been there for a while.
pub const SETTLED: Duration = Duration::from_secs(5);

/// For an answer of the broker: it may be coming back, on a machine that has other work.
const LONGEST: Duration = Duration::from_secs(120);

/// What the broker answers, or a failed test: a client waits for as long as it is let.
async fn answer<T>(what: &str, asked: impl Future<Output = lapin::Result<T>>) -> T {
    let answered = tokio::time::timeout(LONGEST, asked).await;
    let answered = answered.unwrap_or_else(|_| panic!("{what}: RabbitMQ does not answer"));
    answered.unwrap_or_else(|error| panic!("{what}: {error}"))
}

static SHARED: tokio::sync::Mutex<Weak<Broker>> = tokio::sync::Mutex::const_new(Weak::new());

/// A broker with a folder, a name and ports of its own.
pub struct Broker {
    folder: TempDir,
    port: u16,
    distribution: u16,
    epmd: u16,
    child: Mutex<Child>,
}

#[allow(unused_imports, reason = "each test uses what it needs of it")]
pub use ports::free as free_port;

/// Where the package put the programs.
fn sbin() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib/rabbitmq/lib")
        .ok()
        .and_then(|folders| {
            let mut paths = folders.flatten().map(|entry| entry.path().join("sbin"));
            paths.find(|sbin| sbin.join("rabbitmq-server").exists())
        });
    found.expect("RabbitMQ is needed here: `.ci/servers` installs it")
}

impl Broker {
    /// The one that all tests of a program share that do it no harm. The last one to go ends it.
    pub async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(broker) = shared.upgrade() {
            return broker;
        }
        let broker = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&broker);
        broker
    }

    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With these further lines in its `rabbitmq.conf`.
    pub async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, distribution, epmd) = (free_port(), free_port(), free_port());
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\n\
             disk_free_limit.absolute = 1MB\nlog.console.level = error\n{more}\n"
        );
        std::fs::write(folder.path().join("rabbitmq.conf"), settings).unwrap();
        let plugins = "[rabbitmq_consistent_hash_exchange,rabbitmq_auth_mechanism_ssl].\n";
        std::fs::write(folder.path().join("enabled_plugins"), plugins).unwrap();
        let mut broker = Self {
            child: Mutex::new(Command::new("true").spawn().unwrap()),
            folder,
            port,
            distribution,
            epmd,
        };
        broker.launch().await;
        broker
    }

    fn command(&self, program: &str) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(sbin().join(program));
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("ERL_CRASH_DUMP", at("erl_crash.dump"))
            // Erlang's schedulers would spin while there is nothing to do.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2",
            )
            .stdin(Stdio::null());
        command
    }

    fn name(&self) -> String {
        format!("t{}@localhost", self.port)
    }

    async fn launch(&mut self) {
        let mut command = self.command("rabbitmq-server");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Mutex::new(child.unwrap());
        let started = Instant::now();
        let url = self.url();
        let reached = async || {
            let connected = Connection::connect(&url, ConnectionProperties::default());
            let connected = tokio::time::timeout(Duration::from_secs(10), connected).await;
            matches!(connected, Ok(Ok(_)))
        };
        while !reached().await {
            assert!(
                started.elapsed() < Duration::from_secs(180),
                "RabbitMQ does not start"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// By way of another port.
    pub fn url_at(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
    }

    /// `kill -9` of the machine that runs it.
    pub fn kill(&self) {
        let machines = self.machines();
        assert!(!machines.is_empty(), "no machine runs it");
        self.end(&machines);
    }

    fn end(&self, machines: &[u32]) {
        for pid in machines {
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
        }
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    fn machines(&self) -> Vec<u32> {
        let name = format!("RABBITMQ_NODENAME={}\0", self.name());
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            // Its name stands in the environment of all that belongs to it, and nowhere else.
            let read = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&read).contains(&name)
        })
        .collect()
    }

    /// After [`kill`](Self::kill), with what it had on its disk.
    pub async fn restart(&mut self) {
        self.launch().await;
    }

    pub async fn control(&self, words: &[&str]) -> Output {
        let mut command = self.command("rabbitmqctl");
        command.args(["-n", &self.name()]).args(words);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {told}");
        output
    }

    /// Short of memory, or not any more.
    pub async fn alarm(&self, on: bool) {
        let mark = if on { "0.000001" } else { "0.8" };
        self.control(&["set_vm_memory_high_watermark", mark]).await;
    }

    pub async fn channel(&self) -> Channel {
        let url = self.url();
        let connected = Connection::connect(&url, ConnectionProperties::default());
        let connection = answer("a connection", connected).await;
        answer("a channel", connection.create_channel()).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end(&self.machines());
    }
}

/// Makes a queue of this type with these further arguments.
pub async fn declare(channel: &Channel, queue: &str, kind: &str, more: &[(&str, AMQPValue)]) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    for (name, value) in more {
        arguments.insert((*name).into(), value.clone());
    }
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(queue.into(), options, arguments);
    answer(queue, declared).await;
}

pub async fn exchange(channel: &Channel, name: &str, queue: &str, key: &str) {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    let kind = ExchangeKind::Topic;
    let declared = channel.exchange_declare(name.into(), kind, options, none());
    answer(name, declared).await;
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(queue.into(), name.into(), key.into(), options, none());
    answer(key, bound).await;
}

/// Publishes bodies to a queue, all confirmed.
pub async fn publish(channel: &Channel, queue: &str, bodies: impl IntoIterator<Item = String>) {
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    answer("confirms", confirming).await;
    let mut confirms = Vec::new();
    for body in bodies {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            "".into(),
            queue.into(),
            options,
            body.as_bytes(),
            properties,
        );
        confirms.push(answer("a message", sent).await);
    }
    for confirm in confirms {
        assert!(answer("a confirmation", confirm).await.is_ack());
    }
}

/// How many messages are ready in a queue.
pub async fn ready(channel: &Channel, queue: &str) -> u32 {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let found = channel.queue_declare(queue.into(), options, FieldTable::default());
    answer(queue, found).await.message_count()
}

/// Takes all that is ready out of a queue.
pub async fn drain(channel: &Channel, queue: &str) -> Vec<lapin::message::Delivery> {
    let mut all = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) = answer(queue, channel.basic_get(queue.into(), options)).await {
        all.push(message.delivery);
    }
    all
}

/// A class and a method of AMQP, by their numbers (AMQP 0-9-1, "Class and Method Ids").
type Method = (u16, u16);

/// Of the first connections of a way, how many the client has lost, and of how many the broker knows it.
#[derive(Clone, Copy, Default)]
struct Left {
    near: usize,
    far: usize,
}

/// A way to the broker that can be cut, and on which answers can be lost.
pub struct Proxy {
    port: u16,
    under_way: Arc<Mutex<JoinSet<()>>>,
    withheld: Arc<Mutex<Vec<Method>>>,
    /// How many connections were made.
    taken: Arc<AtomicUsize>,
    left: watch::Sender<Left>,
    _listening: JoinSet<()>,
}

impl Proxy {
    pub async fn start(to: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let under_way = Arc::new(Mutex::new(JoinSet::new()));
        let mut listening = JoinSet::new();
        let ways = under_way.clone();
        let withheld: Arc<Mutex<Vec<Method>>> = Arc::default();
        let lost = withheld.clone();
        let taken: Arc<AtomicUsize> = Arc::default();
        let count = taken.clone();
        let (left, leaving) = watch::channel(Left::default());
        listening.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (lost, mut leaving) = (lost.clone(), leaving.clone());
                let number = count.fetch_add(1, Ordering::Relaxed);
                ways.lock().unwrap().spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await {
                        let (mut from_near, to_near) = near.split();
                        let (from_far, mut to_far) = far.split();
                        let is_left = tokio::select! {
                            _ = tokio::io::copy(&mut from_near, &mut to_far) => false,
                            _ = answers(from_far, to_near, &lost) => false,
                            _ = leaving.wait_for(|left| number < left.near) => true,
                        };
                        if is_left {
                            drop(near);
                            let _ = leaving.wait_for(|left| number < left.far).await;
                        }
                    }
                });
            }
        });
        Self {
            port,
            under_way,
            withheld,
            taken,
            left,
            _listening: listening,
        }
    }

    /// The next such answer of the broker is lost; all else goes through, heartbeats too.
    pub fn withhold(&self, method: Method) {
        self.withheld.lock().unwrap().push(method);
    }

    /// How many are still to be lost.
    pub fn withheld(&self) -> usize {
        self.withheld.lock().unwrap().len()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// All connections are gone for the client; the broker does not know.
    pub fn leave(&self) {
        self.left.send_modify(|left| left.near = self.taken());
    }

    /// Now it knows.
    pub fn tell(&self) {
        self.left.send_modify(|left| left.far = left.near);
    }

    /// How many connections were made.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// All connections are gone; new ones are taken.
    pub fn cut(&self) {
        *self.under_way.lock().unwrap() = JoinSet::new();
    }
}

/// Hands over what the broker says, frame by frame (AMQP 0-9-1, 2.3.5), but for what is to be lost.
async fn answers(
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    lost: &Mutex<Vec<Method>>,
) -> std::io::Result<()> {
    let mut from = tokio::io::BufReader::new(from);
    let mut frame = vec![0; 7];
    loop {
        from.read_exact(&mut frame[..7]).await?;
        let size = u32::from_be_bytes(frame[3..7].try_into().unwrap()) as usize;
        frame.resize(7 + size + 1, 0);
        from.read_exact(&mut frame[7..]).await?;
        let is_lost = frame[0] == 1 && {
            let number = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
            let method = (number(7), number(9));
            let mut lost = lost.lock().unwrap();
            let place = lost.iter().position(|it| *it == method);
            place.map(|place| lost.remove(place)).is_some()
        };
        if !is_lost {
            to.write_all(&frame).await?;
        }
    }
}
