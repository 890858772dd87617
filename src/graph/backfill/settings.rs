//! The settings of a pipeline file as a backfill needs them.

use std::path::{Path, PathBuf};

use crate::setting::{Key, Node, Value};

/// Types of sources that can read a range of what they have.
pub const RANGED: &[&str] = &["s3_export"];

/// What a backfill is to do.
#[derive(Clone, Debug)]
pub struct Aim {
    /// The source; needed where the file has several that can do it.
    pub source: Option<String>,
    /// Beginning of the range, RFC 3339.
    pub from: String,
    /// Its end, which is no longer in it.
    pub to: String,
    /// Name of the folder of its state, below that of the pipeline.
    pub name: String,
    /// Bytes a second, at most; at least 1024.
    pub throttle: Option<u64>,
    /// Folder of its state, in place of the one below the pipeline's.
    pub state: Option<PathBuf>,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aimed {
    /// The source that is read.
    pub source: String,
    /// Folder of the state.
    pub state: PathBuf,
}

/// Changes the settings of a pipeline: the source is read once, over the range; the state and the
/// dead letters in files lie in a folder of their own, since a live run may use the others.
///
/// # Errors
/// Why it cannot be done, for people.
pub fn aim(tree: &mut Node, aim: &Aim) -> Result<Aimed, String> {
    let (source, alone) = choose(tree, aim.source.as_deref())?;
    let folder = match (&aim.state, alone) {
        (Some(folder), _) => folder.clone(),
        (None, true) => home(tree)?.join(&aim.name),
        (None, false) => home(tree)?.join(format!("{}-{source}", aim.name)),
    };
    let node = tree.field("sources").and_then(|all| all.field(&source));
    if let Some(node) = node {
        node.put("read", Value::Text("once".into()));
        node.put("from", Value::Text(aim.from.clone()));
        node.put("to", Value::Text(aim.to.clone()));
        // A queue tells what is new, and the range is listed.
        node.take("sqs");
        if let Some(rate) = aim.throttle {
            node.put("max_rate", Value::Text(format!("{rate}B")));
        }
    }
    let mut state = Node::new(Value::Map(Vec::new()), tree.span);
    state.put("type", Value::Text("embedded".into()));
    state.put("path", text_of(&folder));
    tree.put("state", state.value);
    // The address is that of the live run.
    tree.take("api");
    letters(tree, &folder);
    Ok(Aimed {
        source,
        state: folder,
    })
}

/// The source, and whether it is the only one that could be meant.
fn choose(tree: &Node, wanted: Option<&str>) -> Result<(String, bool), String> {
    let sources = tree.get("sources").and_then(Node::as_map).unwrap_or(&[]);
    let ranged = sources.iter().filter(|(_, node)| {
        let kind = node.get("type").and_then(Node::as_text);
        kind.is_some_and(|kind| RANGED.contains(&kind))
    });
    let names: Vec<&str> = ranged.map(|(key, _)| key.name.as_str()).collect();
    let known = names.join("`, `");
    match (wanted, &names[..]) {
        (Some(wanted), _) if names.contains(&wanted) => Ok((wanted.into(), names.len() == 1)),
        (Some(wanted), []) => Err(format!("no source `{wanted}` can read a range: {}", only())),
        (Some(wanted), _) => Err(format!(
            "no source `{wanted}` can read a range; these can: `{known}`"
        )),
        (None, [only]) => Ok(((*only).to_owned(), true)),
        (None, []) => Err(format!(
            "no source of the pipeline can read a range: {}",
            only()
        )),
        (None, _) => Err(format!(
            "several sources can read a range: say which with `--source`: `{known}`"
        )),
    }
}

fn only() -> String {
    format!("only those of type `{}` can", RANGED.join("`, `"))
}

/// The folder of the pipeline's state.
fn home(tree: &Node) -> Result<PathBuf, String> {
    let state = tree.get("state");
    let field = |name| {
        state
            .and_then(|state| state.get(name))
            .and_then(Node::as_text)
    };
    let embedded = matches!(field("type"), None | Some("embedded"));
    let path = field("path").filter(|_| embedded);
    path.map(PathBuf::from).ok_or_else(|| {
        "the pipeline keeps no state on this disk to put that of the backfill beside: \
         name a folder for it with `--state`"
            .to_owned()
    })
}

/// Dead letters in files get files of their own.
fn letters(tree: &mut Node, folder: &Path) {
    let own = |node: &mut Node, name: &str| {
        let Some(letters) = node.field("dead_letter") else {
            return;
        };
        if letters.get("type").and_then(Node::as_text) == Some("file") {
            letters.put("path", text_of(&folder.join(name)));
        }
    };
    own(tree, LETTERS);
    for section in ["sources", "transforms", "sinks"] {
        let nodes = tree.field(section).and_then(Node::entries);
        for (key, node) in nodes.into_iter().flatten() {
            own(node, &format!("dead-letters-{}.ndjson", key.name));
        }
    }
}

/// The file of the pipeline's dead letters, in the folder of the state.
pub(super) const LETTERS: &str = "dead-letters.ndjson";

fn text_of(path: &Path) -> Value {
    Value::Text(path.to_string_lossy().into_owned())
}

/// Changes to a tree.
trait Change {
    fn entries(&mut self) -> Option<&mut Vec<(Key, Node)>>;
    fn field(&mut self, name: &str) -> Option<&mut Node>;
    fn put(&mut self, name: &str, value: Value);
    fn take(&mut self, name: &str);
}

impl Change for Node {
    fn entries(&mut self) -> Option<&mut Vec<(Key, Node)>> {
        match &mut self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    fn field(&mut self, name: &str) -> Option<&mut Node> {
        let mut entries = self.entries()?.iter_mut();
        entries.find_map(|(key, node)| (key.name == name).then_some(node))
    }

    /// Sets a field. What is wrong with it is told where the whole mapping stands.
    fn put(&mut self, name: &str, value: Value) {
        let span = self.span;
        let node = Node::new(value, span);
        if let Some(old) = self.field(name) {
            *old = node;
        } else if let Some(entries) = self.entries() {
            let name = name.to_owned();
            entries.push((Key { name, span }, node));
        }
    }

    fn take(&mut self, name: &str) {
        if let Some(entries) = self.entries() {
            entries.retain(|(key, _)| key.name != name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Fixed, parse};

    const FILE: &str = "
state: { type: embedded, path: data/state }
api: { listen: 127.0.0.1:9000 }
dead_letter: { type: file, path: dead.ndjson }
sources:
  bucket: { type: s3_export, read: follow, url: s3://b, sqs: { queue_url: q }, dead_letter: { type: stdout } }
  live: { type: stdin, dead_letter: { type: file, path: own.ndjson } }
";

    fn tree(text: &str) -> Node {
        parse("p.yaml", text, &Fixed::default()).tree.unwrap()
    }

    fn order() -> Aim {
        Aim {
            source: None,
            from: "2026-01-01T00:00:00Z".into(),
            to: "2026-02-01T00:00:00Z".into(),
            name: "backfill-2026-01-01-2026-02-01".into(),
            throttle: Some(1024),
            state: None,
        }
    }

    #[test]
    fn the_source_is_read_once_over_the_range_with_a_state_of_its_own() {
        let mut tree = tree(FILE);
        let aimed = aim(&mut tree, &order()).unwrap();
        let folder = "data/state/backfill-2026-01-01-2026-02-01";
        assert_eq!(
            (aimed.source.as_str(), aimed.state.as_path()),
            ("bucket", Path::new(folder))
        );
        let at = |path: &[&str]| {
            let node = path.iter().try_fold(&tree, |node, name| node.get(name));
            node.and_then(Node::as_text).map(str::to_owned)
        };
        let source = |name| at(&["sources", "bucket", name]);
        assert_eq!(source("read").as_deref(), Some("once"));
        assert_eq!(source("from").as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(source("max_rate").as_deref(), Some("1024B"));
        assert!(
            tree.get("api").is_none()
                && tree
                    .get("sources")
                    .unwrap()
                    .get("bucket")
                    .unwrap()
                    .get("sqs")
                    .is_none()
        );
        assert_eq!(at(&["state", "path"]).as_deref(), Some(folder));
        let letters = format!("{folder}/dead-letters.ndjson");
        assert_eq!(at(&["dead_letter", "path"]), Some(letters));
        let own = at(&["sources", "live", "dead_letter", "path"]).unwrap();
        assert!(own.ends_with("/dead-letters-live.ndjson"));
        assert_eq!(at(&["sources", "bucket", "dead_letter", "path"]), None);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let run = |text: &str, change: &dyn Fn(&mut Aim)| {
            let mut order = order();
            change(&mut order);
            aim(&mut tree(text), &order).map(|it| it.state).unwrap_err()
        };
        let none = run("sources: { a: { type: stdin } }", &|_| {});
        assert!(none.contains("only those of type `s3_export`"), "{none}");
        let two = "sources: { a: { type: s3_export }, b: { type: s3_export } }";
        assert!(run(two, &|_| {}).contains("`a`, `b`"));
        let wrong = run(two, &|it| it.source = Some("c".into()));
        assert!(wrong.contains("no source `c`") && wrong.contains("`a`, `b`"));
        let stateless = run(two, &|it| it.source = Some("a".into()));
        assert!(stateless.contains("--state"), "{stateless}");
        let shared = "state: { type: redis, path: x }\nsources: { a: { type: s3_export } }";
        assert!(run(shared, &|_| {}).contains("--state"));
    }

    #[test]
    fn sources_that_could_be_mixed_up_have_folders_apart() {
        let text =
            "state: { path: s }\nsources: { a: { type: s3_export }, b: { type: s3_export } }";
        let mut order = order();
        order.source = Some("b".into());
        let aimed = aim(&mut tree(text), &order).unwrap();
        assert!(aimed.state.ends_with("backfill-2026-01-01-2026-02-01-b"));
    }
}
