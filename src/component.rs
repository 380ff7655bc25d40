//! The component: exports to the core, and the core's [`Host`](crate::host::Host) over WASI.
//!
//! The only module that knows wit-bindgen and WASI. Nothing here decides anything about Jira.
#![allow(unsafe_code, reason = "generated bindings")]

mod convert;
mod wire;

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated from wit/, where everything is documented")]
    wit_bindgen::generate!({ path: "wit", world: "connector" });
}

use self::bindings::exports::workflow::connector::{action, catalog, connection, event, types};
use self::convert::{aside_out, call_in, choices_out, delivery_in, ensure_in, ensured_out, error_out, json_in};
use self::convert::{health_out, invoked_out, occurrence_out, prepared_out, sites_out, subscription_in};
use self::wire::Wire;

/// The standard library's allocator in a later version, which begins in the memory that the module has from its start:
/// each growth of memory costs the host a change of its page tables.
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

struct Component;

bindings::export!(Component with_types_in bindings);

impl catalog::Guest for Component {
    fn describe(connection: Option<types::Connection>) -> Result<catalog::Description, types::Error> {
        let connection = connection.map(convert::connection_in).transpose().map_err(error_out)?;
        let description = crate::catalog::describe(connection.as_ref());
        Ok(catalog::Description {
            manifest: description.manifest.to_owned(),
            lacking: description
                .lacking
                .into_iter()
                .map(|lack| catalog::Lack { card: lack.card, reason: lack.reason })
                .collect(),
            extra: "{}".to_owned(),
        })
    }

    fn options(call: types::Call, query: catalog::ChoiceQuery) -> Result<catalog::Choices, types::Error> {
        let call = call_in(call).map_err(error_out)?;
        let query = crate::contract::ChoiceQuery {
            card: query.card,
            field: query.field,
            input: json_in("query.input", &query.input).map_err(error_out)?,
            text: query.text,
            page: query.page,
        };
        crate::catalog::options(&mut Wire::new(call.deadline_ms), &call, &query).map(choices_out).map_err(error_out)
    }

    fn schema(call: types::Call, card: String, input: String) -> Result<catalog::CardSchema, types::Error> {
        let call = call_in(call).map_err(error_out)?;
        let input = json_in("input", &input).map_err(error_out)?;
        let schema = crate::catalog::schema(&mut Wire::new(call.deadline_ms), &call, &card, &input);
        let schema = schema.map_err(error_out)?;
        Ok(catalog::CardSchema {
            input: crate::json::text(&schema.input),
            output: crate::json::text(&schema.output),
            aside: aside_out(schema.aside),
        })
    }
}

impl connection::Guest for Component {
    fn prepare(method: String, form: String) -> Result<connection::Prepared, types::Error> {
        let form = json_in("form", &form).map_err(error_out)?;
        crate::connection::prepare(&method, &form).map(prepared_out).map_err(error_out)
    }

    fn discover(call: types::Call) -> Result<connection::Sites, types::Error> {
        let call = call_in(call).map_err(error_out)?;
        crate::connection::discover(&mut Wire::new(call.deadline_ms), &call).map(sites_out).map_err(error_out)
    }

    fn check(call: types::Call) -> Result<connection::Health, types::Error> {
        let call = call_in(call).map_err(error_out)?;
        crate::connection::check(&mut Wire::new(call.deadline_ms), &call).map(health_out).map_err(error_out)
    }
}

impl action::Guest for Component {
    fn invoke(
        call: types::Call,
        card: String,
        input: String,
        state: Option<String>,
    ) -> Result<action::Invoked, types::Error> {
        let call = call_in(call).map_err(error_out)?;
        let input = json_in("input", &input).map_err(error_out)?;
        let mut wire = Wire::new(call.deadline_ms);
        crate::action::invoke(&mut wire, &call, &card, input, state).map(invoked_out).map_err(error_out)
    }
}

impl event::Guest for Component {
    fn ensure(call: types::Call, request: event::EnsureRequest) -> Result<event::Ensured, types::Error> {
        let call = call_in(call).map_err(error_out)?;
        let request = ensure_in(request).map_err(error_out)?;
        crate::event::ensure(&mut Wire::new(call.deadline_ms), &call, &request).map(ensured_out).map_err(error_out)
    }

    fn authenticate(_: event::Delivery, _: event::Registration) -> Result<event::Verdict, types::Error> {
        Ok(event::Verdict::Forged(crate::event::NO_AUTHENTICATE.to_owned()))
    }

    fn answer(_: event::Delivery) -> Result<Option<event::Reply>, types::Error> {
        Ok(None)
    }

    fn receive(
        _: Option<types::Call>,
        delivery: event::Delivery,
        subscriptions: Vec<event::Subscription>,
    ) -> Result<event::Received, types::Error> {
        let subscriptions = subscriptions.into_iter().map(subscription_in).collect::<Result<Vec<_>, _>>();
        let subscriptions = subscriptions.map_err(error_out)?;
        let received = crate::event::receive(&delivery_in(delivery), &subscriptions).map_err(error_out)?;
        Ok(event::Received {
            occurrences: received.occurrences.into_iter().map(occurrence_out).collect(),
            aside: aside_out(received.aside),
        })
    }

    fn poll(_: types::Call, _: Vec<event::Subscription>, _: Option<String>) -> Result<event::Polled, types::Error> {
        Err(error_out(crate::event::not_polled()))
    }
}
