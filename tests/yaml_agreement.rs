//! Our tree of a pipeline file against what serde_yaml (kept up as serde-saphyr) reads in it: two
//! readers must not see two files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use trunkline::config::{self, Fixed};
use trunkline::setting::{Node, Value};

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        Value::Map(entries) => {
            let members = entries
                .iter()
                .map(|(key, node)| (key.name.clone(), json(node)));
            Json::Object(members.collect::<Map<_, _>>())
        }
    }
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect()
}

#[test]
fn both_read_the_same_in_every_file_of_the_project() {
    let mut compared = 0;
    for path in ["pipelines", "tests/bad_yaml", "benches/pipelines"]
        .map(yaml_files)
        .concat()
    {
        let text = fs::read_to_string(&path).unwrap();
        let loaded = config::parse("file.yaml", &text, &Fixed::new());
        let Some(tree) = loaded
            .tree
            .filter(|_| !text.contains("${") && !loaded.report.has_errors())
        else {
            continue; // what we refuse, and values that we fill in, the other cannot know
        };
        // YAML 1.2 as we read it: `yes` is a text.
        let options = serde_yaml::options! { strict_booleans: true };
        let theirs = serde_yaml::from_str_with_options::<Json>(&text, options);
        let theirs = theirs.unwrap_or_else(|error| {
            panic!("{} is no YAML to serde_yaml: {error}", path.display());
        });
        assert_eq!(json(&tree), theirs, "{}", path.display());
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} files were compared");
}
