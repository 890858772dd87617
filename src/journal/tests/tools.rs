//! Inspection, export and repair.

use super::*;

async fn filled() -> (Disk, Process) {
    let disk = Disk::default();
    let mut setting = Setting::small();
    setting.policy.compress = true;
    setting.policy.batch_events = 50;
    let process = setting.open(&disk);
    for start in 0..4 {
        process.append(start * 50..start * 50 + 50).await.unwrap();
    }
    let mut outlet = process.outlet();
    let mut settled = 0;
    while settled < 100 {
        let delivery = outlet.next().await.unwrap().unwrap();
        settled += delivery.batch.len();
        delivery.settle.run(Ok(())).await;
    }
    (disk, process)
}

fn exported(disk: &Disk, pending_only: bool) -> (Vec<(u64, String)>, Exported) {
    let mut all = Vec::new();
    let done = export_on(disk, None, pending_only, &mut |event| {
        assert_eq!((event.source, event.object), ("calls", "a.json"));
        all.push((event.sequence, event.json.to_owned()));
        Ok(())
    });
    (all, done.unwrap())
}

#[tokio::test]
async fn a_journal_can_be_looked_at_while_it_is_used() {
    let disk = Disk::default();
    let mut setting = Setting::small();
    setting.policy.compress = true;
    setting.policy.batch_events = 50;
    let process = setting.open(&disk);
    for start in 0..4 {
        process.append(start * 50..start * 50 + 50).await.unwrap();
    }
    let mut outlet = process.outlet();
    let first = outlet.next().await.unwrap().unwrap();
    first.settle.run(Ok(())).await;
    // The writer removes what is settled before it answers the next call.
    process.append(200..250).await.unwrap();
    process.append(250..300).await.unwrap();
    let seen = inspect_on(&disk, None).unwrap();
    assert_eq!(seen.id, Some(process.journal.id()));
    assert_eq!(
        (seen.settled, seen.end, seen.pending_events),
        (50, 300, 250)
    );
    assert_eq!(seen.locked_by_process, Some(1));
    assert_eq!(seen.segments.len(), 5);
    assert!(seen.pending_bytes > 500 && seen.pending_bytes < process.journal.bytes());
    let segment = &seen.segments[0];
    assert_eq!((segment.first, segment.events), (50, 50));
    assert!(segment.records > 1, "cut at the size of a segment");
    assert_eq!(
        (segment.compressed, segment.lost_events),
        (segment.records, 0)
    );
    assert_eq!(segment.damaged_bytes, 0);
    let (all, done) = exported(&disk, true);
    assert_eq!(all.len(), 250);
    assert_eq!(all[0], (50, r#"{"n":50}"#.to_owned()));
    assert_eq!((done.events, done.lost), (250, 0));
    drop((outlet, process));
    assert_eq!(inspect_on(&disk, None).unwrap().locked_by_process, None);
}

#[tokio::test]
async fn a_repair_saves_what_is_intact_and_says_what_is_lost() {
    let (disk, process) = filled().await;
    process.append(200..250).await.unwrap();
    let failure = repair_on(&disk, None).unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "buffer_locked");
    drop(process);
    let names = disk.segments();
    let damaged = names.last().unwrap().clone();
    let before = names[names.len() - 2].clone();
    disk.change(&damaged, |bytes| {
        let at = bytes.len() - 9;
        bytes[at] ^= 1;
    });
    disk.change(&before, |bytes| bytes[5] ^= 1);
    let done = repair_on(&disk, None).unwrap();
    let lost = done.lost_events;
    assert!((1..50).contains(&lost), "one of several records: {lost}");
    assert_eq!(done.rewritten, [(before, 0), (damaged, lost)]);
    assert!(done.taken_back.is_empty());
    assert_eq!(disk.names(room::DAMAGED).len(), 2);
    let again = repair_on(&disk, None).unwrap();
    assert!(again.rewritten.is_empty());
    let process = Setting::small().open(&disk);
    assert_eq!(process.drain().await, (100..250 - lost).collect::<Vec<_>>());
    assert_eq!(process.dropped("buffer_damaged"), lost);
}

#[tokio::test]
async fn a_piece_that_is_due_is_taken_back() {
    let (disk, process) = filled().await;
    process.append(200..250).await.unwrap();
    drop(process);
    let names = disk.segments();
    let piece = names[names.len() - 2].clone();
    disk.rename(&piece, &format!("damaged/{piece}")).unwrap();
    let seen = inspect_on(&disk, None).unwrap();
    assert_eq!(
        seen.segments.iter().map(|one| one.lost_events).sum::<u64>(),
        50
    );
    let done = repair_on(&disk, None).unwrap();
    assert_eq!(done.taken_back, [(piece, 50)]);
    assert_eq!(done.lost_events, 0);
    let process = Setting::small().open(&disk);
    assert_eq!(process.drain().await, (100..250).collect::<Vec<_>>());
}

#[test]
fn a_folder_without_a_journal_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let seen = inspect(&dir.path().join("none"), None).unwrap();
    assert_eq!(
        (seen.id, seen.segments.len(), seen.pending_events),
        (None, 0, 0)
    );
    let done = export(dir.path(), None, false, &mut |_| Ok(())).unwrap();
    assert_eq!(done, Exported::default());
}
