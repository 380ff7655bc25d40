//! `harness alarms`.

use clap::Args;
use serde_json::{Value, json};

use super::Done;
use super::output::{Output, table, time};
use crate::host::Host;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness alarms
  harness alarms --json | jq '.[] | select(.code == \"host.intake-refused\")'

Alarms are what somebody should look at: deliveries that could not be read, kept or believed, runs that failed or are
uncertain, a disk without room. Those of one connection are in `harness subscriptions` too.")]
pub(super) struct Alarms {
    /// How many, newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

impl Alarms {
    pub(super) fn run(&self, host: &Host, output: &Output) -> Done {
        let alarms = host.store().alarms(self.limit)?;
        let connections = host.store().connections()?;
        let name = |id: &Option<String>| {
            let known = connections.iter().find(|one| Some(&one.id) == id.as_ref()).map(|one| one.name.clone());
            known.or_else(|| id.clone())
        };
        let json: Vec<Value> = alarms
            .iter()
            .map(|one| {
                json!({
                    "at-ms": one.at_ms, "connection": name(&one.connection), "code": one.code, "message": one.message,
                })
            })
            .collect();
        output.result(&Value::Array(json), || {
            if alarms.is_empty() {
                return "no alarms".into();
            }
            let rows: Vec<_> = alarms
                .iter()
                .map(|one| {
                    let connection = name(&one.connection).unwrap_or_else(|| "-".into());
                    vec![time(Some(one.at_ms)), connection, one.code.clone(), one.message.clone()]
                })
                .collect();
            table(&["AT", "CONNECTION", "CODE", "MESSAGE"], &rows)
        });
        Ok(0)
    }
}
