//! The bill of materials: [CycloneDX 1.6](https://cyclonedx.org/docs/1.6/json/) as JSON.
//!
//! It holds no time and no random number: the same sources give the same bytes.

use serde_json::{Value, json};
use std::fs;

use super::linked::{Key, Linked, Package};
use super::sha256;

/// What is linked into a file with these bytes' SHA-256.
pub(super) fn document(linked: &Linked, digest: &str) -> Value {
    let standard = standard_library(linked);
    let mut components: Vec<Value> = linked.packages.iter().map(component).collect();
    components.push(standard.clone());
    let reference_of = |key: &Key| reference(&key.0, &key.1);
    let mut dependencies: Vec<Value> = linked
        .uses
        .iter()
        .map(|(key, uses)| {
            let mut on: Vec<String> = uses.iter().map(reference_of).collect();
            on.extend(standard["bom-ref"].as_str().map(str::to_owned));
            json!({ "ref": reference_of(key), "dependsOn": on })
        })
        .collect();
    dependencies.push(json!({ "ref": standard["bom-ref"], "dependsOn": [] }));

    let mut root = component(&linked.root);
    root["type"] = if linked.is_program { "application" } else { "library" }.into();
    root["hashes"] = json!([{ "alg": "SHA-256", "content": digest }]);
    // A number that is the same whenever what it stands for is the same.
    let serial = sha256(format!("{digest} {}", json!(components)).as_bytes());
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!(
            "urn:uuid:{}-{}-8{}-8{}-{}",
            &serial[..8], &serial[8..12], &serial[13..16], &serial[17..20], &serial[20..32]
        ),
        "version": 1,
        "metadata": { "lifecycles": [{ "phase": "build" }], "component": root },
        "components": components,
        "dependencies": dependencies,
        "compositions": [{ "aggregate": "complete", "dependencies": [reference(&linked.root.name, &linked.root.version)] }],
    })
}

fn reference(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn component(package: &Package) -> Value {
    let reference = reference(&package.name, &package.version);
    let mut component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "scope": "required",
    });
    if let Some(description) = &package.description {
        component["description"] = description.clone().into();
    }
    if let Some(licence) = &package.licence {
        component["licenses"] = json!([{ "expression": licence }]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    // Only what a registry holds has a package URL: our own packages are not published.
    if let Some(checksum) = &package.checksum {
        component["purl"] = reference.into();
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(version) = bundled_sqlite(package) {
        component["components"] = json!([{
            "type": "library",
            "bom-ref": format!("sqlite@{version}"),
            "name": "sqlite",
            "version": version,
            "description": "SQLite, compiled from the sources within this package",
            "licenses": [{ "license": { "id": "blessing" } }],
            "cpe": format!("cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"),
            "externalReferences": [{ "type": "website", "url": "https://sqlite.org/" }],
        }]);
    }
    component
}

/// The version of the SQLite whose C sources are in a package: what warnings about SQLite are held against.
fn bundled_sqlite(package: &Package) -> Option<String> {
    if package.name != "libsqlite3-sys" {
        return None;
    }
    let header = fs::read_to_string(package.folder.join("sqlite3/sqlite3.h")).ok()?;
    let line = header.lines().find(|line| line.starts_with("#define SQLITE_VERSION "))?;
    line.split('"').nth(1).map(str::to_owned)
}

fn standard_library(linked: &Linked) -> Value {
    let (version, commit) = &linked.rust;
    json!({
        "type": "library",
        "bom-ref": format!("rust-std@{version}"),
        "name": "rust-std",
        "version": version,
        "scope": "required",
        "description": format!("The standard library of Rust, as the compiler of commit {commit} brings it"),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "externalReferences": [{ "type": "vcs", "url": "https://github.com/rust-lang/rust" }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_names_each_package_with_its_checksum_and_its_users() {
        let package = |name: &str, version: &str, checksum: Option<&str>| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: Some("MIT OR Apache-2.0".to_owned()),
            description: None,
            repository: None,
            checksum: checksum.map(str::to_owned),
            folder: "/nonexistent".into(),
        };
        let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let linked = Linked {
            root: package("ours", "0.1.0", None),
            packages: vec![package("wasi", "1.0.0+wasi-0.2", Some("ab12"))],
            uses: [
                (key("ours", "0.1.0"), [key("wasi", "1.0.0+wasi-0.2")].into()),
                (key("wasi", "1.0.0+wasi-0.2"), [].into()),
            ]
            .into(),
            is_program: false,
            rust: ("1.95.0".to_owned(), "c0ffee".to_owned()),
        };
        let bill = document(&linked, "d1");
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/wasi@1.0.0%2Bwasi-0.2");
        assert_eq!(bill["components"][0]["hashes"][0]["content"], "ab12");
        assert_eq!(bill["components"][1]["name"], "rust-std");
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], "d1");
        assert!(bill["metadata"]["component"].get("purl").is_none(), "no registry has it");
        assert_eq!(bill["dependencies"][0]["dependsOn"][0], "pkg:cargo/wasi@1.0.0%2Bwasi-0.2");
        assert_eq!(bill, document(&linked, "d1"), "the same each time");
        assert_ne!(bill["serialNumber"], document(&linked, "d2")["serialNumber"]);
    }
}
