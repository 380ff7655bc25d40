//! Everybody's credentials, and every way in: one file per way.
//!
//! `basic` and `bearer` read the `Authorization` header, `token` holds API and personal access tokens,
//! `cloud` and `center` are the two OAuth 2.0 servers over one store of `grant`s, `oauth1` is the
//! application link, `captcha` the login page, `consent` the pages a person clicks through.

pub(crate) mod app;
mod basic;
mod bearer;
mod caller;
pub(crate) mod captcha;
pub(crate) mod center;
pub(crate) mod cloud;
pub(crate) mod consent;
pub(crate) mod grant;
pub(crate) mod oauth1;
mod oauth1_signature;
pub(crate) mod page;
pub(crate) mod pat;
pub(crate) mod pkce;
pub(crate) mod resources;
pub(crate) mod scope;
pub(crate) mod settings;
pub(crate) mod token;
pub(crate) mod token_request;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use caller::{Caller, Door, Login, authenticate};

use crate::clock::Clock;
use crate::simulator::{AccountAccess, Consent};
use crate::state::account::Account;
use crate::version::{Personality, Version};
use app::App;
use consent::Asked;
use grant::{Code, Grant};
use oauth1::Links;
use settings::LoginSettings;
use token::{Kind, Token};

/// How a person logs in, beside the tokens: what does not show in Jira.
pub(crate) struct Person {
    pub(crate) password: String,
    /// CAPTCHA: nothing is checked until a person solves it in a browser.
    pub(crate) locked: bool,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Person {
    fn new(name: &str) -> Self {
        Self { password: format!("not-a-real-password-{name}"), locked: false, failures: 0 }
    }
}

/// Who may come in, with what. One for all sites, as at Atlassian; a Data Center has one site.
pub(crate) struct Directory {
    pub(crate) personality: Personality,
    pub(crate) version: Version,
    pub(crate) settings: LoginSettings,
    /// In the order of every site's accounts.
    pub(crate) people: Vec<Person>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) apps: Vec<App>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) codes: Vec<Code>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) links: Links,
    /// Calls of the token endpoints: by grant type, then by outcome (`ok` or the error's name).
    pub(crate) token_calls: BTreeMap<String, BTreeMap<String, u64>>,
    /// Credentials that were refused, in all.
    pub(crate) failures: u64,
    consent: Consent,
    clock: Arc<Clock>,
    next_id: u64,
}

impl Directory {
    pub(crate) fn new(
        personality: Personality,
        version: Version,
        consent: Consent,
        accounts: &[Account],
        clock: Arc<Clock>,
    ) -> Self {
        let mut directory = Self {
            personality,
            version,
            settings: LoginSettings::new(personality, consent),
            people: Vec::new(),
            tokens: Vec::new(),
            apps: Vec::new(),
            grants: Vec::new(),
            codes: Vec::new(),
            asked: Vec::new(),
            links: Links::default(),
            token_calls: BTreeMap::new(),
            failures: 0,
            consent,
            clock,
            next_id: 1,
        };
        for (place, account) in accounts.iter().enumerate() {
            directory.people.push(Person::new(&account.name));
            let kind = if directory.cloud() { Kind::Classic } else { Kind::Personal };
            directory.add_token(place, &account.name, kind, "default", Vec::new(), None);
        }
        directory
    }

    /// Everything as at the start; the accounts keep their first tokens, so that who uses them still can.
    pub(crate) fn reset(&mut self, accounts: usize) {
        self.settings = LoginSettings::new(self.personality, self.consent);
        self.people.truncate(accounts);
        for person in &mut self.people {
            person.locked = false;
            person.failures = 0;
        }
        self.tokens.truncate(accounts);
        for token in &mut self.tokens {
            token.revoked = false;
            token.expires = None;
        }
        self.apps.clear();
        self.grants.clear();
        self.codes.clear();
        self.asked.clear();
        self.links = Links::default();
        self.token_calls.clear();
        self.failures = 0;
    }

    pub(crate) fn cloud(&self) -> bool {
        self.personality == Personality::Cloud
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Adds a person that every site got at the same place.
    pub(crate) fn add_person(&mut self, name: &str) {
        self.people.push(Person::new(name));
    }

    /// An account with its first token and its password, as whoever started the simulator is told.
    pub(crate) fn access(&self, place: usize, account: &Account) -> AccountAccess {
        let token = self.tokens.iter().find(|token| token.account == place);
        AccountAccess {
            name: account.name.clone(),
            email: account.email.clone(),
            token: token.map(|token| token.secret.clone()).unwrap_or_default(),
            password: self.people[place].password.clone(),
            admin: account.admin,
        }
    }

    pub(crate) fn count_token_call(&mut self, grant_type: &str, outcome: &str) {
        // Grant types come from the client: only known ones become keys of a log.
        let known = ["authorization_code", "refresh_token", "client_credentials", "oauth1"];
        let grant_type = if known.contains(&grant_type) { grant_type } else { "other" };
        *self.token_calls.entry(grant_type.to_owned()).or_default().entry(outcome.to_owned()).or_default() += 1;
    }

    /// Notes a refused credential, and locks the account after too many in a row.
    pub(crate) fn note_failure(&mut self, named: Option<usize>) {
        self.failures += 1;
        let limit = self.settings.lock_after_failures;
        if let Some(person) = named.and_then(|place| self.people.get_mut(place)) {
            person.failures += 1;
            person.locked |= limit > 0 && person.failures >= limit;
        }
    }
}

/// A random part of a fake secret.
pub(crate) fn random_hex() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
