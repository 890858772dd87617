//! `trunkline buffer list`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anstyle::AnsiColor;
use serde_json::json;

use super::inspect::{Health, health};
use crate::cli::dlq::{Form, checked};
use crate::cli::show::{complain, print};
use crate::cli::table::{Table, bytes};
use crate::failure::Failure;
use crate::graph::Components;
use crate::graph::Pipeline;
use crate::journal::{Inspection, inspect};

/// How deep folders are searched, and how many: a whole disk is somebody's mistake.
const DEEPEST: usize = 8;
const MOST_FOLDERS: usize = 10_000;
const HEAD: [&str; 7] = [
    "BUFFER", "WAITING", "SIZE", "SEGMENTS", "STATE", "OLDEST", "IN USE",
];

pub(super) fn list(
    paths: &[PathBuf],
    format: Form,
    colour: bool,
    own: &Components,
) -> Result<bool, Failure> {
    let mut folders = BTreeSet::new();
    for path in paths {
        if path.is_dir() {
            search(path, &mut folders);
        } else {
            folders.extend(of_pipeline(&checked(path, own)?));
        }
    }
    let (mut good, mut shown) = (true, 0);
    let mut table = Table::new(HEAD, colour);
    for folder in &folders {
        let found = match inspect(folder, None) {
            Ok(found) if is_journal(&found) => found,
            Ok(_) => continue,
            // One that cannot be read does not hide the others.
            Err(failure) => {
                complain(&format!("error: {failure}\n"));
                good = false;
                continue;
            }
        };
        shown += 1;
        match format {
            Form::Json => print(&format!("{}\n", object(folder, &found))),
            Form::Text if health(&found) == Health::Damaged => {
                table.push_styled(row(folder, &found), AnsiColor::Red.on_default());
            }
            Form::Text => table.push(row(folder, &found)),
        }
    }
    match (format, shown) {
        (Form::Json, _) => {}
        (Form::Text, 0) => print("no disk buffers\n"),
        (Form::Text, _) => print(&table.render()),
    }
    Ok(good)
}

/// Where a pipeline keeps its buffers.
fn of_pipeline(pipeline: &Pipeline) -> Vec<PathBuf> {
    let transforms = pipeline.transforms.iter();
    let transforms = transforms.filter_map(|node| node.buffer.as_ref());
    let edges = transforms.chain(pipeline.sinks.iter().map(|node| &node.buffer));
    let disks = edges.filter_map(|edge| edge.disk.as_ref());
    disks.map(|disk| disk.path.clone()).collect()
}

/// All folders below, this one counted; those of links are not followed.
fn search(root: &Path, folders: &mut BTreeSet<PathBuf>) {
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        if folders.len() == MOST_FOLDERS {
            complain("note: there are too many folders; name the one with the buffers\n");
            return;
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        if depth < DEEPEST {
            open.extend(below.map(|entry| (entry.path(), depth + 1)));
        }
        folders.insert(folder);
    }
}

/// Files that were set aside lie below a journal, and look like none themselves.
fn is_journal(found: &Inspection) -> bool {
    found.id.is_some() || !found.damaged.is_empty()
}

fn size(found: &Inspection) -> u64 {
    found.segments.iter().map(|segment| segment.bytes).sum()
}

/// How long ago the oldest segment was begun in which something waits.
fn oldest(folder: &Path, found: &Inspection) -> Option<Duration> {
    let segment = found.segments.iter().find(|it| it.pending.0 > 0)?;
    let about = fs::metadata(folder.join(&segment.file)).ok()?;
    let begun = about.created().or_else(|_| about.modified()).ok()?;
    SystemTime::now().duration_since(begun).ok()
}

fn object(folder: &Path, found: &Inspection) -> serde_json::Value {
    json!({
        "folder": folder.display().to_string(),
        "pending_events": found.pending_events,
        "pending_bytes": found.pending_bytes,
        "bytes": size(found),
        "segments": found.segments.len(),
        "damaged": health(found) == Health::Damaged,
        "lost_events": found.segments.iter().map(|it| it.lost_events).sum::<u64>(),
        "set_aside": found.damaged.len(),
        "oldest_seconds": oldest(folder, found).map(|age| age.as_secs()),
        "locked_by_process": found.locked_by_process,
    })
}

fn row(folder: &Path, found: &Inspection) -> [String; HEAD.len()] {
    let age = oldest(folder, found).map_or("-".into(), |age| {
        let seconds = age.as_secs();
        match seconds {
            0..120 => format!("{seconds}s"),
            120..7_200 => format!("{}m", seconds / 60),
            7_200..172_800 => format!("{}h", seconds / 3600),
            _ => format!("{}d", seconds / 86_400),
        }
    });
    [
        folder.display().to_string(),
        found.pending_events.to_string(),
        bytes(size(found)),
        found.segments.len().to_string(),
        health(found).word().into(),
        age,
        match found.locked_by_process {
            None => "-".into(),
            Some(0) => "yes".into(),
            Some(process) => format!("by {process}"),
        },
    ]
}
