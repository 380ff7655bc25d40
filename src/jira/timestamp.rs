//! Points in time as Jira writes them, to milliseconds since 1970 and back.

/// Parses ISO 8601 as Jira writes it: `2009-12-16T23:46:10.612-0600`, `2026-01-01T01:01:01Z`, and without seconds,
/// `2026-03-26T16:00Z`, as rate-limit headers do. Milliseconds since 1970; none for anything else or before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (date, rest) = text.split_once(['T', 't'])?;
    let mut date = date.split('-');
    let year = digits(date.next()?, 4, 4)?;
    let month = digits(date.next()?, 2, 2)?;
    let day = digits(date.next()?, 2, 2)?;
    if date.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let mut clock = clock.split(':');
    let hour = digits(clock.next()?, 2, 2)?;
    let minute = digits(clock.next()?, 2, 2)?;
    let (second, fraction) = match clock.next() {
        None => (0, 0),
        Some(text) => {
            let (second, fraction) = text.split_once('.').unwrap_or((text, "0"));
            (digits(second, 2, 2)?, milliseconds(fraction)?)
        }
    };
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    u64::try_from(seconds * 1000 + fraction).ok()
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T08:00:00.000Z`.
pub fn format(ms: u64) -> String {
    let seconds = ms / 1000;
    // No calendar goes further than this text form: the year 9999.
    let days = i64::try_from((seconds / 86_400).min(2_932_896)).unwrap_or(0);
    let (year, month, day) = civil(days);
    let rest = seconds % 86_400;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

fn digits(text: &str, least: usize, most: usize) -> Option<i64> {
    let fits = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn milliseconds(fraction: &str) -> Option<i64> {
    digits(fraction, 1, 9)?;
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    padded.parse().ok()
}

/// Seconds east of UTC: `Z`, `+01:00`, `-0600`, `+02`.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' if zone.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let clock: String = zone[1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = if clock.len() == 2 { (clock.as_str(), "00") } else { clock.split_at_checked(2)? };
    Some(sign * (digits(hours, 2, 2)? * 3600 + digits(minutes, 2, 2)? * 60))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{format, parse};
    use proptest::prelude::*;

    #[test]
    fn reads_every_form_jira_writes() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2009-12-16T23:46:10.612-0600"), Some(1_261_028_770_612));
        assert_eq!(parse("2026-03-26T16:00Z"), Some(1_774_540_800_000));
        assert_eq!(parse("2026-03-26T17:00:00+01:00"), Some(1_774_540_800_000));
        assert_eq!(parse("2024-02-29T12:00:00.5Z"), Some(1_709_208_000_500));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "soon", "2026-13-01T00:00Z", "2026-01-01", "2026-01-01T25:00Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn reads_back_what_it_writes(ms in 0u64..253_402_300_799_000) {
            prop_assert_eq!(parse(&format(ms)), Some(ms));
        }

        #[test]
        fn writes_any_number(ms in any::<u64>()) {
            let _ = format(ms);
        }
    }
}
