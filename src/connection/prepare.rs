//! What the forms have in common, understood.

use super::{Home, Method, fitting};
use crate::contract::{Error, Failure, FailureClass, Origin, Prepared};
use crate::jira::deployment::Deployment;
use crate::jira::site::{self, GATEWAY, Site};
use serde_json::{Map, Value, json};

/// What anybody may ask a Jira: which one it is. Asked without the credential, for a wrong address, or a way in that
/// does not fit, must not cost a failed login.
pub(super) const SERVER_INFO: &str = "rest/api/2/serverInfo";
/// The same of a site of Jira Cloud: the id that Atlassian gave it.
pub(super) const TENANT_INFO: &str = "_edge/tenant_info";
/// Where OAuth of Jira Cloud gets its tokens.
const SIGN_IN: &str = "https://auth.atlassian.com/";

/// Settings and origins as they grow.
pub(super) struct Draft {
    settings: Map<String, Value>,
    origins: Vec<Origin>,
    /// As it is to be kept.
    form: Map<String, Value>,
    corrections: Vec<String>,
}

impl Draft {
    pub(super) fn new(method: &Method) -> Self {
        let mut draft = Self { settings: Map::new(), origins: Vec::new(), form: Map::new(), corrections: Vec::new() };
        draft.keep("method", method.id);
        draft
    }

    /// With the site that the form names, and the origins to find out which Jira is there.
    pub(super) fn with_site(method: &Method, form: &Value) -> Result<(Self, Site), Error> {
        let understand = if method.home == Home::Cloud { site::understand_cloud } else { site::understand };
        let typed = understand(text(form, "site")).map_err(|why| {
            let remedy = "Give your Jira's address, such as demo.atlassian.net or jira.example.com/jira.";
            Failure::input("site-invalid", "/site", "Site", why, remedy).permanent()
        })?;
        let site = typed.site;
        if site.is_cloud() && method.home != Home::Cloud {
            let message = format!("{} is Jira Cloud, which takes no {}.", site.authority(), method.name);
            let remedy = format!("For this address {}.", fitting(Deployment::Cloud));
            // Of no field: no other address is meant, but another way in.
            return Err(Failure::new(FailureClass::Input, "method-unfit", message, &remedy).permanent());
        }
        let mut draft = Self::new(method);
        draft.form = form.as_object().cloned().unwrap_or_default();
        draft.spell("site", site.base());
        draft.corrections = typed.corrections;
        draft.look_at(&site, method.home == Home::Cloud);
        Ok((draft, site))
    }

    /// Keeps the site, and pins what anybody may ask it.
    pub(super) fn look_at(&mut self, site: &Site, cloud: bool) {
        self.keep("site", site.base());
        self.pin(format!("{}{SERVER_INFO}", site.base()), false, "Which Jira it is");
        if cloud {
            self.pin(format!("{}{TENANT_INFO}", site.base()), false, "The id of the site");
        }
    }

    pub(super) fn keep(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), json!(value));
    }

    /// The right spelling of a field: what else was typed is not kept.
    pub(super) fn spell(&mut self, field: &str, text: &str) {
        self.form.insert(field.to_owned(), json!(text));
    }

    pub(super) fn pin(&mut self, url: impl Into<String>, credential: bool, purpose: &str) {
        self.origins.push(Origin { url: url.into(), credential, purpose: purpose.to_owned() });
    }

    pub(super) fn pin_site(&mut self, site: &Site) {
        self.pin(site.base(), true, "The Jira site");
    }

    /// The Jira behind the gateway; any, until the id of the site is known.
    pub(super) fn pin_gateway(&mut self, cloud_id: Option<&str>) {
        let any = || format!("{GATEWAY}ex/jira/");
        self.pin(cloud_id.and_then(site::gateway).unwrap_or_else(any), true, "Atlassian's gateway to the site");
    }

    /// The origins alone.
    pub(super) fn origins(self) -> Vec<Origin> {
        self.origins
    }

    pub(super) fn pin_sign_in(&mut self) {
        self.pin(SIGN_IN, false, "Where Atlassian gives tokens");
    }

    pub(super) fn correct(&mut self, correction: &str) {
        self.corrections.push(correction.to_owned());
    }

    pub(super) fn done(self) -> Prepared {
        let (settings, form) = (Value::Object(self.settings), Value::Object(self.form));
        Prepared { settings, origins: self.origins, form, corrections: self.corrections }
    }
}

/// A text of the form; empty where it is left out.
pub(super) fn text<'f>(form: &'f Value, name: &str) -> &'f str {
    form.get(name).and_then(Value::as_str).unwrap_or_default()
}
