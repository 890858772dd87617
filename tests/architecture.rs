//! Who may import whom: the source is held against the tables of `src/lib.rs`, which say it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The files that may wait for real: they kill a process in the middle of its work.
const MAY_SLEEP: &[&str] = &[
    "tests/backfill/place.rs",
    "tests/crash/lives.rs",
    "tests/disk_buffer.rs",
    "tests/dlq/case.rs",
    "tests/export_to_warehouse/disturbed.rs",
    "tests/export_to_warehouse/servers.rs",
    "tests/kit/running.rs",
    "tests/kit/world.rs",
    "tests/live_process/lives.rs",
    "tests/participant_sync/process.rs",
    "tests/quickstart/disturbed.rs",
    "tests/reload_process.rs",
    "tests/s3_export/restart.rs",
    "tests/shared_state.rs",
    "tests/shared_state/pipeline.rs",
    "tests/shared_state/server.rs",
    "tests/shared_state/workers.rs",
    "tests/state_crash.rs",
    "tests/warehouse_postgres/server.rs",
];

/// What `src/lib.rs` says.
#[derive(Debug)]
struct Rules {
    /// The level of each module.
    levels: BTreeMap<String, u32>,
    /// Arrows inside a level.
    inside: BTreeSet<(String, String)>,
    /// Modules that see these and nothing else.
    only: BTreeMap<String, BTreeSet<String>>,
}

fn rules() -> Rules {
    let source = fs::read_to_string("src/lib.rs").unwrap();
    let docs: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .collect();
    let mut rules = Rules {
        levels: BTreeMap::new(),
        inside: BTreeSet::new(),
        only: BTreeMap::new(),
    };
    let level = Regex::new(r"^(\d) \w+ {2,}([a-z ]+)$").unwrap();
    let arrow = Regex::new(r"^([a-z]+) (->|=>) ([a-z ]+)$").unwrap();
    for line in docs {
        let line = line.split(" # ").next().unwrap().trim_end();
        if let Some(found) = level.captures(line) {
            let number = found[1].parse().unwrap();
            for name in found[2].split_whitespace() {
                let before = rules.levels.insert(name.to_owned(), number);
                assert_eq!(before, None, "`{name}` has two levels");
            }
        } else if let Some(found) = arrow.captures(line) {
            let (from, to) = (found[1].to_owned(), found[3].split_whitespace());
            let to = to.map(str::to_owned);
            match &found[2] {
                "->" => rules.inside.extend(to.map(|to| (from.clone(), to))),
                _ => {
                    rules.only.insert(from, to.collect());
                }
            }
        }
    }
    rules
}

/// A file without its tests, comments and the contents of its strings.
struct Source {
    path: PathBuf,
    code: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let read = |path: PathBuf| {
        let text = without_tests(&fs::read_to_string(&path).unwrap());
        let code = bare(&text);
        Source { path, code, text }
    };
    let files = rust_files(Path::new("src"));
    let declared = files_of_tests(&files);
    let ours = files
        .into_iter()
        .filter(|path| !is_test(path) && !declared.contains(path));
    ours.map(read).collect()
}

fn is_test(path: &Path) -> bool {
    let folders = path.iter().any(|part| part == "tests");
    folders || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// Files whose parent says `#[cfg(test)] mod name;`.
fn files_of_tests(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let module = Regex::new(r"#\[cfg\(test\)\]\s+(?:pub(?:\([a-z]+\))? )?mod (\w+);").unwrap();
    let mut found = BTreeSet::new();
    for path in files {
        let source = fs::read_to_string(path).unwrap();
        let folder = path.with_extension("");
        let names = module.captures_iter(&source);
        found.extend(names.map(|name| folder.join(&name[1]).with_extension("rs")));
    }
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Cuts out each `#[cfg(test)]` item: up to its closing brace at the same indentation.
fn without_tests(source: &str) -> String {
    let mut kept = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept += line;
            kept.push('\n');
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        for line in lines.by_ref() {
            let inner = line.len() - line.trim_start().len();
            let ends = line.ends_with(';') || line.trim_end().ends_with('}');
            if inner == indent && ends {
                break;
            }
        }
    }
    kept
}

/// Without comments and without what stands in strings.
fn bare(source: &str) -> String {
    let string =
        Regex::new(r##"(?s)r#".*?"#|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])'|//[^\n]*"##).unwrap();
    string.replace_all(source, "\"\"").into_owned()
}

/// The module that a file is, as a path: `src/source/file.rs` is `source::file`.
fn module_of(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix("src").unwrap().with_extension("");
    let parts = inside.iter().map(|part| part.to_str().unwrap().to_owned());
    parts.collect()
}

/// Every path from the crate's root that the code of a file names.
fn named(source: &Source) -> Vec<Vec<String>> {
    let start = Regex::new(r"\b(crate|super(?:\s*::\s*super)*)\s*::").unwrap();
    let own = module_of(&source.path);
    let mut found = Vec::new();
    for hit in start.captures_iter(&source.code) {
        let mut base = Vec::new();
        if &hit[1] != "crate" {
            let up = hit[1].matches("super").count();
            base = own[..own.len().saturating_sub(up)].to_vec();
        }
        let rest = &source.code[hit.get(0).unwrap().end()..];
        tree(&mut rest.chars().peekable(), &base, &mut found);
    }
    found
}

/// Reads what follows a `::`: a name and more, `{...}` or `*`.
fn tree(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    base: &[String],
    found: &mut Vec<Vec<String>>,
) {
    let skip = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        while rest.next_if(|letter| letter.is_whitespace()).is_some() {}
    };
    skip(rest);
    if rest.next_if_eq(&'{').is_some() {
        loop {
            tree(rest, base, found);
            skip(rest);
            if rest.next_if_eq(&',').is_none() {
                rest.next_if_eq(&'}');
                return;
            }
        }
    }
    let mut name = String::new();
    while let Some(letter) = rest.next_if(|letter| letter.is_alphanumeric() || *letter == '_') {
        name.push(letter);
    }
    rest.next_if_eq(&'*');
    let mut path = base.to_vec();
    if !name.is_empty() && name != "self" {
        path.push(name);
    }
    skip(rest);
    if rest.next_if_eq(&':').is_some() {
        rest.next_if_eq(&':');
        tree(rest, &path, found);
    } else {
        if rest.next_if(|letter| letter.is_alphabetic()).is_some() {
            // `as name`
            while rest.next_if(|letter| !",};".contains(*letter)).is_some() {}
        }
        found.push(path);
    }
}

/// `(file, from, to)` for all arrows between modules of the crate's root.
fn arrows() -> Vec<(PathBuf, String, String)> {
    let mut arrows = Vec::new();
    for source in sources() {
        let own = module_of(&source.path);
        for path in named(&source) {
            if let (Some(from), Some(to)) = (own.first(), path.first())
                && from != to
            {
                arrows.push((source.path.clone(), from.clone(), to.clone()));
            }
        }
    }
    arrows
}

#[test]
fn every_module_has_a_level() {
    let rules = rules();
    let listed: BTreeSet<_> = rules.levels.keys().cloned().collect();
    let there: BTreeSet<_> = fs::read_dir("src")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "lib" && name != "main")
        .collect();
    assert_eq!(
        listed, there,
        "the table in src/lib.rs against the files in src"
    );
    assert_eq!(rules.levels.values().max(), Some(&5));
    assert!(!rules.inside.is_empty() && !rules.only.is_empty());
}

#[test]
fn no_arrow_points_up_or_aside() {
    let rules = rules();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (path, from, to) in arrows() {
        if ["lib", "main"].contains(&&*from) {
            continue;
        }
        let (Some(own), Some(other)) = (rules.levels.get(&from), rules.levels.get(&to)) else {
            wrong.push(format!("{}: what is crate::{to}?", path.display()));
            continue;
        };
        let arrow = (from.clone(), to.clone());
        let inside = rules.inside.contains(&arrow);
        if own < other || (own == other && !inside) {
            wrong.push(format!("{}: {from} -> {to}", path.display()));
        }
        if rules
            .only
            .get(&from)
            .is_some_and(|only| !only.contains(&to))
        {
            wrong.push(format!("{}: {from} sees {to}", path.display()));
        }
        used.insert(arrow);
    }
    assert!(
        wrong.is_empty(),
        "against src/lib.rs:\n{}",
        wrong.join("\n")
    );
    let unused: Vec<_> = rules.inside.difference(&used).collect();
    assert!(
        unused.is_empty(),
        "src/lib.rs allows what nobody does: {unused:?}"
    );
    assert!(used.len() > 20, "the search found too little: {used:?}");
}

#[test]
fn arrows_inside_a_level_make_no_circle() {
    let rules = rules();
    let mut left: BTreeSet<&String> = rules.levels.keys().collect();
    loop {
        let free: Vec<_> = left
            .iter()
            .copied()
            .filter(|name| {
                let mut out = rules.inside.iter().filter(|(from, _)| from == *name);
                !out.any(|(_, to)| left.contains(to))
            })
            .collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|name| {
            left.remove(*name);
        });
    }
    assert!(left.is_empty(), "{left:?} import each other");
    for (from, to) in &rules.inside {
        assert_eq!(rules.levels[from], rules.levels[to], "{from} -> {to}");
    }
}

#[test]
fn components_do_not_know_each_other() {
    let rules = rules();
    let mut wrong = Vec::new();
    for source in sources() {
        let own = module_of(&source.path);
        // The catalogue itself names them all.
        if rules.levels.get(&own[0]) != Some(&3) || own.len() < 2 {
            continue;
        }
        for path in named(&source) {
            let is_file = path.get(1).is_some_and(|name| {
                Path::new("src")
                    .join(&own[0])
                    .join(name)
                    .with_extension("rs")
                    .exists()
            });
            if path.first() == Some(&own[0]) && is_file && path.get(1) != own.get(1) {
                wrong.push(format!("{}: {}", source.path.display(), path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_file_reads_the_environment() {
    let reads = Regex::new(r"\benv::(var|vars|var_os|vars_os|set_var|remove_var)\b").unwrap();
    let files: Vec<_> = sources()
        .into_iter()
        .filter(|source| reads.is_match(&source.code))
        .map(|source| source.path)
        .collect();
    assert_eq!(files, [Path::new("src/config/environment.rs")]);
}

#[test]
fn metrics_are_named_in_two_modules() {
    let named: BTreeSet<_> = sources()
        .into_iter()
        .filter(|source| source.text.contains("\"trunkline_"))
        .map(|source| module_of(&source.path)[0].clone())
        .collect();
    let allowed = BTreeSet::from(["layer".to_owned(), "observe".to_owned()]);
    assert!(named.is_subset(&allowed), "{named:?}");
    assert!(named.contains("observe"));
}

#[test]
fn files_are_called_as_agreed() {
    for path in rust_files(Path::new("src")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let bad = ["mod", "util", "utils", "helpers", "common_utils", "misc"].contains(&name);
        assert!(!bad, "{}", path.display());
        // `x.rs` stands beside `x/`.
        if let Some(folder) = path.parent().filter(|it| *it != Path::new("src")) {
            let beside = folder.with_extension("rs");
            assert!(beside.exists(), "{} is missing", beside.display());
        }
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    let unfinished = Regex::new(r"\b(todo|unimplemented|dbg)!").unwrap();
    let unsound = Regex::new(r"\.unwrap\(\)|\.expect\(|\bpanic!").unwrap();
    let later = Regex::new(r"\b(TODO|FIXME|XXX)\b").unwrap();
    for source in sources() {
        let file = source.path.display();
        assert!(!unfinished.is_match(&source.code), "{file}");
        assert!(!later.is_match(&source.text), "{file}");
        let found = unsound.find(&source.code).map(|hit| hit.as_str());
        assert_eq!(found, None, "{file}");
    }
}

/// What was built for the tests is used for fuzzing as it is.
#[test]
fn fuzzing_builds_libraries_as_tests_do() {
    let packages = |file: &str| {
        let text = fs::read_to_string(file).unwrap();
        let parts = text.split("\n[").map(|part| part.trim_end().to_owned());
        let of_packages = |part: &String| part.starts_with("profile.dev.package.");
        // Which is what is fuzzed: it is built once more in any case.
        let ours = |part: &String| part.starts_with("profile.dev.package.trunkline]");
        let libraries = |part: &String| of_packages(part) && !ours(part);
        let mut packages: Vec<_> = parts.filter(libraries).collect();
        packages.sort();
        packages
    };
    let ours = packages("Cargo.toml");
    assert!(ours.len() > 10, "{ours:?}");
    assert_eq!(ours, packages("fuzz/Cargo.toml"));
    for file in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains("[profile.dev]\nopt-level = 1\n"), "{file}");
    }
}

#[test]
fn tests_do_not_sleep() {
    let sleeps = Regex::new(r"\bthread::sleep\b").unwrap();
    let mut files = rust_files(Path::new("tests"));
    files.extend(rust_files(Path::new("src")));
    for path in files {
        if MAY_SLEEP.iter().any(|may| path == Path::new(may)) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let tests = match path.starts_with("tests") || is_test(&path) {
            true => source,
            // Of a file with both, what is not left over without its tests.
            false => match source.find("#[cfg(test)]") {
                Some(at) => source[at..].to_owned(),
                None => continue,
            },
        };
        assert!(!sleeps.is_match(&bare(&tests)), "{}", path.display());
    }
}

#[test]
fn the_search_itself_finds_what_it_should() {
    let source = |path: &str, code: &str| Source {
        path: path.into(),
        code: bare(&without_tests(code)),
        text: String::new(),
    };
    let paths = |path: &str, code: &str| -> Vec<String> {
        let all = named(&source(path, code));
        all.iter().map(|path| path.join("::")).collect()
    };
    assert_eq!(
        paths(
            "src/sink/file.rs",
            "use crate::{a::{self, B as C, d::*}, e};\nfn f() -> crate::g::H<super::I> {}"
        ),
        ["a", "a::B", "a::d", "e", "g::H", "sink::I"]
    );
    assert_eq!(
        paths(
            "src/sink/file/output.rs",
            "use super::super::x::Y; use super::Z;"
        ),
        ["sink::x::Y", "sink::file::Z"]
    );
    let hidden = "// crate::a\nlet b = \"crate::b\";\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\nuse crate::d;";
    assert_eq!(paths("src/x.rs", hidden), ["d"]);
}

#[test]
fn a_catalogue_names_each_kind_once_in_order() {
    let (sources, sinks) = (trunkline::source::KINDS, trunkline::sink::KINDS);
    for kinds in [sources, trunkline::transform::KINDS, sinks] {
        assert!(kinds.is_sorted_by(|one, next| one < next), "{kinds:?}");
    }
}
