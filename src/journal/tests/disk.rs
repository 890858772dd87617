//! A disk for tests: it loses what was not synced, tears what was being written, and fails when told.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::storage::{Storage, StoredFile};

/// One folder on a disk. Clones share it: it outlives the process that uses it.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<File>,
    /// Entries as the process sees them, and as a power cut leaves them.
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    is_locked: bool,
    /// Operations that change or sync something, so far.
    operations: u64,
    /// From this operation on there is no power.
    cut_at: Option<u64>,
    trouble: Vec<Trouble>,
}

/// A failure that is to come.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub at: Kind,
    /// How many times it happens.
    pub times: u32,
    pub error: io::ErrorKind,
    /// Of an append: this many bytes are written first.
    pub written: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Append,
    Sync,
    SyncFolder,
    Truncate,
    Rename,
    Remove,
    Read,
}

#[derive(Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync.
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(at, new) => bytes.write_at(*at, new).unwrap(),
            Change::Truncate(length) => bytes.resize(*length as usize, 0),
        }
    }
}

/// What is left of what was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Everything, unsynced as it is: only the process was killed.
    Kill,
    /// Nothing.
    Clean,
    /// Whatever this number says: some of it, a part of a write, zeros, garbage.
    Torn(u64),
}

impl Disk {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// There is no power after so many more operations.
    pub fn cut_after(&self, operations: u64) {
        let mut state = self.lock_state();
        state.cut_at = Some(state.operations + operations);
    }

    pub fn has_power(&self) -> bool {
        let state = self.lock_state();
        state.cut_at.is_none_or(|at| state.operations < at)
    }

    pub fn fail(&self, trouble: Trouble) {
        self.lock_state().trouble.push(trouble);
    }

    /// The power comes back, to a new process.
    pub fn restart(&self, cut: Cut) {
        let mut state = self.lock_state();
        let state = &mut *state;
        assert!(!state.is_locked, "the process still runs");
        state.cut_at = None;
        state.trouble.clear();
        let mut dice = match cut {
            Cut::Kill => return,
            Cut::Clean => None,
            Cut::Torn(seed) => Some(Dice(seed)),
        };
        if let Some(dice) = &mut dice {
            // Entries may have reached the disk without being asked to, each by itself.
            let names: Vec<_> = state
                .live
                .keys()
                .chain(state.durable.keys())
                .cloned()
                .collect();
            for name in names {
                if dice.roll(2) == 0 {
                    match state.live.get(&name) {
                        Some(file) => state.durable.insert(name, *file),
                        None => state.durable.remove(&name),
                    };
                }
            }
        }
        for file in &mut state.files {
            if let Some(dice) = &mut dice {
                file.tear(dice);
            }
            file.changes.clear();
            file.live = file.durable.clone();
        }
        state.live = state.durable.clone();
    }

    /// The bytes of a file, to change.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock_state();
        let file = state.live[name];
        let file = &mut state.files[file];
        change(&mut file.live);
        file.durable = file.live.clone();
        file.changes.clear();
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.create(name).unwrap();
        self.change(name, |file| file.extend_from_slice(bytes));
        self.sync_folder("").unwrap();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.lock_state();
        state.files[state.live[name]].live.clone()
    }

    pub fn names(&self, folder: &str) -> Vec<String> {
        let all = self.list(folder).unwrap();
        all.into_iter().map(|(name, _)| name).collect()
    }

    pub fn segments(&self) -> Vec<String> {
        let mut names = self.names("");
        names.retain(|name| name.starts_with("segment-"));
        names
    }

    fn step(&self, kind: Kind, spared: bool) -> Result<MutexGuard<'_, State>, (io::Error, usize)> {
        let mut state = self.lock_state();
        if state.cut_at.is_some_and(|at| state.operations >= at) {
            return Err((io::Error::other("no power"), 0));
        }
        if kind != Kind::Read {
            state.operations += 1;
        }
        let trouble = state
            .trouble
            .iter_mut()
            .find(|one| one.at == kind && !spared);
        if let Some(trouble) = trouble {
            let (error, written) = (trouble.error.into(), trouble.written);
            trouble.times -= 1;
            state.trouble.retain(|one| one.times > 0);
            return Err((error, written));
        }
        Ok(state)
    }
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27) % below
    }
}

impl File {
    /// Some of the changes since the last sync are on the disk, the last of them by half.
    fn tear(&mut self, dice: &mut Dice) {
        let changes = std::mem::take(&mut self.changes);
        let whole = dice.roll(changes.len() as u64 + 1) as usize;
        for change in &changes[..whole] {
            change.make(&mut self.durable);
        }
        let Some(Change::Write(at, bytes)) = changes.get(whole) else {
            return;
        };
        let mut torn = bytes[..dice.roll(bytes.len() as u64 + 1) as usize].to_vec();
        let rest = dice.roll((bytes.len() - torn.len()) as u64 + 1) as usize;
        match dice.roll(3) {
            // The length is there, and pages of it are not.
            0 => torn.resize(torn.len() + rest, 0),
            1 => torn.extend((0..rest).map(|_| dice.roll(256) as u8)),
            _ => {}
        }
        Change::Write(*at, torn).make(&mut self.durable);
    }
}

fn is_in(name: &str, folder: &str) -> bool {
    match name.split_once('/') {
        Some((parent, _)) => parent == folder,
        None => folder.is_empty(),
    }
}

struct Locked(Disk);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.lock_state().is_locked = false;
    }
}

struct Open {
    disk: Disk,
    file: usize,
    /// Trouble is for segments: the cursor is written whenever the writer finds the time.
    spared: bool,
}

fn plain(error: (io::Error, usize)) -> io::Error {
    error.0
}

impl Storage for Disk {
    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut state = self.lock_state();
        if std::mem::replace(&mut state.is_locked, true) {
            return Ok(None);
        }
        drop(state);
        Ok(Some(Box::new(Locked(self.clone()))))
    }

    fn locked_by(&self) -> Option<u32> {
        self.lock_state().is_locked.then_some(1)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let state = self.lock_state();
        let inside = state.live.iter().filter(|(name, _)| is_in(name, folder));
        let listed = inside.map(|(name, file)| {
            let name = name.rsplit('/').next().unwrap().to_owned();
            (name, state.files[*file].live.len() as u64)
        });
        Ok(listed.collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        let mut state = self.step(Kind::Create, false).map_err(plain)?;
        if state.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.push(File::default());
        let file = state.files.len() - 1;
        state.live.insert(name.to_owned(), file);
        let (disk, spared) = (self.clone(), name == "cursor");
        Ok(Box::new(Open { disk, file, spared }))
    }

    fn open(&self, name: &str, _: bool) -> io::Result<Box<dyn StoredFile>> {
        let state = self.lock_state();
        let file = state.live.get(name).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        let (disk, spared) = (self.clone(), name == "cursor");
        Ok(Box::new(Open { disk, file, spared }))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.step(Kind::SyncFolder, false).map_err(plain)?;
        let live = state.live.clone();
        state.durable.retain(|name, _| !is_in(name, folder));
        let inside = live.into_iter().filter(|(name, _)| is_in(name, folder));
        state.durable.extend(inside);
        Ok(())
    }

    fn create_folder(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.step(Kind::Rename, false).map_err(plain)?;
        let file = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.step(Kind::Remove, false).map_err(plain)?;
        let removed = state.live.remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/buffer").join(name)
    }
}

impl Open {
    fn change(&self, kind: Kind, make: impl Fn(u64) -> Change) -> io::Result<()> {
        let write = |state: &mut State, written: usize| {
            let file = &mut state.files[self.file];
            let change = match make(file.live.len() as u64) {
                Change::Write(at, mut bytes) => {
                    bytes.truncate(written);
                    Change::Write(at, bytes)
                }
                change => change,
            };
            change.make(&mut file.live);
            file.changes.push(change);
        };
        let failed = match self.disk.step(kind, self.spared) {
            Ok(mut state) => {
                write(&mut state, usize::MAX);
                return Ok(());
            }
            Err(failed) => failed,
        };
        // A write that found no more room leaves what had room, and the one that met the power cut
        // may have reached the disk by half.
        let mut state = self.disk.lock_state();
        let is_cut = state.cut_at == Some(state.operations);
        state.operations += u64::from(is_cut);
        if kind == Kind::Append && (is_cut || failed.1 > 0) {
            write(&mut state, if is_cut { usize::MAX } else { failed.1 });
        }
        Err(failed.0)
    }
}

impl StoredFile for Open {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.change(Kind::Append, |end| Change::Write(end, bytes.to_vec()))
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Kind::Append, |_| Change::Write(at, bytes.to_vec()))
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.step(Kind::Read, self.spared).map_err(plain)?;
        state.files[self.file].live.read_at(at, buffer)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock_state().files[self.file].live.len() as u64)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.change(Kind::Truncate, |_| Change::Truncate(length))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.step(Kind::Sync, self.spared).map_err(plain)?;
        let file = &mut state.files[self.file];
        file.durable = file.live.clone();
        file.changes.clear();
        Ok(())
    }
}
