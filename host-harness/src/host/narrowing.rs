//! Origins that become fewer or narrower once more is known: never wider than what a person confirmed.

use http::Uri;

use crate::egress::Origin;
use crate::plugin::contract::connection as contract;
use crate::store::StoredOrigin;

/// The origins to pin in place of those that are pinned; none where a request would come to more than before, or would
/// carry the credential where it did not.
pub(super) fn narrowed(pinned: &[StoredOrigin], offered: &[contract::Origin]) -> Option<Vec<StoredOrigin>> {
    let kept: Vec<StoredOrigin> = offered.iter().map(stored).collect();
    let within = offered.iter().all(|one| lies_within(pinned, one));
    (!kept.is_empty() && within && opened(pinned, offered).is_none()).then_some(kept)
}

/// The first of the pinned origins that got no credential and would get it with others in their place: what is left out
/// must not fall to another that gets it.
pub(super) fn opened<'o>(pinned: &'o [StoredOrigin], offered: &[contract::Origin]) -> Option<&'o StoredOrigin> {
    let kept: Vec<StoredOrigin> = offered.iter().map(stored).collect();
    let mut closed = pinned.iter().filter(|one| !one.credential);
    closed.find(|one| deciding(&kept, &one.url).is_some_and(|now| now.credential))
}

/// Whether requests to an origin are let through already, with the credential where it wants that.
pub(super) fn lies_within(pinned: &[StoredOrigin], one: &contract::Origin) -> bool {
    deciding(pinned, &one.url).is_some_and(|known| known.credential || !one.credential)
}

/// The origin that decides about requests to a URL: of those that hold it, the one with the longest path.
fn deciding<'o>(origins: &'o [StoredOrigin], url: &str) -> Option<&'o StoredOrigin> {
    let uri: Uri = url.parse().ok()?;
    let holding = origins.iter().filter_map(|one| {
        let origin = Origin::parse(&one.url).ok()?;
        origin.admit(&uri).ok()?;
        Some((origin.path().len(), one))
    });
    holding.max_by_key(|(length, _)| *length).map(|(_, one)| one)
}

fn stored(origin: &contract::Origin) -> StoredOrigin {
    StoredOrigin { url: origin.url.clone(), credential: origin.credential, purpose: origin.purpose.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned() -> Vec<StoredOrigin> {
        [
            ("https://a.test/api/", true),
            ("https://a.test/api/open", false),
            ("https://a.test/api/tokens/", false),
            ("https://b.test/", false),
        ]
        .map(|(url, credential)| StoredOrigin { url: url.into(), credential, purpose: String::new() })
        .to_vec()
    }

    fn offered(origins: &[(&str, bool)]) -> Option<usize> {
        let origins: Vec<contract::Origin> = origins
            .iter()
            .map(|(url, credential)| contract::Origin {
                url: (*url).into(),
                credential: *credential,
                purpose: String::new(),
            })
            .collect();
        narrowed(&pinned(), &origins).map(|kept| kept.len())
    }

    #[test]
    fn what_is_narrower_is_taken() {
        assert_eq!(offered(&[("https://a.test/api/x/", true)]), Some(1));
        assert_eq!(offered(&[("https://a.test/api/x/", false), ("https://b.test/y", false)]), Some(2));
        let same =
            [("https://a.test/api/", true), ("https://a.test/api/open", false), ("https://a.test/api/tokens/", false)];
        assert_eq!(offered(&same), Some(3));
    }

    #[test]
    fn what_is_wider_in_any_way_is_not() {
        for wider in [
            &[][..],
            &[("https://a.test/", true)],
            &[("https://a.test/apis/", true)],
            &[("https://c.test/", false)],
            &[("http://a.test/api/", true)],
            &[("https://b.test/", true)],
            &[("https://b.test/x/", true)],
            &[("https://a.test/api/open", true)],
            &[("https://a.test/api/tokens/x", true)],
            // Without the two that get no credential, requests to them would carry it.
            &[("https://a.test/api/", true)],
            &[("https://a.test/api/../x/", true)],
            &[("not a url", false)],
        ] {
            assert_eq!(offered(wider), None, "{wider:?}");
        }
    }
}
