//! The host knows connectors and nothing of Jira: a second connector loads with no change to it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::built;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn no_line_of_the_host_names_jira_atlassian_or_an_issue() {
    let mut files = Vec::new();
    sources(&built::root().join("host-harness/src"), &mut files);
    assert!(files.len() > 20, "the host's sources are somewhere else now");
    let mut found = Vec::new();
    let is_test = |file: &Path| {
        file.file_stem().is_some_and(|name| name.to_string_lossy().trim_end_matches('s').ends_with("test"))
    };
    for file in files.iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(file).expect("a source is text");
        // Tests may name services; they stand at the end of a file.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
            if lower.contains("jira") || lower.contains("atlassian") || words.clone().any(|word| word == "issue") {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "the host must not know the service:\n{}", found.join("\n"));
}
