//! A numbered stream of events: what is missing, doubled or out of order shows by its numbers.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use crate::random::Random;

/// Keys whose order is kept.
pub const KEYS: usize = 12;
/// Events that write the same row one after the other: the last one stays.
pub const VERSIONS: usize = 3;
/// Most events after which an event comes again.
const FAR: usize = 200;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Both sinks get it.
    Valid,
    /// `valid` refuses it.
    Refused,
    /// The source refuses it: it is not even JSON.
    Garbage,
    /// It has come before.
    Repeat,
}

/// An event, by what the sinks show of it. Its place in the stream is its number.
#[derive(Clone, Debug)]
pub struct Event {
    pub key: usize,
    /// Its number within its key.
    pub n: usize,
    pub fate: Fate,
    /// The number in the stream that it tells; of a repeat that of the event that it repeats.
    pub id: usize,
}

impl Event {
    pub fn row(&self) -> String {
        format!("k{}-{}", self.key, self.n / VERSIONS)
    }

    fn line(&self) -> String {
        let Event { key, n, id, .. } = self;
        let (row, class) = (self.row(), if key % 3 == 0 { "urgent" } else { "plain" });
        let time = 1_767_225_600_000 + 1000 * n;
        let shown = match self.fate {
            Fate::Garbage => return format!("garbage g{id}\n"),
            Fate::Refused => format!("\"{n} or so\""),
            _ => n.to_string(),
        };
        format!(
            "{{\"id\":\"e{id}\",\"key\":\"k{key}\",\"n\":{shown},\"row\":\"{row}\",\
             \"time\":{time},\"class\":\"{class}\"}}\n"
        )
    }
}

/// Makes events without end.
#[derive(Default)]
pub struct Stream {
    pub events: Vec<Event>,
    next: [usize; KEYS],
}

impl Stream {
    /// One more, as a line. What it repeats, if it does, is not before `since`.
    pub fn draw(&mut self, random: &mut Random, since: usize) -> String {
        let id = self.events.len();
        if id > since && random.once_in(15) {
            let back = 1 + random.below(FAR.min(id - since));
            let first = self.events[id - back].clone();
            if first.fate == Fate::Valid {
                let line = first.line();
                let fate = Fate::Repeat;
                self.events.push(Event { fate, ..first });
                return line;
            }
        }
        let key = random.below(KEYS);
        let n = self.next[key];
        self.next[key] += 1;
        let fate = match random.below(60) {
            0 => Fate::Garbage,
            1 | 2 => Fate::Refused,
            _ => Fate::Valid,
        };
        let event = Event { key, n, fate, id };
        let line = event.line();
        self.events.push(event);
        line
    }
}

/// Where lines are written. Chunks end anywhere, also in the middle of a line.
pub enum Feed {
    Files(Files),
    Pipe(Pipe),
}

impl Feed {
    /// Adds a line.
    pub fn push(&mut self, line: &str) {
        match self {
            Feed::Files(files) => files.waiting.extend_from_slice(line.as_bytes()),
            Feed::Pipe(pipe) => {
                pipe.waiting.extend_from_slice(line.as_bytes());
                pipe.lengths.push(line.len());
            }
        }
    }

    /// Writes what goes without waiting, and with `part` only some of it; whether all is written.
    pub fn flush(&mut self, random: &mut Random, part: bool) -> bool {
        match self {
            Feed::Files(files) => files.flush(random, part),
            Feed::Pipe(pipe) => pipe.flush(),
        }
    }
}

/// A folder of files. The newest grows; older ones never do.
pub struct Files {
    folder: PathBuf,
    made: usize,
    open: Option<File>,
    waiting: Vec<u8>,
}

impl Files {
    pub fn new(folder: &Path) -> Files {
        fs::create_dir_all(folder).unwrap();
        Files {
            folder: folder.to_owned(),
            made: 0,
            open: None,
            waiting: Vec::new(),
        }
    }

    fn flush(&mut self, random: &mut Random, part: bool) -> bool {
        let most = self.waiting.len();
        let bytes: Vec<u8> = match part && most > 0 {
            true => self.waiting.drain(..random.below(most + 1)).collect(),
            false => std::mem::take(&mut self.waiting),
        };
        if self.open.is_none() {
            let path = self.folder.join(format!("{:05}.ndjson", self.made));
            self.made += 1;
            let opened = OpenOptions::new().create(true).append(true).open(path);
            self.open = Some(opened.unwrap());
        }
        if let Some(file) = &mut self.open {
            file.write_all(&bytes).unwrap();
        }
        // A file ends with a whole line.
        if self.waiting.is_empty() && random.once_in(10) {
            self.open = None;
        }
        self.waiting.is_empty()
    }
}

/// The standard input of a process.
pub struct Pipe {
    to: ChildStdin,
    waiting: Vec<u8>,
    /// Of the lines pushed.
    lengths: Vec<usize>,
    written: usize,
    closed: bool,
}

impl Pipe {
    pub fn new(to: ChildStdin) -> Pipe {
        // A process that reads nothing must not hold up its own killing.
        rustix::io::ioctl_fionbio(&to, true).unwrap();
        Pipe {
            to,
            waiting: Vec::new(),
            lengths: Vec::new(),
            written: 0,
            closed: false,
        }
    }

    fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() && !self.closed {
            match self.to.write(&self.waiting) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    self.written += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The process is gone.
                Err(_) => self.closed = true,
            }
        }
        self.waiting.is_empty()
    }

    /// How many lines went into the pipe whole.
    pub fn lines(&self) -> usize {
        let mut end = 0;
        let whole = self.lengths.iter().take_while(|length| {
            end += **length;
            end <= self.written
        });
        whole.count()
    }
}
