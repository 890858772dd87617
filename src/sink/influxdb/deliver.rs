//! One request with many lines, and what its answer says about each of them.
//!
//! Where the server names the lines that it refuses, those alone are refused. Where it does not, or
//! where a request is too large, the lines are halved until the answer is clear: writing a point
//! again changes nothing. This ends: it is bounded by requests and by time, what is not clear by then
//! is tried again as a smaller batch, and each round finds at least one line.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::gather::Send;
use super::lines::Lines;
use crate::client::influx::{Bytes, Client, NotWritten, Precision, Refused, Why};
use crate::event::Origin;
use crate::failure::{Cause, Failure, Kind};
use crate::observe::NodeMeter;

/// Most requests for the lines of one.
const MOST_REQUESTS: usize = 256;
/// So many lines that were refused one by one, with none taken in between, stand for all.
const ALL_REFUSED: usize = 16;
/// A server that takes less than this in a request takes nothing.
const LEAST_BYTES: usize = 16 << 10;
/// From here on compressing takes long enough to be kept off the threads that move events.
const ASIDE_BYTES: usize = 64 << 10;

/// Sends lines. Clones share what was learned.
#[derive(Clone)]
pub(super) struct Deliver(Arc<Shared>);

struct Shared {
    client: Client,
    precision: Precision,
    gzip: bool,
    /// Looking for refused lines ends after this.
    patience: Duration,
    meter: NodeMeter,
    /// Bytes that the server takes in a request, as far as is known.
    max_bytes: AtomicUsize,
    failing: AtomicBool,
    held: AtomicBool,
}

/// What became of the lines of a request; those that it does not speak of are written.
#[derive(Default)]
pub(super) struct Outcome {
    pub refused: Vec<(usize, Why)>,
    /// Lines of which nothing is known, and why.
    pub failed: Option<(Vec<usize>, Failure)>,
}

impl Outcome {
    /// The part of it that is about these lines. `origins` are those of all lines.
    pub fn of(&self, origins: &[Origin], lines: Range<usize>) -> Result<(), Failure> {
        let mut failures: Vec<Failure> = Vec::new();
        for why in [
            Why::TypeConflict,
            Why::Retention,
            Why::Unparsed,
            Why::TooLarge,
            Why::Other,
        ] {
            let ours = |(line, other): &&(usize, Why)| *other == why && lines.contains(line);
            let ours = self
                .refused
                .iter()
                .filter(ours)
                .map(|(line, _)| origins[*line]);
            let cause = Cause::new(why.reason(), why.message());
            failures.extend(Failure::only(Kind::Rejected, cause, ours.collect()));
        }
        if let Some((failed, failure)) = &self.failed {
            let ours = failed.iter().filter(|line| lines.contains(line));
            let ours: Vec<Origin> = ours.map(|line| origins[*line]).collect();
            if !ours.is_empty() {
                failures.push(failure.clone().named(&ours));
            }
        }
        Failure::join(failures.into_iter().map(Err))
    }
}

/// Lines that are to be sent together.
enum Piece {
    All,
    Some(Vec<usize>),
}

/// The lines of one request while it is found out what becomes of them.
struct Search {
    text: Bytes,
    ranges: Vec<Range<usize>>,
    pieces: Vec<Piece>,
    requests: usize,
    /// Refused one by one since the last that was taken.
    in_a_row: usize,
    outcome: Outcome,
}

impl Deliver {
    pub fn new(
        client: Client,
        precision: Precision,
        gzip: bool,
        patience: Duration,
        meter: NodeMeter,
    ) -> Self {
        Self(Arc::new(Shared {
            client,
            precision,
            gzip,
            patience,
            meter,
            max_bytes: AtomicUsize::new(usize::MAX),
            failing: AtomicBool::new(false),
            held: AtomicBool::new(false),
        }))
    }

    async fn search(&self, mut search: Search, begun: Instant) -> Outcome {
        while let Some(piece) = search.pieces.pop() {
            let is_over = search.requests >= MOST_REQUESTS || begun.elapsed() > self.0.patience;
            if is_over {
                let message = "InfluxDB refuses points and does not say which: still looking";
                search.pieces.push(piece);
                search.fail(Failure::transient("influx_partial_write", message));
                break;
            }
            if search.in_a_row >= ALL_REFUSED {
                search.refuse(&piece, Why::Other);
                continue;
            }
            let lines = search.lines_of(&piece);
            if lines.len() > 1 && search.bytes(&lines) > self.max_bytes() {
                // Learned since it was cut.
                search.cut(lines, self.max_bytes());
                continue;
            }
            search.requests += 1;
            match self.post(search.body(&piece)).await {
                Ok(()) => search.in_a_row = 0,
                Err(NotWritten::Failed(failure) | NotWritten::Held(failure)) => {
                    search.pieces.push(piece);
                    search.fail(failure);
                }
                Err(answer) => search.learn(self, piece, answer),
            }
        }
        search.outcome
    }

    async fn post(&self, text: Bytes) -> Result<(), NotWritten> {
        let shared = &*self.0;
        let (body, gzip) = match shared.gzip {
            true => (compress(text).await.map_err(NotWritten::Failed)?, true),
            false => (text, false),
        };
        let answer = shared.client.write(body, shared.precision, gzip).await;
        match &answer {
            Err(NotWritten::Held(failure)) => {
                shared.failing.store(true, Ordering::Relaxed);
                shared.held.store(true, Ordering::Relaxed);
                shared.meter.alert("influx_held", failure.to_string(), true);
            }
            Err(NotWritten::Failed(_)) => shared.failing.store(true, Ordering::Relaxed),
            Ok(()) | Err(NotWritten::Refused(_) | NotWritten::TooLarge) => shared.went(),
        }
        answer
    }
}

impl Send for Deliver {
    fn max_bytes(&self) -> usize {
        self.0.max_bytes.load(Ordering::Relaxed)
    }

    fn is_failing(&self) -> bool {
        self.0.failing.load(Ordering::Relaxed)
    }

    async fn send(&self, lines: Lines) -> (Vec<Origin>, Outcome) {
        let begun = Instant::now();
        let count = lines.len();
        // The places of the lines are needed only where an answer speaks of some of them.
        let text = Bytes::from(lines.text);
        let first = self.post(text.clone()).await;
        let outcome = match first {
            Ok(()) => Outcome::default(),
            Err(NotWritten::Failed(failure) | NotWritten::Held(failure)) => Outcome {
                refused: Vec::new(),
                failed: Some(((0..count).collect(), failure)),
            },
            Err(answer) => {
                let mut starts = 0;
                let ranges = lines.ends.iter().map(|end| {
                    let range = starts..*end;
                    starts = *end;
                    range
                });
                let mut search = Search {
                    text,
                    ranges: ranges.collect(),
                    pieces: Vec::new(),
                    requests: 1,
                    in_a_row: 0,
                    outcome: Outcome::default(),
                };
                search.learn(self, Piece::All, answer);
                self.search(search, begun).await
            }
        };
        (lines.origins, outcome)
    }
}

impl Shared {
    /// So many bytes were too many. It is not unlearned before the next start.
    fn learn_size(&self, bytes: usize) {
        let half = (bytes / 2).max(LEAST_BYTES);
        self.max_bytes.fetch_min(half, Ordering::Relaxed);
    }

    /// The server does its work.
    fn went(&self) {
        self.failing.store(false, Ordering::Relaxed);
        if self.held.swap(false, Ordering::Relaxed) {
            let message = "InfluxDB takes points again";
            self.meter.alert("influx_held", message, false);
        }
    }
}

impl Search {
    fn lines_of(&self, piece: &Piece) -> Vec<usize> {
        match piece {
            Piece::All => (0..self.ranges.len()).collect(),
            Piece::Some(lines) => lines.clone(),
        }
    }

    fn bytes(&self, lines: &[usize]) -> usize {
        lines.iter().map(|line| self.ranges[*line].len()).sum()
    }

    fn body(&self, piece: &Piece) -> Bytes {
        match piece {
            Piece::All => self.text.clone(),
            Piece::Some(lines) => {
                let lines = lines
                    .iter()
                    .map(|line| &self.text[self.ranges[*line].clone()]);
                Bytes::from(lines.collect::<Vec<_>>().concat())
            }
        }
    }

    fn refuse(&mut self, piece: &Piece, why: Why) {
        let lines = self.lines_of(piece);
        self.outcome
            .refused
            .extend(lines.into_iter().map(|line| (line, why)));
    }

    /// Everything that is not clear yet failed.
    fn fail(&mut self, failure: Failure) {
        let pieces = std::mem::take(&mut self.pieces);
        let lines = pieces
            .iter()
            .flat_map(|piece| self.lines_of(piece))
            .collect();
        self.outcome.failed = Some((lines, failure));
    }

    /// Takes in an answer about a piece that was not taken as it was.
    fn learn(&mut self, deliver: &Deliver, piece: Piece, answer: NotWritten) {
        let lines = self.lines_of(&piece);
        let refused = match answer {
            NotWritten::Refused(refused) => refused,
            NotWritten::TooLarge if lines.len() == 1 => return self.refuse(&piece, Why::TooLarge),
            NotWritten::TooLarge => {
                deliver.0.learn_size(self.bytes(&lines));
                return self.cut(lines, deliver.max_bytes());
            }
            // Told by whoever asked.
            NotWritten::Failed(failure) | NotWritten::Held(failure) => {
                self.pieces.push(piece);
                return self.fail(failure);
            }
        };
        self.sort_out(lines, &refused);
    }

    fn sort_out(&mut self, lines: Vec<usize>, refused: &Refused) {
        let text = |line: &usize| {
            let range = self.ranges[*line].clone();
            // Without the `\n` at its end.
            &self.text[range.start..range.end.saturating_sub(1)]
        };
        let texts: Vec<&[u8]> = lines.iter().map(text).collect();
        let named = refused.named(&texts);
        if !named.is_empty() {
            let is_named =
                |place: &usize| named.binary_search_by_key(place, |(line, _)| *line).is_ok();
            let others = (0..lines.len()).filter(|place| !is_named(place));
            let others: Vec<usize> = others.map(|place| lines[place]).collect();
            let named = named.iter().map(|(place, why)| (lines[*place], *why));
            self.outcome.refused.extend(named);
            // Those that are named were found by the server, which has looked at all.
            if !refused.others_written && !others.is_empty() {
                self.pieces.push(Piece::Some(others));
            }
            return;
        }
        if lines.len() == 1 {
            self.in_a_row += 1;
            return self.refuse(&Piece::Some(lines), refused.why);
        }
        let all = u64::try_from(lines.len()).ok();
        if refused.others_written && all.is_some() && refused.dropped == all {
            return self.refuse(&Piece::Some(lines), refused.why);
        }
        self.halve(lines);
    }

    fn halve(&mut self, mut lines: Vec<usize>) {
        let second = lines.split_off(lines.len() / 2);
        // Taken from the end: the first half goes first, so that points keep their order.
        self.pieces.push(Piece::Some(second));
        self.pieces.push(Piece::Some(lines));
    }

    /// Cuts into pieces of at most so many bytes, of at least one line each.
    fn cut(&mut self, lines: Vec<usize>, most: usize) {
        let mut pieces: Vec<Vec<usize>> = Vec::new();
        let mut bytes = usize::MAX;
        // At least two, whatever was learned.
        let most = most.min(self.bytes(&lines) / 2 + 1);
        for line in lines {
            let length = self.ranges[line].len();
            bytes = bytes.saturating_add(length);
            match pieces.last_mut().filter(|_| bytes <= most) {
                Some(piece) => piece.push(line),
                None => {
                    bytes = length;
                    pieces.push(vec![line]);
                }
            }
        }
        self.pieces
            .extend(pieces.into_iter().rev().map(Piece::Some));
    }
}

/// Compressed as gzip, fast rather than small.
async fn compress(text: Bytes) -> Result<Bytes, Failure> {
    if text.len() < ASIDE_BYTES {
        return Ok(gzip(&text));
    }
    let compressed = tokio::task::spawn_blocking(move || gzip(&text)).await;
    compressed.map_err(|_| Failure::transient("influx_gzip", "compressing was given up"))
}

fn gzip(text: &[u8]) -> Bytes {
    use std::io::Write;
    // Line protocol of this kind becomes a third of what it was.
    let room = Vec::with_capacity(text.len() / 3 + 64);
    let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
    // Memory takes everything.
    let _ = encoder.write_all(text);
    Bytes::from(encoder.finish().unwrap_or_default())
}

#[cfg(test)]
mod tests;
