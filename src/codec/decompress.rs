//! The bottom of a reader: compressed bytes in, decompressed bytes out.

use super::{Compression, ReadError};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, ErrorKind, Read};

/// Compressed bytes asked of the input at a time.
const INPUT_BYTES: usize = 128 << 10;
/// Base-2 logarithm of the largest zstd window: what the `zstd` program accepts without being told.
const WINDOW_LOG_MAX: u32 = 27;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A zstd stream may also begin with a frame to skip, whose first byte has 16 values.
const ZSTD_SKIP: &[u8] = &[0x2a, 0x4d, 0x18];

impl Compression {
    /// What the first bytes of an input say, `None` when more of them are needed to say it.
    ///
    /// At the end of the input, "more are needed" means that it is not compressed.
    pub fn detect(head: &[u8]) -> Option<Compression> {
        let begins = |magic: &[u8]| head.iter().zip(magic).all(|(a, b)| a == b);
        let skip = head.first().is_none_or(|byte| byte & 0xf0 == 0x50)
            && head.iter().skip(1).zip(ZSTD_SKIP).all(|(a, b)| a == b);
        match head.len() {
            2.. if begins(GZIP) => Some(Compression::Gzip),
            4.. if begins(ZSTD) || skip => Some(Compression::Zstd),
            4.. => Some(Compression::None),
            _ if begins(GZIP) || begins(ZSTD) || skip => None,
            _ => Some(Compression::None),
        }
    }
}

/// The input, with the bytes put back that were read to look at them.
struct Source<R> {
    input: R,
    head: Vec<u8>,
    head_used: usize,
    bytes_read: u64,
    /// Tells an error of the input from an error of the decoder above it.
    failed: bool,
}

impl<R: Read> Source<R> {
    fn read_input(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.input.read(into) {
                Ok(count) => {
                    self.bytes_read += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }

    /// Reads until `detect` is certain. What was read so far is kept when the input fails.
    fn detect(&mut self) -> io::Result<Compression> {
        loop {
            if let Some(compression) = Compression::detect(&self.head) {
                return Ok(compression);
            }
            let mut bytes = [0; 4];
            let wanted = 4 - self.head.len();
            let count = self.read_input(&mut bytes[..wanted])?;
            if count == 0 {
                return Ok(Compression::None);
            }
            self.head.extend_from_slice(&bytes[..count]);
        }
    }

    /// An input without a single byte is empty and not a damaged gzip.
    fn is_empty(&mut self) -> io::Result<bool> {
        if self.head.is_empty() {
            let mut byte = [0];
            let count = self.read_input(&mut byte)?;
            self.head.extend_from_slice(&byte[..count]);
        }
        Ok(self.head.is_empty())
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.head_used == self.head.len() {
            return self.read_input(into);
        }
        let count = (&self.head[self.head_used..]).read(into)?;
        self.head_used += count;
        Ok(count)
    }
}

type Buffered<R> = BufReader<Source<R>>;

enum State<R: Read> {
    /// Nothing is read before the first block is asked for, so that opening cannot fail or wait.
    Unopened(Source<R>),
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Buffered<R>>>),
    Zstd(Box<zstd::Decoder<'static, Buffered<R>>>),
    /// Only between two states of `open`, or when the decoder could not be made.
    Closed,
}

pub(super) struct Decompress<R: Read> {
    state: State<R>,
    compression: Compression,
    /// Decompressed bytes so far.
    produced: u64,
}

impl<R: Read> Decompress<R> {
    pub(super) fn new(input: R, compression: Compression) -> Self {
        let source = Source {
            input,
            head: Vec::new(),
            head_used: 0,
            bytes_read: 0,
            failed: false,
        };
        Decompress {
            state: State::Unopened(source),
            compression,
            produced: 0,
        }
    }

    /// Compressed bytes taken from the input so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.source().map_or(0, |source| source.bytes_read)
    }

    /// One read of the input at most, unless decoding it gives no byte yet. `Ok(0)` is the end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, ReadError> {
        let result = self.open().and_then(|()| match &mut self.state {
            State::Unopened(_) | State::Closed => Err(io::Error::other("no decoder could be made")),
            State::Plain(source) => source.read(into),
            State::Gzip(decoder) => decoder.read(into),
            State::Zstd(decoder) => decoder.read(into),
        });
        match result {
            Ok(count) => {
                self.produced += count as u64;
                Ok(count)
            }
            Err(error) => Err(self.classify(error)),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let State::Unopened(source) = &mut self.state else {
            return Ok(());
        };
        let compression = match self.compression {
            Compression::Auto => source.detect()?,
            Compression::None => Compression::None,
            said if !source.is_empty()? => said,
            _ => Compression::None,
        };
        let State::Unopened(source) = std::mem::replace(&mut self.state, State::Closed) else {
            return Ok(());
        };
        let buffered = |source| BufReader::with_capacity(INPUT_BYTES, source);
        self.state = match compression {
            Compression::Auto | Compression::None => State::Plain(source),
            Compression::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(buffered(source)))),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(buffered(source))?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                State::Zstd(Box::new(decoder))
            }
        };
        Ok(())
    }

    fn source(&self) -> Option<&Source<R>> {
        match &self.state {
            State::Unopened(source) | State::Plain(source) => Some(source),
            State::Gzip(decoder) => Some(decoder.get_ref().get_ref()),
            State::Zstd(decoder) => Some(decoder.get_ref().get_ref()),
            State::Closed => None,
        }
    }

    fn classify(&mut self, error: io::Error) -> ReadError {
        let failed = match &mut self.state {
            State::Unopened(source) | State::Plain(source) => &mut source.failed,
            State::Gzip(decoder) => &mut decoder.get_mut().get_mut().failed,
            State::Zstd(decoder) => &mut decoder.get_mut().get_mut().failed,
            State::Closed => return ReadError::Io(error),
        };
        if std::mem::take(failed) {
            return ReadError::Io(error);
        }
        let what = match error.kind() {
            ErrorKind::UnexpectedEof => "it ends in the middle".to_owned(),
            _ => error.to_string(),
        };
        let compressed_offset = self.consumed();
        ReadError::Corrupt {
            what,
            offset: self.produced,
            compressed_offset,
        }
    }

    /// Compressed bytes that the decoder has used, which is less than what was read.
    fn consumed(&self) -> u64 {
        let waiting = match &self.state {
            State::Gzip(decoder) => decoder.get_ref().buffer().len(),
            State::Zstd(decoder) => decoder.get_ref().buffer().len(),
            _ => 0,
        };
        self.bytes_read() - waiting as u64
    }
}
