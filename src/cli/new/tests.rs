use super::*;
use crate::config::{self, Fixed};
use crate::diagnostic::Severity;
use crate::graph::Components;
use crate::graph::check::check;
use crate::graph::rehearsal::runtime;
use crate::graph::trial::play;

fn plan_of(source: &str, transforms: &[&str], sink: &str) -> Plan {
    Plan {
        name: "mine".to_owned(),
        source: source.to_owned(),
        transforms: transforms.iter().map(|&kind| kind.to_owned()).collect(),
        sink: sink.to_owned(),
    }
}

/// What validating says of it; what is not durable or open is for the user to decide.
fn told(plan: &Plan) -> Vec<String> {
    let text = plan.text("mine-sample");
    let checked = check(&config::parse("mine.yaml", &text, &Fixed::new()));
    let errors = checked
        .report
        .iter()
        .filter(|it| it.severity == Severity::Error);
    let told = errors.map(|it| format!("{} {:?}\n{text}", it.message, it.span));
    told.collect()
}

#[test]
fn every_source_with_every_sink_is_valid_at_once() {
    for source in source::KINDS {
        for sink in sink::KINDS {
            let told = told(&plan_of(source, &[], sink));
            assert!(told.is_empty(), "{source} to {sink}: {}", told[0]);
        }
    }
}

#[test]
fn every_transform_is_valid_at_once_also_twice_and_all_together() {
    for kind in offered() {
        let told = told(&plan_of("stdin", &[kind, kind], "stdout"));
        assert!(told.is_empty(), "{kind}: {}", told[0]);
    }
    let told = told(&plan_of("stdin", &offered(), "stdout"));
    assert!(told.is_empty(), "{}", told[0]);
}

#[test]
fn every_job_is_valid_at_once() {
    for job in Job::value_variants() {
        let (_, source, transforms, sink) = job.parts();
        assert!(
            told(&plan_of(source, transforms, sink)).is_empty(),
            "{job:?}"
        );
    }
}

#[test]
fn who_goes_on_can_be_looked_at() {
    for (source, looked_at) in [
        ("genesys_websocket", true),
        ("rabbitmq", true),
        ("file", false),
    ] {
        let text = plan_of(source, &[], "stdout").text("mine-sample");
        assert_eq!(text.contains("\napi: {"), looked_at, "{text}");
    }
}

fn arguments(file: Option<PathBuf>) -> Arguments {
    Arguments {
        file,
        job: None,
        source: None,
        transform: Vec::new(),
        sink: None,
        name: None,
    }
}

#[test]
fn questions_are_asked_where_something_is_missing() {
    let ask = |arguments: &Arguments, answer: &str| {
        let mut output = Vec::new();
        let job = questions(arguments, &mut answer.as_bytes(), &mut output);
        (job, String::from_utf8(output).unwrap())
    };
    let (job, shown) = ask(&arguments(None), "2\n");
    assert_eq!(job, Some(Job::Exports));
    assert!(shown.contains("1  Who is in which conversation"), "{shown}");
    for answer in ["", "\n", "0\n", "99\n", "what?\n"] {
        assert_eq!(
            ask(&arguments(None), answer).0,
            Some(Job::Quickstart),
            "{answer}"
        );
    }
    let mut said = arguments(None);
    said.job = Some(Job::Live);
    assert_eq!(ask(&said, "2\n"), (Some(Job::Live), String::new()));
    let mut both = arguments(None);
    (both.source, both.sink) = (Some("stdin".into()), Some("stdout".into()));
    assert_eq!(ask(&both, "2\n"), (None, String::new()));
}

#[test]
fn a_file_is_never_overwritten_and_names_the_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nightly.yaml");
    let arguments = arguments(Some(file.clone()));
    let told = write(&arguments, Some(Job::Exports)).unwrap();
    assert!(told.contains("trunkline validate") && told.contains("trunkline run"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("name: nightly\n") && text.contains("type: s3_export"));
    let refused = write(&arguments, Some(Job::Live)).unwrap_err();
    assert!(refused.contains("is there already"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn own_parts_stand_for_those_of_the_job() {
    let mut own = arguments(None);
    own.source = Some("stdin".into());
    assert!(plan(&own, None).unwrap().transforms.is_empty());
    assert_eq!(plan(&own, Some(Job::Exports)).unwrap().transforms.len(), 2);
    own.transform = vec!["filter".into()];
    assert_eq!(
        plan(&own, Some(Job::Exports)).unwrap().transforms,
        ["filter"]
    );
    own.name = Some("no name".into());
    assert!(plan(&own, None).is_err());
}

/// Writes it, and plays the test that is in it.
fn written(plan: &Plan, folder: &std::path::Path) -> String {
    let file = folder.join(format!("{}.yaml", plan.name));
    let arguments = Arguments {
        file: Some(file.clone()),
        job: None,
        source: Some(plan.source.clone()),
        transform: plan.transforms.clone(),
        sink: Some(plan.sink.clone()),
        name: None,
    };
    write(&arguments, None).unwrap();
    let loaded = config::load(&file, &Fixed::new());
    let checked = check(&loaded);
    let errors: Vec<_> = checked
        .report
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{}", loaded.text);
    assert_eq!(checked.tests.len(), 1);
    let verdict = runtime().unwrap().block_on(play(
        &loaded,
        &Components::default(),
        &checked.tests[0],
        &Fixed::new(),
    ));
    assert!(
        verdict.problems.is_empty(),
        "{:?}\n{}",
        verdict.problems,
        loaded.text
    );
    loaded.text.to_string()
}

#[test]
fn what_is_written_passes_its_test_whatever_it_is_made_of() {
    let folder = tempfile::tempdir().unwrap();
    for source in source::KINDS {
        for sink in sink::KINDS {
            let name = format!("{source}-{sink}");
            let plan = Plan {
                name,
                ..plan_of(source, &[], sink)
            };
            written(&plan, folder.path());
        }
    }
    for kind in offered() {
        let plan = Plan {
            name: format!("t-{kind}"),
            ..plan_of("stdin", &[kind], "file")
        };
        written(&plan, folder.path());
    }
}

#[test]
fn of_a_job_the_sample_goes_all_the_way() {
    let folder = tempfile::tempdir().unwrap();
    for (job, count) in [
        (Job::Live, 2),
        (Job::Exports, 2),
        (Job::Outbound, 2),
        (Job::Quickstart, 2),
    ] {
        let (name, source, transforms, sink) = job.parts();
        let plan = Plan {
            name: name.to_owned(),
            ..plan_of(source, transforms, sink)
        };
        let text = written(&plan, folder.path());
        let expected = format!("      output: {{ count: {count} }}\n      dead_letters: none\n");
        assert!(text.ends_with(&expected), "{text}");
    }
}

#[test]
fn its_first_line_names_a_schema_that_is_there_and_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = written(&plan_of("stdin", &["dedup"], "stdout"), folder.path());
    sample::write_schema(folder.path()).unwrap();
    let first = text.lines().next().unwrap();
    let schema = first
        .strip_prefix("# yaml-language-server: $schema=")
        .unwrap();
    let schema = std::fs::read_to_string(folder.path().join(schema)).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let wrong: Vec<_> = schema
        .iter_errors(&value)
        .map(|it| it.to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
