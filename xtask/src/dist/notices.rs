//! The licences of what is linked into a file of the release, in their own words.

use anyhow::Result;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::linked::{Linked, Package};

/// How the names of files with licences and notices begin, in upper case.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// The notices as one text: which package is under which licence, then each licence text once, with
/// the packages that carry it.
pub(super) fn text(name: &str, linked: &Linked) -> Result<String> {
    let mut texts: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let mut list = format!(
        "{name} contains the packages below. It is itself under the Apache License 2.0, in the file LICENSE.\n\n\
         {:<44} MIT OR Apache-2.0\n    https://github.com/rust-lang/rust\n",
        format!("the standard library of Rust {}", linked.rust.0)
    );
    for package in linked.packages.iter().filter(|package| package.checksum.is_some()) {
        let title = format!("{} {}", package.name, package.version);
        let licence = package.licence.as_deref().unwrap_or("see its text below");
        list.push_str(&format!("{title:<44} {licence}\n"));
        if let Some(repository) = &package.repository {
            list.push_str(&format!("    {repository}\n"));
        }
        for text in licence_texts(package)? {
            // The same licence is wrapped and indented differently from package to package.
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            texts.entry(words).or_insert_with(|| (text, Vec::new())).1.push(title.clone());
        }
    }
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by(|one, other| one.1.cmp(&other.1));
    let line = "=".repeat(100);
    for (text, packages) in texts {
        list.push_str(&format!("\n{line}\n{}\n{line}\n\n{}\n", packages.join(", "), text.trim_end()));
    }
    Ok(list)
}

/// The texts beside a package's manifest, and in a folder `LICENSES` there.
fn licence_texts(package: &Package) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for folder in [package.folder.clone(), package.folder.join("LICENSES")] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
        for file in files.iter().filter(|file| folder.ends_with("LICENSES") || is_licence(file)) {
            // One that is not text has nothing to say here.
            texts.extend(fs::read_to_string(file).ok());
        }
    }
    Ok(texts)
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_uppercase()).unwrap_or_default();
    let code = [".RS", ".C", ".H", ".PY"].iter().any(|end| name.ends_with(end));
    !code && NAMES.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_stands_once_with_all_who_carry_it() {
        let folder = tempfile::tempdir().unwrap();
        let package = |name: &str, text: &str| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("LICENSE-MIT"), text).unwrap();
            fs::write(folder.join("license.rs"), "code").unwrap();
            Package {
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
                licence: Some("MIT".to_owned()),
                description: None,
                repository: None,
                checksum: Some("00".to_owned()),
                folder,
            }
        };
        let linked = Linked {
            root: package("ours", "ours"),
            packages: vec![package("one", "Do what\nyou like."), package("two", "Do what you\nlike.\n")],
            uses: BTreeMap::new(),
            is_program: true,
            rust: ("1.95.0".to_owned(), String::new()),
        };
        let text = text("program", &linked).unwrap();
        assert!(text.contains("one 1.0.0, two 1.0.0\n"), "{text}");
        assert_eq!(text.matches("Do what").count(), 1, "{text}");
        assert!(!text.contains("code"), "a source file is no licence: {text}");
    }
}
