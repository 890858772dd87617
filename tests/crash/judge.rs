//! Holds what is left in the sinks against the input and the promises.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::input::{Event, Fate};
use crate::left::Left;
use crate::promised::{Promised, What};
use crate::variant::Variant;

/// Events that a source was given and has to answer for on its own: all of them where it can read
/// them again, and those of one run where it cannot.
#[derive(Clone, Debug)]
pub struct Given {
    pub events: Range<usize>,
    /// How many the source had answered when it was asked for the last time; garbage not counted.
    pub answered: u64,
}

/// Everything that is known at the end.
pub struct Case<'a> {
    pub variant: &'a Variant,
    pub events: &'a [Event],
    pub given: &'a [Given],
    pub left: &'a Left,
    pub lines: Promised,
    pub rows: Promised,
}

/// Which events a sink shows, in two senses.
struct Sink<'s> {
    name: &'static str,
    promised: Promised,
    /// It is there, or what came behind it and takes its place.
    has: &'s dyn Fn(&Event) -> bool,
    /// It itself is there.
    shows: &'s dyn Fn(&Event) -> bool,
}

/// What is not as it was promised; never more than a page of it.
pub fn wrongs(case: &Case<'_>) -> Vec<String> {
    let mut wrong = case.left.wrong.clone();
    let ids: BTreeSet<usize> = case.left.lines.iter().map(|line| line.id).collect();
    let rows = &case.left.rows;
    let has_line = |event: &Event| ids.contains(&event.id);
    let lines = Sink {
        name: "lines",
        promised: case.lines,
        has: &has_line,
        shows: &has_line,
    };
    let rows = Sink {
        name: "rows",
        promised: case.rows,
        has: &|event| rows.get(&event.row()).is_some_and(|n| *n >= event.n),
        shows: &|event| rows.get(&event.row()) == Some(&event.n),
    };
    case.nothing_else(&mut wrong);
    for sink in [lines, rows] {
        match sink.promised.what {
            What::NothingElse => {}
            What::Everything => case.everything(&sink, &mut wrong),
            What::Prefixes => case.prefixes(&sink, &mut wrong),
        }
    }
    case.order(&mut wrong);
    case.repeats(&mut wrong);
    wrong.truncate(40);
    wrong
}

impl Case<'_> {
    fn is_given(&self, id: usize, fate: Fate) -> bool {
        let given = self.given.iter().any(|given| given.events.contains(&id));
        given && self.events[id].fate == fate
    }

    fn given_events<'c>(&'c self, given: &Given) -> impl Iterator<Item = &'c Event> {
        self.events[given.events.clone()].iter()
    }

    /// What the sinks hold has come in, and belongs there.
    fn nothing_else(&self, wrong: &mut Vec<String>) {
        let lines = self.left.lines.iter().map(|line| line.id);
        let strange = lines.filter(|id| !self.is_given(*id, Fate::Valid));
        wrong.extend(strange.map(|id| format!("lines: e{id} does not belong there")));
        let known: BTreeMap<(String, usize), usize> = self
            .events
            .iter()
            .filter(|event| self.is_given(event.id, Fate::Valid))
            .map(|event| ((event.row(), event.n), event.id))
            .collect();
        for (row, n) in &self.left.rows {
            if !known.contains_key(&(row.clone(), *n)) {
                wrong.push(format!(
                    "rows: {row} has version {n}, which was not written"
                ));
            }
        }
        for (ids, fate) in [
            (&self.left.refused, Fate::Refused),
            (&self.left.garbage, Fate::Garbage),
        ] {
            let strange = ids.iter().filter(|id| !self.is_given(**id, fate));
            wrong.extend(strange.map(|id| format!("letters: {id} is not {fate:?}")));
        }
    }

    /// Whether the event was dealt with, as far as this sink and the dead letters show.
    fn is_settled(&self, sink: &Sink<'_>, event: &Event) -> bool {
        match event.fate {
            Fate::Valid => (sink.has)(event),
            Fate::Refused => self.left.refused.contains(&event.id),
            Fate::Garbage => self.left.garbage.contains(&event.id),
            // Of a repeat nothing is seen; the event that it repeats stands for it.
            Fate::Repeat => (sink.has)(event),
        }
    }

    fn everything(&self, sink: &Sink<'_>, wrong: &mut Vec<String>) {
        for given in self.given {
            let lost = self
                .given_events(given)
                .filter(|e| !self.is_settled(sink, e));
            wrong.extend(lost.map(|e| format!("{}: lost {e:?}", sink.name)));
        }
    }

    /// Of what each run was given: no holes in what came out, and all that was answered.
    fn prefixes(&self, sink: &Sink<'_>, wrong: &mut Vec<String>) {
        for given in self.given {
            self.no_holes(sink, given, wrong);
            self.answered(sink, given, wrong);
        }
    }

    fn no_holes(&self, sink: &Sink<'_>, given: &Given, wrong: &mut Vec<String>) {
        let Variant {
            one_line, by_key, ..
        } = *self.variant;
        if !by_key {
            return;
        }
        // How far each line has come; where there is but one, all keys are in it.
        let line = |event: &Event| if one_line { 0 } else { event.key };
        let valid = || self.given_events(given).filter(|e| e.fate == Fate::Valid);
        let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
        for event in valid().filter(|event| (sink.shows)(event)) {
            ends.insert(line(event), event.id);
        }
        for event in valid() {
            let end = ends.get(&line(event)).copied();
            if end.is_some_and(|end| event.id < end) && !(sink.has)(event) {
                let (name, end) = (sink.name, end.unwrap_or_default());
                wrong.push(format!("{name}: {event:?} is missing in front of e{end}"));
            }
        }
    }

    /// As many were dealt with as were answered. Not the first ones: a delivery of repeats alone is
    /// answered while those in front of it still wait for a sink.
    fn answered(&self, sink: &Sink<'_>, given: &Given, wrong: &mut Vec<String>) {
        let counted = self.given_events(given).filter(|e| e.fate != Fate::Garbage);
        let settled = counted.filter(|e| self.is_settled(sink, e)).count() as u64;
        if settled < given.answered {
            let (name, range, count) = (sink.name, &given.events, given.answered);
            let told = format!("{name}: {count} of {range:?} were answered, {settled} came out");
            wrong.push(told);
        }
    }

    /// Each event that comes for the first time comes behind those that were in front of it.
    fn order(&self, wrong: &mut Vec<String>) {
        let Variant {
            one_line, by_key, ..
        } = *self.variant;
        if !by_key {
            return;
        }
        let drops = self.lines.what == What::NothingElse;
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for line in &self.left.lines {
            let Some(event) = self.events.get(line.id).filter(|_| seen.insert(line.id)) else {
                continue;
            };
            // What was dropped in one run may come in the next: it is behind only within its run.
            let life = if drops { line.life } else { 0 };
            let place = (life, if one_line { 0 } else { event.key });
            let before = last.insert(place, event.id);
            if before.is_some_and(|before| before > event.id) {
                wrong.push(format!("lines: {event:?} came behind {before:?}"));
            }
        }
    }

    /// Repeats by a crash are promised or not; those within a run are a matter of the settings.
    fn repeats(&self, wrong: &mut Vec<String>) {
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for line in &self.left.lines {
            let before = last.insert(line.id, line.life);
            let Some(before) = before else { continue };
            let same_life = before == line.life;
            if same_life && self.variant.once_a_life || !same_life && !self.lines.repeats {
                wrong.push(format!("lines: e{} is there twice", line.id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Stream, VERSIONS};
    use crate::left::Line;
    use crate::promised;
    use crate::random::Random;

    const ALL: Promised = Promised {
        what: What::Everything,
        repeats: true,
    };
    const SOME: Promised = Promised {
        what: What::Prefixes,
        repeats: false,
    };

    struct Fixture {
        events: Vec<Event>,
        given: Vec<Given>,
        left: Left,
        promised: Promised,
    }

    impl Fixture {
        /// 600 events in two runs, everything where it belongs.
        fn new(promised: Promised) -> Fixture {
            let (mut stream, mut random) = (Stream::default(), Random(7));
            for _ in 0..600 {
                stream.draw(&mut random, 0);
            }
            let events = stream.events;
            let mut left = Left::default();
            for event in &events {
                let (id, life) = (event.id, usize::from(event.id >= 300));
                match event.fate {
                    Fate::Valid => left.lines.push(Line { id, life }),
                    Fate::Refused => drop(left.refused.insert(id)),
                    Fate::Garbage => drop(left.garbage.insert(id)),
                    Fate::Repeat => {}
                }
                if event.fate == Fate::Valid {
                    left.rows.insert(event.row(), event.n);
                }
            }
            let given = |events| Given {
                events,
                answered: 0,
            };
            Fixture {
                events,
                given: vec![given(0..300), given(300..600)],
                left,
                promised,
            }
        }

        fn wrongs(&self, variant: &str) -> Vec<String> {
            wrongs(&Case {
                variant: Variant::named(variant),
                events: &self.events,
                given: &self.given,
                left: &self.left,
                lines: self.promised,
                rows: promised::Promised {
                    repeats: false,
                    ..self.promised
                },
            })
        }

        fn is_right(&self) {
            assert_eq!(self.wrongs("memory"), [""; 0]);
        }

        /// Exactly one thing is wrong, and it is told in these words.
        fn is_wrong(&self, words: &str) {
            let wrong = self.wrongs("memory");
            assert!(
                wrong.len() == 1 && wrong[0].contains(words),
                "{words}: {wrong:?}"
            );
        }

        /// Takes the lines out of which this is true.
        fn without(mut self, lost: impl Fn(usize) -> bool) -> Fixture {
            self.left.lines.retain(|line| !lost(line.id));
            self
        }
    }

    #[test]
    fn what_is_whole_is_right() {
        Fixture::new(ALL).is_right();
        Fixture::new(SOME).is_right();
    }

    #[test]
    fn a_lost_event_is_found_in_every_place() {
        let fixture = Fixture::new(ALL);
        let (first, last) = (fixture.left.lines[0].id, fixture.left.lines[400].id);
        for lost in [first, last] {
            // Whatever comes again of it is lost with it.
            let fixture = Fixture::new(ALL).without(|id| id == lost);
            let wrong = fixture.wrongs("memory");
            assert!(!wrong.is_empty() && wrong.iter().all(|w| w.contains("lines: lost")));
        }
        let mut fixture = Fixture::new(ALL);
        fixture.left.refused.pop_first();
        assert!(fixture.wrongs("memory")[0].contains("Refused"));
        let mut fixture = Fixture::new(ALL);
        fixture.left.garbage.pop_last();
        assert!(fixture.wrongs("memory")[0].contains("Garbage"));
        let mut fixture = Fixture::new(ALL);
        fixture.left.rows.remove("k3-1");
        let wrong = fixture.wrongs("memory");
        assert!((1..=2 * VERSIONS).contains(&wrong.len()), "{wrong:?}");
    }

    #[test]
    fn an_older_version_of_a_row_is_a_loss() {
        let mut fixture = Fixture::new(ALL);
        let n = fixture.left.rows["k5-2"];
        let before = fixture
            .events
            .iter()
            .rev()
            .find(|e| e.fate == Fate::Valid && e.row() == "k5-2" && e.n < n);
        let before = before.expect("an older version").n;
        fixture.left.rows.insert("k5-2".into(), before);
        let wrong = fixture.wrongs("memory");
        assert!(
            !wrong.is_empty() && wrong[0].contains("rows: lost"),
            "{wrong:?}"
        );
    }

    #[test]
    fn of_a_pipe_ends_may_be_missing_but_no_holes() {
        let fixture = Fixture::new(SOME).without(|id| (250..300).contains(&id) || id > 580);
        fixture.is_right();
        let hole = fixture.left.lines[40].id;
        let fixture = fixture.without(|id| id == hole);
        fixture.is_wrong("is missing in front of");
        // In rows the hole shows where nothing else takes its place.
        let mut fixture = Fixture::new(SOME);
        fixture.left.rows.remove("k1-0");
        assert!(fixture.wrongs("memory")[0].contains("rows"));
    }

    #[test]
    fn what_was_answered_is_not_lost() {
        let mut fixture = Fixture::new(SOME).without(|id| (250..300).contains(&id));
        let is_there = |event: &&Event| match event.fate {
            Fate::Garbage => false,
            Fate::Refused => true,
            Fate::Valid | Fate::Repeat => event.id < 250,
        };
        let count = fixture.events[..300].iter().filter(is_there).count() as u64;
        fixture.given[0].answered = count;
        fixture.is_right();
        fixture.given[0].answered = count + 1;
        fixture.is_wrong("were answered");
    }

    #[test]
    fn repeats_are_right_only_where_and_when_they_are_promised() {
        let mut fixture = Fixture::new(ALL);
        let (id, life) = (fixture.left.lines[10].id, 1);
        fixture.left.lines.push(Line { id, life });
        fixture.is_right();
        fixture.promised = SOME;
        fixture.is_wrong("is there twice");
        fixture.promised = ALL;
        fixture.left.lines.push(Line { id, life });
        fixture.is_wrong("is there twice");
        assert_eq!(fixture.wrongs("exhausted"), [""; 0]);
    }

    #[test]
    fn what_overtakes_is_found() {
        let mut fixture = Fixture::new(ALL);
        let same_key = |a: &Line, b: &Line| fixture.events[a.id].key == fixture.events[b.id].key;
        let lines = &fixture.left.lines;
        let pair = (0..lines.len() - 1).find(|at| same_key(&lines[*at], &lines[at + 1]));
        let other = (0..lines.len() - 1).find(|at| !same_key(&lines[*at], &lines[at + 1]));
        let (pair, other) = (pair.unwrap(), other.unwrap());
        fixture.left.lines.swap(other, other + 1);
        assert_eq!(fixture.wrongs("partitions"), [""; 0]);
        fixture.is_wrong("came behind");
        fixture.left.lines.swap(other, other + 1);
        fixture.left.lines.swap(pair, pair + 1);
        assert!(fixture.wrongs("partitions")[0].contains("came behind"));
    }

    #[test]
    fn strangers_are_found() {
        let mut fixture = Fixture::new(ALL);
        let refused = *fixture.left.refused.first().unwrap();
        fixture.left.lines.push(Line {
            id: refused,
            life: 1,
        });
        let wrong = fixture.wrongs("memory");
        assert!(wrong[0].contains("does not belong there"), "{wrong:?}");
        let mut fixture = Fixture::new(ALL);
        fixture.left.rows.insert("k1-0".into(), 77);
        assert!(fixture.wrongs("memory")[0].contains("which was not written"));
    }
}
