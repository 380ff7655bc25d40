//! `Authorization: Basic`: e-mail address and API token on Cloud, user name and password elsewhere.
//!
//! Cloud's site serves a wrong credential as anonymous with `X-Seraph-LoginReason: AUTHENTICATED_FAILED`,
//! and so a scoped token, which only its gateway knows. Data Center refuses with 401, and denies with 403
//! once a CAPTCHA waits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::caller::{Decided, Door, accept, denied, failed};
use super::token::Kind;
use super::{Directory, Login};
use crate::routes::Answer;
use crate::state::Jira;

pub(super) fn authenticate(login: &mut Directory, jira: &Jira, door: Door, credential: &str) -> Decided {
    let decoded = STANDARD.decode(credential.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((name, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
        return failed(login, jira, door, None);
    };
    let cloud = login.cloud();
    let named = jira.accounts.iter().position(|account| {
        if cloud { account.email.eq_ignore_ascii_case(name) } else { account.name.eq_ignore_ascii_case(name) }
    });
    let Some(place) = named else { return failed(login, jira, door, None) };
    if login.people[place].locked {
        return denied(login, jira, place);
    }
    if !cloud {
        let right = login.people[place].password == secret;
        return if right { accept(login, place, None) } else { failed(login, jira, door, Some(place)) };
    }
    if login.people[place].password == secret && door == Door::Site {
        login.note_failure(Some(place));
        let caller = super::Caller::refused(Login::Failed, Some(place));
        let body = "Basic authentication with passwords is deprecated.  For more information, see: https://developer.atlassian.com/cloud/confluence/deprecation-notice-basic-auth/\n";
        return (caller, Some(Answer::text(401, "text/plain", body)));
    }
    let classic_at_gateway = login.settings.classic_token_at_gateway;
    let token = login.use_token(secret).filter(|token| token.account == place && jira.accounts[place].member);
    let scopes = match (token.map(|token| (token.kind, &token.scopes)), door) {
        (Some((Kind::Classic, _)), Door::Site) => None,
        (Some((Kind::Classic, _)), Door::Gateway) if classic_at_gateway => None,
        (Some((Kind::Scoped, scopes)), Door::Gateway) => Some(scopes.clone()),
        // Customer Service Management takes no API token of either kind.
        _ => return failed(login, jira, door, Some(place)),
    };
    accept(login, place, scopes)
}

#[cfg(test)]
mod tests {
    use super::super::authenticate;
    use super::*;
    use crate::routes::Request;
    use crate::simulator::Consent;
    use crate::version::{Personality, Version};

    fn world(personality: Personality) -> (Directory, Jira) {
        let jira = Jira::new(personality, Version::DEFAULT, "http://jira.test".to_owned(), Default::default());
        let login = Directory::new(personality, Version::DEFAULT, Consent::Ask, &jira.accounts, Default::default());
        (login, jira)
    }

    fn ask(world: &mut (Directory, Jira), door: Door, header: &str) -> Decided {
        let request = http::Request::get("/rest/api/2/myself").header("authorization", header).body(());
        let request = Request::new(&request.unwrap().into_parts().0, Default::default());
        authenticate(&mut world.0, &world.1, door, &request)
    }

    fn basic(name: &str, secret: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
    }

    #[test]
    fn the_e_mail_address_is_matched_in_any_case() {
        let mut world = world(Personality::Cloud);
        let token = world.0.tokens[0].secret.clone();
        let (caller, answer) = ask(&mut world, Door::Site, &basic("ADMIN@Example.TEST", &token));
        assert_eq!((caller.account, answer.is_none()), (Some(0), true));
    }

    #[test]
    fn a_wrong_token_is_served_as_anonymous_on_cloud_and_refused_on_data_center() {
        let (caller, answer) = ask(&mut world(Personality::Cloud), Door::Site, &basic("admin@example.test", "wrong"));
        assert_eq!((caller.account, caller.login), (None, Login::Failed));
        assert!(answer.is_none());
        let (_, answer) = ask(&mut world(Personality::DataCenter), Door::Site, &basic("admin", "wrong"));
        assert_eq!(answer.unwrap().status, 401);
    }

    #[test]
    fn each_kind_of_token_has_its_own_door() {
        let mut world = world(Personality::Cloud);
        let classic = world.0.tokens[0].secret.clone();
        let scopes = vec!["read:jira-user".to_owned()];
        let scoped = world.0.add_token(0, "admin", Kind::Scoped, "s", scopes.clone(), Some(1)).secret.clone();
        let mut login = |door, secret: &str| ask(&mut world, door, &basic("admin@example.test", secret)).0;
        assert_eq!(login(Door::Site, &classic).login, Login::Ok);
        assert_eq!(login(Door::Gateway, &classic).login, Login::Failed);
        assert_eq!(login(Door::Site, &scoped).login, Login::Failed);
        assert_eq!(login(Door::Gateway, &scoped).scopes, Some(scopes));
        assert_eq!(login(Door::Csm, &scoped).login, Login::Failed);
    }

    #[test]
    fn the_spelling_of_bearer_matters_on_cloud() {
        let mut world = world(Personality::Cloud);
        let mut status = |header: &str| ask(&mut world, Door::Site, header).1.map(|answer| answer.status);
        assert_eq!(status("Bearer opaque"), Some(403));
        assert_eq!(status("Bearer a.b.c"), Some(401));
        assert_eq!(status("bearer opaque"), None);
        assert_eq!(status("Bearer  opaque"), None);
    }

    #[test]
    fn three_failures_lock_an_account_of_a_data_center_until_captcha_is_solved() {
        let mut world = world(Personality::DataCenter);
        let password = world.0.people[1].password.clone();
        for _ in 0..3 {
            ask(&mut world, Door::Site, &basic("user", "wrong"));
        }
        let (caller, answer) = ask(&mut world, Door::Site, &basic("user", &password));
        assert_eq!((caller.login, answer.unwrap().status), (Login::Denied, 403));
    }
}
