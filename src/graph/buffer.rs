//! `buffer:` of a node: the edge in front of it.

use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use super::TransformNode;
use super::common::{nonzero, positive, positive_u32};
use crate::condition::Condition;
use crate::diagnostic::Span;
use crate::edge::{DiskPolicy, EdgePolicy, PartitionPolicy, PriorityPolicy, WhenFull};
use crate::event::Path;
use crate::setting::{Fields, Setting, Share, Size};

/// What a buffer's defaults hang on.
pub(super) struct Around<'a> {
    /// The node's name.
    pub node: &'a str,
    /// Where buffers on disk lie that name no folder: below the pipeline's state.
    pub home: Option<&'a FilePath>,
}

/// `type:`.
#[derive(Clone, Copy, PartialEq)]
enum Rests {
    Memory,
    Disk,
}

/// `when_full:`.
#[derive(Clone, Copy, PartialEq)]
enum Full {
    Drop(WhenFull),
    Spill,
}

/// Fields that speak of the disk.
const OF_DISK: [&str; 4] = ["path", "max_size", "sync_wait", "compression"];

/// What a node's `buffer:` says.
pub(super) struct Buffer {
    pub policy: EdgePolicy,
    /// Where the folder of one on disk is named.
    pub folder: Span,
    /// Whether it says how many batches are under way.
    pub says_in_flight: bool,
}

/// Where the buffer of a node lies that names no folder.
pub(super) fn folder(home: &FilePath, node: &str) -> PathBuf {
    home.join("buffers").join(node)
}

/// `buffer:` of a node.
pub(super) fn edge(
    fields: &mut Fields<'_>,
    default: EdgePolicy,
    around: &Around<'_>,
) -> Option<Buffer> {
    fields.section("buffer", "buffer", |f| {
        let disk = disk(f, around);
        let when_full = match full(f) {
            Full::Drop(when_full) => when_full,
            Full::Spill => WhenFull::Block,
        };
        let partition = partition(f);
        let in_flight = match partition {
            Some(_) => NonZeroUsize::MIN,
            None => default.in_flight,
        };
        let policy = EdgePolicy {
            max_events: positive(f, "max_events", nonzero(default.max_events)).get(),
            max_bytes: f.or("max_bytes", Size(default.max_bytes)).0.max(1024),
            when_full,
            workers: positive(f, "workers", default.workers),
            in_flight: positive(f, "in_flight", in_flight),
            keys_overlap: default.keys_overlap,
            batch_events: positive(f, "batch_events", nonzero(default.batch_events)).get(),
            partition,
            priority: priority(f),
            disk,
            drop_alert: drop_alert(f),
        };
        check_limits(&policy, f);
        Some(Buffer {
            policy,
            // Of the whole buffer where there is none.
            folder: f.span_of("path"),
            says_in_flight: f.has("in_flight"),
        })
    })
}

/// Batches under way in front of what holds events, where the file does not say.
const BEFORE_HOLDERS: usize = 16;

/// Nodes that hold events until others come need those others: of one batch at a time they would
/// wait for what their own buffer keeps back, and give up each time. `said` are the nodes that say
/// how many batches are under way. `transforms` are in the order in which data flows.
pub(super) fn before_holders(transforms: &mut [TransformNode], said: &HashSet<String>) {
    let mut above: HashSet<String> = HashSet::new();
    for node in transforms.iter_mut().rev() {
        if !node.part.holds() && !above.contains(&*node.name) {
            continue;
        }
        match &mut node.buffer {
            Some(buffer) => {
                buffer.keys_overlap = true;
                if !said.contains(&*node.name) {
                    buffer.in_flight = nonzero(BEFORE_HOLDERS);
                }
            }
            None => above.extend(node.inputs.iter().map(|input| input.node.clone())),
        }
    }
}

fn full(f: &mut Fields<'_>) -> Full {
    let choices = [
        ("block", Full::Drop(WhenFull::Block)),
        ("drop_newest", Full::Drop(WhenFull::DropNewest)),
        ("drop_oldest", Full::Drop(WhenFull::DropOldest)),
        ("spill", Full::Spill),
    ];
    let full = f.choice("when_full", &choices);
    full.unwrap_or(Full::Drop(WhenFull::Block))
}

fn drop_alert(f: &mut Fields<'_>) -> Option<f64> {
    let Share(share) = f.optional("drop_alert")?;
    if share > 0.0 {
        return Some(share);
    }
    let span = f.span_of("drop_alert");
    f.error("out-of-range", span, "an alert at 0 % drops is always up")
        .hint("leave `drop_alert` out for 5 %, or set a small share such as `0.1%`");
    None
}

/// The folder and its settings; `None` for a buffer in memory.
fn disk(f: &mut Fields<'_>, around: &Around<'_>) -> Option<DiskPolicy> {
    let kinds = [("memory", Rests::Memory), ("disk", Rests::Disk)];
    // A wrong type is reported; which fields belong to it is then not known.
    let (said, rests) = (f.has("type"), f.choice("type", &kinds));
    let is_unknown = said && rests.is_none();
    let on_disk = rests == Some(Rests::Disk);
    // Read by the first who asks: a second reading would tell its mistakes twice.
    let spill = f.node("when_full").and_then(|node| node.as_text()) == Some("spill");
    if on_disk && spill {
        let span = f.span_of("when_full");
        let message = "`spill` is for buffers in memory, and this one is on disk from the start";
        f.error("conflicting-fields", span, message)
            .hint("`block`, `drop_newest` or `drop_oldest` here; or leave out `type: disk`");
    }
    if !on_disk && !spill {
        for name in OF_DISK {
            if f.has(name) && !is_unknown {
                let message = format!("`{name}` is for buffers on disk, and this one is in memory");
                let span = f.key_span_of(name);
                f.error("conflicting-fields", span, message).hint(
                    "add `type: disk`, or `when_full: spill` for the disk when memory is full",
                );
            }
        }
        return None;
    }
    let named = f.has("path");
    let path = match named {
        true => f.optional::<PathBuf>("path"),
        false => around.home.map(|home| folder(home, around.node)),
    };
    if path.is_none() && !named {
        let span = f.span();
        f.error(
            "buffer-needs-path",
            span,
            "this buffer has no folder to lie in",
        )
        .hint(
            "add `path: buffers/name`, or `state: { type: embedded, path: state }` to the pipeline",
        );
    }
    let max_bytes = max_size(f);
    let sync_wait = sync_wait(f);
    let compress = f.choice("compression", &[("lz4", true), ("none", false)]);
    Some(DiskPolicy {
        path: path?,
        max_bytes,
        sync_wait,
        compress: compress.unwrap_or(true),
        spill,
    })
}

fn max_size(f: &mut Fields<'_>) -> u64 {
    let Size(bytes) = f.or("max_size", Size(DiskPolicy::MAX_BYTES));
    if bytes < DiskPolicy::LEAST_BYTES {
        let span = f.span_of("max_size");
        f.error("out-of-range", span, "`max_size` must be at least 1MiB");
    }
    bytes
}

fn sync_wait(f: &mut Fields<'_>) -> Duration {
    let wait = f.or("sync_wait", Duration::ZERO);
    if wait > DiskPolicy::LONGEST_SYNC_WAIT {
        let span = f.span_of("sync_wait");
        f.error("out-of-range", span, "`sync_wait` must be at most 1s")
            .hint("every batch waits this long: 1ms to 10ms is what saves most fsyncs");
    }
    wait
}

/// `partition_by` and `partitions`.
fn partition(f: &mut Fields<'_>) -> Option<PartitionPolicy> {
    let (keyed, numbered) = (f.has("partition_by"), f.has("partitions"));
    let partitions = match numbered {
        true => positive(f, "partitions", cores()),
        false => cores(),
    };
    if partitions.get() > PartitionPolicy::MOST {
        let (span, most) = (f.span_of("partitions"), PartitionPolicy::MOST);
        f.error(
            "out-of-range",
            span,
            format!("`partitions` must be at most {most}"),
        );
    }
    if !keyed {
        if numbered {
            let span = f.key_span_of("partitions");
            let message = "`partitions` needs `partition_by`, the key that they go by";
            f.error("missing-field", span, message)
                .hint("add `partition_by: .data.interactionId`, or set `workers` where order does not matter");
        }
        return None;
    }
    if f.has("workers") {
        let span = f.key_span_of("workers");
        let message =
            "`workers` and `partition_by` exclude each other: each partition has one worker";
        f.error("conflicting-fields", span, message)
            .hint("remove `workers`, and set `partitions`");
    }
    let key = f.required::<Path>("partition_by")?;
    Some(PartitionPolicy { key, partitions })
}

/// One partition for each core.
fn cores() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.min(nonzero(PartitionPolicy::MOST))
}

/// `priority` and `starvation_guard`.
fn priority(f: &mut Fields<'_>) -> Option<PriorityPolicy> {
    f.takes("priority", || Condition::shape().list());
    let guard = positive_u32(f, "starvation_guard");
    let Some(node) = f.node("priority") else {
        if f.has("starvation_guard") {
            let span = f.key_span_of("starvation_guard");
            let message = "`starvation_guard` needs `priority`, the classes that it guards";
            f.error("missing-field", span, message);
        }
        return None;
    };
    let count = node.as_list().map(<[_]>::len);
    let classes = f.each("priority", Condition::read);
    let most = PriorityPolicy::MOST;
    match count {
        Some(0) => {
            let message = "`priority` needs at least one condition";
            f.error("empty-value", node.span, message);
        }
        Some(count) if count > most => {
            let message = format!("`priority` has {count} conditions, of at most {most}");
            f.error("out-of-range", node.span, message);
        }
        _ => {}
    }
    let default = NonZeroU32::new(PriorityPolicy::GUARD).unwrap_or(NonZeroU32::MIN);
    Some(PriorityPolicy {
        classes,
        starvation_guard: guard.unwrap_or(default),
    })
}

/// Bounds that contradict each other.
fn check_limits(policy: &EdgePolicy, f: &mut Fields<'_>) {
    let most = policy.max_events;
    if policy.batch_events > most && f.has("batch_events") {
        let span = f.span_of("batch_events");
        let message = format!(
            "a batch of {} events can never be waiting in a buffer of {most}",
            policy.batch_events
        );
        let hint = format!("set `batch_events` to at most {most}, or raise `max_events`");
        f.error("conflicting-limits", span, message).hint(hint);
    }
    let lanes = policy.lanes();
    if lanes > most {
        let span = f.span_of("max_events");
        let message = format!("{lanes} partitions cannot share a room of {most} events");
        let hint = "each partition has its share of `max_events`: raise it, or lower `partitions`";
        f.error("conflicting-limits", span, message).hint(hint);
    }
}
