//! Health reports, for people and for exit codes.

use serde_json::Value;

use crate::cli::output::wrapped;
use crate::host::Checked;
use crate::legible::one_line;

/// How wide a finding is, at most.
const WIDTH: usize = 100;
/// What stands before the lines of a finding after its first.
const MARGIN: &str = "         ";

/// 0 where it is proven, 4 where what failed may pass by itself, else 3.
pub(super) fn exit_code(checked: &Checked) -> u8 {
    match (checked.proven, checked.transient) {
        (true, _) => 0,
        (false, true) => 4,
        (false, false) => 3,
    }
}

/// A report for people: the findings in the order in which they were found, what to do and who can do it, whose
/// connection it is.
pub(super) fn health_text(health: &Value) -> String {
    let mut lines = Vec::new();
    for finding in health["findings"].as_array().into_iter().flatten() {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        let mark = match text("outcome") {
            "passed" => "ok      ",
            "warning" => "warning ",
            "failed" => "FAILED  ",
            _ => "unclear ",
        };
        // The pages of documentation are looked up by the code.
        let message = match (text("outcome"), text("code")) {
            ("passed", _) | (_, "") => text("message").to_owned(),
            (_, code) => format!("{} ({code})", text("message")),
        };
        lines.push(format!("{mark} {}", wrapped(&message, WIDTH, MARGIN)));
        if !text("remedy").is_empty() {
            let who = match text("who") {
                "service-admin" => "your administrator at the service",
                "operator" => "whoever operates this host",
                "developer" => "the connector's maintainer",
                _ => "you",
            };
            lines.push(format!("{MARGIN}{who}: {}", wrapped(text("remedy"), WIDTH, MARGIN)));
        }
    }
    lines.push(match health["identity"]["label"].as_str() {
        Some(label) => format!("account  {}", one_line(label)),
        None => "account  not proved".into(),
    });
    lines.push(if health["proven"] == true { "proven".into() } else { "unproven".into() });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_says_in_order_what_was_found_and_who_can_do_what() {
        let finding = |outcome: &str, message: &str, remedy: &str, who: &str| json!({"outcome": outcome, "message": message, "remedy": remedy, "who": who, "code": format!("x.{outcome}")});
        let report = json!({"proven": false, "identity": null, "findings": [
            finding("passed", "It answers.", "", "user"),
            finding("warning", "The token expires.", "Make a new one.", "user"),
            finding("failed", "No project is visible.", "Grant access.", "service-admin"),
            finding("unknown", "Could not ask.", "Open the firewall.", "operator"),
        ]});
        let forged = json!({"identity": {"label": "Ann\nproven"}});
        assert!(!health_text(&forged).lines().any(|line| line == "proven"));
        let expected = "ok       It answers.
warning  The token expires. (x.warning)
         you: Make a new one.
FAILED   No project is visible. (x.failed)
         your administrator at the service: Grant access.
unclear  Could not ask. (x.unknown)
         whoever operates this host: Open the firewall.
account  not proved
unproven";
        assert_eq!(health_text(&report), expected);
    }
}
