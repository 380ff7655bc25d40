use super::{LONGEST_MS, asked, retry_after, scope};
use crate::contract::Scope;
use crate::host::Response;
use proptest::prelude::*;

const NOW: u64 = 1_792_000_000_000;

fn answer(headers: &[(&str, &str)]) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Response { status: 429, headers, body: Vec::new() }
}

#[test]
fn reads_every_written_form() {
    assert_eq!(retry_after("1847", NOW), Some(1_847_000));
    assert_eq!(retry_after(" 5 ", NOW), Some(5_000));
    assert_eq!(retry_after("0", NOW), Some(0));
    assert_eq!(retry_after("1.5", NOW), Some(2_000));
    assert_eq!(retry_after("1e9", NOW), None);
    assert_eq!(retry_after("-5", NOW), None);
    assert_eq!(retry_after("soon", NOW), None);
    assert_eq!(retry_after("", NOW), None);
    assert_eq!(retry_after("99999999999999999999999", NOW), Some(LONGEST_MS));
    assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1_445_412_470_000), Some(10_000));
    assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", NOW), Some(0));
    assert_eq!(retry_after("2026-10-14T19:46:50Z", 1_792_007_200_000), Some(10_000));
}

#[test]
fn takes_the_longest_of_several_and_falls_back_to_the_reset() {
    assert_eq!(asked(&answer(&[("retry-after", "3"), ("retry-after", "7")]), NOW), Some(7_000));
    assert_eq!(asked(&answer(&[("retry-after", "no")]), NOW), None);
    let reset = answer(&[("x-ratelimit-reset", "2026-10-14T19:47Z")]);
    assert_eq!(asked(&reset, 1_792_007_200_000), Some(20_000));
    let data_center = answer(&[("retry-after", "0"), ("x-ratelimit-interval-seconds", "6")]);
    assert_eq!(asked(&data_center, NOW), Some(6_000));
}

#[test]
fn beta_headers_cause_no_wait() {
    let beta = answer(&[("beta-retry-after", "900"), ("x-beta-ratelimit-reset", "2036-10-14T19:47Z")]);
    assert_eq!(asked(&beta, NOW), None);
}

#[test]
fn the_reason_says_what_has_to_wait() {
    let of = |reason| scope(&answer(&[("ratelimit-reason", reason)]), "GET issue", Some("DEMO-1"));
    assert_eq!(of("jira-quota-global-based"), Scope::App);
    assert_eq!(of("jira-quota-tenant-based"), Scope::Tenant);
    assert_eq!(of("jira-burst-based"), Scope::Endpoint("GET issue".to_owned()));
    assert_eq!(of("jira-per-issue-on-write"), Scope::Object("DEMO-1".to_owned()));
    for unknown in ["", "jira-cost-based", "anything"] {
        assert_eq!(of(unknown), Scope::Endpoint("GET issue".to_owned()), "{unknown:?}");
    }
    let unnamed = scope(&answer(&[("ratelimit-reason", "jira-per-issue-on-write")]), "GET issue", None);
    assert_eq!(unnamed, Scope::Endpoint("GET issue".to_owned()));
}

proptest! {
    #[test]
    fn never_panics_and_never_waits_longer_than_a_day(value in "\\PC{0,40}", now in any::<u64>()) {
        prop_assert!(retry_after(&value, now).unwrap_or(0) <= LONGEST_MS);
    }
}

/// 2015-10-21 07:27:50 UTC: ten seconds before the date that the table uses.
const BEFORE: u64 = 1_445_412_470_000;
const DATE: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
const PAST: &str = "Wed, 21 Oct 2015 07:27:00 GMT";
const LATER: &str = "Wed, 21 Oct 2015 07:29:00 GMT";

/// Headers, and the wait they ask for in milliseconds.
type Case<'a> = (&'a [(&'a str, &'a str)], Option<u64>);

#[test]
fn no_combination_of_headers_makes_a_call_come_early() {
    let after = "retry-after";
    let reset = "x-ratelimit-reset";
    let every = "x-ratelimit-interval-seconds";
    let none: &[(&str, &str)] = &[];
    let cases: &[Case<'_>] = &[
        (none, None),
        (&[(after, "1")], Some(1_000)),
        (&[(after, "07")], Some(7_000)),
        (&[(after, "\t7 ")], Some(7_000)),
        (&[(after, "86400")], Some(LONGEST_MS)),
        (&[(after, "86401")], Some(LONGEST_MS)),
        (&[(after, "18446744073709551615")], Some(LONGEST_MS)),
        (&[(after, "18446744073709551616")], Some(LONGEST_MS)),
        (&[(after, "1.0")], Some(2_000)),
        (&[(after, "0.001")], Some(1_000)),
        (&[(after, "18446744073709551616.5")], Some(LONGEST_MS)),
        // Nothing, less than nothing, and what can't be read: as if it were not there.
        (&[(after, "0")], None),
        (&[(after, "00")], None),
        (&[(after, "-1")], None),
        (&[(after, "-0")], None),
        (&[(after, "+5")], None),
        (&[(after, "")], None),
        (&[(after, " ")], None),
        (&[(after, ",")], None),
        (&[(after, "soon")], None),
        (&[(after, "5s")], None),
        (&[(after, "1e3")], None),
        (&[(after, "0x10")], None),
        (&[(after, "1.")], None),
        (&[(after, ".5")], None),
        (&[(after, "1.2.3")], None),
        (&[(after, "NaN")], None),
        (&[(after, "٣")], None),
        (&[(after, "\u{fffd}")], None),
        // Dates.
        (&[(after, DATE)], Some(10_000)),
        (&[(after, PAST)], None),
        (&[(after, "Thu, 01 Jan 1970 00:00:00 GMT")], None),
        (&[(after, "Fri, 31 Dec 9999 23:59:59 GMT")], Some(LONGEST_MS)),
        (&[(after, "Wednesday, 21-Oct-15 07:28:00 GMT")], Some(10_000)),
        (&[(after, "Wed Oct 21 07:28:00 2015")], Some(10_000)),
        (&[(after, "2015-10-21T07:28:00Z")], Some(10_000)),
        (&[(after, "2015-10-21T07:28Z")], Some(10_000)),
        (&[(after, "2015-10-21T09:28:00+02:00")], Some(10_000)),
        (&[(after, "2015-10-21T07:28:00.999-0000")], Some(10_999)),
        (&[(after, "2015-10-21T07:27:00Z")], None),
        (&[(after, "2015-13-41T99:99:99Z")], None),
        (&[(after, "Wed, 99 Oct 2015 07:28:00 GMT")], None),
        // Several: the longest that can be read.
        (&[(after, "3"), (after, "7")], Some(7_000)),
        (&[(after, "7"), (after, "3")], Some(7_000)),
        (&[(after, "0"), (after, "3")], Some(3_000)),
        (&[(after, "-9"), (after, "3")], Some(3_000)),
        (&[(after, "soon"), (after, DATE)], Some(10_000)),
        (&[(after, DATE), (after, LATER)], Some(70_000)),
        (&[(after, "3, 7")], Some(7_000)),
        (&[(after, "7,3")], Some(7_000)),
        (&[(after, "3, soon")], Some(3_000)),
        (&[(after, "Wed, 21 Oct 2015 07:28:00 GMT, Wed, 21 Oct 2015 07:29:00 GMT")], Some(70_000)),
        (&[(after, "5, Wed, 21 Oct 2015 07:28:00 GMT")], Some(10_000)),
        // The reset stands in, and only then.
        (&[(reset, "2015-10-21T07:28:00Z")], Some(10_000)),
        (&[(reset, "2015-10-21T07:28Z")], Some(10_000)),
        (&[(reset, "2015-10-21T07:27Z")], None),
        (&[(reset, "1445412480")], None),
        (&[(reset, "never")], None),
        (&[(after, "0"), (reset, "2015-10-21T07:28Z")], Some(10_000)),
        (&[(after, "soon"), (reset, "2015-10-21T07:28Z")], Some(10_000)),
        (&[(after, PAST), (reset, "2015-10-21T07:28Z")], Some(10_000)),
        (&[(after, "3"), (reset, "2015-10-21T07:28Z")], Some(3_000)),
        // Data Center's bucket.
        (&[(every, "6")], Some(6_000)),
        (&[(every, "0")], None),
        (&[(every, "-6")], None),
        (&[(every, "99999999999999999999")], None),
        (&[(after, "0"), (every, "6")], Some(6_000)),
        (&[(reset, "2015-10-21T07:27Z"), (every, "6")], Some(6_000)),
        // The server's own clock.
        (&[(after, DATE), ("date", PAST)], Some(60_000)),
        (&[(after, DATE), ("date", LATER)], None),
        (&[(after, DATE), ("date", "today")], Some(10_000)),
        (&[(after, "5"), ("date", LATER)], Some(5_000)),
        (&[(reset, "2015-10-21T07:28Z"), ("date", PAST)], Some(60_000)),
        // Announcements.
        (&[("beta-retry-after", "900")], None),
        (&[("x-beta-ratelimit-reset", "2036-10-14T19:47Z")], None),
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-nearlimit", "true")], None),
    ];
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for (headers, wait) in cases {
        assert_eq!(asked(&answer(headers), BEFORE), *wait, "{headers:?}");
    }
}

proptest! {
    #[test]
    fn no_headers_make_it_panic_or_wait_for_nothing(
        lines in proptest::collection::vec((0usize..4, "[-+0-9a-zA-Z:,. ]{0,40}"), 0..5),
        now in any::<u64>(),
    ) {
        let names = ["retry-after", "x-ratelimit-reset", "x-ratelimit-interval-seconds", "date"];
        let headers: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (names[*name], value.as_str())).collect();
        let wait = asked(&answer(&headers), now);
        prop_assert!(wait.is_none_or(|wait| (1..=LONGEST_MS).contains(&wait)));
    }

    #[test]
    fn whole_seconds_are_never_cut(seconds in 1u64..86_400, now in any::<u64>()) {
        let text = seconds.to_string();
        prop_assert_eq!(asked(&answer(&[("retry-after", text.as_str())]), now), Some(seconds * 1000));
    }
}
