//! A request as the routes read it.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::answer::Refusal;

/// A request whose body has been read. Path segments are decoded.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The path within the site: without the gateway's prefix, without the context path.
    pub(crate) route: String,
    pub(crate) segments: Vec<String>,
    pub(crate) raw_query: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new(parts: &http::request::Parts, body: Bytes) -> Self {
        let path = parts.uri.path().to_owned();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        // `form_urlencoded` also turns `+` into a space, which a path keeps.
        let decode = |segment: &str| {
            let kept = segment.replace('+', "%2B");
            url::form_urlencoded::parse(format!("s={kept}").as_bytes()).map(|(_, value)| value.into_owned()).next()
        };
        let segments = path
            .trim_matches('/')
            .split('/')
            .map(|segment| decode(&segment.replace('&', "%26")).unwrap_or_default())
            .collect();
        let query = url::form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect();
        let route = path.clone();
        Self {
            method: parts.method.clone(),
            path,
            route,
            segments,
            raw_query,
            query,
            headers: parts.headers.clone(),
            body,
        }
    }

    /// Takes the first segments of the path away.
    pub(crate) fn strip(&mut self, count: usize) {
        self.segments.drain(..count.min(self.segments.len()));
        let rest = self.route.trim_start_matches('/').splitn(count + 1, '/').nth(count).unwrap_or_default();
        self.route = format!("/{rest}");
    }

    /// The media type of the body, in small letters, without parameters.
    pub(crate) fn content_type(&self) -> String {
        let header = self.header("content-type").unwrap_or_default();
        header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The pairs of a form; none for other bodies.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        if self.content_type() != "application/x-www-form-urlencoded" {
            return Vec::new();
        }
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be repeated and may hold commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.query
            .iter()
            .filter(|(key, _)| key == name)
            .flat_map(|(_, value)| value.split(','))
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .collect()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    /// A number parameter; what is not a number is a 404 in Jira, as a path that does not match.
    pub(crate) fn number(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        match self.parameter(name) {
            None | Some("") => Ok(default),
            Some(text) => text.parse().map_err(|_| Refusal::new(404, format!("'{text}' is not a number for {name}"))),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 415 for another content type, 400 for what is not JSON.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        let content_type = self.content_type();
        if content_type != "application/json" {
            return Err(Refusal::new(
                415,
                format!("The content type '{content_type}' is not supported: send application/json."),
            ));
        }
        match serde_json::from_slice(&self.body) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(value),
            Ok(_) | Err(_) => {
                Err(Refusal::new(400, "There was an error parsing JSON. Check that your request body is valid."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_and_lists_are_split() {
        let parts =
            http::Request::get("/rest/api/3/issue/A%20B+C?fields=a,b&fields=c").body(()).unwrap().into_parts().0;
        let request = Request::new(&parts, Bytes::new());
        assert_eq!(request.segments, ["rest", "api", "3", "issue", "A B+C"]);
        assert_eq!(request.list("fields"), ["a", "b", "c"]);
    }
}
