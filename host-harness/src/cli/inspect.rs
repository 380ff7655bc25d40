//! `harness inspect`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Done;
use super::output::Output;
use crate::host::Host;
use crate::plugin::CardKind;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness inspect connector.wasm
  harness inspect connector.wasm --json | jq .imports")]
pub(super) struct Inspect {
    /// The component's file
    component: PathBuf,
}

impl Inspect {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let plugin = host.load(&self.component).await?;
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
