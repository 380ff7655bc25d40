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

/// The waits of one header line: the line as a whole, else each of the values that a proxy joined with commas. A date
/// has a comma of its own.
fn waits(line: &str, now_ms: u64) -> Option<u64> {
    let parts: Vec<&str> = line.split(',').collect();
    let dates = parts.windows(2).filter_map(|pair| retry_after(&pair.join(","), now_ms));
    let singles = parts.iter().filter_map(|part| retry_after(part, now_ms));
    retry_after(line, now_ms).or_else(|| dates.chain(singles).max())
}

/// The wait that an answer asks for: the longest of the `Retry-After` values that can be read, else
/// `X-RateLimit-Reset`, else the interval in which Data Center refills its bucket. A wait of nothing is none.
/// `Beta-…` headers are announcements and never cause a wait.
///
/// Moments are compared with the answer's own `Date` where it has one: the clocks of two machines differ.
pub fn asked(response: &Response, now_ms: u64) -> Option<u64> {
    let date = response.header("date").and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    let date = date.and_then(|date| u64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok());
    let now_ms = date.unwrap_or(now_ms);
    let reset = |line: &str| Some(timestamp::parse(line)?.saturating_sub(now_ms).min(LONGEST_MS));
    let interval = |line: &str| Some(line.trim().parse::<u64>().ok()?.saturating_mul(1000).min(LONGEST_MS));
    let longest = |name: &str, read: &dyn Fn(&str) -> Option<u64>| {
        response.header_values(name).filter_map(read).max().filter(|wait| *wait > 0)
    };
    longest("retry-after", &|line| waits(line, now_ms))
        .or_else(|| longest("x-ratelimit-reset", &reset))
        .or_else(|| longest("x-ratelimit-interval-seconds", &interval))
}

/// What has to wait after a 429, from `RateLimit-Reason`. Where the reason is missing or none that is known, only the
/// endpoint that was asked: a hold on more would stop calls that Jira still answers.
pub fn scope(response: &Response, endpoint: &str, object: Option<&str>) -> Scope {
    let reason = response.header("ratelimit-reason").unwrap_or_default().trim().to_ascii_lowercase();
    match (reason.as_str(), object) {
        ("jira-quota-global-based", _) => Scope::App,
        ("jira-quota-tenant-based", _) => Scope::Tenant,
        ("jira-per-issue-on-write", Some(object)) => Scope::Object(object.to_owned()),
        _ => Scope::Endpoint(endpoint.to_owned()),
    }
}

#[cfg(test)]
mod tests;
