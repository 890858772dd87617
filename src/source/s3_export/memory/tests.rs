use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::codec::Position;

fn object(key: &str, modified: i64, version: u64) -> Object {
    Object {
        key: key.to_owned(),
        size: 10,
        modified_micros: modified,
        version: version.to_string(),
    }
}

/// A store with one reader that is killed now and then.
struct Model {
    timed: bool,
    look_back: i64,
    now: i64,
    there: BTreeMap<String, Object>,
    /// What the state store keeps.
    kept: BTreeMap<Vec<u8>, Vec<u8>>,
    memory: Memory<()>,
    queue: VecDeque<Item>,
    passing: bool,
    /// How often each version of each object was read to its end.
    read: HashMap<(String, String), u32>,
}

enum Item {
    Object(Id, Object, bool),
    Pass(HashSet<Id>),
}

#[derive(Clone, Debug)]
enum Step {
    /// An object turns up, so much after its time.
    Arrive(u8, i64),
    Notify(u8),
    Pass,
    /// So many of the queue are read.
    Read(u8),
    Crash,
    Reopen,
    Wait(i64),
}

impl Model {
    fn new(timed: bool, most: usize) -> Self {
        Self {
            timed,
            look_back: 50,
            now: 1000,
            there: BTreeMap::new(),
            kept: BTreeMap::new(),
            memory: Memory::new(Vec::new(), 7, most, timed),
            queue: VecDeque::new(),
            passing: false,
            read: HashMap::new(),
        }
    }

    fn keep(&mut self, places: impl IntoIterator<Item = Checkpoint>) {
        for Checkpoint { key, value } in places {
            match value.is_empty() {
                true => self.kept.remove(&key),
                false => self.kept.insert(key, value),
            };
        }
    }

    fn restart(&mut self, most: usize) {
        let kept = self.kept.iter().map(|(key, value)| Checkpoint {
            key: key.clone(),
            value: value.clone(),
        });
        self.memory = Memory::new(kept.collect(), 7, most, self.timed);
        self.queue.clear();
        self.passing = false;
    }

    fn find(&mut self, object: Object, listed: bool) {
        let id = Id::of(&object.key);
        if let Verdict::Read { .. } = self.memory.verdict(id, &object, listed, false) {
            self.memory.queue(id, &object, 0);
            self.queue.push_back(Item::Object(id, object, listed));
        }
    }

    fn pass(&mut self) {
        if self.passing {
            return;
        }
        self.passing = true;
        self.memory.begin_pass(self.now, self.look_back, 0);
        let all: Vec<Object> = self.there.values().cloned().collect();
        let ids = all.iter().map(|object| Id::of(&object.key)).collect();
        all.into_iter().for_each(|object| self.find(object, true));
        self.queue.push_back(Item::Pass(ids));
    }

    fn read_one(&mut self) {
        let mut places = Vec::new();
        match self.queue.pop_front() {
            None => return,
            Some(Item::Pass(ids)) => {
                self.passing = false;
                self.memory.end_pass((!self.timed).then_some(&ids));
            }
            Some(Item::Object(id, object, pass)) => {
                // It may have been replaced since.
                let now = self.there.get(&object.key).map(|now| &now.version);
                let same = now == Some(&object.version);
                let end = if same { End::Done } else { End::Again };
                places.extend(self.memory.end(id, &object, end, pass).0);
                if same {
                    *self.read.entry((object.key, object.version)).or_default() += 1;
                }
            }
        }
        places.extend(self.memory.rest());
        self.keep(places);
    }

    fn step(&mut self, step: &Step, most: usize, version: u64) {
        match step {
            Step::Arrive(key, late) => {
                let key = format!("k{key:03}");
                let mut modified = self.now
                    - if self.timed {
                        late % self.look_back
                    } else {
                        late * 9
                    };
                if let Some(before) = self.there.get(&key) {
                    // A store's time of an object that is replaced does not go back.
                    modified = modified.max(before.modified_micros);
                }
                self.there
                    .insert(key.clone(), object(&key, modified, version));
            }
            Step::Notify(key) => {
                let found = self.there.get(&format!("k{key:03}")).cloned();
                let new = |it: &Object| {
                    !self
                        .read
                        .contains_key(&(it.key.clone(), it.version.clone()))
                };
                if let Some(object) = found.filter(new) {
                    self.find(object, false);
                }
            }
            Step::Pass => self.pass(),
            Step::Read(count) => (0..*count).for_each(|_| self.read_one()),
            Step::Crash => self.restart(most),
            Step::Reopen => {
                self.memory.reopen();
                self.queue.clear();
                self.passing = false;
            }
            Step::Wait(time) => self.now += time,
        }
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            self.pass();
            while !self.queue.is_empty() {
                self.read_one();
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..40_u8, 0..200_i64).prop_map(|(key, late)| Step::Arrive(key, late)),
        1 => (0..40_u8).prop_map(Step::Notify),
        2 => Just(Step::Pass),
        4 => (0..30_u8).prop_map(Step::Read),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
        2 => (0..60_i64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

fn run(steps: &[Step], timed: bool) -> Result<Model, TestCaseError> {
    let most = 10_000;
    let mut model = Model::new(timed, most);
    for (version, step) in steps.iter().enumerate() {
        model.step(step, most, version as u64);
    }
    model.settle();
    for object in model.there.values() {
        let id = (object.key.clone(), object.version.clone());
        prop_assert!(model.read.contains_key(&id), "{object:?} was skipped");
    }
    let twice = model.read.iter().find(|(_, count)| **count > 1);
    prop_assert!(twice.is_none(), "{twice:?} was read twice");
    Ok(model)
}

proptest! {
    #[test]
    fn no_object_is_skipped_or_read_twice(steps in steps()) {
        let mut model = run(&steps, true)?;
        // Once all is old, one row is left of it.
        model.now += 10 * model.look_back;
        model.settle();
        prop_assert_eq!((model.memory.remembered(), model.kept.len()), (0, 1));
    }

    #[test]
    fn files_that_keep_their_times_are_not_skipped(steps in steps()) {
        let mut model = run(&steps, false)?;
        prop_assert_eq!(model.memory.remembered(), model.there.len());
        model.there.clear();
        model.settle();
        prop_assert_eq!((model.memory.remembered(), model.kept.len()), (0, 0));
    }
}

#[test]
fn a_pass_over_old_objects_leaves_one_row_and_goes_on_after_a_crash() {
    let mut model = Model::new(true, 1000);
    for number in 0..100 {
        let key = format!("k{number:03}");
        model.there.insert(key.clone(), object(&key, number, 1));
    }
    model.pass();
    (0..60).for_each(|_| model.read_one());
    assert_eq!(model.kept.len(), 1);
    model.restart(1000);
    model.pass();
    assert_eq!(
        model.queue.len(),
        41,
        "forty objects and the end of the pass"
    );
    model.settle();
    assert_eq!((model.read.len(), model.kept.len()), (100, 1));
    assert!(model.read.values().all(|count| *count == 1));
}

#[test]
fn what_is_remembered_is_bounded() {
    let most = 50;
    let mut model = Model::new(true, most);
    model.look_back = 10_000;
    for number in 0..500 {
        let key = format!("k{number:03}");
        model.now += 1;
        model.there.insert(key.clone(), object(&key, model.now, 1));
        if number % 7 == 0 {
            model.pass();
        }
        (0..3).for_each(|_| model.read_one());
        assert!(model.memory.remembered() <= 2 * most);
    }
    model.settle();
    assert!(model.read.values().all(|count| *count == 1));
    assert_eq!(model.read.len(), 500);
    assert!(model.kept.len() <= 2 * most, "{}", model.kept.len());
}

#[test]
fn denied_objects_are_tried_again_and_places_come_back() {
    let mut memory: Memory<u8> = Memory::new(Vec::new(), 7, 10, true);
    let (id, one) = (Id::of("a"), object("a", 5, 1));
    memory.queue(id, &one, 0);
    assert_eq!(memory.wait_for(id, 9), None);
    assert_eq!(memory.verdict(id, &one, true, true), Verdict::Queued);
    let (kept, waiting) = memory.end(id, &one, End::Denied, true);
    assert_eq!(waiting, [9]);
    assert_eq!(memory.wait_for(id, 9), Some(9));
    let place = Place {
        position: Position {
            offset: 77,
            ..Position::default()
        },
        plain: true,
    };
    let two = object("b", 6, 1);
    let part = memory.part(Id::of("b"), &two, place);
    let memory: Memory<u8> = Memory::new(vec![kept.unwrap(), part], 7, 10, true);
    let verdict = |denied| memory.verdict(id, &one, true, denied);
    assert_eq!(verdict(false), Verdict::Known);
    let told = Verdict::Read {
        from: None,
        told: true,
    };
    assert_eq!(verdict(true), told);
    let resumed = Verdict::Read {
        from: Some(place),
        told: false,
    };
    assert_eq!(memory.verdict(Id::of("b"), &two, true, false), resumed);
    let changed = object("b", 6, 2);
    let fresh = Verdict::Read {
        from: None,
        told: false,
    };
    assert_eq!(memory.verdict(Id::of("b"), &changed, true, false), fresh);
}

#[test]
fn another_selection_looks_at_everything_again() {
    let mut memory: Memory<()> = Memory::new(Vec::new(), 7, 10, true);
    memory.begin_pass(1000, 50, 0);
    memory.end_pass(None);
    let old = object("a", 5, 1);
    let kept = memory.rest();
    assert_eq!(
        memory.verdict(Id::of("a"), &old, true, false),
        Verdict::Known
    );
    let other: Memory<()> = Memory::new(kept.clone(), 8, 10, true);
    assert_ne!(
        other.verdict(Id::of("a"), &old, true, false),
        Verdict::Known
    );
    let same: Memory<()> = Memory::new(kept, 7, 10, true);
    assert_eq!(same.verdict(Id::of("a"), &old, true, false), Verdict::Known);
}

#[test]
fn what_is_found_again_by_the_next_connection_does_not_count_twice() {
    let mut memory: Memory<u8> = Memory::new(Vec::new(), 7, 10, true);
    let all = ["a", "b", "c"].map(|key| Object {
        size: 10,
        ..object(key, 5, 1)
    });
    for object in &all {
        assert!(memory.is_news(&object.key));
        memory.queue(Id::of(&object.key), object, 4);
    }
    memory.end(Id::of("a"), &all[0], End::Done, true);
    memory.begun(3);
    let (objects, bytes, read) = (2, 20, 3 + 2 * 4);
    let again = Again {
        objects,
        bytes,
        read,
    };
    let generation = memory.generation();
    assert_eq!(memory.reopen(), again);
    assert_eq!(memory.reopen(), Again::default());
    assert_eq!(memory.generation(), generation + 2);
    assert!(!memory.is_news("c") && memory.is_news("d"));
}
