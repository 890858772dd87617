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

/// A row of `dim_time`.
pub(super) struct Hour {
    pub start: String,
    pub date: String,
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
            date: text.get(..10).unwrap_or_default().to_owned(),
            year: number(0, 4),
            quarter: (month + 2) / 3,
            month,
            day: number(8, 10),
            hour: number(11, 13),
            // 1970 began on a Thursday.
            day_of_week: (start.div_euclid(DAY) + 3).rem_euclid(7) + 1,
            start: text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_hour_apart() {
        let hour = Hour::starting(1_767_322_800_000);
        assert_eq!(hour.start, "2026-01-02T03:00:00.000Z");
        assert_eq!(
            (hour.date.as_str(), hour.year, hour.quarter),
            ("2026-01-02", 2026, 1)
        );
        assert_eq!(
            (hour.month, hour.day, hour.hour, hour.day_of_week),
            (1, 2, 3, 5)
        );
        let before = Hour::starting(-HOUR);
        assert_eq!(before.start, "1969-12-31T23:00:00.000Z");
        assert_eq!((before.quarter, before.day_of_week), (4, 3));
    }
}
