//! The Jira a simulator starts with.

use super::field::{Field, Kind};
use super::{IssueType, Priority, Project, Status};

pub(super) fn statuses() -> Vec<Status> {
    vec![
        Status { id: "10000", name: "To Do", category: (2, "new", "blue-gray", "To Do") },
        Status { id: "3", name: "In Progress", category: (4, "indeterminate", "yellow", "In Progress") },
        Status { id: "10001", name: "Done", category: (3, "done", "green", "Done") },
    ]
}

pub(super) fn priorities() -> Vec<Priority> {
    [
        ("1", "Highest", "#d04437"),
        ("2", "High", "#f15C75"),
        ("3", "Medium", "#f79232"),
        ("4", "Low", "#707070"),
        ("5", "Lowest", "#999999"),
    ]
    .map(|(id, name, color)| Priority { id, name, color })
    .to_vec()
}

pub(super) fn issue_types() -> Vec<IssueType> {
    let of = |id, name, description, avatar, level| IssueType { id, name, description, avatar, level };
    vec![
        of("10000", "Epic", "A big user story that needs to be broken down.", 10307, 1),
        of("10001", "Story", "Functionality or a feature expressed as a user goal.", 10315, 0),
        of("10002", "Task", "A small, distinct piece of work.", 10318, 0),
        of("10003", "Sub-task", "A small piece of work that's part of a larger task.", 10316, -1),
        of("10004", "Bug", "A problem or error.", 10303, 0),
        of("10005", "Change", "A change of a running service that needs an assessed risk.", 10310, 0),
    ]
}

pub(super) fn projects() -> Vec<Project> {
    vec![
        Project {
            id: "10000",
            key: "DEMO",
            name: "Demonstration",
            kind: "software",
            types: vec![0, 1, 2, 4, 3],
            restricted: false,
        },
        Project {
            id: "10001",
            key: "OPS",
            name: "Operations",
            kind: "service_desk",
            types: vec![2, 5, 3],
            restricted: false,
        },
        Project { id: "10002", key: "PRIV", name: "Restricted", kind: "software", types: vec![2], restricted: true },
    ]
}

pub(super) fn fields() -> Vec<Field> {
    let computed = |id, name, kind, array| Field::new(id, name, Kind::Computed(kind, array));
    vec![
        Field::new("summary", "Summary", Kind::Summary),
        Field::new("issuetype", "Issue Type", Kind::IssueType),
        Field::new("project", "Project", Kind::Project),
        Field::new("description", "Description", Kind::RichText),
        Field::new("priority", "Priority", Kind::Priority),
        Field::new("labels", "Labels", Kind::Labels),
        Field::new("assignee", "Assignee", Kind::User),
        Field::new("reporter", "Reporter", Kind::User),
        Field::new("duedate", "Due date", Kind::Date),
        Field::new("parent", "Parent", Kind::Parent),
        Field::new("customfield_10030", "Severity", Kind::Select).with_choices(10100, &["Minor", "Major", "Critical"]),
        Field::new("customfield_10031", "Story Points", Kind::Number),
        Field::new("customfield_10032", "Customer reference", Kind::Text),
        Field::new("customfield_10033", "Notes", Kind::RichText),
        Field::new("customfield_10034", "Target date", Kind::Date),
        Field::new("customfield_10035", "Platforms", Kind::MultiSelect)
            .with_choices(10110, &["Linux", "macOS", "Windows"]),
        Field::new("customfield_10036", "Approver", Kind::User),
        Field::new("customfield_10037", "Tags", Kind::Labels),
        Field::new("customfield_10041", "Risk", Kind::Select).with_choices(10120, &["Low", "Medium", "High"]),
        computed("status", "Status", "status", false),
        computed("resolution", "Resolution", "resolution", false),
        computed("resolutiondate", "Resolved", "datetime", false),
        computed("created", "Created", "datetime", false),
        computed("updated", "Updated", "datetime", false),
        computed("creator", "Creator", "user", false),
        computed("comment", "Comment", "comments-page", false),
        computed("subtasks", "Sub-tasks", "issuelinks", true),
        computed("issuelinks", "Linked Issues", "issuelinks", true),
        computed("attachment", "Attachment", "attachment", true),
        computed("components", "Components", "component", true),
        computed("fixVersions", "Fix versions", "version", true),
        computed("versions", "Affects versions", "version", true),
        computed("watches", "Watchers", "watches", false),
        computed("votes", "Votes", "votes", false),
    ]
}

/// The fields of a type's screen in a project, and whether each must be filled.
pub(super) fn screen(project: &Project, issue_type: &IssueType, may_set_reporter: bool) -> Vec<(&'static str, bool)> {
    let mut screen = vec![
        ("summary", true),
        ("issuetype", true),
        ("project", true),
        ("description", false),
        ("priority", false),
        ("labels", false),
        ("assignee", false),
        ("duedate", false),
    ];
    if may_set_reporter {
        // Jira fills the reporter in, so a create request may leave it out.
        screen.push(("reporter", true));
    }
    if issue_type.level < 1 {
        screen.push(("parent", issue_type.level == -1));
    }
    if project.key == "DEMO" {
        screen.extend(["customfield_10032", "customfield_10033", "customfield_10034"].map(|id| (id, false)));
        screen.extend(["customfield_10035", "customfield_10036", "customfield_10037"].map(|id| (id, false)));
        match issue_type.name {
            "Bug" => screen.push(("customfield_10030", false)),
            "Story" | "Epic" => screen.push(("customfield_10031", false)),
            _ => {}
        }
    }
    if issue_type.name == "Change" {
        screen.push(("customfield_10041", true));
        screen.push(("customfield_10036", false));
    }
    screen
}
