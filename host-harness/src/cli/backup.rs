//! `harness backup` and `harness restore`.

use std::path::PathBuf;

use clap::Args;

use super::Done;
use super::output::Output;
use crate::host::{Copied, Home, back_up, restore};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness backup /var/backups/harness-2026-11-22.db
  harness backup --overwrite /var/backups/harness.db --json | jq .needed

It may be done while `harness serve` runs: the copy is that of one moment, and is checked. Secrets in it stay sealed with
the home's key file, of which it says where it is: keep that elsewhere. The components are not in it either.")]
pub(super) struct Backup {
    /// The file to write, readable to its owner only
    file: PathBuf,
    /// Copy the vault's key too, to FILE.key: who has both has every secret
    #[arg(long)]
    with_key: bool,
    /// Allow FILE to exist
    #[arg(long)]
    overwrite: bool,
}

impl Backup {
    pub(super) fn run(&self, home: &Home, output: &Output) -> Done {
        let copied = back_up(home, &self.file, self.with_key, self.overwrite)?;
        tell(output, &copied, "backed up to", "Restoring it takes as well");
        Ok(0)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness --home /srv/harness restore /var/backups/harness-2026-11-22.db
  harness --home /srv/harness restore \\
    --replace /var/backups/harness-2026-11-22.db

What happened after the backup is not in it: services do not send again what was acknowledged. Runs that were under way
go on from their last step, so a step that was done since may be done twice. FILE.key is restored with it where the home
has no key file.")]
pub(super) struct Restore {
    /// What `harness backup` wrote
    file: PathBuf,
    /// Allow the home to have data: it is kept beside the restored one
    #[arg(long)]
    replace: bool,
}

impl Restore {
    pub(super) fn run(&self, home: &Home, output: &Output) -> Done {
        let copied = restore(home, &self.file, self.replace)?;
        tell(output, &copied, "restored from", "Still needed");
        Ok(0)
    }
}

fn tell(output: &Output, copied: &Copied, verb: &str, needed: &str) {
    output.result(&copied.to_json(), || {
        let (contents, file) = (&copied.contents, copied.file.display());
        let mut lines = vec![format!(
            "{verb} {file}: {} connections, {} deliveries that wait, {} runs that are not over",
            contents.connections.len(),
            contents.deliveries,
            contents.runs
        )];
        lines.extend(copied.key.iter().map(|key| format!("  the key: {}", key.display())));
        lines.extend(copied.former.iter().map(|former| format!("  what was there before: {}", former.display())));
        if !copied.needed.is_empty() {
            lines.push(format!("{needed}:"));
            lines.extend(copied.needed.iter().map(|one| format!("  {one}")));
        }
        lines.join("\n")
    });
}
