//! Scopes: what a credential is limited to, and what cards need.
//!
//! Source: Atlassian's OpenAPI file of Cloud v3, of each operation the classic scope first and the granular ones after
//! it; "Jira OAuth 2.0 provider API" of Data Center, where a higher scope holds the lower ones.

/// What is needed: any of the lists, each with all its scopes.
pub(crate) type Needs = &'static [&'static [&'static str]];

/// The scopes of Data Center, the lowest first.
pub(crate) const CENTER: &[&str] = &["READ", "WRITE", "ADMIN", "SYSTEM_ADMIN"];

/// To read an issue.
pub(crate) const READ: Needs = &[
    &["read:jira-work"],
    &[
        "read:issue-meta:jira",
        "read:issue-security-level:jira",
        "read:issue.vote:jira",
        "read:issue.changelog:jira",
        "read:avatar:jira",
        "read:issue:jira",
        "read:status:jira",
        "read:user:jira",
        "read:field-configuration:jira",
    ],
    &["READ"],
];
/// To search.
pub(crate) const SEARCH: Needs = &[
    &["read:jira-work"],
    &[
        "read:issue-details:jira",
        "read:field.default-value:jira",
        "read:field.option:jira",
        "read:field:jira",
        "read:group:jira",
    ],
    &["READ"],
];
/// To create an issue.
pub(crate) const CREATE: Needs = &[
    &["write:jira-work"],
    &[
        "write:issue:jira",
        "write:comment:jira",
        "write:comment.property:jira",
        "write:attachment:jira",
        "read:issue:jira",
    ],
    &["WRITE"],
];
/// To change an issue.
pub(crate) const UPDATE: Needs = &[&["write:jira-work"], &["write:issue:jira"], &["WRITE"]];
/// To comment.
pub(crate) const COMMENT: Needs = &[
    &["write:jira-work"],
    &[
        "read:comment:jira",
        "read:comment.property:jira",
        "read:group:jira",
        "read:project:jira",
        "read:project-role:jira",
        "read:user:jira",
        "write:comment:jira",
        "read:avatar:jira",
    ],
    &["WRITE"],
];
/// To register webhooks as an administrator. The path is in no OpenAPI file: the scope is the one of what administrators
/// do.
pub(crate) const WEBHOOKS: Needs = &[&["manage:jira-configuration"], &["ADMIN"]];
/// What depends on what is called.
pub(crate) const ANY: Needs = &[];

/// Whether what was granted holds what is needed.
pub(crate) fn suffices(needs: Needs, granted: &[String]) -> bool {
    let rank = |scope: &str| CENTER.iter().position(|known| *known == scope);
    let most = granted.iter().filter_map(|scope| rank(scope)).max();
    let has = |scope: &&str| match rank(scope) {
        Some(rank) => most.is_some_and(|most| most >= rank),
        None => granted.iter().any(|granted| granted == scope),
    };
    needs.is_empty() || needs.iter().any(|list| list.iter().all(has))
}

/// What a card lacks, by the first list that speaks of the same deployment as what was granted.
pub(crate) fn missing(needs: Needs, granted: &[String]) -> Option<String> {
    if needs.is_empty() || suffices(needs, granted) {
        return None;
    }
    let plain = |scopes: &[&str]| scopes.iter().all(|scope| !scope.contains(':'));
    let center = granted.iter().any(|scope| CENTER.contains(&scope.as_str()));
    let list = needs.iter().find(|list| plain(list) == center).or_else(|| needs.first())?;
    let lacks: Vec<&str> = list.iter().copied().filter(|scope| !granted.iter().any(|known| known == scope)).collect();
    Some(lacks.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{ANY, CREATE, READ, UPDATE, WEBHOOKS, suffices};

    #[test]
    fn any_list_suffices_and_each_wants_all_its_scopes() {
        let granted = |scopes: &[&str]| -> Vec<String> { scopes.iter().map(|scope| (*scope).to_owned()).collect() };
        for (needs, scopes, enough) in [
            (READ, &["read:jira-work"][..], true),
            (UPDATE, &["read:jira-work", "write:issue:jira"], true),
            (CREATE, &["write:issue:jira"], false),
            (CREATE, &["write:jira-work"], true),
            (READ, &["WRITE"], true),
            (CREATE, &["READ"], false),
            (WEBHOOKS, &["SYSTEM_ADMIN"], true),
            (WEBHOOKS, &["write:jira-work"], false),
            (ANY, &[], true),
        ] {
            assert_eq!(suffices(needs, &granted(scopes)), enough, "{needs:?} {scopes:?}");
        }
    }
}
