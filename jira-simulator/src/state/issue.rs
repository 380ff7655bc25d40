//! Issues, comments, histories.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// An issue. Values are kept raw: ids of options, accounts, priorities and parents, plain text,
/// numbers, documents. Indices point into the tables of [`super::Jira`].
#[derive(Debug, Clone)]
pub(crate) struct Issue {
    pub(crate) id: u64,
    pub(crate) number: u64,
    pub(crate) project: usize,
    pub(crate) issue_type: usize,
    pub(crate) status: usize,
    pub(crate) creator: usize,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) resolved: Option<i64>,
    pub(crate) values: BTreeMap<&'static str, Value>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) properties: BTreeMap<String, Value>,
    pub(crate) histories: Vec<History>,
}

impl Issue {
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.values.get(field).and_then(Value::as_str)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Comment {
    pub(crate) id: u64,
    pub(crate) author: usize,
    pub(crate) update_author: usize,
    pub(crate) body: Value,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) properties: BTreeMap<String, Value>,
}

/// One entry of an issue's changelog.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) id: u64,
    pub(crate) author: usize,
    pub(crate) created: i64,
    pub(crate) items: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) field: String,
    pub(crate) field_id: String,
    pub(crate) custom: bool,
    pub(crate) from: Option<String>,
    pub(crate) from_string: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) to_string: Option<String>,
}

/// Something webhooks may be told about.
#[derive(Debug, Clone)]
pub(crate) struct Occurrence {
    pub(crate) event: &'static str,
    pub(crate) type_name: Option<&'static str>,
    pub(crate) actor: usize,
    pub(crate) at: i64,
    pub(crate) issue: Arc<Issue>,
    pub(crate) history: Option<History>,
    pub(crate) comment: Option<Comment>,
}

/// What search sees of an issue from a time on; `None` after its deletion.
#[derive(Debug, Clone)]
pub(crate) struct Indexed {
    pub(crate) from: i64,
    pub(crate) issue: Option<Arc<Issue>>,
}
