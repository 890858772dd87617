//! `trunkline top` against processes that run: what it prints, and what it leaves of a terminal.

#[path = "kit/running.rs"]
mod running;

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use running::{Running, free_port, signal, text, trunkline, until};

fn pipeline(port: u16, api: &str) -> String {
    format!(
        "version: 1\nname: calls\napi: {{ address: \"127.0.0.1:{port}\"{api} }}\n\
         sources:\n  in: {{ type: stdin, framing: lines }}\n\
         transforms:\n  unique: {{ type: dedup, inputs: [in], key: .id, window: 1h }}\n\
         sinks:\n  out: {{ type: blackhole, inputs: [unique] }}\n\
         dead_letter: {{ type: blackhole }}\n"
    )
}

const OTHER: &str = "version: 1\nname: other\n\
    sources:\n  nothing: { type: file, path: ., include: [\"*.never\"], read: follow }\n\
    sinks:\n  void: { type: blackhole, inputs: [nothing] }\ndead_letter: { type: blackhole }\n";

/// Two pipelines, and events that come twice.
fn started(port: u16, api: &str) -> (Running, std::thread::JoinHandle<()>) {
    let mut running = Running::start(&[&pipeline(port, api), OTHER]);
    let feeding = running.feed(Some(300), |id| format!("{{\"id\":{}}}\n", id / 2));
    (running, feeding)
}

#[test]
fn once_prints_a_table_of_every_pipeline_and_ends() {
    let (mut running, feeding) = started(0, "");
    let url = running.url();
    let top = |arguments: &[&str]| {
        let mut top = trunkline();
        top.args(["top", "--once", "--interval", "500ms"]);
        top.args(["--url", &url]).args(arguments);
        top.output().unwrap()
    };
    let output = top(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let firsts: Vec<_> = table
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let expected = [
        "calls",
        "NODE",
        "in",
        "unique",
        "out",
        "dead_letter",
        "",
        "other",
        "NODE",
        "nothing",
        "void",
        "dead_letter",
    ];
    assert_eq!(firsts, expected, "{table}");
    assert!(
        table.contains("duplicate ") && !table.contains('\u{1b}'),
        "{table}"
    );

    let json = top(&["--format", "json"]);
    let shown: Value = serde_json::from_slice(&json.stdout).unwrap();
    let [into, unique] = [&shown[0]["nodes"][0], &shown[0]["nodes"][1]];
    let rate = into["in"].as_f64().unwrap();
    assert!((50.0..600.0).contains(&rate), "{shown}");
    let out = unique["out"].as_f64().unwrap();
    assert!(
        out > rate / 4.0 && out < rate * 0.75,
        "half are duplicates: {shown}"
    );
    assert_eq!(shown[1]["nodes"][0]["in"], 0.0);

    let refused = top(&["--url", "ftp://x"]);
    assert_eq!(refused.status.code(), Some(2), "given twice");
    running.kill();
    let gone = top(&[]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        text(&gone.stderr).contains("does not answer"),
        "{}",
        text(&gone.stderr)
    );
    feeding.join().unwrap();
}

#[test]
fn without_a_terminal_it_says_what_to_do_and_a_reader_that_goes_ends_it() {
    let (mut running, feeding) = started(0, ", token: \"${TOKEN}\"");
    let url = running.url();
    let top = |arguments: &[&str]| {
        let mut top = trunkline();
        top.args(["top", "--url", &url, "--interval", "200ms"])
            .args(arguments);
        top.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        top
    };
    let token = ["--token", "s3same"];
    let screen = top(&token).output().unwrap();
    assert_eq!(screen.status.code(), Some(1));
    assert!(
        text(&screen.stderr).contains("use `--once`"),
        "{}",
        text(&screen.stderr)
    );
    assert!(screen.stdout.is_empty(), "nothing was drawn");
    let wrong = top(&["--once", "--token", "wrong"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    let told = text(&wrong.stderr);
    assert!(told.contains("401") && !told.contains("wrong"), "{told}");

    let mut lines = top(&["--format", "json", "--token", "s3same"])
        .spawn()
        .unwrap();
    let mut some = [0; 2];
    let mut out = lines.stdout.take().unwrap();
    out.read_exact(&mut some).unwrap();
    drop(out);
    let ended = lines.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty(), "{}", text(&ended.stderr));
    running.kill();
    feeding.join().unwrap();
}

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

/// A terminal (`script` makes it) in which a shell tells how it is set, runs `top`, and tells again.
struct Terminal {
    folder: TempDir,
    child: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn with(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_trunkline");
        let shell = format!(
            "stty cols 100 rows 20; stty -g > before; tty > name\n\
             sh -c 'echo $$ > id; exec {program} top --url {url} --interval 200ms'\n\
             echo $? > code; stty -g > after"
        );
        fs::write(folder.path().join("it.sh"), shell).unwrap();
        let mut child = Command::new("script")
            .args(["-qec", "sh it.sh", "/dev/null"])
            .current_dir(&folder)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` is missing: install bsdutils");
        let (keys, mut out) = (child.stdin.take(), child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(String::new()));
        let told = seen.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                let piece = String::from_utf8_lossy(&piece[..count]);
                told.lock().unwrap().push_str(&piece);
            }
        });
        Self {
            folder,
            child,
            keys,
            seen,
        }
    }

    fn press(&mut self, keys: &str) {
        let input = self.keys.as_mut().unwrap();
        input
            .write_all(keys.as_bytes())
            .and_then(|()| input.flush())
            .unwrap();
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// The last whole screen, line by line.
    fn screen(&self) -> Vec<String> {
        let seen = self.seen();
        let mut screens = seen.rsplit("\u{1b}[H");
        // The very last may be half there.
        let whole = screens.nth(1).unwrap_or_default();
        whole.split("\r\n").map(plain).collect()
    }

    fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        until(what, || holds(&self.screen()));
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// It ends with this code, and the terminal is as it was.
    fn ends(&mut self, code: &str) {
        self.child.wait().unwrap();
        until("all is read", || self.seen().contains(LEAVE));
        assert_eq!(self.read("code").trim(), code, "{}", self.seen());
        assert_eq!(self.read("before"), self.read("after"));
        let seen = self.seen();
        assert_eq!(
            (seen.matches(ENTER).count(), seen.matches(LEAVE).count()),
            (1, 1)
        );
        assert!(seen.contains("\u{1b}[?25h") && seen.contains("\u{1b}[?7h"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without what makes colours and clears lines.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => drop(letters.find(|c| ('@'..='~').contains(c) && *c != '[')),
            // The terminal's own.
            '\r' => {}
            letter => out.push(letter),
        }
    }
    out
}

fn begins(lines: &[String], with: &str) -> bool {
    lines.iter().any(|line| line.starts_with(with))
}

#[test]
fn keys_work_and_the_terminal_is_as_it_was() {
    let (mut running, feeding) = started(0, "");
    let mut terminal = Terminal::with(&running.url());
    terminal.until("figures", |lines| {
        begins(lines, "calls  running") && begins(lines, "unique")
    });
    terminal.press("s");
    terminal.until("an order", |lines| {
        lines.last().is_some_and(|it| it.contains("sort: in/s"))
    });
    terminal.press("\t");
    terminal.until("the other", |lines| {
        begins(lines, "other  running") && begins(lines, "void")
    });
    terminal.press("\u{1b}[Z");
    terminal.until("the first", |lines| begins(lines, "calls  running"));
    terminal.press("p");
    terminal.until("a pause", |lines| {
        lines.last().is_some_and(|it| it.ends_with("PAUSED"))
    });
    terminal.press("p");

    // Another size: what fits is drawn, and there is more below.
    let name = terminal.read("name");
    let tty = fs::File::open(name.trim()).unwrap();
    let mut stty = Command::new("stty");
    stty.args(["cols", "30", "rows", "5"]).stdin(tty);
    assert!(stty.status().unwrap().success());
    terminal.until("a small screen", |lines| {
        lines.len() == 5 && lines.iter().all(|line| line.chars().count() <= 30)
    });
    terminal.until("a table", |lines| begins(lines, "in "));
    terminal.press("\u{1b}[6~");
    terminal.until("the rest", |lines| {
        begins(lines, "out ") && !begins(lines, "in ")
    });
    terminal.press("q");
    terminal.ends("0");
    running.kill();
    feeding.join().unwrap();
}

#[test]
fn however_it_ends_the_terminal_is_as_it_was() {
    let (mut running, feeding) = started(0, "");
    for end in ["\u{3}", "-TERM", "-INT", "-HUP"] {
        let mut terminal = Terminal::with(&running.url());
        terminal.until("figures", |lines| begins(lines, "calls  running"));
        match end.starts_with('-') {
            true => signal(terminal.read("id").trim().parse().unwrap(), end),
            false => terminal.press(end),
        }
        terminal.ends("0");
    }
    running.kill();
    feeding.join().unwrap();
}

#[test]
fn a_process_that_goes_is_told_and_found_again() {
    let port = free_port();
    let (mut running, feeding) = started(port, "");
    let mut terminal = Terminal::with(&running.url());
    terminal.until("figures", |lines| begins(lines, "unique"));
    running.kill();
    feeding.join().unwrap();
    terminal.until("it is told", |lines| {
        lines[0].contains("does not answer") && begins(lines, "unique")
    });
    let (mut running, feeding) = started(port, "");
    terminal.until("it is back", |lines| {
        begins(lines, "calls  running") && !lines[0].contains("answer")
    });
    terminal.press("q");
    terminal.ends("0");
    running.kill();
    feeding.join().unwrap();
}
