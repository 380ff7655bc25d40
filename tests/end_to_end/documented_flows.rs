//! The flows that docs/flows.md shows are flows that run, for the card's sample and for what services leave out.

use serde_json::{Value, json};

use crate::built;
use crate::stage::Stage;

/// The steps of a flow of which the page shows the beginning alone.
const STEPS: &str =
    "steps:\n  - { id: look, action: get-issue, connection: demo, input: { issue: \"${{ event.issue.key }}\" } }\n";

/// Every flow of the page; one that is shown in part is made whole.
fn flows() -> Vec<String> {
    let page = std::fs::read_to_string(built::root().join("docs/flows.md")).expect("the page is there");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let whole = |block: &str| match block.starts_with("name:") {
        true => block.to_owned(),
        false => format!("name: shown-in-part\n{block}{STEPS}"),
    };
    blocks.map(whole).collect()
}

#[test]
fn every_flow_of_the_page_is_sound_whatever_a_service_leaves_out() {
    let stage = Stage::new();
    let component = built::connector().to_string_lossy().into_owned();
    let flows = flows();
    assert_eq!(flows.len(), 2, "{flows:#?}");
    for (number, flow) in flows.iter().enumerate() {
        let file = stage.host.file(&format!("documented-{number}.yaml"), flow);
        let file = file.to_string_lossy().into_owned();
        let found = stage.host.run(&["flow", "check", &file, "--component", &component]).expect(0);
        assert_eq!(found[0]["problems"], json!([]), "{flow}");
        let test = |event: &[&str]| {
            let arguments = [&["flow", "test", &file, "--component", &component], event].concat();
            stage.host.run(&arguments).expect(0)
        };
        let mut event = test(&[])["event"].clone();
        for priority in [json!({ "name": "High" }), json!({ "name": "Low" }), Value::Null] {
            event["issue"]["fields"]["issuetype"] = json!({ "name": "Bug" });
            event["issue"]["fields"]["priority"] = priority.clone();
            let gone = test(&["--event", &event.to_string()]);
            if number == 0 {
                let ran: Vec<bool> = (0..2).map(|step| gone["steps"][step]["runs"] == true).collect();
                assert_eq!(ran, [priority["name"] == "High"; 2], "{priority}: {gone:#}");
            }
        }
        event["issue"]["fields"].as_object_mut().expect("fields").remove("priority");
        test(&["--event", &event.to_string()]);
    }
}

#[test]
fn what_reads_the_output_of_a_step_that_was_skipped_is_warned_of_and_told() {
    let stage = Stage::new();
    let component = built::connector().to_string_lossy().into_owned();
    let careless = flows()[0].replace("    when: steps.mark.output != null", "    # nothing is asked");
    let file = stage.host.file("careless.yaml", careless).to_string_lossy().into_owned();
    let found = stage.host.run(&["flow", "check", &file, "--component", &component]).expect(0);
    let problem = &found[0]["problems"][0];
    assert_eq!((&problem["warning"], &problem["place"]), (&json!(true), &json!("steps.tell.input/issue")), "{found:#}");
    let mut event = stage.host.run(&["flow", "test", &file, "--component", &component]).json()["event"].clone();
    event["issue"]["fields"]["priority"] = Value::Null;
    let event = event.to_string();
    let told = stage.host.run(&["flow", "test", &file, "--component", &component, "--event", &event]).expect(2);
    assert!(told["problems"].to_string().contains("the step `mark` was skipped"), "{told:#}");
}
