//! Which sites a grant reaches.
//!
//! Source: Atlassian, "OAuth 2.0 (3LO) apps", section "Get the cloudid for your site". One grant may hold several
//! sites, and resources of other products; two sites may show the same name. Only ids and addresses decide.

use super::oauth::undiscovered;
use super::prepare::Draft;
use super::{Method, Route};
use crate::contract::{Call, Error, Failure, FailureClass, Prepared, Site as Found, Sites};
use crate::host::Host;
use crate::jira::answer::{Answer, named};
use crate::jira::client::{Ask, Client, Door};
use crate::jira::site::{self, GATEWAY, Site};
use serde_json::Value;

/// Where a grant's sites are listed.
pub(super) const RESOURCES: &str = "https://api.atlassian.com/oauth/token/accessible-resources";

/// Where the APIs of Customer Service Management are, each below the id of its site.
pub(super) const CUSTOMER_SERVICE: &str = "https://api.atlassian.com/jsm/csm/cloudid/";

/// How many sites are offered at most: nobody chooses among more.
const MOST: usize = 500;
/// How much of a site's name is shown.
const LONGEST_NAME: usize = 80;
const LIST_INVALID: &str = "Atlassian's list of sites is not what was due.";

/// One site of the list, with the Jira that is there.
struct Resource {
    id: String,
    name: String,
    site: Site,
}

/// Lists the sites with a Jira that the connection's grant reaches.
pub fn discover(host: &mut dyn Host, call: &Call) -> Result<Sites, Error> {
    let method = Method::of(&call.connection.settings)?;
    if !method.app {
        let message = "This connection's form names its site; there is nothing to discover.";
        return Err(Failure::new(FailureClass::Input, "nothing-to-discover", message, "Check the connection instead.")
            .permanent());
    }
    let mut client = Client::at(host, call, Site::atlassian(), GATEWAY.to_owned());
    let answer = client.send(&ask())?;
    let found = resources(&answer)?;
    let items = found
        .iter()
        .map(|resource| {
            let alike = found.iter().filter(|other| other.name.eq_ignore_ascii_case(&resource.name)).count();
            let label = if alike > 1 {
                format!("{} ({})", resource.name, resource.site.authority())
            } else {
                resource.name.clone()
            };
            Found {
                id: resource.id.clone(),
                label,
                url: resource.site.base().to_owned(),
                prepared: chosen(method, resource),
            }
        })
        .collect();
    Ok(Sites { items, aside: client.into_aside() })
}

/// Asks which sites the grant reaches.
pub(super) fn ask() -> Ask {
    let path = RESOURCES.strip_prefix(GATEWAY).unwrap_or_default();
    Ask { door: Door::Gateway, ..Ask::new("GET", path, "accessible-resources") }
}

/// The scopes that the grant has at one site, of all its products; none where it does not reach the site.
pub(super) fn scopes_at(answer: &Answer, id: &str) -> Result<Option<Vec<String>>, Error> {
    let list = answer.value();
    let list = list.as_array().ok_or_else(|| answer.invalid(LIST_INVALID))?;
    let mut at_site = list.iter().filter(|resource| named(resource, "id") == Some(id)).peekable();
    if at_site.peek().is_none() {
        return Ok(None);
    }
    let mut scopes: Vec<String> = at_site.flat_map(scopes_of).map(str::to_owned).collect();
    scopes.sort_unstable();
    scopes.dedup();
    Ok(Some(scopes))
}

fn scopes_of(resource: &Value) -> impl Iterator<Item = &str> {
    resource.get("scopes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The sites of the list that have a Jira, each once.
fn resources(answer: &Answer) -> Result<Vec<Resource>, Error> {
    let invalid = || answer.invalid(LIST_INVALID);
    let list = answer.value();
    let list = list.as_array().ok_or_else(invalid)?;
    let mut found: Vec<Resource> = Vec::new();
    for resource in list.iter().filter(|resource| is_jira(resource)) {
        let id = named(resource, "id").filter(|id| site::is_cloud_id(id)).ok_or_else(invalid)?;
        let url = named(resource, "url").filter(|url| url.starts_with("https://")).ok_or_else(invalid)?;
        let site = site::understand(url).map_err(|_| invalid())?.site;
        if found.iter().all(|known| known.id != id) {
            if found.len() == MOST {
                return Err(too_many(list.len()));
            }
            let name = shown(named(resource, "name").unwrap_or(id));
            found.push(Resource { id: id.to_owned(), name, site });
        }
    }
    if found.is_empty() { Err(none_of(list.len())) } else { Ok(found) }
}

/// Each product of a site is a resource of its own; its scopes say of which.
fn is_jira(resource: &Value) -> bool {
    scopes_of(resource).any(|scope| scope.contains("jira") || scope.contains("servicedesk"))
}

/// A name as it is shown: on one line, and no longer than one reads.
fn shown(name: &str) -> String {
    let mut letters = name.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut shown: String = letters.by_ref().take(LONGEST_NAME).collect();
    if letters.next().is_some() {
        shown.push('\u{2026}');
    }
    shown
}

fn too_many(listed: usize) -> Error {
    let message = format!("The grant reaches more than {MOST} sites ({listed} resources are listed).");
    let remedy = "Authorize again, and choose only the site that the connection is for.";
    Failure::new(FailureClass::Limit, "too-many-sites", message, remedy)
        .by(crate::contract::Responsible::User)
        .permanent()
}

fn none_of(others: usize) -> Error {
    let message = match others {
        0 => "The grant reaches no site: the person who authorized it chose none, or has lost the access to it.",
        _ => "The grant reaches other products, and no Jira.",
    };
    let remedy =
        "Authorize again with an account that can log in to the Jira, choose its site, and ask for scopes of Jira.";
    Failure::new(FailureClass::Permission, "no-site", message, remedy)
        .by(crate::contract::Responsible::User)
        .permanent()
}

/// What is kept if the person chooses it: the gateway's path of this site, and no other's, gets the credential.
fn chosen(method: &Method, resource: &Resource) -> Prepared {
    let mut draft: Draft = undiscovered(method);
    draft.look_at(&resource.site, false);
    draft.keep("cloud-id", &resource.id);
    let jira = site::gateway(&resource.id).unwrap_or_default();
    if method.route == Route::CustomerService {
        let api = customer_service(&resource.id);
        draft.keep("api", &api);
        draft.pin(api, true, "Customer Service Management of the site");
        draft.pin(format!("{jira}rest/api/3/myself"), true, "Whose grant it is");
    } else {
        draft.keep("api", &jira);
        draft.pin(jira, true, "The Jira of the site");
    }
    draft.done()
}

/// The base of the API of Customer Service Management. Source: its reference, section "URL structure".
fn customer_service(cloud_id: &str) -> String {
    format!("{CUSTOMER_SERVICE}{cloud_id}/api/v1/")
}

#[cfg(test)]
mod tests {
    use super::discover;
    use crate::contract::{Call, FailureClass, Sites};
    use crate::fake::{Script, call, json_answer};
    use serde_json::{Value, json};

    fn of(method: &str) -> Call {
        let mut call = call();
        call.connection.settings = json!({ "method": method });
        call
    }

    fn resource(id: &str, name: &str, url: &str, scope: &str) -> Value {
        json!({ "id": id, "name": name, "url": url, "scopes": [scope], "avatarUrl": "" })
    }

    fn found(method: &str, list: &Value) -> Result<Sites, crate::contract::Error> {
        discover(&mut Script::new([json_answer(200, list)]), &of(method))
    }

    #[test]
    fn every_jira_is_offered_once_and_equal_names_are_told_apart() {
        let list = json!([
            resource("c-1", "Demo", "https://demo.atlassian.net", "read:confluence-content.all"),
            resource("c-1", "Demo", "https://demo.atlassian.net", "read:jira-work"),
            resource("c-1", "Demo", "https://demo.atlassian.net", "write:jira-work"),
            resource("c-2", "demo", "https://other.atlassian.net", "read:jira-work"),
            resource("c-3", "Third", "https://third.atlassian.net", "read:jira-work"),
        ]);
        let mut host = Script::new([json_answer(200, &list)]);
        let sites = discover(&mut host, &of("oauth")).expect("sites");
        assert_eq!(host.asked[0].url, "https://api.atlassian.com/oauth/token/accessible-resources");
        let labels: Vec<&str> = sites.items.iter().map(|site| site.label.as_str()).collect();
        assert_eq!(labels, ["Demo (demo.atlassian.net)", "demo (other.atlassian.net)", "Third"]);
        let second = &sites.items[1].prepared;
        assert_eq!(second.settings["site"], "https://other.atlassian.net/");
        assert_eq!(second.settings["cloud-id"], "c-2");
        assert_eq!(second.settings["api"], "https://api.atlassian.com/ex/jira/c-2/");
        let credentialed: Vec<&str> =
            second.origins.iter().filter(|origin| origin.credential).map(|origin| origin.url.as_str()).collect();
        assert_eq!(credentialed, [super::RESOURCES, "https://api.atlassian.com/ex/jira/c-2/"]);
    }

    #[test]
    fn customer_service_management_has_its_own_base() {
        let list =
            json!([resource("c-1", "Demo", "https://demo.atlassian.net", "read:customer:jira-service-management")]);
        let prepared = found("customer-service", &list).expect("sites").items.remove(0).prepared;
        assert_eq!(prepared.settings["api"], "https://api.atlassian.com/jsm/csm/cloudid/c-1/api/v1/");
        let urls: Vec<&str> = prepared.origins.iter().map(|origin| origin.url.as_str()).collect();
        assert!(urls.contains(&"https://api.atlassian.com/ex/jira/c-1/rest/api/3/myself"), "{urls:?}");
        assert!(!urls.contains(&"https://api.atlassian.com/ex/jira/c-1/"));
    }

    #[test]
    fn names_are_shown_on_one_line_and_more_sites_than_anybody_chooses_among_are_one_error() {
        let long = format!("De\nmo{}", "o".repeat(200_000));
        let sites = found("oauth", &json!([resource("c-1", &long, "https://demo.atlassian.net", "read:jira-work")]));
        let label = sites.expect("sites").items.remove(0).label;
        assert!(label.starts_with("De mooo") && label.chars().count() == 81, "{label}");
        let many: Vec<Value> = (0..20_000)
            .map(|at| resource(&format!("c-{at}"), "Demo", &format!("https://d{at}.atlassian.net"), "read:jira-work"))
            .collect();
        let error = found("oauth", &json!(many)).map(|sites| sites.items.len()).expect_err("too many");
        assert_eq!(error.failure().code, "jira.too-many-sites");
    }

    #[test]
    fn no_jira_at_all_is_said_and_a_strange_list_is_no_site() {
        for (list, code) in [
            (json!([]), "jira.no-site"),
            (json!([resource("c-1", "Docs", "https://docs.atlassian.net", "read:confluence-user")]), "jira.no-site"),
            (json!({ "sites": [] }), "jira.answer-invalid"),
            (json!([resource("../x", "Demo", "https://demo.atlassian.net", "read:jira-work")]), "jira.answer-invalid"),
            (json!([resource("c-1", "Demo", "http://demo.atlassian.net", "read:jira-work")]), "jira.answer-invalid"),
            (json!([resource("c-1", "Demo", "https://a@evil.test", "read:jira-work")]), "jira.answer-invalid"),
        ] {
            let error = found("oauth", &list).map(|sites| sites.items.len()).expect_err("no site");
            assert_eq!(error.failure().code, code, "{list}");
        }
    }

    #[test]
    fn what_has_its_site_from_the_form_discovers_nothing() {
        for method in ["api-token", "personal-access-token", "service-account", "unknown", ""] {
            let error = discover(&mut Script::new([]), &of(method)).map(|_| ()).expect_err("nothing");
            assert_eq!(error.failure().class, FailureClass::Input);
            let unknown = matches!(method, "unknown" | "");
            assert_eq!(error.failure().code == "jira.method-unknown", unknown, "{method}");
        }
    }
}
