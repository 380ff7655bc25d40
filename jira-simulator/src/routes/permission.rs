//! What the caller may do.

use serde_json::{Map, Value, json};

use super::{Answer, Call, Refusal, Routed};

/// Key, name, kind, whether it takes an administrator.
const PERMISSIONS: &[(&str, &str, &str, bool)] = &[
    ("ADMINISTER", "Administer Jira", "GLOBAL", true),
    ("SYSTEM_ADMIN", "System Administrator", "GLOBAL", true),
    ("BULK_CHANGE", "Make bulk changes", "GLOBAL", false),
    ("USER_PICKER", "Browse users and groups", "GLOBAL", false),
    ("CREATE_SHARED_OBJECTS", "Share dashboards and filters", "GLOBAL", false),
    ("ADMINISTER_PROJECTS", "Administer Projects", "PROJECT", true),
    ("BROWSE_PROJECTS", "Browse Projects", "PROJECT", false),
    ("CREATE_ISSUES", "Create Issues", "PROJECT", false),
    ("EDIT_ISSUES", "Edit Issues", "PROJECT", false),
    ("DELETE_ISSUES", "Delete Issues", "PROJECT", true),
    ("ASSIGN_ISSUES", "Assign Issues", "PROJECT", false),
    ("ASSIGNABLE_USER", "Assignable User", "PROJECT", false),
    ("TRANSITION_ISSUES", "Transition Issues", "PROJECT", false),
    ("MODIFY_REPORTER", "Modify Reporter", "PROJECT", true),
    ("ADD_COMMENTS", "Add Comments", "PROJECT", false),
    ("EDIT_ALL_COMMENTS", "Edit All Comments", "PROJECT", true),
    ("EDIT_OWN_COMMENTS", "Edit Own Comments", "PROJECT", false),
    ("DELETE_ALL_COMMENTS", "Delete All Comments", "PROJECT", true),
    ("DELETE_OWN_COMMENTS", "Delete Own Comments", "PROJECT", false),
    ("CREATE_ATTACHMENTS", "Create Attachments", "PROJECT", false),
    ("LINK_ISSUES", "Link Issues", "PROJECT", false),
];

/// `mypermissions`: anonymous callers are answered too, with nothing they have not.
pub(super) fn mine(call: &Call<'_>) -> Routed {
    let asked = call.request.list("permissions");
    if asked.is_empty() && call.jira.cloud() {
        return Err(Refusal::new(
            400,
            "The 'permissions' query parameter is required. See https://developer.atlassian.com/cloud/jira/platform/change-notice-get-my-permissions-requires-permissions-query-parameter/",
        ));
    }
    let unknown: Vec<&String> =
        asked.iter().filter(|key| !PERMISSIONS.iter().any(|(known, ..)| known == key)).collect();
    if let (true, Some(unknown)) = (call.jira.cloud(), unknown.first()) {
        return Err(Refusal::new(400, format!("Unrecognized permission: {unknown}")));
    }
    let project = match call.request.parameter("projectKey").or(call.request.parameter("projectId")) {
        None => None,
        Some(name) => match call.jira.project_index(name) {
            Some(project) if call.jira.may_browse(project, call.caller.account) => Some(project),
            _ => return Err(Refusal::new(404, format!("No project could be found with key '{name}'."))),
        },
    };
    let mut permissions = Map::new();
    for (number, (key, name, kind, admin)) in PERMISSIONS.iter().enumerate() {
        if !asked.is_empty() && !asked.iter().any(|asked| asked == key) {
            continue;
        }
        let have = match (call.caller.account, *key) {
            (None, "BROWSE_PROJECTS") => call.jira.settings.anonymous_access,
            (None, _) => false,
            (Some(_), _) => call.admin() || (!admin && project.is_none_or(|p| !call.jira.projects[p].restricted)),
        };
        permissions.insert(
            (*key).to_owned(),
            json!({
                "id": number.to_string(), "key": key, "name": name, "type": kind,
                "description": format!("Ability to: {name}."), "havePermission": have,
            }),
        );
    }
    Ok(Answer::ok(json!({"permissions": Value::Object(permissions)})))
}
