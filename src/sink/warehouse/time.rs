//! Times as the warehouse stores them.

use crate::clock::format_timestamp;

/// Milliseconds.
pub(super) const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A time as UTC text of 24 letters, such as `2026-01-02T03:04:05.678Z`, for milliseconds since
/// 1970 within the years 1 to 9999. It sorts as the number does.
pub(super) fn text(ms: i64) -> String {
    format_timestamp(ms * 1000)
}

/// A day as text, such as `2026-01-02`, for days since 1970.
pub(super) fn day_text(days: i32) -> String {
    let mut text = text(i64::from(days) * DAY);
    text.truncate(10);
    text
}

/// A row of `dim_time`.
pub(super) struct Hour {
    /// Days since 1970.
    pub date: i32,
    pub year: i64,
    pub quarter: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    /// 1 is Monday.
    pub day_of_week: i64,
}

impl Hour {
    /// The hour that begins at `start`, in milliseconds since 1970.
    pub fn starting(start: i64) -> Self {
        let text = text(start);
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).unwrap_or_default();
            digits.parse().unwrap_or_default()
        };
        let month = number(5, 7);
        Self {
            // No year of four digits is that far from 1970.
            date: i32::try_from(start.div_euclid(DAY)).unwrap_or_default(),
            year: number(0, 4),
            quarter: (month + 2) / 3,
            month,
            day: number(8, 10),
            hour: number(11, 13),
            // 1970 began on a Thursday.
            day_of_week: (start.div_euclid(DAY) + 3).rem_euclid(7) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_hour_apart() {
        let hour = Hour::starting(1_767_322_800_000);
        assert_eq!(day_text(hour.date), "2026-01-02");
        assert_eq!((hour.year, hour.quarter), (2026, 1));
        assert_eq!(
            (hour.month, hour.day, hour.hour, hour.day_of_week),
            (1, 2, 3, 5)
        );
        let before = Hour::starting(-HOUR);
        assert_eq!(day_text(before.date), "1969-12-31");
        assert_eq!((before.quarter, before.day_of_week), (4, 3));
    }
}
