//! Which of Atlassian's servers a request is for: by the host it names, and by its path.
//!
//! A name of Atlassian's serves what it serves in reality. By any other name (the loopback address) all
//! paths are served: those of `auth.atlassian.com` and `api.atlassian.com`, and the first site at `/`.

use serde_json::json;

use crate::login::Door;
use crate::login::page;
use crate::routes::{Answer, Request};
use crate::state::Jira;
use crate::world::World;

/// How the request named the server, for the links of the answer.
pub(crate) struct Asked {
    /// Whether by a name of Atlassian's.
    by_name: bool,
    /// The address of the listener, with the context path.
    own: String,
}

impl Asked {
    /// The address of a site, as the request may know it.
    pub(crate) fn site_url(&self, site: &Jira) -> String {
        if site.place == 0 && !self.by_name { self.own.clone() } else { format!("https://{}.atlassian.net", site.name) }
    }

    /// Makes the links of a site fit the request.
    pub(crate) fn enter(&self, site: &mut Jira, door: Door) {
        site.site_url = self.site_url(site);
        site.base_url = match door {
            Door::Site => site.site_url.clone(),
            Door::Gateway | Door::Csm => {
                let gateway = if self.by_name { "https://api.atlassian.com" } else { &self.own };
                format!("{gateway}/ex/jira/{}", site.cloud_id)
            }
        };
    }
}

/// What answers a request.
pub(crate) enum Place {
    Jira {
        site: usize,
        door: Door,
    },
    /// Cloud's authorization page, token endpoint and list of sites.
    Authorize,
    Token,
    Resources,
    /// Data Center's authorization page and token endpoint, link servlets and login page.
    CenterAuthorize,
    CenterToken,
    Link(String),
    LoginPage,
    Nowhere(Answer),
}

/// Finds what answers a request, and takes from its path what only finds the server.
pub(crate) fn resolve(world: &World, own: &str, request: &mut Request) -> (Asked, Place) {
    if !world.login.cloud() {
        return (Asked { by_name: false, own: own.to_owned() }, center(world, own, request));
    }
    let host = host(request);
    let mut asked = Asked { by_name: true, own: own.to_owned() };
    let place = match host.as_str() {
        "auth.atlassian.com" => auth(request).unwrap_or_else(not_found),
        "api.atlassian.com" => api(world, request).unwrap_or_else(not_found),
        name => match name.strip_suffix(".atlassian.net") {
            Some(name) => match world.sites.iter().find(|site| site.name == name) {
                Some(site) => Place::Jira { site: site.place, door: Door::Site },
                None => Place::Nowhere(page::error(
                    404,
                    "Your Atlassian Cloud site is currently unavailable.",
                    "There is no site of this name.",
                )),
            },
            None => {
                asked.by_name = false;
                auth(request).or_else(|| api(world, request)).unwrap_or(Place::Jira { site: 0, door: Door::Site })
            }
        },
    };
    (asked, place)
}

/// The host without its port, in small letters.
pub(crate) fn host(request: &Request) -> String {
    let host = request.header("host").unwrap_or_default().to_ascii_lowercase();
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => host,
    }
}

fn not_found() -> Place {
    Place::Nowhere(Answer::json(404, &json!({"code": 404, "message": "Not Found"})))
}

fn segments(request: &Request) -> Vec<&str> {
    request.segments.iter().map(String::as_str).collect()
}

fn auth(request: &Request) -> Option<Place> {
    match segments(request).as_slice() {
        ["authorize"] => Some(Place::Authorize),
        ["oauth", "token"] => Some(Place::Token),
        _ => None,
    }
}

fn api(world: &World, request: &mut Request) -> Option<Place> {
    let (id, door, prefix) = match segments(request).as_slice() {
        ["oauth", "token", "accessible-resources"] => return Some(Place::Resources),
        ["ex", "jira", id, ..] => ((*id).to_owned(), Door::Gateway, 3),
        ["jsm", "csm", "cloudid", id, ..] => ((*id).to_owned(), Door::Csm, 4),
        _ => return None,
    };
    let site = world.sites.iter().find(|site| site.cloud_id == id).map(|site| site.place);
    request.strip(prefix);
    Some(site.map_or_else(not_found, |site| Place::Jira { site, door }))
}

fn center(world: &World, own: &str, request: &mut Request) -> Place {
    let context = url::Url::parse(own).map(|url| url.path().trim_matches('/').to_owned()).unwrap_or_default();
    if !context.is_empty() {
        if request.segments.first() != Some(&context) {
            let page = "<!doctype html><html lang=\"en\"><head><title>HTTP Status 404 – Not Found</title></head><body><h1>HTTP Status 404 – Not Found</h1></body></html>";
            return Place::Nowhere(Answer::text(404, "text/html;charset=utf-8", page));
        }
        request.strip(1);
    }
    let provider = world.login.version.at_least(8, 22);
    match segments(request).as_slice() {
        ["plugins", "servlet", "oauth", step] => Place::Link((*step).to_owned()),
        ["login.jsp"] => Place::LoginPage,
        ["rest", "oauth2", _, "authorize"] if provider => Place::CenterAuthorize,
        ["rest", "oauth2", _, "token"] if provider => Place::CenterToken,
        _ => Place::Jira { site: 0, door: Door::Site },
    }
}
