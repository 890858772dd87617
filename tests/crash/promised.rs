//! What `trunkline validate` promises, as something that can be checked.

/// What the words of a promise mean for what is found in the sink at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    pub what: What,
    /// Whether a crash may be the reason that an event is found several times.
    pub repeats: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Everything that was ever in the source.
    Everything,
    /// Of what each run was given, all up to some place, and no less than it had answered.
    Prefixes,
    /// Nothing that was not in the source.
    NothingElse,
}

/// Reads the line of the table that is about this pair.
pub fn read(table: &str, source: &str, sink: &str) -> Promised {
    let pair = format!("  {source} -> {sink}  ");
    let line = table.lines().find(|line| line.starts_with(&pair));
    let line = line.unwrap_or_else(|| panic!("no promise for {source} -> {sink}:\n{table}"));
    let (words, why) = line[pair.len()..].trim_start().split_once("  ").unwrap();
    let why = why.trim_start();
    // Of a pipe nobody can promise what lay in it or in memory alone: each says so.
    let what = match why.contains("is lost in a crash, since a pipe is read once") {
        true => What::Prefixes,
        false => What::Everything,
    };
    let repeats = why.contains("a crash repeats") || why.contains("each start repeats");
    let what = match words {
        "effectively once (idempotent sink)" | "at-least-once" => what,
        "best effort" if why.contains("events are dropped when") => What::NothingElse,
        "best effort" => {
            assert_eq!(what, What::Prefixes, "what else may be lost? {line}");
            what
        }
        other => panic!("not a promise: {other}"),
    };
    assert!(repeats || words != "at-least-once", "how often? {line}");
    Promised { what, repeats }
}

#[test]
fn the_words_of_the_table_are_understood() {
    let table = "\
p.yaml: ok
  in -> lines  at-least-once                       a crash repeats what was not settled
  in -> rows   effectively once (idempotent sink)  rows are written by their keys
  on -> lines  best effort                         what was not settled is lost in a crash, since a pipe is read once
  up -> lines  best effort                         events are dropped when the buffer of `lines` is full; a crash repeats what was not settled
  it -> lines  at-least-once                       from the fsync of the buffer of `lines` on: what it did not yet cover is lost in a crash, since a pipe is read once; a crash repeats what was not settled
";
    let promised = |what, repeats| Promised { what, repeats };
    assert_eq!(read(table, "in", "lines"), promised(What::Everything, true));
    assert_eq!(read(table, "in", "rows"), promised(What::Everything, false));
    assert_eq!(read(table, "on", "lines"), promised(What::Prefixes, false));
    assert_eq!(
        read(table, "up", "lines"),
        promised(What::NothingElse, true)
    );
    assert_eq!(read(table, "it", "lines"), promised(What::Prefixes, true));
}
