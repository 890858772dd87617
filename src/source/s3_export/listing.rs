//! The task that looks what is there, and hands on what is to be read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::flow::{Note, Shared, Step, Work};
use super::key_time::Form;
use super::memory::{Id, Verdict};
use super::selection::{Choice, Selection, Span};
use super::{Config, ReadMode, now};
use crate::client::bucket::{Bucket, Object};
use crate::failure::Failure;
use crate::observe::{NodeMeter, Progress, Trigger};

/// Why the task ends.
enum Stop {
    /// Nobody wants more.
    Unwanted,
    Failed(Failure),
}

/// Looks at everything, or where all keys begin with dates only at the last days of them, again and
/// again. A look at everything costs one request for a thousand objects.
pub(super) struct Lister {
    pub bucket: Bucket,
    pub config: Arc<Config>,
    pub selection: Arc<Selection>,
    pub memory: Shared,
    pub steps: mpsc::Sender<Step>,
    pub trigger: Trigger,
    /// Told when all that a look at everything found is handed over.
    pub passed: Arc<Notify>,
    pub meter: NodeMeter,
    pub progress: Progress,
    /// Whether the time of an object says when it turned up.
    pub timed: bool,
    /// Of the opening that it belongs to.
    pub generation: u64,
}

/// What a look at everything learnt of the keys: the form of the dates that all of them begin with.
#[derive(Default)]
struct Dates {
    form: Option<usize>,
    mixed: bool,
}

impl Dates {
    fn see(&mut self, forms: &[Form], prefix: &str, key: &str) {
        let begins = |form: &Form| {
            let below = key.get(prefix.len()..)?;
            let dated = form.find(below).filter(|dated| dated.at == 0)?;
            // Without their zeros, dates do not sort.
            below.starts_with(&form.write(dated.start)?).then_some(())
        };
        let form = forms.iter().position(|form| begins(form).is_some());
        self.mixed |= form.is_none() || self.form.is_some_and(|known| Some(known) != form);
        self.form = form;
    }

    fn form(&self) -> Option<usize> {
        self.form.filter(|_| !self.mixed)
    }
}

impl Lister {
    pub(super) async fn run(mut self) {
        if let Err(Stop::Failed(failure)) = self.look().await {
            // Nobody left to hear it is the other way to have ended.
            let _ = self.steps.send(Step::Fail(failure)).await;
        }
    }

    async fn look(&mut self) -> Result<(), Stop> {
        let mut dates = self.pass().await?;
        let mut whole = Instant::now();
        if self.config.read == ReadMode::Once {
            return Ok(());
        }
        loop {
            let told = self.pause().await;
            let due = whole.elapsed() >= self.config.reconcile;
            match dates.form().filter(|_| self.timed && !told && !due) {
                Some(form) => self.recent(form).await?,
                None => {
                    whole = Instant::now();
                    dates = self.pass().await?;
                }
            }
        }
    }

    /// Until the next look is due; true when it was asked for.
    async fn pause(&self) -> bool {
        let pause = match self.config.sqs {
            // The messages tell of new objects; a look finds those that they missed.
            Some(_) => self.config.reconcile,
            None => self.config.poll,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = self.trigger.pulled() => true,
        }
    }

    /// Looks at everything, and waits until all of it is handed over: only then what is behind it need
    /// not be remembered, and the next may begin.
    async fn pass(&mut self) -> Result<Dates, Stop> {
        let look_back = micros(self.config.look_back);
        let min_age = micros(self.config.min_age);
        self.memory.lock().begin_pass(now(), look_back, min_age);
        let mut dates = Dates::default();
        let span = self.selection.span(self.bucket.prefix());
        // Of some dates it does not say what is no longer there.
        let whole = span == Span::default();
        let mut there = (!self.timed && whole).then(HashSet::new);
        let mut listed = 0;
        let after = span.after.as_deref();
        let mut pages = self.bucket.list(self.bucket.prefix(), after);
        while let Some(page) = pages.next().await {
            let page = page.map_err(Stop::Failed)?;
            listed += page.len() as u64;
            let over = page.last().is_some_and(|last| span.ends_before(&last.key));
            for object in &page {
                dates.see(&self.selection.forms, self.bucket.prefix(), &object.key);
                if let Some(there) = &mut there {
                    there.insert(Id::of(&object.key));
                }
            }
            self.hand_on(page, true).await?;
            if over {
                break;
            }
        }
        self.meter.figure("objects_listed", listed);
        self.send(Step::Note(Note::Passed(there))).await?;
        if self.config.read == ReadMode::Follow {
            self.passed.notified().await;
        }
        Ok(dates)
    }

    /// Looks at the dates of the window.
    async fn recent(&self, form: usize) -> Result<(), Stop> {
        let since = now().saturating_sub(micros(self.config.look_back));
        let prefix = self.bucket.prefix();
        let form = self.selection.forms.get(form);
        let after = form.and_then(|form| form.before(prefix, since));
        let mut pages = self.bucket.list(prefix, after.as_deref());
        while let Some(page) = pages.next().await {
            self.hand_on(page.map_err(Stop::Failed)?, false).await?;
        }
        Ok(())
    }

    /// Hands on what of a page is to be read; `whole`: it belongs to a look at everything, which also
    /// tries what was denied before.
    async fn hand_on(&self, page: Vec<Object>, whole: bool) -> Result<(), Stop> {
        let (mut works, mut before) = (Vec::new(), (0, 0));
        let counted = self.config.read == ReadMode::Once;
        {
            let mut memory = self.memory.lock();
            if memory.generation() != self.generation {
                return Err(Stop::Unwanted);
            }
            let now = now();
            for object in page {
                if self.selection.choose(&object, now) != Choice::Read {
                    continue;
                }
                let id = Id::of(&object.key);
                let news = counted && memory.is_news(&object.key);
                let (from, told) = match memory.verdict(id, &object, true, whole) {
                    Verdict::Read { from, told } => (from, told),
                    // Connected again, what is known was counted as it was read.
                    Verdict::Known => {
                        before.0 += u64::from(news);
                        before.1 += if news { object.size } else { 0 };
                        continue;
                    }
                    Verdict::Queued => continue,
                };
                let work = Work::new(id, object, from, told, whole);
                memory.queue(id, &work.object, work.begin());
                works.push(work);
            }
        }
        if counted {
            self.announce(&works, before);
        }
        for work in works {
            self.send(Step::Read(Arc::new(work))).await?;
        }
        Ok(())
    }

    /// What is to be read, and what earlier runs have read.
    fn announce(&self, works: &[Work], (objects, bytes): (u64, u64)) {
        let size = works.iter().map(|work| work.object.size).sum::<u64>();
        self.progress
            .add_total(works.len() as u64 + objects, size + bytes);
        // Of an object that was begun the rest is read, and bytes come from its middle.
        let begun: u64 = works.iter().map(Work::begin).sum();
        match self.generation {
            0 => self.progress.skipped(objects, bytes + begun),
            _ => {
                self.progress.skipped(objects, bytes);
                self.progress.bytes_done(begun);
            }
        }
    }

    async fn send(&self, step: Step) -> Result<(), Stop> {
        self.steps.send(step).await.map_err(|_| Stop::Unwanted)
    }
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::key_time::KeyTime;
    use super::*;

    #[test]
    fn only_keys_that_all_begin_with_dates_are_looked_at_by_dates() {
        let form = |keys: &[&str]| {
            let mut dates = Dates::default();
            let forms = KeyTime::Auto.forms();
            keys.iter().for_each(|key| dates.see(&forms, "in/", key));
            dates.form()
        };
        assert_eq!(form(&["in/2026/11/05/07/a", "in/2026/11/05/08/b"]), Some(0));
        assert_eq!(form(&["in/2026/11/05/a", "in/2026/11/06/b"]), Some(1));
        assert_eq!(form(&["in/2026/11/05/a", "in/late.gz"]), None);
        assert_eq!(form(&["in/org/2026/11/05/a"]), None);
        assert_eq!(form(&["in/2026/11/5/a"]), None, "it does not sort");
        assert_eq!(form(&["in/x", "in/2026/11/05/a"]), None);
        assert_eq!(form(&[]), None);
    }
}
