//! The terminal as `trunkline top` has it, and as it was before: that is put back whatever happens.

use std::io::{Read, Write, stdin};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr,
    tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

use super::frame::Line;
use super::keys::{Key, Keys};

/// The other screen, no cursor, and lines that end at the edge.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// What is drawn on where a terminal does not say how large it is.
const USUAL: (usize, usize) = (80, 24);
/// Keys that wait to be looked at; more are held up by the terminal.
const WAITING: usize = 16;

/// A terminal that is drawn on. Dropped, it is as it was.
pub(super) struct Screen {
    terminal: OwnedFd,
    before: Termios,
}

impl Screen {
    /// Takes the terminal over: no echo, keys as they come.
    ///
    /// # Errors
    /// In words, when this is no terminal.
    pub fn enter(terminal: BorrowedFd<'_>) -> Result<Self, String> {
        let wrong = |error| format!("this terminal cannot be drawn on: {error}");
        if !isatty(terminal) {
            return Err("there is no terminal here: use `--once`, or `--format json`".into());
        }
        let before = tcgetattr(terminal).map_err(wrong)?;
        let mut raw = before.clone();
        // Ctrl-C comes as a byte, so that the screen is left before the process ends.
        raw.local_modes -=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::IXON | InputModes::ICRNL;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        let terminal = terminal.try_clone_to_owned();
        let terminal = terminal.map_err(|error| error.to_string())?;
        let screen = Self { terminal, before };
        tcsetattr(&screen.terminal, OptionalActions::Now, &raw).map_err(wrong)?;
        screen.write(ENTER);
        Ok(screen)
    }

    /// Columns and lines, as they are now.
    pub fn size(&self) -> (usize, usize) {
        size(self.terminal.as_fd()).unwrap_or(USUAL)
    }

    /// Draws all lines, and nothing below them.
    pub fn draw(&self, lines: &[Line], colour: bool) {
        let (width, height) = self.size();
        let mut out = String::from("\x1b[H");
        for (at, line) in lines.iter().take(height).enumerate() {
            // No line break behind the last one: it would scroll.
            out.push_str(if at > 0 { "\r\n" } else { "" });
            out.push_str(&line.render(width, colour));
            out.push_str("\x1b[K");
        }
        out.push_str("\x1b[J");
        self.write(&out);
    }

    /// A terminal that went away is noticed by its keys.
    fn write(&self, text: &str) {
        let Ok(own) = self.terminal.try_clone() else {
            return;
        };
        let _ = std::fs::File::from(own).write_all(text.as_bytes());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.write(LEAVE);
        // What was typed meanwhile is not for the shell.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// How large a terminal is, if it says so.
pub(super) fn size(terminal: BorrowedFd<'_>) -> Option<(usize, usize)> {
    let size = tcgetwinsize(terminal).ok()?;
    let (columns, lines) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && lines > 0).then_some((columns, lines))
}

/// Keys as they are pressed; ends where the terminal goes away.
pub(super) fn keys() -> mpsc::Receiver<Key> {
    let (sender, receiver) = mpsc::channel(WAITING);
    // A read that waits ends with the process.
    std::thread::spawn(move || {
        let (mut keys, mut bytes) = (Keys::default(), [0; 64]);
        while let Ok(count @ 1..) = stdin().lock().read(&mut bytes) {
            for key in keys.read(&bytes[..count]) {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}
