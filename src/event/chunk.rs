//! A run of records that share one text, one tape and one table of resolved paths.

use std::sync::Arc;

use super::parse::{BadJson, parse};
use super::path::PathSet;
use super::tape::Word;

/// Where a chunk's records come from. Shared by all of them.
#[derive(Debug, Default)]
pub struct Provenance {
    /// The source's name in the pipeline.
    pub source: Arc<str>,
    /// The file, object or queue; empty where there is none.
    pub object: Arc<str>,
    /// When the records arrived, in microseconds since 1970 (UTC).
    pub received: i64,
}

/// Texts and tapes of the records of one batch. Immutable once built: see the module `event`.
pub struct Chunk {
    pub(crate) text: String,
    pub(crate) tape: Vec<u64>,
    pub(crate) rows: Vec<u32>,
    pub(crate) paths: Arc<PathSet>,
    pub(crate) provenance: Arc<Provenance>,
}

impl Chunk {
    pub(crate) fn word(&self, at: u32) -> Word {
        Word(self.tape[at as usize])
    }

    /// The tape index behind the value at `at`.
    pub(crate) fn after(&self, at: u32) -> u32 {
        use super::tape::Kind::{Array, Object};
        match self.word(at).kind() {
            Array | Object => self.word(at + 1).next(),
            _ => at + 1,
        }
    }

    /// The JSON text of the value at `at`, as it came.
    pub(crate) fn raw(&self, at: u32) -> &str {
        let word = self.word(at);
        &self.text[word.start()..word.end()]
    }
}

impl std::fmt::Debug for Chunk {
    /// Sizes only: the text may be personal data.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "Chunk({} bytes, {} words)",
            self.text.len(),
            self.tape.len()
        )
    }
}

/// Where one record lies in its chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub root: u32,
    pub row: u32,
    pub length: u32,
}

/// Builds a chunk record by record.
pub struct ChunkBuilder {
    pub(super) chunk: Chunk,
}

impl ChunkBuilder {
    /// A chunk over `text`, in which the records lie. `text` may be at most 4 GiB long.
    pub fn new(text: String, paths: Arc<PathSet>, provenance: Arc<Provenance>) -> Self {
        // An event of this field has a word of tape for about every ten bytes.
        let tape = Vec::with_capacity(text.len() / 10);
        Self {
            chunk: Chunk {
                text,
                tape,
                rows: Vec::new(),
                paths,
                provenance,
            },
        }
    }

    /// Makes room for this many records.
    pub fn reserve(&mut self, records: usize) {
        self.chunk.rows.reserve(records * self.chunk.paths.len());
    }

    /// Parses the record at `start..end` of the text.
    pub(crate) fn push(&mut self, start: usize, end: usize) -> Result<Placed, BadJson> {
        let Chunk {
            text,
            tape,
            rows,
            paths,
            ..
        } = &mut self.chunk;
        let (root, row) = (tape.len(), rows.len());
        rows.resize(row + paths.len(), 0);
        let parsed = parse(text.as_bytes(), (start, end), paths, tape, &mut rows[row..]);
        if let Err(bad) = parsed {
            tape.truncate(root);
            rows.truncate(row);
            return Err(bad);
        }
        Ok(Placed {
            root: root as u32,
            row: row as u32,
            length: (end - start) as u32,
        })
    }

    pub(crate) fn finish(self) -> Arc<Chunk> {
        Arc::new(self.chunk)
    }
}
