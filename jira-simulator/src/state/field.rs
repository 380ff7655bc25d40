//! Fields: what kind they are, and how Jira describes them.

use serde_json::{Value, json};

/// One choice of a select field.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) id: String,
    pub(crate) value: String,
}

/// How a field's value behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Summary,
    Text,
    RichText,
    Number,
    Date,
    Select,
    MultiSelect,
    Labels,
    User,
    Priority,
    Parent,
    Project,
    IssueType,
    /// Jira fills it; the text is its schema type, the flag whether it is an array of it.
    Computed(&'static str, bool),
}

/// A system or custom field.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) choices: Vec<Choice>,
}

impl Field {
    pub(crate) fn new(id: &'static str, name: &'static str, kind: Kind) -> Self {
        Self { id, name, kind, choices: Vec::new() }
    }

    pub(crate) fn with_choices(mut self, first_id: u32, values: &[&str]) -> Self {
        self.choices = (first_id..)
            .zip(values)
            .map(|(id, value)| Choice { id: id.to_string(), value: (*value).to_owned() })
            .collect();
        self
    }

    /// The number of a custom field: 10030 of `customfield_10030`.
    pub(crate) fn custom_number(&self) -> Option<u64> {
        self.id.strip_prefix("customfield_").and_then(|number| number.parse().ok())
    }

    /// Whether a screen can show it for editing.
    pub(crate) fn settable(&self) -> bool {
        !matches!(self.kind, Kind::Computed(..))
    }

    /// The JSON schema Jira gives for it.
    pub(crate) fn schema(&self) -> Value {
        const CUSTOM: &str = "com.atlassian.jira.plugin.system.customfieldtypes";
        let (kind, items, custom) = match self.kind {
            Kind::Summary => ("string", None, ""),
            Kind::Text => ("string", None, "textfield"),
            Kind::RichText => ("string", None, "textarea"),
            Kind::Number => ("number", None, "float"),
            Kind::Date => ("date", None, "datepicker"),
            Kind::Select => ("option", None, "select"),
            Kind::MultiSelect => ("array", Some("option"), "multiselect"),
            Kind::Labels => ("array", Some("string"), "labels"),
            Kind::User => ("user", None, "userpicker"),
            Kind::Priority => ("priority", None, ""),
            Kind::Parent => ("issuelink", None, ""),
            Kind::Project => ("project", None, ""),
            Kind::IssueType => ("issuetype", None, ""),
            Kind::Computed(kind, false) => (kind, None, ""),
            Kind::Computed(kind, true) => ("array", Some(kind), ""),
        };
        let mut schema = json!({"type": kind});
        if let Some(items) = items {
            schema["items"] = json!(items);
        }
        match self.custom_number() {
            Some(number) => {
                schema["custom"] = json!(format!("{CUSTOM}:{custom}"));
                schema["customId"] = json!(number);
            }
            None => schema["system"] = json!(self.id),
        }
        schema
    }

    /// The operations an update accepts.
    pub(crate) fn operations(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Labels | Kind::MultiSelect => &["add", "set", "remove"],
            Kind::Computed(..) => &[],
            _ => &["set"],
        }
    }

    /// The names JQL knows it by.
    pub(crate) fn clause_names(&self) -> Vec<String> {
        match self.custom_number() {
            Some(number) => vec![format!("cf[{number}]"), self.name.to_owned()],
            None if self.id == "project" || self.id == "status" || self.id == "parent" => vec![self.id.to_owned()],
            None if self.id == "duedate" => vec!["due".to_owned(), "duedate".to_owned()],
            None if self.id == "issuetype" => vec!["issuetype".to_owned(), "type".to_owned()],
            None => vec![self.id.to_owned()],
        }
    }
}
