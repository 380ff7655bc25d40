//! Which registrations the host takes from a connector: only those whose deliveries are proved as promised.

use crate::plugin::contract::event::{Proof, Registration};
use crate::webhook::proof;

/// What of an answer of `ensure` is kept.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Kept, with the proof that each has from now on.
    pub(super) registrations: Vec<Registration>,
    /// One sentence for each proof that was not taken.
    pub(super) refusals: Vec<String>,
}

/// Looks through the registrations of an answer. A kind of proof must be promised in the manifest (`promised`), be one
/// that the host can check, and prove something. A registration that is `known` keeps its kind, and a new one beside
/// known ones proves no less than they do: a connector alone cannot weaken what deliveries are proved by.
pub(super) fn accept(promised: &[String], known: &[Registration], answered: &[Registration]) -> Accepted {
    let weakest = known.iter().map(|one| strength(&one.proof)).min().unwrap_or_default();
    let mut accepted = Accepted { registrations: vec![], refusals: vec![] };
    for one in answered {
        let before = known.iter().find(|kept| kept.id == one.id);
        let Some(reason) = refusal(promised, before, weakest, &one.proof) else {
            accepted.registrations.push(one.clone());
            continue;
        };
        accepted.refusals.push(format!("the proof of registration {} is refused: {reason}", one.id));
        // What was proved before goes on being proved, and in the same way.
        if let Some(before) = before {
            accepted.registrations.push(Registration { proof: before.proof.clone(), ..one.clone() });
        }
    }
    accepted
}

/// Whether a manifest promises any proof by which deliveries could be taken in.
pub(super) fn promises_any(promised: &[String]) -> bool {
    promised.iter().any(|kind| kind != "none")
}

fn refusal(promised: &[String], before: Option<&Registration>, weakest: u8, new: &Proof) -> Option<String> {
    let kind = proof::kind(new);
    if matches!(new, Proof::None) {
        return Some("its deliveries would not be proved at all, and anybody could send them".into());
    }
    if !promised.iter().any(|one| one == kind) {
        return Some(format!("its kind `{kind}` is not among the manifest's `deliveries.proofs`"));
    }
    if !proof::is_supported(new) {
        return Some(format!("this host cannot check a proof `{kind}` of this make"));
    }
    if let Some(before) = before {
        let was = proof::kind(&before.proof);
        return (was != kind).then(|| format!("it was `{was}` and would become `{kind}`"));
    }
    (strength(new) < weakest).then(|| format!("`{kind}` proves less than what the connection's deliveries had before"))
}

/// How much a proof proves; more is better.
fn strength(proof: &Proof) -> u8 {
    match proof {
        Proof::Mac(_) | Proof::Jwt(_) | Proof::Signature(_) => 3,
        Proof::Token(_) => 2,
        Proof::Authenticate => 1,
        Proof::None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::contract::event::{Digest, Encoding, Mac, SecretRef, SignedPart, Token, TokenPlace};

    fn registration(id: &str, proof: Proof) -> Registration {
        Registration {
            id: id.into(),
            callback: "https://hooks.example.test/hooks/".into(),
            covers: vec![],
            proof,
            expires_at_ms: None,
            state: "{}".into(),
            extra: "{}".into(),
        }
    }

    fn token() -> Proof {
        Proof::Token(Token { place: TokenPlace::Header("x-token".into()), secret: SecretRef::Registration })
    }

    fn mac(signed: Vec<SignedPart>) -> Proof {
        Proof::Mac(Mac {
            algorithm: Digest::Sha256,
            header: "x-signature".into(),
            element: None,
            prefix: "sha256=".into(),
            encoding: Encoding::Hex,
            signed,
            timestamp: None,
            secret: SecretRef::Registration,
        })
    }

    fn kinds(accepted: &Accepted) -> Vec<(&str, &str)> {
        accepted.registrations.iter().map(|one| (one.id.as_str(), proof::kind(&one.proof))).collect()
    }

    fn all() -> Vec<String> {
        ["mac", "jwt", "token", "signature", "authenticate", "none"].map(String::from).to_vec()
    }

    #[test]
    fn only_a_promised_proof_is_taken() {
        let answered = [registration("h1", token())];
        assert_eq!(kinds(&accept(&["token".into()], &[], &answered)), [("h1", "token")]);
        for promised in [vec![], vec!["mac".to_owned()]] {
            let accepted = accept(&promised, &[], &answered);
            assert!(accepted.registrations.is_empty());
            assert!(accepted.refusals[0].contains("deliveries.proofs"), "{:?}", accepted.refusals);
        }
    }

    #[test]
    fn no_proof_is_never_taken_even_where_it_is_promised() {
        let accepted = accept(&all(), &[], &[registration("h1", Proof::None)]);
        assert!(accepted.registrations.is_empty());
        assert!(accepted.refusals[0].contains("not be proved at all"));
        assert!(!promises_any(&["none".into()]) && !promises_any(&[]) && promises_any(&all()));
    }

    #[test]
    fn a_known_registration_keeps_its_kind_of_proof() {
        for (was, becomes) in [(token(), Proof::Authenticate), (token(), Proof::None), (Proof::Authenticate, token())] {
            let accepted = accept(&all(), &[registration("h1", was.clone())], &[registration("h1", becomes)]);
            assert_eq!(kinds(&accepted), [("h1", proof::kind(&was))]);
            assert_eq!(accepted.refusals.len(), 1);
        }
    }

    #[test]
    fn a_weaker_proof_does_not_come_in_under_a_new_id() {
        let known = [registration("h1", token())];
        let answered = [registration("h2", Proof::Authenticate), registration("h3", token())];
        assert_eq!(kinds(&accept(&all(), &known, &answered)), [("h3", "token")]);
    }

    #[test]
    fn a_proof_that_cannot_be_checked_is_refused_before_it_is_kept() {
        let unsigned = registration("h1", mac(vec![]));
        let accepted = accept(&all(), &[], &[unsigned, registration("h2", mac(vec![SignedPart::RawBody]))]);
        assert_eq!(kinds(&accepted), [("h2", "mac")]);
    }
}
