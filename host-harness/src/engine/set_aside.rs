//! Which flows can run at all, before anything does. One that cannot is set aside, so that the others are served, and
//! is looked at again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::flow::CompiledFlow;
use crate::host::{Host, HostError, card_of_kind, check_filter, check_members, off_thread};
use crate::observe::Trouble;
use crate::plugin::CardKind;
use crate::store::Alarm;

/// The code under which a flow is set aside.
const CODE: &str = "host.flow-set-aside";

/// A flow that cannot run now.
pub(super) struct Aside {
    /// Its file.
    pub(super) path: PathBuf,
    /// The flow.
    pub(super) flow: Arc<CompiledFlow>,
    /// What is wrong.
    pub(super) trouble: Trouble,
}

/// The flows that can run, and those that cannot. Where it is to be `strict`, the first that cannot run is the error.
pub(super) async fn set_aside(
    host: &Arc<Host>,
    flows: Vec<(PathBuf, CompiledFlow)>,
    strict: bool,
) -> Result<(Vec<(PathBuf, CompiledFlow)>, Vec<Aside>), HostError> {
    let (mut sound, mut aside) = (Vec::with_capacity(flows.len()), Vec::new());
    for (path, one) in flows {
        match check(host, &path, &one).await {
            Ok(()) => sound.push((path, one)),
            Err(error) if strict => return Err(error),
            Err(error) => {
                let trouble = trouble(&one, &error);
                tell(host, &trouble)?;
                aside.push(Aside { path, flow: Arc::new(one), trouble });
            }
        }
    }
    Ok((sound, aside))
}

pub(super) fn trouble(one: &CompiledFlow, error: &HostError) -> Trouble {
    let (name, json) = (&one.flow.name, error.to_json());
    let text = |member: &str| json[member].as_str().unwrap_or_default().to_owned();
    Trouble {
        connection: Some(one.flow.on.connection.clone()),
        code: CODE.into(),
        message: format!("{}, and its events start nothing: {}", beginning(name), text("message")),
        remedy: format!("{} It is looked at again by itself.", text("remedy")),
    }
}

/// How what is said of a flow that was set aside begins.
fn beginning(name: &str) -> String {
    format!("the flow `{name}` was set aside")
}

/// A flow runs: nothing that was said of its being set aside holds any more.
pub(super) fn take_back(host: &Host, name: &str) -> Result<usize, HostError> {
    Ok(off_thread(|| host.store().clear_alarms_of(CODE, &format!("{},", beginning(name))))?)
}

/// Tells of a flow that was set aside, where that was not told before.
pub(super) fn tell(host: &Host, trouble: &Trouble) -> Result<(), HostError> {
    tracing::error!(remedy = trouble.remedy, "{}", trouble.message);
    let alarm = Alarm {
        at_ms: host.clock().now_ms(),
        connection: None,
        code: CODE.into(),
        message: format!("{} {}", trouble.message, trouble.remedy),
    };
    Ok(off_thread(|| host.store().raise_once(&alarm))?)
}

/// Checks what only the connectors know: cards, connections, filters.
pub(super) async fn check(host: &Arc<Host>, path: &Path, one: &CompiledFlow) -> Result<(), HostError> {
    let at = |place: String, error: HostError| match error {
        HostError::BadInput(mut problem) => {
            problem.message = format!("{}, {place}: {}", path.display(), problem.message);
            HostError::BadInput(problem)
        }
        other => other,
    };
    let trigger = &one.flow.on;
    let session = host.session_of(&trigger.connection).await.map_err(|error| at("on.connection".into(), error))?;
    card_of_kind(&session.plugin, &trigger.event, CardKind::Event).map_err(|error| at("on.event".into(), error))?;
    check_filter(&session.plugin, &trigger.event, &trigger.filter).map_err(|error| at("on.filter".into(), error))?;
    for step in &one.flow.steps {
        let place = |what: &str| format!("steps.{}.{what}", step.id);
        let session = host.session_of(&step.connection).await.map_err(|error| at(place("connection"), error))?;
        let card = card_of_kind(&session.plugin, &step.action, CardKind::Action)
            .map_err(|error| at(place("action"), error))?;
        let remedy = format!("`harness card show {}` shows the input it takes.", card.id);
        let what = format!("the input of `{}`", card.id);
        if let Some(schema) = &card.input {
            check_members(schema, &step.input, &what, &remedy).map_err(|error| at(place("input"), error))?;
        }
    }
    Ok(())
}
