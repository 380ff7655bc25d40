//! Consents, and the codes and tokens they give: the store behind both OAuth 2.0 servers.
//!
//! A grant is one account's consent to one app, for the sites it chose. Every exchange of a code begins a
//! family: one access token after another, and refresh tokens of which each is good once.

use std::collections::BTreeMap;

use super::pkce::Challenge;
use super::token::DAY_MS;
use super::{Directory, random_hex};

/// Used refresh tokens that a family remembers.
const REMEMBERED: usize = 2_000;

/// Scopes by the place of the site.
pub(crate) type Sites = BTreeMap<usize, Vec<String>>;

/// A code on its way through the browser.
pub(crate) struct Code {
    pub(crate) secret: String,
    pub(crate) client_id: String,
    pub(crate) account: usize,
    pub(crate) sites: Sites,
    pub(crate) scopes: Vec<String>,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) expires: i64,
}

pub(crate) struct AccessToken {
    secret: String,
    expires: i64,
}

pub(crate) struct RefreshToken {
    secret: String,
    issued: i64,
    exchanged: Option<i64>,
}

#[derive(Default)]
pub(crate) struct Family {
    created: i64,
    scopes: Vec<String>,
    access: Vec<AccessToken>,
    refresh: Vec<RefreshToken>,
}

pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) client_id: String,
    pub(crate) account: usize,
    pub(crate) sites: Sites,
    pub(crate) families: Vec<Family>,
    pub(crate) last_used: Option<i64>,
}

/// What a good access token opens.
pub(crate) struct Access {
    pub(crate) account: usize,
    pub(crate) sites: Sites,
}

/// Fresh tokens, as a token endpoint answers them.
pub(crate) struct Issued {
    pub(crate) access: String,
    pub(crate) refresh: Option<String>,
    pub(crate) expires_in: i64,
    pub(crate) scopes: Vec<String>,
}

impl Grant {
    /// How many access and refresh tokens are good now.
    pub(crate) fn live(&self, now: i64) -> (usize, usize) {
        let families = self.families.iter();
        families.fold((0, 0), |(access, refresh), family| {
            (
                access + family.access.iter().filter(|token| token.expires > now).count(),
                refresh + family.refresh.iter().filter(|token| token.exchanged.is_none()).count(),
            )
        })
    }

    /// Ends the access tokens, the refresh tokens, or both, as if their time had passed.
    pub(crate) fn expire(&mut self, access: bool, refresh: bool) {
        for family in &mut self.families {
            if access {
                family.access.clear();
            }
            if refresh {
                family.refresh.clear();
            }
        }
    }
}

impl Directory {
    /// The grant a consent belongs to: sites consented to earlier stay in it.
    fn grant_for(&mut self, client_id: &str, account: usize, sites: &Sites) -> usize {
        let found = self.grants.iter().position(|grant| grant.client_id == client_id && grant.account == account);
        let place = found.unwrap_or_else(|| {
            let id = self.new_id();
            self.grants.push(Grant {
                id,
                client_id: client_id.to_owned(),
                account,
                sites: Sites::new(),
                families: Vec::new(),
                last_used: None,
            });
            self.grants.len() - 1
        });
        self.grants[place].sites.extend(sites.clone());
        place
    }

    /// The first tokens of a consent; a refresh token where `offline`.
    pub(crate) fn issue(
        &mut self,
        client_id: &str,
        account: usize,
        sites: &Sites,
        scopes: Vec<String>,
        offline: bool,
    ) -> Issued {
        let now = self.now();
        let place = self.grant_for(client_id, account, sites);
        let families = &mut self.grants[place].families;
        families.retain(|family| !family.refresh.is_empty() || family.access.iter().any(|token| token.expires > now));
        families.push(Family { created: now, scopes, ..Family::default() });
        let family = families.len() - 1;
        self.extend(place, family, offline)
    }

    fn extend(&mut self, grant: usize, family: usize, offline: bool) -> Issued {
        let now = self.now();
        let (lifetime, ends_access) = (self.settings.access_token_s, self.settings.refresh_ends_access);
        let grant = &mut self.grants[grant];
        grant.last_used = Some(now);
        let family = &mut grant.families[family];
        family.access.retain(|token| !ends_access && token.expires > now);
        // Of the shape of a JWT, as the real ones are.
        let access = format!("not-a-real-access-token.{}.fake", random_hex());
        family
            .access
            .push(AccessToken { secret: access.clone(), expires: now.saturating_add(lifetime.saturating_mul(1_000)) });
        let refresh = offline.then(|| {
            let secret = format!("not-a-real-refresh-token-{}", random_hex());
            family.refresh.push(RefreshToken { secret: secret.clone(), issued: now, exchanged: None });
            let forgotten = family.refresh.len().saturating_sub(REMEMBERED);
            family.refresh.drain(..forgotten);
            secret
        });
        Issued { access, refresh, expires_in: lifetime, scopes: family.scopes.clone() }
    }

    /// Exchanges a refresh token of an app; none where it is not good.
    pub(crate) fn refresh(&mut self, client_id: &str, secret: &str) -> Option<Issued> {
        let now = self.now();
        let (grant, family, token) = self.find_refresh(client_id, secret)?;
        let settings = &self.settings;
        let (idle, absolute) =
            (settings.refresh_idle_days.saturating_mul(DAY_MS), settings.refresh_absolute_days.saturating_mul(DAY_MS));
        let (leeway, reuse_revokes) = (settings.refresh_leeway_s.saturating_mul(1_000), settings.refresh_reuse_revokes);
        let kept = &mut self.grants[grant].families[family];
        if now >= kept.refresh[token].issued.saturating_add(idle)
            || (absolute > 0 && now >= kept.created.saturating_add(absolute))
        {
            return None;
        }
        match kept.refresh[token].exchanged {
            None => kept.refresh[token].exchanged = Some(now),
            Some(at) if leeway > 0 && now < at.saturating_add(leeway) => {}
            Some(_) => {
                if reuse_revokes {
                    self.grants[grant].families.remove(family);
                }
                return None;
            }
        }
        Some(self.extend(grant, family, true))
    }

    fn find_refresh(&self, client_id: &str, secret: &str) -> Option<(usize, usize, usize)> {
        for (number, grant) in self.grants.iter().enumerate().filter(|(_, grant)| grant.client_id == client_id) {
            for (family, kept) in grant.families.iter().enumerate() {
                if let Some(token) = kept.refresh.iter().rposition(|token| token.secret == secret) {
                    return Some((number, family, token));
                }
            }
        }
        None
    }

    /// What an access token opens; none where it is not good. Being asked for is being used.
    pub(crate) fn use_access(&mut self, secret: &str) -> Option<Access> {
        let now = self.now();
        let good = |family: &Family| family.access.iter().any(|token| token.secret == secret && token.expires > now);
        let grant = self.grants.iter_mut().find(|grant| grant.families.iter().any(good))?;
        grant.last_used = Some(now);
        Some(Access { account: grant.account, sites: grant.sites.clone() })
    }

    /// Takes a code out: whatever comes of it, it is used.
    pub(crate) fn take_code(&mut self, secret: &str) -> Option<Code> {
        let now = self.now();
        self.codes.retain(|code| code.expires > now);
        let place = self.codes.iter().position(|code| code.secret == secret)?;
        Some(self.codes.remove(place))
    }
}
