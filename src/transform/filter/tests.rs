use std::sync::Arc;

use super::*;
use crate::config::Fixed;
use crate::event::{Event, PathSet};

fn filter(yaml: &str) -> Option<(Filter, Arc<PathSet>)> {
    let loaded = crate::config::parse("t.yaml", yaml, &Fixed::default());
    let mut report = loaded.report;
    let tree = loaded.tree.unwrap();
    let mut fields = Fields::new(&tree, "transform `x` (filter)", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    assert_eq!(config.is_none(), report.has_errors());
    let mut config = config?;
    let mut set = PathSet::default();
    config.paths(&mut |path| set.intern(path));
    Some((config.open(), Arc::new(set)))
}

async fn kept(bodies: &[&str]) -> (Vec<String>, Vec<(&'static str, u64)>) {
    let (filter, set) = filter("where: { path: .n, greater: 1 }").unwrap();
    let parse = |body: &&str| Event::parse((*body).into(), &set, &Arc::default()).unwrap();
    let batch: Batch = bodies.iter().map(parse).collect();
    let shared = batch.clone();
    let applied = filter.apply(batch).await.unwrap();
    assert_eq!(shared.len(), bodies.len());
    let bodies = applied.batch.events().iter().map(Event::to_json).collect();
    (bodies, applied.dropped)
}

#[tokio::test]
async fn keeps_in_order_what_holds_and_counts_the_rest() {
    let (bodies, dropped) =
        kept(&[r#"{"n":2}"#, r#"{"n":1}"#, r#"{"n":3}"#, "5", r#"{"n":4}"#]).await;
    assert_eq!(bodies, [r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#]);
    assert_eq!(dropped, [("filtered", 2)]);
    assert_eq!(kept(&[r#"{"n":0}"#]).await, (vec![], vec![("filtered", 1)]));
    assert_eq!(kept(&[]).await, (vec![], vec![]));
}

#[tokio::test]
async fn a_batch_that_passes_is_the_same_batch() {
    let (filter, set) = filter("where: { path: .n, exists: true }").unwrap();
    let event = Event::parse(r#"{"n":1}"#.into(), &set, &Arc::default()).unwrap();
    let batch: Batch = [event].into_iter().collect();
    let place = batch.events().as_ptr();
    let applied = filter.apply(batch).await.unwrap();
    assert_eq!(applied.batch.events().as_ptr(), place);
    assert!(applied.dropped.is_empty());
}

#[test]
fn needs_its_condition() {
    assert!(filter("{}").is_none());
    assert!(filter("where: { path: .n }").is_none());
    assert!(filter("{ were: { label: late } }").is_none());
}
