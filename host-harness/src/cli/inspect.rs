//! `harness inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Done;
use super::output::Output;
use crate::clock::SystemClock;
use crate::host::{Home, HostError};
use crate::plugin::{CardKind, Compiler, Limits, PluginError, Plugins};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness inspect connector.wasm
  harness inspect connector.wasm --json | jq .imports")]
pub(super) struct Inspect {
    /// The component's file
    component: PathBuf,
}

impl Inspect {
    /// Opens no home: it is enough to have one with compiled code, and none is fine too.
    pub(super) async fn run(self, folder: Option<&Path>, output: &Output) -> Done {
        let component = std::path::absolute(&self.component).unwrap_or_else(|_| self.component.clone());
        let plugins = plugins(folder).map_err(|error| {
            HostError::other("sandbox", error.to_string(), "Free some memory or threads, and try again.")
        })?;
        let plugin = plugins.load(&component).await.map_err(|error| HostError::of_load(&component, &error))?;
        let (manifest, inspection) = (plugin.manifest(), plugin.inspection());
        let json = json!({
            "component": self.component.display().to_string(),
            "size": inspection.size,
            "sha256": plugin.digest(),
            "imports": inspection.imports,
            "exports": inspection.exports,
            "manifest": manifest.raw(),
        });
        output.result(&json, || {
            let mut lines = vec![
                format!("{} {} ({})", manifest.connector.name, manifest.connector.version, manifest.connector.id),
                manifest.connector.description.clone(),
                String::new(),
                format!("size     {} bytes, SHA-256 {}", inspection.size, plugin.digest()),
                format!("contract workflow:connector@{}", manifest.contract),
                "imports".into(),
            ];
            lines.extend(inspection.imports.iter().map(|one| format!("  {one}")));
            lines.push("exports".into());
            lines.extend(inspection.exports.iter().map(|one| format!("  {one}")));
            lines.push("auth methods".into());
            for method in &manifest.auth_methods {
                lines.push(format!("  {}  {}", method.id, method.title));
                let properties = method.form.get("properties").and_then(|it| it.as_object());
                for (name, field) in properties.into_iter().flatten() {
                    let title =
                        field.get("title").or(field.get("description")).and_then(|it| it.as_str()).unwrap_or_default();
                    let flag = if method.secrets().contains(&name.as_str()) { "--secret" } else { "--set" };
                    lines.push(format!("    {flag} {name}=…  {title}"));
                }
            }
            for (kind, heading) in [(CardKind::Action, "action cards"), (CardKind::Event, "event cards")] {
                lines.push(heading.into());
                let cards = manifest.cards.iter().filter(|card| card.kind == kind);
                lines.extend(cards.map(|card| format!("  {}  {}", card.id, card.title)));
            }
            lines.join("\n")
        });
        Ok(0)
    }
}

/// With the compile cache of a home that may be written.
fn plugins(folder: Option<&Path>) -> Result<Plugins, PluginError> {
    let open =
        |cache: Option<&Path>| Plugins::with(cache, Compiler::this_program(), Limits::default(), SystemClock::shared());
    match folder.map(|folder| open(Some(&Home::new(folder, None).cache()))) {
        Some(Err(PluginError::Cache { .. })) | None => open(None),
        Some(other) => other,
    }
}
