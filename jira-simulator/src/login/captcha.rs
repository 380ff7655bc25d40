//! Data Center's login page, where a person solves the CAPTCHA that locks an account.

use http::Method;

use super::Directory;
use super::page::{self, escape};
use crate::routes::{Answer, Request};
use crate::state::Jira;

/// What the picture says, so that a test can read it.
const WORD: &str = "picture";

pub(crate) fn login_page(login: &mut Directory, jira: &Jira, request: &Request) -> Answer {
    if request.method != Method::POST {
        return form(request, None);
    }
    let form_values = request.form();
    let value = |name: &str| form_values.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let named = jira.accounts.iter().position(|account| account.name.eq_ignore_ascii_case(value("os_username")));
    let Some(place) = named else {
        login.note_failure(None);
        return refused(request, "Your username and password are incorrect. Please try again.");
    };
    if login.people[place].locked && !value("os_captcha").trim().eq_ignore_ascii_case(WORD) {
        return refused(request, "Please enter the word as shown in the picture below.");
    }
    if login.people[place].password != value("os_password") {
        login.note_failure(Some(place));
        return refused(request, "Your username and password are incorrect. Please try again.");
    }
    login.people[place].locked = false;
    login.people[place].failures = 0;
    page::page(200, "You are logged in", "<p>This account is not locked any more.</p>")
        .with_header("X-Seraph-Loginreason", "OK")
}

fn refused(request: &Request, sentence: &str) -> Answer {
    form(request, Some(sentence)).with_header("X-Seraph-Loginreason", "AUTHENTICATED_FAILED")
}

fn form(request: &Request, problem: Option<&str>) -> Answer {
    let problem = problem.map(|problem| format!("<p class=\"error\">{}</p>", escape(problem))).unwrap_or_default();
    let body = format!(
        "{problem}<form method=\"post\" action=\"{}\">\
         <label>Username <input name=\"os_username\" autocomplete=\"username\"></label>\
         <label>Password <input name=\"os_password\" type=\"password\" autocomplete=\"current-password\"></label>\
         <label>The picture shows the word “{WORD}”: <input name=\"os_captcha\" autocomplete=\"off\"></label>\
         <button>Log in</button></form>",
        escape(&request.path)
    );
    page::page(200, "Log in", &body)
}
