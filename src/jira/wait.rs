//! How long an answer asks to wait, and what has to wait.
//!
//! Source: Atlassian, "Rate limiting" for Jira Cloud (page of 2026-08-12), and RFC 9110, section 10.2.3.

use super::timestamp;
use crate::contract::Scope;
use crate::host::Response;
use std::time::UNIX_EPOCH;

/// The wait where the server names none: Atlassian's recommended base.
pub const DEFAULT_MS: u64 = 2_000;
/// Nobody is asked to wait longer than this for one answer: a day. Quotas reset every hour.
pub const LONGEST_MS: u64 = 24 * 3600 * 1000;

/// Parses one `Retry-After` value: seconds, an HTTP date, or ISO 8601. Milliseconds from `now_ms`, at most
/// [`LONGEST_MS`]; a moment in the past is no wait. None for negative numbers and for anything else.
pub fn retry_after(value: &str, now_ms: u64) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are still digits: the longest wait.
        return Some(value.parse::<u64>().map_or(LONGEST_MS, |seconds| seconds.saturating_mul(1000)).min(LONGEST_MS));
    }
    if let Some((seconds, fraction)) = value.split_once('.')
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && !seconds.is_empty()
        && seconds.bytes().all(|byte| byte.is_ascii_digit())
    {
        let whole = seconds.parse::<u64>().unwrap_or(u64::MAX / 1000);
        return Some(whole.saturating_add(1).saturating_mul(1000).min(LONGEST_MS));
    }
    let moment = match timestamp::parse(value) {
        Some(moment) => moment,
        None => {
            let date = httpdate::parse_http_date(value).ok()?;
            u64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?
        }
    };
    Some(moment.saturating_sub(now_ms).min(LONGEST_MS))
}

/// The wait that an answer asks for: the longest of the `Retry-After` values that can be read, else
/// `X-RateLimit-Reset`, else the interval in which Data Center refills its bucket. `Beta-…` headers are announcements
/// and never cause a wait.
pub fn asked(response: &Response, now_ms: u64) -> Option<u64> {
    response
        .header_values("retry-after")
        .filter_map(|value| retry_after(value, now_ms))
        .max()
        .filter(|wait| *wait > 0)
        .or_else(|| {
            let reset = response.header("x-ratelimit-reset")?;
            Some(timestamp::parse(reset)?.saturating_sub(now_ms).min(LONGEST_MS)).filter(|wait| *wait > 0)
        })
        .or_else(|| {
            let interval: u64 = response.header("x-ratelimit-interval-seconds")?.trim().parse().ok()?;
            Some(interval.saturating_mul(1000).min(LONGEST_MS)).filter(|wait| *wait > 0)
        })
}

/// What has to wait after a 429, from `RateLimit-Reason`; without a reason that is known, the whole tenant.
pub fn scope(response: &Response, endpoint: &str, object: Option<&str>) -> Scope {
    match response.header("ratelimit-reason").unwrap_or_default().trim() {
        "jira-quota-global-based" => Scope::App,
        "jira-burst-based" => Scope::Endpoint(endpoint.to_owned()),
        "jira-per-issue-on-write" => {
            object.map_or_else(|| Scope::Endpoint(endpoint.to_owned()), |object| Scope::Object(object.to_owned()))
        }
        _ => Scope::Tenant,
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(of("jira-cost-based"), Scope::Tenant);
    }

    proptest! {
        #[test]
        fn never_panics_and_never_waits_longer_than_a_day(value in "\\PC{0,40}", now in any::<u64>()) {
            prop_assert!(retry_after(&value, now).unwrap_or(0) <= LONGEST_MS);
        }
    }
}
