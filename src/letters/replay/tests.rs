use std::collections::HashSet;
use std::fs;

use super::*;
use crate::event::Origin;
use crate::failure::{Cause, Kind};
use crate::letters::{LetterFile, Tally};
use crate::observe::{NodeKind, Observer};
use crate::state::Store;

fn line(n: u64, node: &str) -> String {
    let source = r#"{"name":"in","object":"a.ndjson","line":7,"offset":70}"#;
    let times = r#""time":"2026-11-21T09:00:00Z","first_time":"2026-11-20T09:00:00Z""#;
    format!(
        r#"{{"id":"id{n}","reason":"schema","node":"{node}",{times},"attempts":3,"source":{source},"event":{{"n":{n}}}}}"#
    )
}

struct Case {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    shelves: Vec<Arc<dyn Shelf>>,
}

impl Case {
    fn new(lines: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters");
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let shelves: Vec<Arc<dyn Shelf>> = vec![Arc::new(LetterFile::new(&path))];
        Self {
            _folder: folder,
            path,
            shelves,
        }
    }

    fn take(&self, limit: u64) -> Taken {
        take(&self.shelves, &Filter::default(), limit, None, |node| {
            let known = node != "gone";
            known.then_some(()).ok_or_else(|| "no such node".into())
        })
        .unwrap()
    }

    async fn source(&self, marks: HashSet<Mark>, outcomes: &Outcomes) -> Box<dyn Source> {
        let observer = Observer::new("p");
        let part = Box::new(Replaying {
            shelves: self.shelves.clone(),
            marks,
            keys: None,
            outcomes: outcomes.clone(),
        });
        let open = part.build(SourceContext {
            node: "n.replay".into(),
            paths: Arc::default(),
            store: Store::memory(),
            progress: observer.progress(),
            meter: observer.node("n.replay", NodeKind::Source, "replay"),
            simulator: None,
            triggers: observer.triggers(),
        });
        open().await.unwrap()
    }

    fn left(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.path).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn equal_lines_are_one_letter_and_the_limit_counts_letters() {
    let lines = [line(1, "a"), line(1, "a"), line(2, "gone"), line(3, "b")];
    let case = Case::new(&lines);
    let taken = case.take(u64::MAX);
    assert_eq!((taken.asked, taken.stuck_count, taken.masked), (3, 1, 2));
    assert_eq!(taken.stuck, ["id2: no such node"]);
    let nodes: Vec<_> = taken
        .nodes
        .iter()
        .map(|(node, marks)| (&**node, marks.len()))
        .collect();
    assert_eq!(nodes, [("a", 1), ("b", 1)]);
    assert_eq!(case.take(1).asked, 1);
}

#[tokio::test]
async fn each_letter_has_its_own_outcome_and_only_settled_ones_leave() {
    let lines: Vec<String> = (0..4).map(|n| line(n, "a")).collect();
    let case = Case::new(&lines);
    let marks = case.take(u64::MAX).nodes.remove("a").unwrap();
    let outcomes = Outcomes::new(case.shelves.clone());
    let mut source = case.source(marks, &outcomes).await;
    let delivery = source.next().await.unwrap().unwrap();
    assert_eq!(delivery.redelivery, Redelivery::Source);
    let events = delivery.batch.events();
    let replay = |index: usize| events[index].replay().unwrap();
    assert_eq!((&*replay(0).id, replay(0).attempts), ("id0", 3));
    let day = 86_400 * 1_000_000;
    assert_eq!(
        replay(0).first + day,
        crate::clock::parse_timestamp("2026-11-21T09:00:00Z").unwrap()
    );
    assert_eq!(
        (events[0].position.line, events[0].position.offset),
        (7, 70)
    );
    assert_eq!(
        (
            &*events[0].provenance().source,
            &*events[0].provenance().object
        ),
        ("in", "a.ndjson")
    );

    replay(0).delivered();
    // It went two ways, and one of them refused it: there is something left to do.
    replay(1).delivered();
    replay(1).dead_lettered();
    let cause = Cause::new("busy", "busy");
    let lost = Failure::only(Kind::Transient, cause, vec![Origin::new(9, 3)]).unwrap();
    delivery.settle.run(Err(lost)).await;
    outcomes.finish().await.unwrap();
    let Tally {
        delivered,
        dropped,
        dead_lettered,
        failed,
        reasons,
    } = outcomes.tally();
    assert_eq!((delivered, dropped, dead_lettered, failed), (1, 1, 1, 1));
    assert_eq!(reasons.into_values().collect::<Vec<_>>(), [1]);
    assert_eq!(case.left(), lines[3..]);
    assert!(source.next().await.unwrap().is_none());
}

#[tokio::test]
async fn what_cannot_be_read_or_is_gone_by_now_has_failed() {
    let twice = line(1, "a").replace(r#"{"n":1}"#, r#"{"n":1}}} no letter"#);
    let case = Case::new(&[line(1, "a"), twice]);
    let mut marks = case.take(u64::MAX).nodes.remove("a").unwrap();
    marks.insert(Mark::default());
    let outcomes = Outcomes::new(case.shelves.clone());
    let mut source = case.source(marks, &outcomes).await;
    let delivery = source.next().await.unwrap().unwrap();
    assert_eq!(delivery.batch.len(), 1);
    assert_eq!(outcomes.tally().failed, 1, "removed by somebody else");
    // The run ends before there is an answer: the letter stays.
    drop(delivery);
    tokio::task::yield_now().await;
    outcomes.finish().await.unwrap();
    assert_eq!((outcomes.tally().failed, case.left().len()), (2, 2));
}

#[tokio::test]
async fn letters_that_cannot_be_removed_yet_are_removed_later() {
    let case = Case::new(&[line(1, "a")]);
    let marks = case.take(u64::MAX).nodes.remove("a").unwrap();
    let outcomes = Outcomes::new(case.shelves.clone());
    let mut source = case.source(marks, &outcomes).await;
    let delivery = source.next().await.unwrap().unwrap();
    delivery.settle.run(Ok(())).await;
    let moved = case.path.with_extension("moved");
    fs::rename(&case.path, &moved).unwrap();
    assert!(outcomes.finish().await.is_err());
    fs::rename(&moved, &case.path).unwrap();
    outcomes.finish().await.unwrap();
    assert_eq!(case.left(), Vec::<String>::new());
}
