//! `serverInfo` and the tenant's cloud id: answered to anyone.

use serde_json::json;

use super::{Answer, Call, Routed};
use crate::clock::jira_time;

pub(super) fn server_info(call: &Call<'_>) -> Routed {
    let jira = &call.jira;
    if jira.cloud() {
        return Ok(Answer::ok(json!({
            "baseUrl": jira.site_url,
            "displayUrl": jira.site_url,
            "displayUrlServicedeskHelpCenter": jira.site_url,
            "displayUrlConfluence": jira.site_url,
            "version": "1001.0.0-SNAPSHOT",
            "versionNumbers": [1001, 0, 0],
            "deploymentType": "Cloud",
            "buildNumber": 100_289,
            "buildDate": "2026-11-02T08:01:29.000-0500",
            "serverTime": jira_time(jira.now()),
            "scmInfo": "0000000000000000000000000000000000000000",
            "serverTitle": "Jira",
            "serverTimeZone": crate::clock::ZONE,
        })));
    }
    let version = jira.version;
    let (major, minor) = (version.major, version.minor);
    // The numbering changed with 9.0: 8.20.3 is 820003, 9.12.0 is 9120000.
    let build = if version.at_least(9, 0) {
        major * 1_000_000 + minor * 10_000 + version.patch
    } else {
        major * 100_000 + minor * 1_000 + version.patch
    };
    let released = match (major, minor) {
        (..8, _) => "2018-11-28",
        (8, ..10) => "2019-09-09",
        (8, ..20) => "2020-11-23",
        (8, _) => "2022-02-09",
        (9, _) => "2023-11-21",
        _ => "2024-12-05",
    };
    let mut body = json!({
        "baseUrl": jira.site_url,
        "version": version.to_string(),
        "versionNumbers": [major, minor, version.patch],
        "deploymentType": "Server",
        "buildNumber": build,
        "buildDate": format!("{released}T00:00:00.000-0500"),
        "databaseBuildNumber": build,
        "scmInfo": "0000000000000000000000000000000000000000",
        "serverTitle": "Jira",
    });
    // Strangers are not told the time.
    if call.caller.account.is_some() {
        body["serverTime"] = json!(jira_time(jira.now()));
    }
    Ok(Answer::ok(body))
}

pub(super) fn tenant_info(call: &Call<'_>) -> Routed {
    Ok(Answer::ok(json!({"cloudId": call.jira.cloud_id})))
}
