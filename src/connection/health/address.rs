//! Whether the address leads to a Jira, and to one that the way in fits. Asked as a stranger: a wrong address, or a way
//! in that does not fit, must not cost a failed login.

use super::super::prepare::{SERVER_INFO, TENANT_INFO};
use super::super::{Home, Method, Route, fitting};
use super::report::Report;
use super::{gateway_only, wants_tenant};
use crate::contract::{FailureClass, Responsible};
use crate::host::{Response, SendError};
use crate::jira::client::{Ask, Client};
use crate::jira::deployment::{Deployment, OLDEST};
use crate::jira::refusal::{self, ADDRESS};
use crate::jira::site::{self, Site};
use crate::json;
use serde_json::{Value, json};

/// Whether it is worth while to go on.
pub(super) fn look(client: &mut Client<'_>, report: &mut Report, method: &Method) -> bool {
    let mut asks = vec![Ask::stranger(SERVER_INFO, "serverInfo")];
    if wants_tenant(method, report) {
        asks.push(Ask::stranger(TENANT_INFO, "tenant_info"));
    }
    let mut answers = match client.send_raw(&asks) {
        Ok(answers) => answers.into_iter(),
        Err(held) => {
            report.fatal(&held, "");
            return false;
        }
    };
    let server = answers.next().unwrap_or(Err(SendError::NoTime));
    let tenant = answers.next().map(|answer| client.interpret(&asks[1], answer));
    // Without the id, whatever the reason, the report goes on as far as it comes.
    if let Some(Ok(tenant)) = tenant
        && let Some(id) = tenant.members().string("cloudId").filter(|id| site::is_cloud_id(id))
    {
        report.keep("cloud-id", json!(id));
    }
    let found = match read(server) {
        Ok(info) => {
            reachable(&client.site, report);
            deployment(&info, client, report)
        }
        // Where a Jira was found before, the name is right, and the trouble passes.
        Err(Wrong::NoAnswer(Err(SendError::Dns))) if report.text("deployment").is_none() => {
            let message = format!("There is no host named {}.", client.site.host());
            report.failed(FailureClass::Input, Responsible::User, "host-unknown", message, ADDRESS);
            return false;
        }
        Err(Wrong::NoAnswer(answer)) => {
            match client.interpret(&asks[0], answer) {
                Err(error) => report.fatal(&error, ""),
                Ok(_) => not_jira(report, client.site.base()),
            }
            return false;
        }
        Err(Wrong::Unsaid(status)) => {
            // It may keep from strangers which one it is; the one login that is tried tells more.
            let message = format!("Jira does not tell strangers which version it is (status {status}).");
            report.unknown("deployment-unknown", message, "", Responsible::ServiceAdmin);
            let known = report.settings.get("deployment").is_some();
            if let (Home::Center(major, minor), false) = (method.home, known) {
                client.deployment = Deployment::Center { major, minor };
            }
            return is_routed(&client.site, report, method);
        }
        Err(Wrong::Elsewhere { code, message, remedy, who }) => {
            let alone = code == "no-jira" && report.text("cloud-id").is_some();
            if alone {
                let message =
                    format!("The site {} has no Jira: it may have Confluence alone.", client.site.authority());
                let remedy = "Give the site that has the Jira.";
                report.failed(FailureClass::Input, Responsible::User, "no-jira", message, remedy);
            } else {
                report.failed(FailureClass::Input, who, code, message, remedy);
            }
            return false;
        }
    };
    found.is_some_and(|found| fits(found, &client.site, report, method))
}

/// Says where Jira answers; away from this machine it is no place for a credential where everybody can listen.
fn reachable(site: &Site, report: &mut Report) {
    let base = site.base();
    if site.is_encrypted() || site.is_loopback() {
        return report.passed("reachable", format!("Jira answers at {base}."));
    }
    let message = format!("Jira answers at {base}, without encryption: everybody on the way can read the credential.");
    let remedy = "Have Jira set up for https, and make the connection with that address.";
    report.warning("not-encrypted", message, remedy, Responsible::ServiceAdmin);
}

/// Why the address is not that of a Jira.
enum Wrong {
    /// What went wrong on the way, which every request knows how to say.
    NoAnswer(Result<Response, SendError>),
    /// Strangers are not told.
    Unsaid(u16),
    Elsewhere {
        code: &'static str,
        message: String,
        remedy: &'static str,
        who: Responsible,
    },
}

/// What `serverInfo` said, or what answered in its place.
fn read(answer: Result<Response, SendError>) -> Result<Value, Wrong> {
    let response = match answer {
        Ok(response) if !matches!(response.status, 408 | 425 | 429 | 500..=510) => response,
        other => return Err(Wrong::NoAnswer(other)),
    };
    let body = String::from_utf8_lossy(&response.body);
    let by =
        |who, code, message: &str, remedy| Err(Wrong::Elsewhere { code, message: message.to_owned(), remedy, who });
    let elsewhere = |code, message: &str, remedy| by(Responsible::User, code, message, remedy);
    if response.status == 511 {
        let remedy = "Log in to the network that the host is in, or let the host out of it.";
        return by(
            Responsible::Operator,
            "captive-portal",
            "A network's login page (captive portal) answers in place of Jira.",
            remedy,
        );
    }
    if (300..400).contains(&response.status) {
        return Err(redirected(&response));
    }
    let asks = response.header_values("www-authenticate").map(str::to_ascii_lowercase);
    if response.status == 407 || asks.into_iter().any(|way| way.starts_with("negotiate") || way.starts_with("ntlm")) {
        let remedy = "Let the host reach Jira past the proxy: it can't log in to one.";
        return by(Responsible::Operator, "proxy-login", "A proxy before Jira asks for a login of its own.", remedy);
    }
    if response.status < 300 && !refusal::is_html(&response) {
        let info = json::value(&body);
        return match Deployment::read(&info) {
            Some(_) => Ok(info),
            None => elsewhere("not-jira", "What answers at the address is no Jira.", ADDRESS),
        };
    }
    if let Some(product) = product(&response, &body) {
        let message = format!("There is {product} at the address, and no Jira.");
        return elsewhere("other-product", &message, ADDRESS);
    }
    match response.status {
        404 | 410 => elsewhere("no-jira", "There is no Jira at the address (404).", ADDRESS),
        401 | 403 if !refusal::is_page_of_another(&response) => Err(Wrong::Unsaid(response.status)),
        status => {
            let refusal::Page { code, message, remedy, who } = refusal::page(status, &body);
            Err(Wrong::Elsewhere { code, message, remedy, who })
        }
    }
}

fn redirected(response: &Response) -> Wrong {
    let place = response.header("location").unwrap_or_default();
    let (scheme, rest) = place.split_once("://").unwrap_or_default();
    // What follows ? may be a ticket for somebody's login.
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // What stands before an @ is not the host.
    let host = host.rsplit('@').next().unwrap_or_default();
    // Where the same question is to be asked there, what comes before it is the address.
    let path = path.strip_suffix(SERVER_INFO).unwrap_or(path);
    let plain = !host.is_empty() && rest.len() <= 300 && rest.bytes().all(|byte| byte.is_ascii_graphic());
    let message = match (scheme, plain) {
        ("https" | "http", true) => {
            format!("The address leads on to {scheme}://{host}/{path}, and redirects are not followed.")
        }
        _ => "The address leads on to another one, and redirects are not followed.".to_owned(),
    };
    let remedy = "If that is your Jira, make the connection with that address; if it is a login page, let requests \
                  to /rest/ through to Jira itself.";
    Wrong::Elsewhere { code: "redirected", message, remedy, who: Responsible::User }
}

/// Another of Atlassian's products, by what it says of itself.
fn product(response: &Response, body: &str) -> Option<&'static str> {
    let says =
        |name: &str| body.contains(&format!("content=\"{name}\"")) || body.contains(&format!("- {name}</title>"));
    if response.header("x-confluence-request-time").is_some() || says("Confluence") {
        Some("Confluence")
    } else if says("Bitbucket") {
        Some("Bitbucket")
    } else if says("Bamboo") || says("Atlassian Bamboo") {
        Some("Bamboo")
    } else {
        None
    }
}

fn not_jira(report: &mut Report, base: &str) {
    let message = format!("What answers at {base} is no Jira.");
    report.failed(FailureClass::Input, Responsible::User, "not-jira", message, ADDRESS);
}

/// Keeps which one it is.
fn deployment(info: &Value, client: &mut Client<'_>, report: &mut Report) -> Option<Deployment> {
    let found = Deployment::read(info)?;
    let version = info.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
    report.keep("deployment", json!(found.word()));
    report.keep("version", json!(version));
    client.deployment = found;
    let name = if found.is_cloud() { "Jira Cloud" } else { "Jira Data Center or Server" };
    report.passed("deployment", format!("This is {name} ({version})."));
    let base = info.get("baseUrl").and_then(Value::as_str).unwrap_or_default();
    let own = site::understand(base).ok().map(|typed| typed.site);
    if let Some(own) = own.filter(|own| !found.is_cloud() && own.place() != client.site.place()) {
        let message = format!("Jira takes {} for its own address, and not the one it was reached at.", own.base());
        let remedy = "Set the base URL in Jira under System, General configuration, or connect with that address: \
                      links in its mails, and logins by OAuth, lead there.";
        report.warning("base-url-differs", message, remedy, Responsible::ServiceAdmin);
    }
    Some(found)
}

/// Whether the way in fits, said before any login is tried.
fn fits(found: Deployment, site: &Site, report: &mut Report, method: &Method) -> bool {
    if !found.since(7, 13) {
        let message = format!("This is {found}; the oldest that this connector speaks to is {OLDEST}.");
        report.failed(FailureClass::Input, Responsible::ServiceAdmin, "version-too-old", message, "Upgrade Jira.");
        return false;
    }
    if !method.fits(found) {
        let message = match method.home {
            Home::Center(major, minor) if !found.is_cloud() => {
                format!("This is {found}, which has no {}: it came with {major}.{minor}.", method.name)
            }
            _ => format!("This is {found}, which takes no {}.", method.name),
        };
        let remedy = format!("Make a new connection: {}.", fitting(found));
        report.failed(FailureClass::Input, Responsible::User, "method-unfit", message, &remedy);
        return false;
    }
    is_routed(site, report, method)
}

/// Whether it is known where the credential goes.
fn is_routed(site: &Site, report: &mut Report, method: &Method) -> bool {
    if method.route == Route::Either && !site.may_be_cloud() {
        let message =
            format!("{} is no address of Jira Cloud, whatever answers there: it gets no token.", site.authority());
        let remedy = "Look for a slip in the address. If it is your site under a name of your own, make a new connection \
                      with the address that Atlassian gave the site: demo.atlassian.net.";
        report.failed(FailureClass::Input, Responsible::User, "not-cloud", message, remedy);
        return false;
    }
    if gateway_only(method) && report.text("cloud-id").is_none() {
        report.no_cloud_id();
        return false;
    }
    true
}
