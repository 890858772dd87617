//! Hostile pipeline files end in bounded time and memory, whatever is in them.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use trunkline::config::{self, DEPTH, FILE_BYTES, Fixed, Loaded, NODES};
use trunkline::diagnostic::render;

/// For a debug build on a busy machine; what is refused takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

static VARIABLES: LazyLock<Fixed> = LazyLock::new(|| {
    Fixed::new()
        .with("A", "value")
        .with("BIG", &"x".repeat(100_000))
        .with_file("big", &"y".repeat(60_000))
        .with_file("key", "secret\n")
});

/// Reads and renders in all forms, since the renderers meet the same hostile text.
fn read(text: &str) -> Loaded {
    let loaded = config::parse("p.yaml", text, &*VARIABLES);
    render::text(&loaded.report, &loaded.sources(), true);
    render::json(&loaded.report);
    render::github(&loaded.report);
    assert!(
        loaded.tree.is_some() || loaded.report.has_errors(),
        "refused without a reason"
    );
    loaded
}

fn refused(text: &str, code: &str) {
    let start = Instant::now();
    let loaded = read(text);
    let found: Vec<_> = loaded.report.iter().map(|found| found.code).collect();
    assert_eq!(found, [code]);
    assert!(loaded.tree.is_none());
    assert!(
        start.elapsed() < PATIENCE,
        "{code} took {:?}",
        start.elapsed()
    );
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{below}]\n");
    }
    let start = Instant::now();
    refused(&bomb, "too-complex");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_long_text_repeated_by_aliases_is_refused() {
    let text = "x".repeat(500_000);
    refused(
        &format!("a: &a {text}\nb: [{}]\n", ["*a"; 40_000].join(", ")),
        "too-complex",
    );
}

#[test]
fn a_long_name_repeated_by_aliases_is_refused() {
    let text = "x".repeat(500_000);
    let uses = vec!["{*a : 1}"; 20_000].join(", ");
    refused(&format!("a: &a {text}\nb: [{uses}]\n"), "too-complex");
}

#[test]
fn references_hidden_by_escapes_are_not_searched_again_and_again() {
    let start = Instant::now();
    read(&format!("a: \"{}\"\n", "\\x24{NO}".repeat(100_000)));
    read(&format!("a: \"{}\"\n", "${NO}".repeat(200_000)));
    assert!(start.elapsed() < 2 * PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn nested_anchors_do_not_multiply_memory() {
    let open: String = (0..20).map(|level| format!("&a{level} [")).collect();
    let items = vec!["1"; 20_000].join(",");
    refused(
        &format!("a: {open}{items}{}\n", "]".repeat(20)),
        "too-complex",
    );
}

#[test]
fn large_variables_and_files_repeated_are_refused() {
    refused(
        &format!("a: \"{}\"\n", "${BIG}".repeat(10_000)),
        "too-complex",
    );
    refused(
        &format!("a: [{}]\n", ["\"${file:big}\""; 1_000].join(", ")),
        "too-complex",
    );
}

#[test]
fn depth_is_limited_in_every_style() {
    let flow = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&flow(DEPTH)).tree.is_some());
    refused(&flow(DEPTH + 1), "too-complex");
    refused(&flow(100_000), "too-complex");
    refused(&"{a: ".repeat(10_000), "too-complex");
    refused(&"- ".repeat(10_000), "too-complex");
    let block: String = (0..1_000)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    refused(&block, "too-complex");
    // An alias brings its own depth with it.
    let half = DEPTH / 2 + 1;
    let deep = format!(
        "a: &a {}\nb: {}*a{}\n",
        flow(half),
        "[".repeat(half),
        "]".repeat(half)
    );
    refused(&deep, "too-complex");
}

#[test]
fn the_number_of_nodes_is_limited() {
    let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    assert!(read(&list(NODES - 1)).tree.is_some());
    refused(&list(NODES), "too-complex");
}

#[test]
fn size_is_limited() {
    let text = format!("a: {}\n", "x".repeat(FILE_BYTES));
    refused(&text, "too-large");
}

#[test]
fn half_a_million_bytes_of_anything_end_soon() {
    // Whatever the answer is: these are the shapes on which scanners are known to go quadratic.
    let shapes = [
        "\"",
        "'",
        "a: ",
        "- - ",
        "? ",
        ": ",
        "[",
        "{",
        "}",
        "&a ",
        "*a ",
        "!a ",
        "# x\n",
        "\n",
        " ",
        "\t",
        "a\n",
        "a:\n",
        "|\n",
        "a: |\n",
        "- a\n",
        "--- \n",
        "%A b\n",
        "\r",
        "é",
        "a: 1\n",
        "\"\n",
        "${",
        "${A}",
        "a: ${X}\n",
        "a: ${file:x}\n",
        "\\",
        ",",
        "[a, ",
        "? a\n",
        "!!str ",
        "\u{feff}",
        "\u{2028}",
        "  \n a\n",
    ];
    for shape in shapes {
        let text = shape.repeat(FILE_BYTES / 2 / shape.len());
        for text in [
            text.clone(),
            format!("k: \"{text}"),
            format!("[{text}"),
            format!("k: |\n  {text}"),
        ] {
            let start = Instant::now();
            read(&text);
            // A text that is read whole takes longer than one that is refused.
            assert!(
                start.elapsed() < PATIENCE,
                "{shape:?} took {:?}",
                start.elapsed()
            );
        }
    }
}

const PIPELINE: &str = r#"version: 1
name: participant-sync   # a comment
defaults: &buffer { max_events: 10_000, when_full: block }
sources:
  genesys:
    type: genesys_websocket
    auth: { client_id: "${A}", client_secret: '${file:key}' }
    topics: ["v2.routing.queues.{queue}.conversations", "é\u00e9\x41"]
transforms:
  unique:  { type: dedup, inputs: [genesys], key: [.eventId], window: 5m, buffer: *buffer }
  text:
    - |
      block ${A}
        scalar
    - >-
      folded
      ${MISSING:-default} $${literal}
    - plain
      on two lines
    - ? key
      : value
sinks:
  influx: { type: influxdb, inputs: [unique], share: 5%, port: 8086, ok: true, none: ~, x: 1.5 }
"#;

#[test]
fn every_prefix_of_a_pipeline_ends_without_panic() {
    assert!(read(PIPELINE).report.is_empty());
    for (end, _) in PIPELINE.char_indices() {
        read(&PIPELINE[..end]);
    }
}

#[test]
fn a_pipeline_with_any_character_replaced_ends_without_panic() {
    for (at, letter) in PIPELINE.char_indices() {
        for other in ["", "\t", "\n", "{", "\"", "&a ", "*", "\0", "\u{10ffff}"] {
            let rest = &PIPELINE[at + letter.len_utf8()..];
            read(&format!("{}{other}{rest}", &PIPELINE[..at]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_ends(text in "\\PC{0,1000}") {
        read(&text);
    }

    #[test]
    fn any_mixture_of_yaml_ends(parts in proptest::collection::vec(prop::sample::select(vec![
        "a", "b: ", "- ", "  ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", "\"", "'", "|", ">", "&x ",
        "*x", "!!str ", "# c", "? ", ": ", "${A}", "${", "}", "$", "~", "1", "é", "\t", "---\n", "\r\n", "%",
        "\\", "<<: ", "@", "\u{feff}", "\u{85}", "日本",
    ]), 0..400)) {
        read(&parts.concat());
    }

    #[test]
    fn places_lie_within_the_text(parts in proptest::collection::vec(prop::sample::select(vec![
        "a: 1\n", "- é\n", "b: ${NO}\n", "日: [x, ${NO}]\n", "c: \"x ${NO}\"\n", "  d: 'y'\n", "e: {f: ${}}\n",
    ]), 1..20)) {
        let text = parts.concat();
        for found in read(&text).report.iter() {
            let span = found.span.unwrap();
            let line = render::line_of(&text, span.line).expect("a line of the text");
            prop_assert!(span.column as usize <= line.chars().count() + 1, "{found:?}");
        }
    }
}
