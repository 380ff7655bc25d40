//! A call of a token endpoint: JSON or form, the client's secret in the body or as Basic.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::Directory;
use super::grant::Issued;
use crate::routes::{Answer, Request};

/// A refusal of a token endpoint (RFC 6749, section 5.2, with Atlassian's statuses).
pub(super) struct Refused {
    status: u16,
    error: String,
    description: String,
}

impl Refused {
    pub(super) fn new(status: u16, error: &str, description: &str) -> Self {
        Self { status, error: error.to_owned(), description: description.to_owned() }
    }

    /// A refresh token that is not good, as the settings say it is refused.
    pub(super) fn refresh(login: &Directory) -> Self {
        let settings = &login.settings;
        Self::new(
            settings.refresh_refusal_status,
            &settings.refresh_refusal_error,
            &settings.refresh_refusal_description,
        )
    }

    fn answer(&self) -> Answer {
        Answer::json(self.status, &json!({"error": self.error, "error_description": self.description}))
    }
}

/// The parameters of a call.
pub(super) struct TokenRequest(BTreeMap<String, String>);

impl TokenRequest {
    /// Reads a call, lets `decide` answer it, and counts it.
    pub(super) fn answer(
        login: &mut Directory,
        request: &Request,
        json_too: bool,
        decide: impl FnOnce(&mut Directory, &Self) -> Result<Issued, Refused>,
    ) -> Answer {
        if request.method != Method::POST {
            return Answer::text(405, "text/plain", "Method Not Allowed").with_header("Allow", "POST");
        }
        let asked = match Self::read(request, json_too) {
            Ok(asked) => asked,
            Err(refused) => {
                login.count_token_call("other", &refused.error);
                return refused.answer();
            }
        };
        let decided = decide(login, &asked);
        let outcome = decided.as_ref().map_or_else(|refused| refused.error.clone(), |_| "ok".to_owned());
        login.count_token_call(asked.grant_type(), &outcome);
        match decided {
            Ok(issued) => issued_answer(login, issued),
            Err(refused) => refused.answer(),
        }
    }

    fn read(request: &Request, json_too: bool) -> Result<Self, Refused> {
        let malformed = |why: &str| Refused::new(400, "invalid_request", why);
        let content_type = request.content_type();
        let mut parameters = BTreeMap::new();
        if content_type == "application/x-www-form-urlencoded" {
            for (name, value) in request.form() {
                if parameters.insert(name, value).is_some() {
                    return Err(malformed("A parameter is repeated"));
                }
            }
        } else if content_type == "application/json" && json_too {
            let body: Value = serde_json::from_slice(&request.body).map_err(|_| malformed("The body is not JSON"))?;
            let members = body.as_object().ok_or_else(|| malformed("The body is not an object"))?;
            for (name, value) in members {
                // Anything but a text is as good as absent.
                if let Some(value) = value.as_str() {
                    parameters.insert(name.clone(), value.to_owned());
                }
            }
        } else if content_type.is_empty() && request.body.is_empty() && !json_too {
            // Data Center also takes the parameters in the query.
            parameters.extend(request.query.iter().cloned());
        } else {
            return Err(malformed("The content type is not supported"));
        }
        if let Some((id, secret)) = basic(request) {
            parameters.entry("client_id".to_owned()).or_insert(id);
            parameters.entry("client_secret".to_owned()).or_insert(secret);
        }
        Ok(Self(parameters))
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.optional(name).unwrap_or_default()
    }

    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn require(&self, name: &str) -> Result<&str, Refused> {
        let value = self.optional(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| Refused::new(400, "invalid_request", &format!("Missing required parameter: {name}")))
    }

    pub(super) fn grant_type(&self) -> &str {
        self.get("grant_type")
    }
}

fn basic(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn issued_answer(login: &Directory, issued: Issued) -> Answer {
    let mut body = json!({
        "access_token": issued.access,
        "expires_in": issued.expires_in,
        "token_type": "Bearer",
        "scope": issued.scopes.join(" "),
    });
    if let Some(refresh) = issued.refresh {
        body["refresh_token"] = json!(refresh);
    }
    if !login.cloud() {
        body["created_at"] = json!(login.now() / 1_000);
    }
    Answer::ok(body)
}
