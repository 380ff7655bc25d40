//! Removing connections.

use super::events::connection_gone;
use super::{Host, HostError, off_thread};

/// What came of removing a connection.
#[derive(Debug)]
pub struct Removed {
    /// Registrations that were left at the service, by the service's id.
    pub left_over: Vec<String>,
    /// Why they could not be removed.
    pub reason: Option<HostError>,
    /// How many deliveries were given up that had not been read.
    pub unread: usize,
}

/// What to do with a connection whose registrations at the service cannot be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// Keep the connection: without its credential nobody here could remove them any more.
    Refuse,
    /// Leave them, and say which they are.
    Leave,
}

impl Host {
    /// Removes a connection: what it registered at the service as far as that can be reached, its subscriptions and
    /// its secrets. Events and runs stay.
    pub async fn remove_connection(&self, name: &str, leftovers: Leftovers) -> Result<Removed, HostError> {
        let connection = self.connection(name)?;
        let registered = off_thread(|| self.store.registrations(&connection.id))?;
        let endpoint = off_thread(|| self.store.endpoint(&connection.id))?;
        let mut removed = Removed { left_over: vec![], reason: None, unread: 0 };
        if endpoint.is_some() || !registered.is_empty() {
            match self.unregister(&connection).await {
                Ok(left) => removed.left_over = left,
                Err(error) => {
                    removed.left_over = registered.into_iter().map(|one| one.id).collect();
                    removed.reason = Some(error);
                }
            }
        }
        if leftovers == Leftovers::Refuse && (removed.reason.is_some() || !removed.left_over.is_empty()) {
            return Err(not_removed(name, removed));
        }
        let gone = connection_gone().to_json();
        removed.unread = off_thread(|| self.store.delete_connection(&connection.id, &gone))?;
        if off_thread(|| self.store.credential(&connection.credential))?.is_none() {
            self.home.forget_renewing_lock(&connection.credential);
        }
        self.sessions.forget(name, &connection.id);
        Ok(removed)
    }
}

/// Says why a connection was kept, and how to be rid of it all the same.
fn not_removed(name: &str, removed: Removed) -> HostError {
    // Where a registration failed half-way none is known, and there may be one.
    let left = match removed.left_over.as_slice() {
        [] => "perhaps one of which no more is known".to_owned(),
        known => known.join(", "),
    };
    let kept = format!("`{name}` is kept, because its registrations at the service could not be removed: {left}");
    let advice = format!("Or remove `{name}` here alone with --leave-registrations.");
    match removed.reason {
        Some(reason) => reason.amid(&kept, &advice),
        None => HostError::other("registrations-left", kept, format!("Remove them at the service. {advice}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_and_never_by_an_empty_name() {
        let message = |left: &[&str]| {
            let left_over = left.iter().map(|id| (*id).to_owned()).collect();
            not_removed("demo", Removed { left_over, reason: None, unread: 0 }).to_string()
        };
        assert!(message(&["7", "8"]).ends_with("could not be removed: 7, 8"));
        assert!(message(&[]).ends_with("perhaps one of which no more is known"), "{}", message(&[]));
    }
}
