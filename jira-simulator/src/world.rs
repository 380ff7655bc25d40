//! All that is simulated: the sites, and who may come in.

use std::sync::Arc;

use crate::clock::Clock;
use crate::login::Directory;
use crate::simulator::Config;
use crate::state::Jira;
use crate::state::account::Account;
use crate::version::Personality;

/// The state behind one lock.
pub(crate) struct World {
    /// Every site has the same accounts, in the same order.
    pub(crate) sites: Vec<Jira>,
    pub(crate) login: Directory,
}

/// The accounts that a reset leaves.
const FIRST_ACCOUNTS: usize = 2;

impl World {
    pub(crate) fn new(config: &Config, base_url: &str, clock: &Arc<Clock>) -> Self {
        let names = match config.personality {
            Personality::Cloud => config.sites.clone(),
            Personality::DataCenter => vec!["jira".to_owned()],
        };
        let site = |(place, name): (usize, &String)| {
            let site = Jira::new(config.personality, config.version, base_url.to_owned(), clock.clone());
            site.named(place, name)
        };
        let sites: Vec<Jira> = names.iter().enumerate().map(site).collect();
        let login =
            Directory::new(config.personality, config.version, config.consent, &sites[0].accounts, clock.clone());
        Self { sites, login }
    }

    pub(crate) fn reset(&mut self) {
        for site in &mut self.sites {
            site.reset();
            site.accounts.truncate(FIRST_ACCOUNTS);
        }
        self.login.reset(FIRST_ACCOUNTS);
    }

    /// The place of an account, by its name.
    pub(crate) fn account(&self, name: &str) -> Option<usize> {
        self.sites[0].accounts.iter().position(|account| account.name == name)
    }

    pub(crate) fn site(&self, name: &str) -> Option<usize> {
        self.sites.iter().position(|site| site.name == name)
    }

    /// Adds an account to every site; it is a member of those in `members`.
    pub(crate) fn add_account(&mut self, name: &str, display_name: &str, service: bool, members: &[usize]) -> usize {
        let place = self.login.people.len();
        for site in &mut self.sites {
            let mut account = Account::new(place + 1, name, display_name, false);
            account.service = service;
            account.member = members.contains(&site.place);
            if service {
                account.email = format!("{name}@serviceaccount.example.test");
            }
            site.accounts.push(account);
        }
        self.login.add_person(name);
        place
    }
}
