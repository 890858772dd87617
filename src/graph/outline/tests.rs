use super::*;

fn node(line: u32, name: &str, kind: Kind, inputs: &[&str]) -> Shape {
    let read = |(column, input): (u32, &&str)| {
        let (node, output) = input.split_once('.').unwrap_or((input, ""));
        let (node, output) = (node.into(), output.into());
        (Input { node, output }, Span::on_line(line, column, 1))
    };
    Shape {
        name: name.into(),
        kind,
        component: "any".into(),
        inputs: (10..).zip(inputs).map(read).collect(),
        outputs: Vec::new(),
        main: true,
        span: Span::on_line(line, 1, 1),
    }
}

fn outline(transforms: &[(&str, &[&str])], sink: &[&str]) -> Outline {
    let mut nodes = vec![node(1, "in", Kind::Source, &[])];
    for (line, (name, inputs)) in (2..).zip(transforms) {
        nodes.push(node(line, name, Kind::Transform, inputs));
    }
    nodes.push(node(99, "out", Kind::Sink, sink));
    Outline {
        name: "test".into(),
        nodes,
    }
}

fn told(outline: &Outline, doubts: &Doubts) -> Vec<String> {
    let mut report = Report::new("f");
    outline.check(doubts, &mut report);
    report
        .iter()
        .map(|found| format!("{}: {}", found.code, found.message))
        .collect()
}

#[test]
fn a_sound_pipeline_is_silent_and_ordered_by_who_reads_whom() {
    let it = outline(
        &[("c", &["b"]), ("b", &["a", "in"]), ("a", &["in"])],
        &["c"],
    );
    assert_eq!(told(&it, &Doubts::default()), Vec::<String>::new());
    assert_eq!(it.order(), ["a", "b", "c"]);
}

#[test]
fn every_circle_is_told_in_the_direction_of_the_flow() {
    let transforms: &[(&str, &[&str])] = &[
        ("a", &["in", "c"]),
        ("b", &["a"]),
        ("c", &["b"]),
        ("self", &["in", "self"]),
    ];
    assert_eq!(
        told(&outline(transforms, &["c"]), &Doubts::default()),
        [
            "cycle: `b` -> `c` -> `a` feed each other in a circle",
            "cycle: `self` reads itself",
        ]
    );
}

#[test]
fn a_misspelt_input_is_one_mistake() {
    assert_eq!(
        told(
            &outline(&[("unique", &["in"])], &["uniqe"]),
            &Doubts::default()
        ),
        ["unknown-input: `uniqe` is not a source or transform of this pipeline"],
    );
    // Where nothing is near, it is not known what was meant: what is unused is told as well.
    let told = told(
        &outline(&[("unique", &["in"])], &["xyzzy"]),
        &Doubts::default(),
    );
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn what_came_from_a_variable_is_not_shown() {
    let it = outline(&[("a", &["hunter2"]), ("b", &["in.hunter3"])], &["a", "b"]);
    let spans = it.nodes.iter().flat_map(|node| &node.inputs);
    let doubts = Doubts {
        hidden: spans.map(|(_, span)| *span).collect(),
        unread: true,
    };
    let told = told(&it, &doubts);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(!told.concat().contains("hunter"), "{told:?}");
}

#[test]
fn nothing_is_called_unused_where_inputs_could_not_be_read() {
    let it = outline(&[("a", &[])], &[]);
    let unread = Doubts {
        unread: true,
        ..Doubts::default()
    };
    assert_eq!(told(&it, &unread), Vec::<String>::new());
    assert_eq!(told(&it, &Doubts::default()).len(), 2);
}

#[test]
fn large_graphs_take_time_in_proportion() {
    let names: Vec<String> = (0..20_000).map(|n| format!("t{n}")).collect();
    let mut nodes = vec![node(1, "in", Kind::Source, &[])];
    for (at, name) in names.iter().enumerate() {
        // Each reads the next: the whole is one long circle.
        let next = &names[(at + 1) % names.len()];
        nodes.push(node(at as u32 + 2, name, Kind::Transform, &[next, "in"]));
    }
    let it = Outline {
        name: "large".into(),
        nodes,
    };
    let start = std::time::Instant::now();
    let told = told(&it, &Doubts::default());
    assert_eq!(told.len(), 1);
    assert!(told[0].len() < 300, "{}", told[0]);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
