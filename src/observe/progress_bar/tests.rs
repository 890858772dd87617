use super::*;
use crate::observe::tests::Kept;

fn seen(files: Option<u64>, bytes: Option<u64>) -> ProgressSnapshot {
    ProgressSnapshot {
        files_total: files,
        files_done: 3,
        bytes_total: bytes,
        bytes_done: 12_345_678,
        records: 1_234_567,
        ..ProgressSnapshot::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_message_tells_files_records_rate_bytes_and_time_left() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    pace.saw(
        seen(Some(7), Some(45_600_000)),
        start + Duration::from_secs(10),
    );
    assert_eq!(
        message(seen(Some(7), Some(45_600_000)), &pace),
        "3 of 7 files, 1,234,567 records, 123,457/s, 12.3 MB of 45.6 MB, 0:26 left"
    );
    assert_eq!(
        message(seen(None, None), &pace),
        "3 files, 1,234,567 records, 123,457/s, 12.3 MB"
    );
}

#[tokio::test(start_paused = true)]
async fn the_rate_follows_a_stall() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    let now = seen(None, Some(u64::MAX));
    pace.saw(now, start + Duration::from_secs(1));
    assert!(pace.left(u64::MAX).is_some());
    for second in 2..200 {
        pace.saw(now, start + Duration::from_secs(second));
    }
    assert!(pace.records < 1.0);
    assert_eq!(pace.left(1), None, "nothing moves: no time can be told");
}

#[test]
fn sizes_and_times_are_short() {
    let sizes = [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_999, "1.0 MB"),
    ];
    for (bytes, text) in sizes {
        assert_eq!(size(bytes), text);
    }
    assert_eq!(size(u64::MAX), "18446744.1 TB");
    assert_eq!(clock(Duration::from_secs(59)), "0:59");
    assert_eq!(clock(Duration::from_secs(3_600 + 61)), "1:01:01");
}

#[tokio::test(start_paused = true)]
async fn the_bar_is_drawn_gives_way_to_log_lines_and_is_cleared() {
    let (kept, progress, screen) = (Kept::default(), Progress::default(), Screen::default());
    progress.add_total(2, 1_000);
    progress.bytes_done(500);
    progress.records(7);
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Forced::new(kept.clone())), 255);
    let (work, log) = (screen.clone(), kept.clone());
    let answer = draw_on(target, &progress, &screen, async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        work.suspend(|| log.clone().write_all(b"a log line\n").unwrap());
        42
    })
    .await;
    assert_eq!(answer, 42);
    let text = kept.text();
    assert!(text.contains("0 of 2 files, 7 records"), "{text:?}");
    assert!(
        text.contains("50 %"),
        "the template is understood: {text:?}"
    );
    let (before, _) = text.split_once("a log line\n").unwrap();
    assert!(
        before.ends_with("\r\x1b[2K"),
        "the line was cleared first: {before:?}"
    );
    assert!(text.ends_with("\r\x1b[2K"), "{text:?}");
    assert!(screen.suspend(|| true), "no bar is left on the screen");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_drawn_when_not_wanted() {
    let (progress, screen) = (Progress::default(), Screen::default());
    assert_eq!(draw(progress, screen, Show::Never, async { 1 }).await, 1);
}

#[test]
fn the_spinner_is_understood_too() {
    assert!(ProgressStyle::with_template("{spinner} {msg}").is_ok());
}

#[test]
fn after_a_resume_only_what_is_left_counts_for_the_time() {
    let (progress, start) = (Progress::default(), Instant::now());
    progress.add_total(4, 4_000);
    let mut pace = Pace::new(start);
    // Three files were read before; passing them over takes no time.
    progress.skipped(3, 3_000);
    progress.bytes_done(100);
    pace.saw(progress.snapshot(), start + Duration::from_secs(1));
    assert_eq!(pace.left(900), Some(Duration::from_secs(9)));
    let text = message(progress.snapshot(), &pace);
    assert!(
        text.starts_with("3 of 4 files") && text.ends_with("0:09 left"),
        "{text}"
    );
}
