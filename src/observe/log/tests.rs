use super::*;
use crate::observe::tests::Kept;

/// A writer to what `kept` keeps.
fn writer(kept: &Kept) -> ScreenWriter<impl Fn() -> Kept + use<>> {
    let kept = kept.clone();
    ScreenWriter {
        screen: Screen::default(),
        to: move || kept.clone(),
    }
}

fn logged(format: LogFormat, level: &str, colour: bool, log: impl FnOnce()) -> String {
    let kept = Kept::default();
    let subscriber = subscriber(format, level, colour, writer(&kept)).unwrap();
    tracing::subscriber::with_default(subscriber, log);
    kept.text()
}

fn timed(word: &str) -> bool {
    word.len() == "2026-01-01T00:00:00.000Z".len() && word.parse::<jiff::Timestamp>().is_ok()
}

#[test]
fn text_lines_begin_with_a_time_and_hold_the_fields() {
    let text = logged(LogFormat::Text, "info", false, || {
        tracing::info!(node = "sink", n = 3, "dropped");
        tracing::debug!("not asked for");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(timed(time), "{time}");
    assert!(
        rest.contains("INFO") && rest.contains("dropped") && rest.contains("n=3"),
        "{rest}"
    );
    assert!(!text.contains('\x1b'));
}

#[test]
fn colours_only_when_asked_for_and_never_in_json() {
    let log = || tracing::warn!("x");
    assert!(logged(LogFormat::Text, "info", true, log).contains('\x1b'));
    assert!(!logged(LogFormat::Text, "info", false, log).contains('\x1b'));
    assert!(!logged(LogFormat::Json, "info", true, log).contains('\x1b'));
}

#[test]
fn json_lines_are_one_flat_object_each() {
    let text = logged(LogFormat::Json, "warn", false, || {
        tracing::warn!(node = "sink", n = 3, "two\nlines \"quoted\"");
        tracing::error!("second");
        tracing::info!("not asked for");
    });
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["message"], "two\nlines \"quoted\"");
    assert_eq!(
        (&lines[0]["node"], &lines[0]["n"]),
        (&"sink".into(), &3.into())
    );
    assert_eq!(lines[0]["level"], "WARN");
    assert!(timed(lines[0]["timestamp"].as_str().unwrap()));
}

#[test]
fn levels_by_target_are_understood_and_nonsense_is_named() {
    let text = logged(LogFormat::Text, "error,wanted=debug", false, || {
        tracing::debug!(target: "wanted", "yes");
        tracing::warn!(target: "others", "no");
    });
    assert!(text.contains("yes") && !text.contains("no\n"), "{text}");
    let Err(error) = subscriber(
        LogFormat::Text,
        "info,a=loud",
        false,
        writer(&Kept::default()),
    ) else {
        panic!("`loud` is not a level");
    };
    assert!(error.to_string().contains("`info,a=loud`"), "{error}");
}

#[test]
fn a_message_cannot_move_the_cursor() {
    let text = logged(LogFormat::Text, "info", false, || {
        tracing::info!(value = "\x1b[2Jx", "message \x1b[1A{}", "\x1b[31m");
    });
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_broken_standard_error_is_no_panic() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let writer = ScreenWriter {
        screen: Screen::default(),
        to: || Closed,
    };
    let subscriber = subscriber(LogFormat::Text, "info", false, writer).unwrap();
    tracing::subscriber::with_default(subscriber, || tracing::info!("into the void"));
}
