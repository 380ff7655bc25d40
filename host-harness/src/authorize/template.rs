//! The URL templates of OAuth's schemes: `{site}oauth/token`.

use http::Uri;
use serde_json::Value;
use url::Url;

use crate::egress::Policy;

/// Why a template gives no URL that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name of it stands for nothing.
    #[error(
        "the connector's address `{template}` needs the setting `{name}`, which this connection does not have: tell the connector's maker"
    )]
    Unknown {
        /// The template.
        template: String,
        /// The name.
        name: String,
    },
    /// It is no URL.
    #[error("the connector's address `{0}` is no URL once it is filled in: tell the connector's maker")]
    NotAUrl(String),
    /// It leads elsewhere.
    #[error(
        "the connector authorizes at `{url}`, and {reason}: make the connection again if its address is wrong, else tell the connector's maker"
    )]
    Outside {
        /// The URL, without its query.
        url: String,
        /// Why it may not be used.
        reason: String,
    },
}

/// Fills a template with the texts of the prepared settings. The result lies in one of the policy's origins.
pub(crate) fn fill(template: &str, settings: &Value, policy: &Policy) -> Result<Url, TemplateError> {
    let filled = text(template, settings)?;
    let not_a_url = || TemplateError::NotAUrl(template.to_owned());
    let url = Url::parse(&filled).map_err(|_| not_a_url())?;
    if url.fragment().is_some() {
        return Err(not_a_url());
    }
    let uri: Uri = url.as_str().parse().map_err(|_| not_a_url())?;
    policy.admits(&uri).map_err(|reason| {
        let mut shown = url.clone();
        shown.set_query(None);
        // User information may hold a password.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        TemplateError::Outside { url: shown.into(), reason }
    })?;
    Ok(url)
}

/// A template with the texts of the settings in the place of their names: no URL yet that may be used.
pub(super) fn text(template: &str, settings: &Value) -> Result<String, TemplateError> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let not_a_url = || TemplateError::NotAUrl(template.to_owned());
        let (name, after) = after.split_once('}').ok_or_else(not_a_url)?;
        let text = settings.get(name).and_then(Value::as_str);
        let text =
            text.ok_or_else(|| TemplateError::Unknown { template: template.to_owned(), name: name.to_owned() })?;
        filled.push_str(before);
        filled.push_str(text);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::egress::{Origin, PinnedOrigin};

    fn filled(template: &str, settings: &Value, allow_private: bool) -> Result<String, TemplateError> {
        let pinned = ["https://auth.example.test/", "https://self.example.test/context/", "http://plain.example.test/"];
        let origins = pinned.map(|url| PinnedOrigin { origin: Origin::parse(url).unwrap(), credential: true });
        fill(template, settings, &Policy::new(origins.into(), allow_private)).map(Into::into)
    }

    #[test]
    fn names_stand_for_texts_of_the_settings() {
        let settings = json!({"site": "https://self.example.test/context/", "number": 1, "host": "auth"});
        let url = |template| filled(template, &settings, false);
        assert_eq!(url("https://auth.example.test/token").unwrap(), "https://auth.example.test/token");
        assert_eq!(url("{site}rest/token?a=b").unwrap(), "https://self.example.test/context/rest/token?a=b");
        assert_eq!(url("https://{host}.example.test/x").unwrap(), "https://auth.example.test/x");
        for template in ["{other}token", "{number}token", "{}", "{site"] {
            assert!(
                matches!(url(template), Err(TemplateError::Unknown { .. } | TemplateError::NotAUrl(_))),
                "{template}"
            );
        }
    }

    #[test]
    fn nothing_leads_out_of_the_pinned_origins() {
        let outside = [
            "https://elsewhere.test/token",
            "https://self.example.test/token",
            "https://self.example.test/context/%2e%2e/token",
            "https://auth.example.test.evil.test/",
            "https://auth.example.test@evil.test/",
            "https://someone:fake-password@auth.example.test/",
            "http://auth.example.test/",
            "ftp://auth.example.test/",
        ];
        for url in outside {
            let error = filled("{url}", &json!({"url": url}), true).unwrap_err();
            assert!(matches!(error, TemplateError::Outside { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("fake-password"));
        }
    }

    #[test]
    fn plain_http_needs_the_operators_word() {
        let url = "http://plain.example.test/token";
        assert!(matches!(filled(url, &json!({}), false), Err(TemplateError::Outside { .. })));
        assert_eq!(filled(url, &json!({}), true).unwrap(), url);
    }
}
