//! Colours: a dark background, and a scale in which equal steps look equal.

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

pub(super) const BACKGROUND: Colour = [13, 17, 23];
/// A minute without events: seen as a cell, and darker than any that has some.
pub(super) const EMPTY: Colour = [28, 33, 41];
pub(super) const MUTED: Colour = [158, 168, 179];
pub(super) const STRONG: Colour = [240, 246, 252];

/// The colour map viridis of matplotlib (CC0) at nine points, from dark to light.
const VIRIDIS: [Colour; 9] = [
    [68, 1, 84],
    [71, 45, 123],
    [59, 82, 139],
    [44, 114, 142],
    [33, 144, 140],
    [39, 173, 129],
    [93, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];
/// Where the map begins here: what is darker is too near to the background to be seen from afar.
const FIRST: f64 = 0.2;

/// From 1 to the most of a day. The place of a count goes with its square root, so that one minute
/// that stands out does not leave all others dark.
pub(super) struct Scale {
    most: u32,
}

impl Scale {
    /// With this as the most; 0 on a day without any events.
    pub fn up_to(most: u32) -> Self {
        Self { most }
    }

    /// The colour of a count.
    pub fn colour(&self, count: u32) -> Colour {
        match count {
            0 => EMPTY,
            count => self.at(self.place(count)),
        }
    }

    /// Where a count from 1 lies between 0 and 1.
    fn place(&self, count: u32) -> f64 {
        let steps = f64::from(self.most.saturating_sub(1));
        if steps == 0.0 {
            return 0.0;
        }
        (f64::from(count.saturating_sub(1)) / steps)
            .clamp(0.0, 1.0)
            .sqrt()
    }

    /// The colour at a place between 0 and 1.
    pub fn at(&self, place: f64) -> Colour {
        let parts = VIRIDIS.len() - 1;
        let along = (FIRST + place.clamp(0.0, 1.0) * (1.0 - FIRST)) * parts as f64;
        let part = (along as usize).min(parts - 1);
        let (from, to) = (VIRIDIS[part], VIRIDIS[part + 1]);
        let between = along - part as f64;
        std::array::from_fn(|channel| {
            let (from, to) = (f64::from(from[channel]), f64::from(to[channel]));
            (from + (to - from) * between).round() as u8
        })
    }

    /// Places with the counts that stand there, no count twice.
    pub fn ticks(&self) -> Vec<(f64, u32)> {
        let steps = f64::from(self.most.saturating_sub(1));
        let count = |place: f64| 1 + (place * place * steps).round() as u32;
        let mut counts: Vec<u32> = (0..=4).map(|part| count(f64::from(part) / 4.0)).collect();
        counts.dedup();
        let tick = |count| (self.place(count), count);
        counts
            .into_iter()
            .filter(|_| self.most > 0)
            .map(tick)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brightness([red, green, blue]: Colour) -> f64 {
        0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
    }

    #[test]
    fn more_is_brighter_and_one_is_not_none() {
        for most in [1, 2, 10, 1000, u32::MAX] {
            let scale = Scale::up_to(most);
            let counts = [0, 1, most / 2 + 1, most];
            let bright = counts.map(|count| brightness(scale.colour(count)));
            assert!(bright[1] > bright[0] + 25.0, "{bright:?}");
            assert!(bright.is_sorted(), "{most}: {bright:?}");
        }
        assert_eq!(Scale::up_to(9).colour(9), VIRIDIS[8]);
    }

    #[test]
    fn ticks_say_what_the_colours_mean() {
        assert_eq!(Scale::up_to(0).ticks(), []);
        assert_eq!(Scale::up_to(1).ticks(), [(0.0, 1)]);
        let three: Vec<u32> = Scale::up_to(3).ticks().iter().map(|tick| tick.1).collect();
        assert_eq!(three, [1, 2, 3]);
        let scale = Scale::up_to(401);
        let ticks = scale.ticks();
        assert_eq!(
            ticks.iter().map(|tick| tick.1).collect::<Vec<_>>(),
            [1, 26, 101, 226, 401]
        );
        for (place, count) in ticks {
            assert_eq!(scale.at(place), scale.colour(count));
        }
    }
}
