//! How many events fell into each minute, and a day of them in any time zone.
//!
//! Counts are kept by minutes of UTC and folded into a day's hours when they are read, so every zone
//! has its heatmap. A day of 25 hours has its repeated hour in one row, both times added; one of 23
//! hours has a row that is empty.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Minutes of a day of UTC.
const MINUTES: u32 = 1440;

/// One minute.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// Its events.
    seen: u32,
    /// Those among them whose conversation is forgotten, so that no row but this minute's own knows
    /// of them.
    folded: u32,
}

type Day = Box<[Cell; MINUTES as usize]>;

/// The latest days that have any activity. Which those are does not depend on the order in which
/// events come: a day that is pushed out is never among the latest again.
pub(super) struct Days {
    days: BTreeMap<u32, Day>,
    most: usize,
}

impl Days {
    /// Keeps at most this many days.
    pub fn new(most: usize) -> Self {
        Self {
            days: BTreeMap::new(),
            most: most.max(1),
        }
    }

    /// From now on as many as this.
    pub fn keep(&mut self, most: usize) {
        self.most = most.max(1);
    }

    fn cell(&mut self, minute: u32) -> Option<&mut Cell> {
        let day = self.days.get_mut(&(minute / MINUTES))?;
        Some(&mut day[(minute % MINUTES) as usize])
    }

    /// Counts an event; `false` where its day is no longer kept.
    pub fn count(&mut self, minute: u32) -> bool {
        self.add(minute, 1, 0)
    }

    /// Takes in what a row says of a minute.
    pub fn load(&mut self, minute: u32, folded: u32) -> bool {
        self.add(minute, folded, folded)
    }

    fn add(&mut self, minute: u32, seen: u32, folded: u32) -> bool {
        let day = minute / MINUTES;
        let oldest = self.days.keys().next().copied();
        let full = self.days.len() >= self.most;
        if full && oldest.is_some_and(|oldest| day < oldest) {
            return false;
        }
        let cells = self.days.entry(day).or_insert_with(|| {
            // 11 kB, whatever happens in it.
            Box::new([Cell::default(); MINUTES as usize])
        });
        let cell = &mut cells[(minute % MINUTES) as usize];
        cell.seen = cell.seen.saturating_add(seen);
        cell.folded = cell.folded.saturating_add(folded);
        true
    }

    /// Takes out a day too many, and tells the minutes of it that have rows.
    pub fn pushed_out(&mut self) -> Option<Vec<u32>> {
        if self.days.len() <= self.most {
            return None;
        }
        let (day, cells) = self.days.pop_first()?;
        let rows = cells
            .iter()
            .zip(day * MINUTES..)
            .filter(|(cell, _)| cell.folded > 0);
        Some(rows.map(|(_, minute)| minute).collect())
    }

    /// An event's conversation is forgotten: the number that the minute's row has from now on.
    pub fn fold(&mut self, minute: u32) -> Option<u32> {
        let cell = self.cell(minute)?;
        cell.folded = cell.folded.saturating_add(1);
        Some(cell.folded)
    }

    /// The counts of these minutes, and whether they are all that there ever were.
    pub fn read(&self, span: &Span) -> Counts {
        let mut counts = vec![0; span.length()];
        let end = span.from + counts.len() as i64;
        for (day, cells) in &self.days {
            let first = i64::from(*day) * i64::from(MINUTES);
            let (from, to) = (span.from.max(first), end.min(first + i64::from(MINUTES)));
            let Ok(length) = usize::try_from(to - from) else {
                continue;
            };
            // Both differences are from 0 and within a day or two.
            let (there, here) = ((from - first) as usize, (from - span.from) as usize);
            let cells = cells[there..there + length].iter();
            for (count, cell) in counts[here..here + length].iter_mut().zip(cells) {
                *count = cell.seen;
            }
        }
        // While there is room nothing was pushed out.
        let full = self.days.len() >= self.most;
        let oldest = self.days.keys().next().filter(|_| full);
        let begins = oldest.map_or(i64::MIN, |day| i64::from(*day) * i64::from(MINUTES));
        Counts {
            counts,
            complete: span.from >= begins,
        }
    }
}

/// What [`Days::read`] copies, so that the rest of the work needs no lock.
pub(super) struct Counts {
    counts: Vec<u32>,
    /// False: the day is older than what is kept.
    pub complete: bool,
}

/// The minutes of UTC that a day of a zone has.
pub(super) struct Span {
    from: i64,
    to: i64,
    zone: TimeZone,
}

impl Span {
    /// `None` for a day outside the range of the calendar.
    pub fn of(date: Date, zone: &TimeZone) -> Option<Self> {
        let start = |date: Date| Some(minutes(date.to_zoned(zone.clone()).ok()?.timestamp()));
        Some(Self {
            from: start(date)?,
            to: start(date.tomorrow().ok()?)?,
            zone: zone.clone(),
        })
    }

    fn length(&self) -> usize {
        // A day has 26 hours at most, in all that zones have ever done.
        usize::try_from(self.to - self.from)
            .unwrap_or(0)
            .min(2 * MINUTES as usize)
    }

    /// The same counts by hour and minute of the zone.
    pub fn fold(&self, counts: &Counts) -> Grid {
        let mut grid = Grid::default();
        let (mut at, mut rest) = (self.from, &counts.counts[..]);
        // Between two changes of the clocks the offset is one.
        while !rest.is_empty() {
            let Ok(time) = Timestamp::from_second(at * 60) else {
                break;
            };
            let offset = i64::from(self.zone.to_offset(time).seconds()).div_euclid(60);
            let change = self
                .zone
                .following(time)
                .next()
                .map(|it| minutes(it.timestamp()));
            let part = change.map_or(rest.len() as i64, |change| (change - at).max(1));
            let part = usize::try_from(part).map_or(rest.len(), |part| part.min(rest.len()));
            for (count, minute) in rest[..part].iter().zip(at + offset..) {
                let minute = minute.rem_euclid(i64::from(MINUTES)) as usize;
                let cell = &mut grid.0[minute / 60][minute % 60];
                *cell = cell.saturating_add(*count);
            }
            at += part as i64;
            rest = &rest[part..];
        }
        grid
    }
}

fn minutes(time: Timestamp) -> i64 {
    time.as_second().div_euclid(60)
}

/// A day by hour and minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grid(pub [[u32; 60]; 24]);

impl Default for Grid {
    fn default() -> Self {
        Self([[0; 60]; 24])
    }
}

impl Grid {
    /// All of the day.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().copied().map(u64::from).sum()
    }

    /// Hour, minute and count of the first of the busiest minutes; `None` on a day without any.
    pub fn busiest(&self) -> Option<(usize, usize, u32)> {
        let all = self.0.as_flattened().iter().copied().enumerate();
        let best = all.rev().max_by_key(|(_, count)| *count);
        let (at, count) = best.filter(|(_, count)| *count > 0)?;
        Some((at / 60, at % 60, count))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn minute(utc: &str) -> u32 {
        minutes(utc.parse().unwrap()).try_into().unwrap()
    }

    fn day(days: &Days, date: Date, zone: &str) -> Grid {
        let span = Span::of(date, &TimeZone::get(zone).unwrap()).unwrap();
        span.fold(&days.read(&span))
    }

    #[test]
    fn every_zone_has_its_own_day() {
        let mut days = Days::new(9);
        assert!(days.count(minute("2026-07-01T22:30:00Z")));
        assert!(days.count(minute("2026-07-01T22:30:59Z")));
        assert!(days.count(minute("2026-07-02T21:59:00Z")));
        assert_eq!(day(&days, date(2026, 7, 1), "UTC").0[22][30], 2);
        let berlin = day(&days, date(2026, 7, 2), "Europe/Berlin");
        assert_eq!(
            (berlin.0[0][30], berlin.0[23][59], berlin.total()),
            (2, 1, 3)
        );
        assert_eq!(berlin.busiest(), Some((0, 30, 2)));
        // Half an hour and three quarters aside.
        assert_eq!(day(&days, date(2026, 7, 2), "Asia/Kolkata").0[4][0], 2);
        assert_eq!(day(&days, date(2026, 7, 2), "Asia/Kathmandu").0[4][15], 2);
    }

    #[test]
    fn days_of_25_and_23_hours_have_24_rows() {
        let mut days = Days::new(9);
        // 02:30 twice: before and after the clocks of Berlin go back.
        for utc in [
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T22:59:00Z",
        ] {
            days.count(minute(utc));
        }
        let long = day(&days, date(2026, 10, 25), "Europe/Berlin");
        assert_eq!((long.0[2][30], long.0[23][59], long.total()), (2, 1, 3));
        // 02:30 never: after 01:59 comes 03:00.
        days.count(minute("2026-03-29T00:59:00Z"));
        days.count(minute("2026-03-29T01:00:00Z"));
        let short = day(&days, date(2026, 3, 29), "Europe/Berlin");
        assert_eq!((short.0[1][59], short.0[3][0], short.total()), (1, 1, 2));
        assert_eq!(short.0[2], [0; 60]);
        // Midnight itself comes twice, and not at all.
        let span = Span::of(date(2026, 11, 1), &TimeZone::get("America/Havana").unwrap());
        assert_eq!(span.unwrap().length(), 1500);
        let span = Span::of(
            date(2026, 9, 6),
            &TimeZone::get("America/Santiago").unwrap(),
        );
        assert_eq!(span.unwrap().length(), 1380);
    }

    #[test]
    fn the_latest_days_are_kept_whatever_the_order() {
        let kept = |order: &[u32]| {
            let mut days = Days::new(3);
            for day in order {
                days.count(day * MINUTES + 5);
                while days.pushed_out().is_some() {}
            }
            days.days
                .iter()
                .map(|(day, cells)| (*day, cells[5].seen))
                .collect::<Vec<_>>()
        };
        let latest = vec![(5, 1), (7, 2), (9, 1)];
        assert_eq!(kept(&[1, 7, 5, 9, 7, 2]), latest);
        assert_eq!(kept(&[9, 7, 2, 7, 1, 5]), latest);
    }

    #[test]
    fn what_is_no_longer_kept_is_not_said_to_be_empty() {
        let mut days = Days::new(2);
        days.count(10 * MINUTES);
        let complete = |days: &Days, day: i64| {
            let span = Span {
                from: day * 1440,
                to: (day + 1) * 1440,
                zone: TimeZone::UTC,
            };
            days.read(&span).complete
        };
        assert!(complete(&days, 3), "nothing was pushed out yet");
        days.count(12 * MINUTES);
        assert!(complete(&days, 11) && complete(&days, 10) && !complete(&days, 9));
    }

    #[test]
    fn rows_are_named_when_their_day_goes() {
        let mut days = Days::new(1);
        days.count(100);
        assert_eq!((days.fold(100), days.fold(MINUTES)), (Some(1), None));
        days.count(MINUTES);
        assert_eq!(days.pushed_out(), Some(vec![100]));
        assert_eq!(days.pushed_out(), None);
    }
}
