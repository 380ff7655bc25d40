//! Subscriptions, and keeping what is registered at the service equal to them.

use serde_json::Value;
use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

use super::accepted::{accept, promises_any};
use super::cards::card_of_kind;
use super::home::registering_place;
use super::{Host, HostError, Session, hashed, input, off_thread};
use crate::authorize::SigningSecret;
use crate::clock::new_id;
use crate::plugin::contract::event;
use crate::plugin::{CardKind, Plugin, Source};
use crate::store::{Alarm, StoredConnection, StoredSubscription};
use crate::vault::{Secret, Space};
use crate::webhook::proof;

/// The name of the callback's token in the vault.
const TOKEN: &str = "callback-token";
/// The name of the signing secret in the vault.
const SIGNING: &str = "signing-secret";

/// A wish to hear of something.
#[derive(Debug)]
pub struct NewSubscription<'a> {
    /// The connection, by name.
    pub connection: &'a str,
    /// The event card.
    pub card: &'a str,
    /// What narrows it.
    pub filter: Value,
    /// The flow it is for.
    pub flow: Option<&'a str>,
}

/// How `ensure` is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensuring<'a> {
    /// Make it so; deliveries go to this public URL (none: the one used before).
    Apply(Option<&'a str>),
    /// Remove all of ours.
    Remove,
    /// Change nothing and say what would be done.
    Plan,
}

impl Host {
    /// Checks and keeps a subscription. Answers it; nothing is registered yet.
    pub async fn keep_subscription(&self, new: NewSubscription<'_>) -> Result<StoredSubscription, HostError> {
        let connection = self.connection(new.connection)?;
        let plugin = self.plugin_of(&connection).await?;
        check_filter(&plugin, new.card, &new.filter)?;
        let mut subscription = StoredSubscription {
            id: new_id(&*self.clock),
            connection: connection.id,
            card: new.card.into(),
            filter: new.filter.to_string(),
            flow: new.flow.map(Into::into),
            created_at_ms: self.clock.now_ms(),
        };
        subscription.id = off_thread(|| self.store.put_subscription(&subscription))?;
        Ok(subscription)
    }

    /// Makes what is registered at the service equal to what is wanted, or says what that would take.
    pub async fn ensure(&self, connection: &str, ensuring: Ensuring<'_>) -> Result<event::Ensured, HostError> {
        let session = self.session_of(connection).await?;
        let id = &session.connection.id;
        // One at a time for each connection: two at once would each register.
        let _alone = self.ensuring[registering_place(id)].lock().await;
        self.doing(format!("looking at what is registered for `{connection}`"));
        let plan = ensuring == Ensuring::Plan;
        // And over all processes: what is wanted is read after the one before has written.
        let _alone_here = if plan { None } else { Some(off_thread(|| self.lock_registering(id))?) };
        let token = match ensuring {
            Ensuring::Apply(url) => Some(self.endpoint(id, url)?),
            Ensuring::Remove | Ensuring::Plan => self.known_endpoint(id)?,
        };
        // With a secret that is new, what is registered signs with another one: as good as not known, it is taken
        // over and given the new one.
        let has_secret = off_thread(|| self.vault.get(Space::Registration, id, SIGNING))?.is_some();
        let signing = SigningSecret {
            placeholder: format!("signing-secret-{}{}", new_id(&*self.clock), new_id(&*self.clock)),
            secret: self.signing_secret(id, plan)?,
        };
        let wanted = if ensuring == Ensuring::Remove { vec![] } else { self.wanted(&session)? };
        let promised = &session.plugin.manifest().deliveries.proofs;
        if matches!(ensuring, Ensuring::Apply(_)) && !wanted.is_empty() && !promises_any(promised) {
            return Err(HostError::bad_input(
                "proof-none",
                "this connector promises no proof of its deliveries, so anybody could send them",
                "Use a connector whose manifest names a proof in `deliveries.proofs`; tell the connector's maintainer.",
            ));
        }
        let known = if has_secret || plan { self.known_registrations(id)? } else { vec![] };
        let request = event::EnsureRequest {
            wanted,
            known: known.clone(),
            // A plan sends nothing there, and neither does a removal.
            callback: token.as_ref().map_or_else(
                || "https://unset.invalid/hooks/unset".into(),
                |(base, token)| format!("{base}{}", token.expose()),
            ),
            owner: format!("{}/{}", self.id, id),
            signing_secret: signing.placeholder.clone(),
            plan,
            extra: "{}".into(),
        };
        let call = self.call(&session, None)?;
        // The service may challenge the callback, or deliver to it, before it answers here: the receiver is told, in
        // whichever process it is.
        let registering = matches!(ensuring, Ensuring::Apply(_));
        if registering {
            let until = self.clock.now_ms().saturating_add(call.deadline_ms);
            off_thread(|| self.store.put_registering(id, until))?;
        }
        let ensured = session.plugin.ensure(&session.access, &call, &request, Some(signing)).await;
        if registering && ensured.is_err() {
            off_thread(|| self.store.put_registering(id, 0))?;
        }
        let ensured = self.settle(&session, ensured, |ensured| &ensured.aside)?;
        if !plan {
            let secret = token.as_ref().map_or("", |(_, token)| token.expose());
            let accepted = accept(promised, &known, &ensured.registrations);
            let mut kept = accepted.registrations;
            for one in &mut kept {
                one.callback = match one.callback.strip_suffix(secret) {
                    Some(base) if !secret.is_empty() => base.to_owned(),
                    _ => String::new(),
                };
            }
            if registering {
                self.tell_of_vanished(id, &known, &ensured)?;
            }
            off_thread(|| self.store.put_registrations(id, &kept))?;
            if registering {
                // Not before the proofs are on disk: from here on every delivery is proved first.
                off_thread(|| self.store.put_registering(id, 0))?;
            }
            for refusal in &accepted.refusals {
                let alarm = Alarm {
                    at_ms: self.clock.now_ms(),
                    connection: Some(id.clone()),
                    code: "host.proof-refused".into(),
                    message: refusal.clone(),
                };
                off_thread(|| self.store.raise_once(&alarm))?;
            }
            if let (true, Some(refusal)) = (registering, accepted.refusals.first()) {
                return Err(HostError::other(
                    "proof-refused",
                    refusal.clone(),
                    "What was kept before stays as it was. If the change is meant, end the connection's subscriptions \
                     with `harness unsubscribe` and subscribe again; else tell the connector's maintainer.",
                ));
            }
        }
        Ok(ensured)
    }

    /// Raises an alarm where a registration had to be made anew that covers what one did which was there before: that
    /// one was gone at the service, and nothing came meanwhile.
    fn tell_of_vanished(
        &self,
        connection: &str,
        known: &[event::Registration],
        now: &event::Ensured,
    ) -> Result<(), HostError> {
        let vanished = |one: &&event::Registration| {
            let told = now.changes.iter().any(|change| change.registration == one.id);
            let stays = now.registrations.iter().any(|other| other.id == one.id);
            let covers = |other: &event::Registration| other.covers.iter().any(|covered| one.covers.contains(covered));
            !stays && !told && now.registrations.iter().any(covers)
        };
        for gone in known.iter().filter(vanished) {
            let last = off_thread(|| self.store.last_delivery_ms(connection))?;
            let at = last.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_millis(at)));
            let since = at.map_or_else(
                || "it was made".to_owned(),
                |at| format!("the last delivery, {}", humantime::format_rfc3339_seconds(at)),
            );
            let message = format!(
                "the registration {} was gone at the service, and was made anew; events since {since} may be missing",
                gone.id
            );
            tracing::warn!(registration = gone.id, "{message}");
            let alarm = Alarm {
                at_ms: self.clock.now_ms(),
                connection: Some(connection.to_owned()),
                code: "host.registration-gone".into(),
                message,
            };
            off_thread(|| self.store.raise(&alarm))?;
        }
        Ok(())
    }

    /// Whether a connection needs to be seen to by `ensure`: it wants deliveries, or has something registered.
    pub(crate) async fn needs_registration(&self, connection: &StoredConnection) -> Result<bool, HostError> {
        if !off_thread(|| self.store.registrations(&connection.id))?.is_empty() {
            return Ok(true);
        }
        let kept = off_thread(|| self.store.subscriptions(Some(&connection.id)))?;
        if kept.is_empty() {
            return Ok(false);
        }
        let plugin = self.plugin_of(connection).await?;
        Ok(kept.iter().any(|one| is_delivered(&plugin, &one.card)))
    }

    /// Removes what a connection registered. Answers what is left, by the service's id.
    pub(super) async fn unregister(&self, connection: &StoredConnection) -> Result<Vec<String>, HostError> {
        let ensured = self.ensure(&connection.name, Ensuring::Remove).await?;
        Ok(ensured.registrations.into_iter().map(|one| one.id).collect())
    }

    fn wanted(&self, session: &Session) -> Result<Vec<event::Subscription>, HostError> {
        let kept = off_thread(|| self.store.subscriptions(Some(&session.connection.id)))?;
        Ok(kept.into_iter().filter(|one| is_delivered(&session.plugin, &one.card)).map(contract_subscription).collect())
    }

    fn known_registrations(&self, connection: &str) -> Result<Vec<event::Registration>, HostError> {
        let token = off_thread(|| self.vault.get(Space::Registration, connection, TOKEN))?;
        let token = token.as_ref().map_or("", Secret::expose);
        let kept = off_thread(|| self.store.registrations(connection))?;
        let known = kept.into_iter().map(|one| event::Registration {
            callback: if one.callback.is_empty() { String::new() } else { format!("{}{token}", one.callback) },
            ..one
        });
        Ok(known.collect())
    }

    /// The registrations of a connection, with their callbacks.
    pub(crate) fn registrations_of(&self, connection: &str) -> Result<Vec<event::Registration>, HostError> {
        self.known_registrations(connection)
    }

    /// Where deliveries of a connection go: what stands before the token, and the token. Both are on disk before the
    /// service hears of them, so that a crash on the way is healed by the next `ensure`.
    fn endpoint(&self, connection: &str, public_url: Option<&str>) -> Result<(String, Secret), HostError> {
        let known = off_thread(|| self.store.endpoint(connection))?;
        let url = match (public_url, &known) {
            (Some(url), _) => public_base(url)?,
            (None, Some(known)) => known.public_url.clone(),
            (None, None) => {
                return Err(HostError::bad_input(
                    "public-url",
                    "nothing says at which URL the service reaches this host",
                    "Give it with --public-url https://….",
                ));
            }
        };
        let token = self.kept_secret(connection, TOKEN)?;
        let token_hash = hashed(token.expose().as_bytes());
        off_thread(|| self.store.put_endpoint(connection, &token_hash, &url))?;
        Ok((format!("{url}/hooks/"), token))
    }

    fn known_endpoint(&self, connection: &str) -> Result<Option<(String, Secret)>, HostError> {
        let known = off_thread(|| self.store.endpoint(connection))?;
        let token = off_thread(|| self.vault.get(Space::Registration, connection, TOKEN))?;
        Ok(known.zip(token).map(|(known, token)| (format!("{}/hooks/", known.public_url), token)))
    }

    fn lock_registering(&self, connection: &str) -> Result<File, HostError> {
        let path = self.home.registering_lock(connection);
        let locked = File::options().create(true).append(true).open(&path).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|error| {
            let message = format!("{}: {error}", path.display());
            HostError::other("registering-lock", message, "Check the rights of the home folder.")
        })
    }

    fn signing_secret(&self, connection: &str, plan: bool) -> Result<Secret, HostError> {
        if plan {
            // Nothing is written in a plan; what could be sent by mistake is worth nothing.
            return Ok(Secret::new(self.random_hex()));
        }
        self.kept_secret(connection, SIGNING)
    }

    fn kept_secret(&self, connection: &str, name: &str) -> Result<Secret, HostError> {
        if let Some(kept) = off_thread(|| self.vault.get(Space::Registration, connection, name))? {
            return Ok(kept);
        }
        let made = Secret::new(self.random_hex());
        off_thread(|| self.vault.put(Space::Registration, connection, name, &made))?;
        Ok(made)
    }

    /// 256 random bits, hexadecimal.
    fn random_hex(&self) -> String {
        let mut bytes = [0; 32];
        self.clock.fill_random(&mut bytes);
        hex::encode(bytes)
    }

    /// The secret that deliveries of a connection are proved with.
    pub(crate) fn proof_secret(
        &self,
        connection: &StoredConnection,
        proof: &event::Proof,
    ) -> Result<Option<Secret>, HostError> {
        if let event::Proof::Token(event::Token {
            place: event::TokenPlace::Path,
            secret: event::SecretRef::Registration,
        }) = proof
        {
            // The path's last segment is the callback's own token.
            return Ok(off_thread(|| self.vault.get(Space::Registration, &connection.id, TOKEN))?);
        }
        let Some(place) = proof::secret_of(proof) else { return Ok(None) };
        let found = off_thread(|| match place {
            event::SecretRef::Registration => self.vault.get(Space::Registration, &connection.id, SIGNING),
            event::SecretRef::App(name) => {
                let credential = self.store.credential(&connection.credential)?;
                match credential.and_then(|credential| credential.client) {
                    Some(client) => self.vault.get(Space::App, &client, name),
                    None => Ok(None),
                }
            }
            event::SecretRef::Connection(name) => self.vault.get(Space::Connection, &connection.credential, name),
        })?;
        Ok(found)
    }
}

/// Checks a filter against its event card.
pub(crate) fn check_filter(plugin: &Plugin, card: &str, filter: &Value) -> Result<(), HostError> {
    let card = card_of_kind(plugin, card, CardKind::Event)?;
    let Some(schema) = &card.filter else { return Ok(()) };
    let remedy = format!("`harness card show {}` shows the filter it takes.", card.id);
    input::check(schema, filter, &format!("the filter of `{}`", card.id), &remedy, &[])
}

/// Whether events of a card are brought by deliveries (else they are polled for).
pub(crate) fn is_delivered(plugin: &Plugin, card: &str) -> bool {
    plugin.manifest().card(card).is_some_and(|card| card.sources.contains(&Source::Delivery))
}

pub(crate) fn contract_subscription(one: StoredSubscription) -> event::Subscription {
    event::Subscription { id: one.id, card: one.card, filter: one.filter, extra: "{}".into() }
}

/// Where services reach this host, as it is kept: checked, without a slash at its end.
pub(crate) fn public_base(url: &str) -> Result<String, HostError> {
    let good = url::Url::parse(url).ok().filter(|parsed| {
        matches!(parsed.scheme(), "http" | "https")
            && parsed.has_host()
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
    });
    match good {
        Some(_) => Ok(url.trim_end_matches('/').to_owned()),
        None => Err(HostError::bad_input(
            "public-url",
            format!("`{url}` is no URL that a service could send to"),
            "Give one such as https://hooks.example.com, without query.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;
    use crate::built;
    use crate::host::{NewClient, NewConnection};

    fn told(bench: &Bench, connection: &StoredConnection, secret: event::SecretRef) -> Option<String> {
        let proof = event::Proof::Token(event::Token { place: event::TokenPlace::Header("x-token".into()), secret });
        let secret = bench.host.proof_secret(connection, &proof).unwrap();
        secret.map(|secret| secret.expose().to_owned())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn deliveries_are_proved_by_secrets_of_the_credential_and_of_its_oauth_client() {
        let bench = Bench::start().await;
        let component = built::component("guest_beacon");
        let client = NewClient {
            name: "app".into(),
            component: component.clone(),
            method: "sign-in".into(),
            fields: vec![("client-id".into(), "fake-client".into())],
            secrets: vec![("client-secret".into(), Secret::new("fake-client-secret"))],
            ..NewClient::default()
        };
        bench.host.add_client(client).await.unwrap();
        let signed_in = NewConnection {
            name: "signed-in".into(),
            component,
            method: "sign-in".into(),
            fields: vec![("login-url".into(), bench.url().into())],
            allow_private: true,
            client: Some("app".into()),
            ..NewConnection::default()
        };
        bench.host.add_connection(signed_in).await.unwrap();
        // Who shares a credential has the same secrets.
        let sharing = NewConnection {
            name: "second".into(),
            fields: vec![("base-url".into(), bench.url().into())],
            share: Some("harbour".into()),
            allow_private: true,
            ..NewConnection::default()
        };
        bench.host.add_connection(sharing).await.unwrap();
        let (app, own) =
            (|| event::SecretRef::App("client-secret".into()), || event::SecretRef::Connection("key".into()));
        for name in ["harbour", "second"] {
            let connection = bench.host.connection(name).unwrap();
            assert_eq!(told(&bench, &connection, own()).as_deref(), Some("obviously-fake-secret"), "{name}");
            assert_eq!(told(&bench, &connection, app()), None, "it has no OAuth client");
        }
        let connection = bench.host.connection("signed-in").unwrap();
        assert_eq!(told(&bench, &connection, app()).as_deref(), Some("fake-client-secret"));
        assert_eq!(told(&bench, &connection, own()), None);
    }
}
