use super::*;
use crate::diagnostic::{Diagnostic, render};
use crate::setting::{Fields, Setting, Value};

fn read(text: &str, variables: &Fixed) -> Loaded {
    parse("conf/t.yaml", text, variables)
}

fn plain(text: &str) -> Loaded {
    read(text, &Fixed::new())
}

/// The tree of a text without mistakes.
fn tree(text: &str) -> Node {
    let loaded = plain(text);
    assert!(
        loaded.report.is_empty(),
        "{}",
        render::text(&loaded.report, &loaded.sources(), false)
    );
    loaded.tree.unwrap()
}

/// The value at a path of field names and list positions.
fn at<'n>(node: &'n Node, path: &str) -> &'n Node {
    path.split('/')
        .fold(node, |node, step| match step.parse::<usize>() {
            Ok(index) => &node.as_list().unwrap()[index],
            Err(_) => node.get(step).unwrap_or_else(|| panic!("no field {step}")),
        })
}

fn place(span: Span) -> (u32, u32, u32, u32) {
    (span.line, span.column, span.end_line, span.end_column)
}

/// The one diagnostic of a text.
fn only(loaded: &Loaded) -> Diagnostic {
    let all: Vec<_> = loaded.report.iter().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

fn refused(text: &str) -> (&'static str, u32, u32) {
    let loaded = plain(text);
    assert!(loaded.tree.is_none());
    let found = only(&loaded);
    let span = found.span.unwrap();
    (found.code, span.line, span.column)
}

#[test]
fn every_value_and_name_knows_its_place() {
    let node =
        tree("a: 1\nlong:  two words  # c\nq: \"x\\\"y\"\nflow: { k: [one, 'two'], ü: é, n: 2 }\n");
    assert_eq!(place(node.span), (1, 1, 4, 38));
    assert_eq!(place(at(&node, "a").span), (1, 4, 1, 5));
    assert_eq!(place(at(&node, "long").span), (2, 8, 2, 17));
    assert_eq!(place(at(&node, "q").span), (3, 4, 3, 10), "with its quotes");
    assert_eq!(place(at(&node, "flow").span), (4, 7, 4, 38));
    assert_eq!(place(at(&node, "flow/k").span), (4, 12, 4, 24));
    assert_eq!(place(at(&node, "flow/k/1").span), (4, 18, 4, 23));
    assert_eq!(
        place(at(&node, "flow/n").span),
        (4, 35, 4, 36),
        "characters, not bytes"
    );
    let keys: Vec<_> = at(&node, "flow")
        .as_map()
        .unwrap()
        .iter()
        .map(|(key, _)| key.span)
        .collect();
    assert_eq!(keys[1], Span::on_line(4, 26, 1));
    assert_eq!(at(&node, "flow/ü").as_text(), Some("é"));
}

#[test]
fn blocks_end_where_their_last_value_does() {
    let node = tree("top:\n  - a\n  - k: 1\n    l: 2\n\n# comment\nnext: |\n  one\n  two\n");
    assert_eq!(place(at(&node, "top").span), (2, 3, 4, 9));
    assert_eq!(place(at(&node, "top/1").span), (3, 5, 4, 9));
    assert_eq!(at(&node, "next").as_text(), Some("one\ntwo\n"));
    assert_eq!(
        at(&node, "next").span.line,
        8,
        "a block scalar starts with its text"
    );
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_shift_places() {
    let node = tree("\u{feff}a: 1\r\nb: x\r\n");
    assert_eq!(at(&node, "b").span, Span::on_line(2, 4, 1));
    assert_eq!(at(&node, "a").span, Span::on_line(1, 4, 1));
}

#[test]
fn an_alias_is_at_its_use_and_what_it_holds_at_its_definition() {
    let node = tree("a: &x { k: [1, 2] }\nb: *x\nc: &s hi\nd: [*s]\n");
    assert_eq!(place(at(&node, "b").span), (2, 4, 2, 6));
    assert_eq!(at(&node, "b/k/1").value, Value::Int(2));
    assert_eq!(place(at(&node, "b/k/1").span), (1, 16, 1, 17));
    assert_eq!(at(&node, "d/0").as_text(), Some("hi"));
    assert_eq!(place(at(&node, "d/0").span), (4, 5, 4, 7));
}

#[test]
fn quotes_make_text_and_the_rest_is_yaml_1_2() {
    let node =
        tree("a: '5'\nb: \"true\"\nc: 5\nd: yes\ne: ~\nf:\ng: !!str 5\nh: 2.5\ni: |-\n  5\n");
    assert_eq!(at(&node, "a").value, Value::Text("5".into()));
    assert_eq!(at(&node, "b").value, Value::Text("true".into()));
    assert_eq!(at(&node, "c").value, Value::Int(5));
    assert_eq!(at(&node, "d").value, Value::Text("yes".into()));
    assert_eq!(at(&node, "e").value, Value::Null);
    assert_eq!(at(&node, "f").value, Value::Null);
    assert_eq!(
        place(at(&node, "f").span),
        (6, 1, 6, 2),
        "a value that is not there is its key"
    );
    assert_eq!(at(&node, "g").value, Value::Text("5".into()));
    assert_eq!(at(&node, "h").value, Value::Float(2.5));
    assert_eq!(at(&node, "i").value, Value::Text("5".into()));
}

#[test]
fn a_field_given_twice_is_shown_at_the_second() {
    let loaded = plain("a: 1\nb: { x: 1, x: 2, x: { y: 3 } }\na: [2]\n");
    let found: Vec<_> = loaded
        .report
        .iter()
        .map(|d| (d.code, d.span.unwrap()))
        .collect();
    let twice = |line, column| ("duplicate-field", Span::on_line(line, column, 1));
    assert_eq!(found, [twice(2, 12), twice(2, 18), twice(3, 1)]);
    let node = loaded.tree.unwrap();
    assert_eq!(at(&node, "a").value, Value::Int(1), "the first stays");
    assert_eq!(at(&node, "b").as_map().unwrap().len(), 1);
}

#[test]
fn what_is_no_pipeline_yaml_is_refused_at_its_place() {
    assert_eq!(refused(""), ("syntax", 1, 1));
    assert_eq!(refused("# nothing\n"), ("syntax", 1, 1));
    assert_eq!(refused("a: b: c\n"), ("syntax", 1, 5));
    assert_eq!(refused("a: [1, 2\nb: 3\n"), ("syntax", 2, 2));
    assert_eq!(refused("a: *nope\n"), ("syntax", 1, 4));
    assert_eq!(refused("a: 1\n---\nb: 2\n"), ("syntax", 2, 1));
    assert_eq!(refused("a: &x [*x]\n"), ("syntax", 1, 8));
    assert_eq!(refused("? [x]\n: 1\n"), ("syntax", 1, 3));
    assert_eq!(refused("a: !ruby/object x\n"), ("syntax", 1, 4));
    assert_eq!(refused("ok: 1\na: \"\\q\"\n").1, 2);
}

#[test]
fn a_tab_gets_a_hint() {
    let found = only(&plain("a:\n\tb: 1\n"));
    assert_eq!((found.code, found.span.unwrap().line), ("syntax", 2));
    assert!(found.hint.unwrap().contains("spaces"));
}

#[test]
fn variables_are_filled_in_inside_scalars() {
    let variables = Fixed::new()
        .with("HOST", "db.example")
        .with("PORT", "5432")
        .with("EMPTY", "")
        .with("EVIL", "x\nadmin: [true, {a: 1}] # ${HOST}")
        .with_file("conf/key", "s3cret\n")
        .with_file("/run/token", "t\r\n");
    let loaded = read(
        "url: \"http://${HOST}:${PORT}/\"\nport: ${PORT}\nquoted: \"${PORT}\"\nboth: ${PORT}${PORT}\n\
         evil: ${EVIL}\nd: ${NONE:-7}\ne: ${EMPTY:-x y}\nf: ${file:key}\ng: '${file:/run/token}'\n\
         lit: $${HOST} $$ $HOST 5$\nflow: [ \"${HOST}\" ]\nempty: ${EMPTY}\n",
        &variables,
    );
    assert!(
        loaded.report.is_empty(),
        "{:?}",
        loaded.report.iter().collect::<Vec<_>>()
    );
    let node = loaded.tree.unwrap();
    let value = |path| at(&node, path).value.clone();
    assert_eq!(value("url"), Value::Text("http://db.example:5432/".into()));
    assert_eq!(
        value("port"),
        Value::Int(5432),
        "a plain scalar that is one reference has a type"
    );
    assert_eq!(value("quoted"), Value::Text("5432".into()));
    assert_eq!(value("both"), Value::Text("54325432".into()));
    assert_eq!(
        value("evil"),
        Value::Text("x\nadmin: [true, {a: 1}] # ${HOST}".into()),
        "never YAML"
    );
    assert_eq!(value("d"), Value::Int(7));
    assert_eq!(value("e"), Value::Text("x y".into()));
    assert_eq!(
        value("f"),
        Value::Text("s3cret".into()),
        "relative to the file, without its line end"
    );
    assert_eq!(value("g"), Value::Text("t".into()));
    assert_eq!(value("lit"), Value::Text("${HOST} $$ $HOST 5$".into()));
    assert_eq!(value("empty"), Value::Null);
    assert!(at(&node, "port").from_variable && at(&node, "f").from_variable);
    assert!(!at(&node, "d").from_variable && !at(&node, "lit").from_variable);
    assert_eq!(
        at(&node, "port").span,
        Span::on_line(2, 7, 7),
        "the place is that of the reference"
    );
    assert_eq!(
        String::read(at(&node, "port"), &mut Report::new("f")).as_deref(),
        Some("5432")
    );
}

#[test]
fn a_missing_variable_is_shown_exactly() {
    let loaded = read(
        "a: \"é ${HOST} ${HOTS}\"\nb: ${SECRET_ONE}\nc: |\n  x\n  y ${LAST} z\nd: '$${A} ${A}'\n",
        &Fixed::new().with("HOST", "h").with("SECRET_TWO", "t"),
    );
    let found: Vec<_> = loaded.report.iter().collect();
    let told: Vec<_> = found
        .iter()
        .map(|d| (d.code, place(d.span.unwrap())))
        .collect();
    assert_eq!(
        told,
        [
            ("missing-variable", (1, 15, 1, 22)),
            ("missing-variable", (2, 4, 2, 17)),
            ("missing-variable", (5, 5, 5, 12)),
            ("missing-variable", (6, 11, 6, 15)),
        ]
    );
    let near = "did you mean `HOST`, which is used elsewhere in this file?";
    assert_eq!(found[0].hint.as_deref(), Some(near));
    assert!(
        !found[1].hint.as_ref().unwrap().contains("SECRET_TWO"),
        "not used in the file"
    );
    // A reader of the value says nothing more about it.
    let mut report = Report::new("f");
    assert_eq!(
        u16::read(at(loaded.tree.as_ref().unwrap(), "b"), &mut report),
        None
    );
    assert!(report.is_empty());
}

#[test]
fn malformed_references_and_missing_files() {
    let loaded = plain(
        "a: \"x${\"\nb: ${}\nc: ${9A}\nd: ${A:-${B}}\ne: ${file:}\nf: ${file:none}\ng: ${A-b}\n",
    );
    let told: Vec<_> = loaded
        .report
        .iter()
        .map(|d| (d.code, d.span.unwrap()))
        .collect();
    let bad = |line, column, length| ("bad-variable", Span::on_line(line, column, length));
    assert_eq!(
        told,
        [
            bad(1, 6, 2),
            bad(2, 4, 3),
            bad(3, 4, 5),
            bad(4, 4, 9),
            bad(5, 4, 8),
            ("missing-file", Span::on_line(6, 4, 12)),
            bad(7, 4, 6),
        ]
    );
    assert!(loaded.tree.is_some());
}

#[test]
fn a_value_from_outside_is_in_no_output() {
    let loaded = read(
        "n: ${PW}\nw: ${T}\n",
        &Fixed::new().with("PW", "31337").with("T", "hush"),
    );
    let node = loaded.tree.clone().unwrap();
    let mut report = loaded.report.clone();
    assert_eq!(u16::read(at(&node, "w"), &mut report), None);
    assert_eq!(std::time::Duration::read(at(&node, "n"), &mut report), None);
    assert_eq!(report.len(), 2);
    let page = render::text(&report, &loaded.sources(), true)
        + &render::json(&report)
        + &render::github(&report)
        + &format!("{loaded:?}");
    assert!(!page.contains("31337") && !page.contains("hush"), "{page}");
    assert!(page.contains("${PW}"), "the line is shown as written");
}

#[test]
fn the_example_of_the_design_looks_as_promised() {
    let text = "version: 1\nname: participant-sync\nsources:\n  genesys:\n    type: genesys_websocket\n\
                \x20   region: mypurecloud.ie\n    topics: []\ntransforms:\n\
                \x20 unique:  { type: dedup, inputs: [genesis] }\n";
    let loaded = parse("pipelines/participant-sync.yaml", text, &Fixed::new());
    let mut report = loaded.report.clone();
    let node = loaded.tree.as_ref().unwrap();
    let unique = at(node, "transforms/unique");
    let mut fields = Fields::new(unique, "transform `unique` (dedup)", &mut report).unwrap();
    let span = fields.node("inputs").unwrap().as_list().unwrap()[0].span;
    fields
        .error(
            "unknown-input",
            span,
            "`genesis` is not a source or transform of this pipeline",
        )
        .hint("did you mean `genesys`, defined at line 4?");
    let expected = "\
error[unknown-input]: `genesis` is not a source or transform of this pipeline
  --> pipelines/participant-sync.yaml:9:36
   |
 9 |   unique:  { type: dedup, inputs: [genesis] }
   |                                    ^^^^^^^
hint: did you mean `genesys`, defined at line 4?
";
    assert_eq!(render::text(&report, &loaded.sources(), false), expected);
}

#[test]
fn files_are_read_within_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    std::fs::write(folder.path().join("key"), "k\n").unwrap();
    std::fs::write(&path, "a: ${file:key}\n").unwrap();
    let loaded = load(&path, &Environment);
    assert_eq!(at(loaded.tree.as_ref().unwrap(), "a").as_text(), Some("k"));
    assert_eq!(&*loaded.text, "a: ${file:key}\n");

    std::fs::write(&path, b"a: \xc3\xa9\nb: x\xff\n").unwrap();
    let found = only(&load(&path, &Environment));
    assert_eq!(
        (found.code, found.span),
        ("syntax", Some(Span::on_line(2, 5, 1)))
    );

    std::fs::write(&path, vec![b'#'; FILE_BYTES + 1]).unwrap();
    assert_eq!(only(&load(&path, &Environment)).code, "too-large");
    std::fs::write(
        &path,
        [b"a: 1\n#".as_slice(), &vec![b'x'; FILE_BYTES - 6]].concat(),
    )
    .unwrap();
    assert!(
        load(&path, &Environment).tree.is_some(),
        "exactly the limit"
    );
    assert_eq!(
        only(&load(folder.path(), &Environment)).code,
        "unreadable-file"
    );
    assert_eq!(
        only(&load(&folder.path().join("none"), &Environment)).code,
        "unreadable-file"
    );
}

#[test]
fn a_reference_in_flow_style_needs_quotes_and_still_has_a_type() {
    for text in ["a: { port: ${PORT} }\n", "a: [x${PORT}]\n"] {
        let found = only(&plain(text));
        assert_eq!(
            found.hint.as_deref(),
            Some("within `[...]` and `{...}` a reference needs quotes: `\"${NAME}\"`")
        );
    }
    let variables = Fixed::new().with("PORT", "8086").with("ON", "true");
    let node = read(
        "a: { port: \"${PORT}\", on: '${ON}', x: \"1${PORT}\" }\n",
        &variables,
    )
    .tree
    .unwrap();
    let mut report = Report::new("f");
    assert_eq!(at(&node, "a/port").value, Value::Text("8086".into()));
    assert_eq!(u16::read(at(&node, "a/port"), &mut report), Some(8086));
    assert_eq!(bool::read(at(&node, "a/on"), &mut report), Some(true));
    assert!(report.is_empty());
    assert_eq!(
        u32::read(at(&node, "a/x"), &mut report),
        None,
        "only a reference by itself"
    );
}
