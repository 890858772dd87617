//! Every mistake that a pipeline file can have, with what the author of the file gets to read.
//!
//! `tests/bad_yaml/<code>.yaml` or `<code>--variant.yaml` is a broken file, and the `.txt` beside it
//! is what `validate` says. After a change of words: `UPDATE_SNAPSHOTS=1 cargo test --test bad_yaml`,
//! and then read the difference as somebody would who sees the message for the first time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use trunkline::config::{self, Fixed, Loaded};
use trunkline::diagnostic::{CODES, Report, render};
use trunkline::graph::check::{Checked, check};

const FOLDER: &str = "tests/bad_yaml";
/// Files that are named after what they show and not after one code.
const MIXED: &[&str] = &["many", "secrets"];
/// Codes that take more than a file: a plugin that was built, or a program that was built otherwise.
/// `tests/plugins.rs` shows them.
const ELSEWHERE: &[&str] = &["bad-plugin-config", "not-built-in"];
/// Values that no message may show.
const SECRETS: &[&str] = &["hunter2", "correct-horse", "271828"];

fn variables() -> Fixed {
    Fixed::new()
        .with("FOLDER", "exports")
        .with("PASSWORD", "hunter2")
        .with("PIN", "-271828")
        .with_file(format!("{FOLDER}/secret.txt"), "correct-horse\n")
}

/// A file through all that `validate` does with it.
fn validate(loaded: &Loaded) -> Checked {
    let checked = check(loaded);
    assert_eq!(
        checked.pipeline.is_some(),
        !checked.report.has_errors(),
        "{}: there is a pipeline exactly when there is no error",
        loaded.file
    );
    checked
}

fn text(loaded: &Loaded, report: &Report) -> String {
    render::text(report, &loaded.sources(), false)
}

/// What is wrong with a file that is made here, because it is large or is not there at all.
fn generated(name: &str) -> Option<Loaded> {
    let whole = |text: &str| config::parse("generated.yaml", text, &variables());
    match name {
        "too-large" => Some(whole(&format!("name: {}\n", "x".repeat(10 << 20)))),
        "too-many" => {
            let fields: String = (0..500).map(|n| format!("field_{n}: 1\n")).collect();
            Some(whole(&fields))
        }
        "too-complex--components" => {
            let mut text = String::from("version: 1\nname: many\nsources:\n");
            (0..200).for_each(|n| text += &format!("  s{n}: {{ type: stdin }}\n"));
            text += "sinks:\n  out: { type: stdout, inputs: [s0] }\n";
            Some(whole(&text))
        }
        "unreadable-file" => {
            let path = Path::new(FOLDER).join("no-such-file.yaml");
            Some(config::load(&path, &variables()))
        }
        _ => None,
    }
}

const GENERATED: &[&str] = &[
    "too-complex--components",
    "too-large",
    "too-many",
    "unreadable-file",
];

/// All cases, by name.
fn cases() -> Vec<(String, Loaded)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let files = paths
        .iter()
        .map(|path| (name(path), config::load(path, &variables())));
    let made = GENERATED
        .iter()
        .map(|name| ((*name).to_owned(), generated(name).unwrap()));
    files.chain(made).collect()
}

/// Compares with what is on disk; what differs is returned.
fn snapshot(file: &str, found: &str) -> Option<String> {
    let path = Path::new(FOLDER).join(file);
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept == found {
        return None;
    }
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        fs::write(&path, found).unwrap();
        return None;
    }
    let path = path.display();
    Some(format!("--- {path}\n{kept}\n+++ found\n{found}"))
}

fn assert_same(differences: Vec<String>) {
    assert!(
        differences.is_empty(),
        "{}\n\n{} snapshots differ; if the new text is right: UPDATE_SNAPSHOTS=1 cargo test --test bad_yaml",
        differences.join("\n"),
        differences.len()
    );
}

#[test]
fn every_broken_file_is_told_as_its_snapshot_says() {
    let compared = cases().into_iter().map(|(name, loaded)| {
        let checked = validate(&loaded);
        snapshot(&format!("{name}.txt"), &text(&loaded, &checked.report))
    });
    assert_same(compared.flatten().collect());
}

#[test]
fn the_forms_for_programs_tell_the_same() {
    let loaded = config::load(&Path::new(FOLDER).join("many.yaml"), &variables());
    let report = validate(&loaded).report;
    let json = snapshot("many.json", &render::json(&report));
    let github = snapshot("many.github", &render::github(&report));
    assert_same([json, github].into_iter().flatten().collect());
    let lines: Vec<_> = report.iter().filter_map(|found| found.span).collect();
    assert!(lines.is_sorted(), "in the order of the file");
}

#[test]
fn every_code_has_a_broken_file_that_brings_it_about() {
    let mut shown = BTreeSet::new();
    for (name, loaded) in cases() {
        let report = validate(&loaded).report;
        let codes: BTreeSet<_> = report.iter().map(|found| found.code).collect();
        if MIXED.contains(&&*name) {
            continue;
        }
        let code = name.split("--").next().unwrap();
        assert!(codes.contains(code), "{name} shows {codes:?} only");
        shown.insert(code.to_owned());
    }
    let without: Vec<_> = CODES
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !shown.contains(*code) && !ELSEWHERE.contains(code))
        .collect();
    assert!(
        without.is_empty(),
        "add {FOLDER}/<code>.yaml for {without:?}"
    );
}

#[test]
fn no_snapshot_is_left_of_a_case_that_is_gone() {
    let names: BTreeSet<_> = cases().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            names.contains(name),
            "{} belongs to no case",
            path.display()
        );
    }
}

#[test]
fn the_list_of_codes_is_what_the_source_says() {
    let mut used = BTreeSet::new();
    let mut reported = BTreeSet::new();
    let quoted = regex::Regex::new(r#""([a-z]+(?:-[a-z]+)*)""#).unwrap();
    let call = regex::Regex::new(r#"(?:\.error|\.warning|refuse)\(\s*"([a-z-]+)","#).unwrap();
    for path in rust_files(Path::new("src")) {
        if path.ends_with("diagnostic/codes.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
        used.extend(quoted.captures_iter(source).map(|it| it[1].to_owned()));
        reported.extend(call.captures_iter(source).map(|it| it[1].to_owned()));
    }
    let listed: BTreeSet<_> = CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    let unlisted: Vec<_> = reported.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not in CODES: {unlisted:?}");
    let unused: Vec<_> = listed.difference(&used).collect();
    assert!(unused.is_empty(), "reported nowhere: {unused:?}");
    assert!(
        reported.len() > 30,
        "the search found too little: {reported:?}"
    );
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_test {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_form_shows_a_secret() {
    for (name, loaded) in cases() {
        let report = validate(&loaded).report;
        let all = [
            text(&loaded, &report),
            render::text(&report, &loaded.sources(), true),
            render::json(&report),
            render::github(&report),
        ];
        for secret in SECRETS {
            assert!(
                !all.concat().contains(secret),
                "{name} shows {secret}: {}",
                all[0]
            );
        }
    }
}

#[test]
fn every_message_is_one_line_that_says_what_to_do() {
    for (name, loaded) in cases() {
        for found in validate(&loaded).report.iter() {
            let said = &found.message;
            assert!(
                !said.contains('\n') && !said.ends_with('.'),
                "{name}: {said}"
            );
            assert!(said.len() < 400, "{name}: {said}");
            let first = said.chars().next().unwrap();
            assert!(!first.is_uppercase(), "{name}: {said}");
            if let Some(hint) = &found.hint {
                assert!(!hint.contains('\n') && !hint.is_empty(), "{name}: {hint}");
            }
        }
    }
}

#[test]
fn the_example_of_the_design_comes_out_of_the_compiler() {
    let loaded = config::load(&Path::new(FOLDER).join("unknown-input.yaml"), &variables());
    let expected = "\
error[unknown-input]: `genesis` is not a source or transform of this pipeline
  --> tests/bad_yaml/unknown-input.yaml:9:36
   |
 9 |   unique:  { type: dedup, inputs: [genesis], key: .eventId }
   |                                    ^^^^^^^
hint: did you mean `genesys`, defined at line 4?
";
    assert_eq!(text(&loaded, &validate(&loaded).report), expected);
}

/// What somebody has typed of a file so far: it may end anywhere. One end in so many, and that of every
/// line; all of them with `EVERY_PREFIX=1`, which takes minutes.
const ENDS: usize = 7;

fn ends(text: &str) -> impl Iterator<Item = usize> + '_ {
    let every = std::env::var_os("EVERY_PREFIX").is_some();
    // Within a comment nothing changes from one letter to the next.
    let in_comment = |end: usize| {
        let line = text[..end].rsplit('\n').next().unwrap_or_default();
        line.trim_start().len() > 1 && line.trim_start().starts_with('#')
    };
    let ends = text.char_indices().map(|(end, _)| end);
    ends.filter(move |end| every || end % ENDS == 0 || text[*end..].starts_with('\n'))
        .filter(move |end| !in_comment(*end))
}

#[test]
fn no_prefix_of_a_shipped_file_is_too_much_for_the_compiler() {
    let files = yaml_files("pipelines").into_iter();
    let files = files
        .chain(yaml_files("examples"))
        .chain(yaml_files("tests/pipeline_tests"));
    let texts: Vec<String> = files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert!(texts.len() >= 6, "{}", texts.len());
    assert!(
        texts
            .iter()
            .filter(|text| text.contains("\ntests:"))
            .count()
            >= 5
    );
    let ends: Vec<(&str, usize)> = (texts.iter())
        .flat_map(|text| ends(text).map(move |end| (&**text, end)))
        .collect();
    // A long file takes as long as all others: each worker takes the next that is left.
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((text, end)) = ends.get(next.fetch_add(1, Ordering::Relaxed)) {
            validate(&config::parse("p.yaml", &text[..*end], &variables()));
        }
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
}

/// Below this folder.
fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(yaml_files(path.to_str().unwrap()));
        } else if path.extension().is_some_and(|it| it == "yaml") {
            found.push(path);
        }
    }
    found
}

#[test]
fn ten_megabytes_and_bombs_are_refused_at_once() {
    for name in ["too-large", "too-many", "too-complex--components"] {
        let start = Instant::now();
        let loaded = generated(name).unwrap();
        let report = validate(&loaded).report;
        text(&loaded, &report);
        assert!(report.has_errors());
        // For a debug build on a busy machine.
        assert!(start.elapsed() < Duration::from_secs(10), "{name}");
    }
}
