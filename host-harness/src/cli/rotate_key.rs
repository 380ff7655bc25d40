//! `harness rotate-key`.

use clap::Args;
use serde_json::json;

use super::Done;
use super::output::Output;
use crate::host::{Host, HostError};
use crate::store::off_thread;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness rotate-key
  harness rotate-key --json | jq .sealed

It may be done while `harness serve` runs, which goes on with the new key. Backups that were made before need the key
that was there then: make a new one, and keep the earlier key for as long as you keep the earlier backups.")]
pub(super) struct RotateKey {}

impl RotateKey {
    pub(super) fn run(&self, host: &Host, output: &Output) -> Done {
        let rotated = off_thread(|| host.vault().rotate()).map_err(HostError::from)?;
        let key_file = host.home().key_file.display().to_string();
        let json = json!({"sealed": rotated.sealed, "damaged": rotated.damaged, "key-file": key_file});
        output.result(&json, || format!("{} secrets are sealed with a new key, in {key_file}", rotated.sealed));
        output.note("backups from before need the earlier key: make a new one with `harness backup`");
        if rotated.damaged > 0 {
            output.note(&format!("secrets that did not open and stay so: {}", rotated.damaged));
        }
        Ok(0)
    }
}
