//! The page between the app and the code: which account, which site, accept or cancel.
//!
//! The simulator has no log-in session: the person says on the page who they are.

use std::fmt::Write;

use super::app::AppKind;
use super::grant::{Code, Sites};
use super::page::{self, escape};
use super::pkce::Challenge;
use super::{Directory, oauth1, random_hex};
use crate::routes::{Answer, Request};
use crate::simulator::Consent;
use crate::state::Jira;

/// How long a page waits for its person, and how many wait.
const WAITS_MS: i64 = 3_600_000;
const WAITING: usize = 1_000;

/// An authorization request that was found good.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) challenge: Option<Challenge>,
}

impl Authorization {
    /// The redirect that tells the app, with its state.
    pub(crate) fn tell(&self, parameters: &[(&str, &str)]) -> Answer {
        let mut all = parameters.to_vec();
        if let Some(state) = &self.state {
            all.push(("state", state));
        }
        page::redirect(&page::with_parameters(&self.redirect_uri, &all))
    }

    pub(crate) fn error(&self, error: &str, description: &str) -> Answer {
        self.tell(&[("error", error), ("error_description", description)])
    }
}

/// What a page asks consent for.
#[derive(Clone)]
pub(crate) enum What {
    Code(Authorization),
    /// OAuth 1.0a: the request token.
    Link(String),
}

/// A page that was shown.
pub(crate) struct Asked {
    ticket: String,
    what: What,
    expires: i64,
}

/// Shows the page, or answers for the person where the settings say so.
pub(crate) fn ask(login: &mut Directory, sites: &[Jira], request: &Request, what: What) -> Answer {
    let accept = match login.settings.consent {
        Consent::Ask => {
            let now = login.now();
            login.asked.retain(|asked| asked.expires > now);
            if login.asked.len() >= WAITING {
                login.asked.remove(0);
            }
            let ticket = random_hex();
            login.asked.push(Asked { ticket: ticket.clone(), what: what.clone(), expires: now + WAITS_MS });
            return show(login, sites, &request.path, &ticket, &what, None);
        }
        Consent::Auto => true,
        Consent::Refuse => false,
    };
    let name = login.settings.consent_account.clone();
    let Some(account) = person(sites, &name) else {
        return page::error(500, "Nobody consents", "The setting consent_account names no person.");
    };
    let wanted = login.settings.consent_sites.clone();
    let member = |site: &&Jira| site.accounts[account].member;
    let chosen: Vec<usize> = match wanted.is_empty() {
        true => sites.iter().find(member).map(|site| site.place).into_iter().collect(),
        false => {
            sites.iter().filter(member).filter(|site| wanted.contains(&site.name)).map(|site| site.place).collect()
        }
    };
    match settle(login, sites, &what, account, &chosen, accept) {
        Ok(answer) => answer,
        Err(sentence) => page::error(403, "No access", &sentence),
    }
}

/// Takes the answer of a page.
pub(crate) fn decide(login: &mut Directory, sites: &[Jira], request: &Request) -> Answer {
    let form = request.form();
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let now = login.now();
    let place =
        login.asked.iter().position(|asked| Some(asked.ticket.as_str()) == value("ticket") && asked.expires > now);
    let Some(place) = place else {
        return page::error(400, "This page is no longer good", "Go back to the app and begin again.");
    };
    let (ticket, what) = (login.asked[place].ticket.clone(), login.asked[place].what.clone());
    let accept = match value("decision") {
        Some("accept") => true,
        Some("cancel") => false,
        _ => return show(login, sites, &request.path, &ticket, &what, Some("Accept or cancel.")),
    };
    let Some(account) = value("account").and_then(|name| person(sites, name)) else {
        return show(login, sites, &request.path, &ticket, &what, Some("Choose an account."));
    };
    let chosen: Vec<usize> = match login.cloud() {
        true => sites.iter().filter(|site| value("site") == Some(&site.name)).map(|site| site.place).collect(),
        false => vec![0],
    };
    match settle(login, sites, &what, account, &chosen, accept) {
        Ok(answer) => {
            login.asked.retain(|asked| asked.ticket != ticket);
            answer
        }
        Err(sentence) => show(login, sites, &request.path, &ticket, &what, Some(&sentence)),
    }
}

/// A person (not a service account) by name.
fn person(sites: &[Jira], name: &str) -> Option<usize> {
    sites[0].accounts.iter().position(|account| account.name == name && !account.service)
}

fn settle(
    login: &mut Directory,
    sites: &[Jira],
    what: &What,
    account: usize,
    chosen: &[usize],
    accept: bool,
) -> Result<Answer, String> {
    let authorization = match what {
        What::Link(token) => return Ok(oauth1::settle(login, token, account, accept)),
        What::Code(authorization) => authorization,
    };
    if !accept {
        return Ok(authorization.error("access_denied", "User did not authorize the request"));
    }
    let Some(app) = login.app(&authorization.client_id) else { return Err("The app was deleted.".to_owned()) };
    if app.kind == AppKind::ThreeLegged && !app.distributed && app.owner != account {
        return Err("You don't have access to this app: its owner has not shared it.".to_owned());
    }
    if chosen.is_empty() || chosen.iter().any(|site| !sites[*site].accounts[account].member) {
        return Err("This account is on no such site.".to_owned());
    }
    let scopes: Vec<String> = authorization.scopes.clone();
    let usable: Vec<String> = scopes.iter().filter(|scope| *scope != "offline_access").cloned().collect();
    let code = Code {
        secret: format!("not-a-real-code-{}", random_hex()),
        client_id: authorization.client_id.clone(),
        account,
        sites: chosen.iter().map(|site| (*site, usable.clone())).collect::<Sites>(),
        scopes,
        redirect_uri: authorization.redirect_uri.clone(),
        challenge: authorization.challenge.clone(),
        expires: login.now().saturating_add(login.settings.code_s.saturating_mul(1_000)),
    };
    let answer = authorization.tell(&[("code", &code.secret)]);
    login.codes.push(code);
    Ok(answer)
}

fn show(login: &Directory, sites: &[Jira], action: &str, ticket: &str, what: &What, problem: Option<&str>) -> Answer {
    let mut body = String::new();
    if let Some(problem) = problem {
        let _ = write!(body, "<p class=\"error\">{}</p>", escape(problem));
    }
    let (app, leads_to) = match what {
        What::Code(authorization) => {
            let app = login.app(&authorization.client_id);
            (app.map_or("an app", |app| &app.name), authorization.redirect_uri.as_str())
        }
        What::Link(token) => login.links.described(token),
    };
    let _ = write!(
        body,
        "<p><strong>{}</strong> asks for access. You go on to <code>{}</code>.</p>",
        escape(app),
        escape(leads_to)
    );
    if let What::Code(authorization) = what {
        body.push_str("<ul>");
        for scope in &authorization.scopes {
            let _ = write!(body, "<li><code>{}</code></li>", escape(scope));
        }
        body.push_str("</ul>");
    }
    let _ = write!(
        body,
        "<form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"ticket\" value=\"{}\"><fieldset><legend>Account</legend>",
        escape(action),
        escape(ticket)
    );
    for (place, account) in sites[0].accounts.iter().enumerate().filter(|(_, account)| !account.service) {
        let checked = if place == 0 { " checked" } else { "" };
        let _ = write!(
            body,
            "<label><input type=\"radio\" name=\"account\" value=\"{name}\"{checked}> {display} ({email})</label>",
            name = escape(&account.name),
            display = escape(&account.display_name),
            email = escape(&account.email),
        );
    }
    body.push_str("</fieldset>");
    if login.cloud() {
        body.push_str("<fieldset><legend>Use app on</legend><select name=\"site\">");
        for site in sites {
            let _ = write!(body, "<option value=\"{name}\">{name}.atlassian.net</option>", name = escape(&site.name));
        }
        body.push_str("</select></fieldset>");
    }
    let (yes, no) = if login.cloud() { ("Accept", "Cancel") } else { ("Allow", "Deny") };
    let _ = write!(
        body,
        "<button name=\"decision\" value=\"accept\">{yes}</button><button name=\"decision\" value=\"cancel\">{no}</button></form>"
    );
    page::page(if problem.is_some() { 400 } else { 200 }, "Authorize an app", &body)
}
