//! `serverInfo` and the tenant's cloud id: answered to anyone.

use serde_json::json;

use super::{Answer, Call, Routed};
use crate::clock::jira_time;

const CLOUD_ID: &str = "00000000-0000-4000-8000-00000000c10d";

pub(super) fn server_info(call: &Call<'_>) -> Routed {
    let jira = &call.jira;
    if jira.cloud() {
        return Ok(Answer::ok(json!({
            "baseUrl": jira.base_url,
            "displayUrl": jira.base_url,
            "displayUrlServicedeskHelpCenter": jira.base_url,
            "displayUrlConfluence": jira.base_url,
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
    Ok(Answer::ok(json!({
        "baseUrl": jira.base_url,
        "version": version.to_string(),
        "versionNumbers": [version.major, version.minor, version.patch],
        "deploymentType": "Server",
        "buildNumber": 900_000 + version.major * 1_000 + version.minor,
        "buildDate": "2023-11-21T00:00:00.000-0500",
        "databaseBuildNumber": 900_000 + version.major * 1_000 + version.minor,
        "serverTime": jira_time(jira.now()),
        "scmInfo": "0000000000000000000000000000000000000000",
        "serverTitle": "Jira",
    })))
}

pub(super) fn tenant_info(_call: &Call<'_>) -> Routed {
    Ok(Answer::ok(json!({"cloudId": CLOUD_ID})))
}
