//! The events of a journal as plain JSON, for people and other tools. Changes nothing, and works
//! while a process uses the folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::decode::Payload;
use super::format::Id;
use super::inspect::Records;
use super::storage::{Folder, Storage, StoredFile};
use super::survey::{Survey, failed, survey};
use super::walk::{self, BadPayload, Found, Lenient};
use crate::failure::Failure;
use crate::seal::Keyring;

/// One event of a journal.
#[derive(Clone, Copy)]
pub struct ExportedEvent<'a> {
    /// Its number in the journal.
    pub sequence: u64,
    /// The source's name in the pipeline.
    pub source: &'a str,
    /// The file, object or queue; empty where there is none.
    pub object: &'a str,
    /// Line, from 1; 0 where lines mean nothing.
    pub line: u64,
    /// Byte offset in the object.
    pub offset: u64,
    /// Its body.
    pub json: &'a str,
}

/// What an export came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Events that were shown.
    pub events: u64,
    /// Events that should be there and are not.
    pub lost: u64,
}

/// Calls `visit` with every event, in order; with the unsettled ones alone (as the hint in the
/// folder says) where that is asked.
///
/// # Errors
/// Fatal: as [`inspect`](super::inspect), events are sealed with a key that is not given
/// (`buffer_key`), or `visit` failed (`export_io`).
pub fn export(
    dir: &Path,
    keys: Option<&Keyring>,
    pending_only: bool,
    visit: &mut dyn FnMut(ExportedEvent<'_>) -> io::Result<()>,
) -> Result<Exported, Failure> {
    export_on(&Folder::new(dir), keys, pending_only, visit)
}

/// The same over any storage.
///
/// # Errors
/// As [`export`].
pub fn export_on(
    storage: &dyn Storage,
    keys: Option<&Keyring>,
    pending_only: bool,
    visit: &mut dyn FnMut(ExportedEvent<'_>) -> io::Result<()>,
) -> Result<Exported, Failure> {
    let mut exported = Exported::default();
    let Some(survey) = survey(storage)? else {
        return Ok(exported);
    };
    let oldest = survey.segments.front().map_or(survey.end, |one| one.first);
    let settled = survey.mark.map_or(oldest, |mark| mark.settled);
    let mut export = Export {
        storage,
        keys,
        id: survey.id,
        place: if pending_only {
            settled.max(oldest)
        } else {
            oldest
        },
        exported: &mut exported,
        visit,
    };
    for index in 0..survey.segments.len() {
        export.segment(&survey, index)?;
    }
    Ok(exported)
}

struct Export<'a> {
    storage: &'a dyn Storage,
    keys: Option<&'a Keyring>,
    id: Id,
    /// Events below were shown, or are not asked for.
    place: u64,
    exported: &'a mut Exported,
    visit: &'a mut dyn FnMut(ExportedEvent<'_>) -> io::Result<()>,
}

impl Export<'_> {
    fn segment(&mut self, survey: &Survey, index: usize) -> Result<(), Failure> {
        let (segment, limit) = (&survey.segments[index], survey.limit(index));
        if segment.dropped || limit <= self.place {
            self.place = self.place.max(limit);
            return Ok(());
        }
        let name = &segment.name;
        let file = match self.storage.open(name, false) {
            Ok(file) => Lenient(Arc::from(file)),
            // Settled and removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(self.storage, name, &error)),
        };
        let mut records = Records::new(&self.id, segment, limit);
        loop {
            let found = records.next(&file);
            let found = found.map_err(|error| failed(self.storage, name, &error))?;
            let Some(found) = found else { break };
            self.record(&file, &found, limit, name)?;
        }
        self.exported.lost += limit.saturating_sub(self.place);
        self.place = self.place.max(limit);
        Ok(())
    }

    fn record(
        &mut self,
        file: &dyn StoredFile,
        found: &Found,
        limit: u64,
        name: &str,
    ) -> Result<(), Failure> {
        let (first, end) = (found.header.first, found.header.end().min(limit));
        if end <= self.place {
            return Ok(());
        }
        let payload = match walk::payload(file, found, &self.id, self.keys) {
            Ok(plain) => Payload::read(plain, found.header.events),
            Err(BadPayload::UnknownKey(key)) => {
                return Err(super::unknown_key(&self.storage.path(name), key));
            }
            Err(BadPayload::Damaged | BadPayload::Io(_)) => None,
        };
        let Some(payload) = payload else {
            return Ok(());
        };
        self.exported.lost += first.saturating_sub(self.place);
        let numbered = (first..end).zip(&payload.facts);
        for (sequence, facts) in numbered.filter(|(sequence, _)| *sequence >= self.place) {
            let from = &payload.origins[facts.origin];
            let shown = (self.visit)(ExportedEvent {
                sequence,
                source: &from.source,
                object: &from.object,
                line: facts.position.line,
                offset: facts.position.offset,
                json: &payload.text[facts.start..facts.end],
            });
            shown.map_err(|error| {
                Failure::fatal("export_io", format!("cannot write the events: {error}"))
            })?;
            self.exported.events += 1;
        }
        self.place = end;
        Ok(())
    }
}
