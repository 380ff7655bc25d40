//! Dates in JQL: quoted dates in the site's zone, periods from now, epoch milliseconds.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time};

use crate::clock::{ZONE_OFFSET, civil};

const MINUTES: [&[BorrowedFormatItem<'_>]; 2] = [
    format_description!("[year]-[month]-[day] [hour]:[minute]"),
    format_description!("[year]/[month]/[day] [hour]:[minute]"),
];
const DAYS: [&[BorrowedFormatItem<'_>]; 2] =
    [format_description!("[year]-[month]-[day]"), format_description!("[year]/[month]/[day]")];

/// Milliseconds since 1970, or nothing for what is no date.
pub(super) fn parse(text: &str, quoted: bool, now: i64) -> Option<i64> {
    if !quoted && let Ok(epoch) = text.parse::<i64>() {
        // Only what is too long for a period count is an epoch; Jira reads it as milliseconds.
        return Some(epoch);
    }
    for format in MINUTES {
        if let Ok(moment) = PrimitiveDateTime::parse(text, format) {
            return Some(moment.assume_offset(ZONE_OFFSET).unix_timestamp() * 1000);
        }
    }
    for format in DAYS {
        if let Ok(day) = Date::parse(text, format) {
            return Some(day.with_time(Time::MIDNIGHT).assume_offset(ZONE_OFFSET).unix_timestamp() * 1000);
        }
    }
    period(text).and_then(|ms| now.checked_add(ms))
}

/// `-5d`, `4w 2d`, `30m`: milliseconds.
fn period(text: &str) -> Option<i64> {
    let (sign, rest) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1_i64, rest),
        None => (1, text.trim().trim_start_matches('+')),
    };
    let mut total: i64 = 0;
    let mut parts = 0;
    for part in rest.split_whitespace() {
        let unit = part.chars().last()?;
        let count: i64 = part.strip_suffix(unit)?.parse().ok()?;
        let ms = match unit {
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            'w' => 7 * 86_400_000,
            'M' => 30 * 86_400_000,
            'y' => 365 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(ms)?)?;
        parts += 1;
    }
    (parts > 0).then_some(sign * total)
}

/// The start of the current day in the site's zone.
pub(super) fn start_of_day(now: i64) -> i64 {
    civil(now).replace_time(Time::MIDNIGHT).unix_timestamp() * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_dates_are_of_the_sites_zone_and_numbers_are_milliseconds() {
        assert_eq!(parse("2022-01-15 20:44", true, 0), Some(1_642_297_440_000));
        assert_eq!(parse("1642297494989", false, 0), Some(1_642_297_494_989));
        assert_eq!(parse("-1h", true, 3_600_000), Some(0));
        assert_eq!(parse("yesterday", true, 0), None);
        assert_eq!(parse("-9999999999999999y", true, 0), None);
    }
}
