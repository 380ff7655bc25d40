//! Pages for people: plain HTML without script and without anything from elsewhere.

use crate::routes::Answer;

/// Text as HTML text or as the value of a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#172b4d}\
fieldset{border:1px solid #c1c7d0;border-radius:4px;margin:1rem 0}label{display:block;margin:.3rem 0}\
button{font:inherit;padding:.4rem 1.2rem;margin-right:.6rem}.note{color:#5e6c84;font-size:.9rem}\
.error{color:#ae2a19}code{overflow-wrap:anywhere}";

/// A page. `body` is HTML whose texts are already escaped; `title` is text.
pub(crate) fn page(status: u16, title: &str, body: &str) -> Answer {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{body}<p class=\"note\">A simulated Jira for tests: nobody and nothing here is real.</p></body></html>",
        title = escape(title),
    );
    Answer::text(status, "text/html;charset=UTF-8", html)
        // No `form-action`: browsers hold it against the redirect that follows a form as well.
        .with_header(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        )
        .with_header("Referrer-Policy", "no-referrer")
}

/// A page that says what is wrong.
pub(crate) fn error(status: u16, title: &str, sentence: &str) -> Answer {
    page(status, title, &format!("<p class=\"error\">{}</p>", escape(sentence)))
}

/// Sends the browser on.
pub(crate) fn redirect(location: &str) -> Answer {
    Answer::empty(302).with_header("Location", location)
}

/// An address with parameters added to those it has.
pub(crate) fn with_parameters(address: &str, parameters: &[(&str, &str)]) -> String {
    match url::Url::parse(address) {
        Ok(mut url) => {
            url.query_pairs_mut().extend_pairs(parameters);
            url.to_string()
        }
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_on_a_page() {
        let answer = error(400, "<b>", "\"><script>'&");
        let html = String::from_utf8(answer.body).expect("text");
        assert!(html.contains("&lt;b&gt;") && html.contains("&quot;&gt;&lt;script&gt;&#39;&amp;"), "{html}");
        assert!(!html.contains("<script"));
    }

    #[test]
    fn an_address_keeps_the_parameters_it_has() {
        let url = with_parameters("http://127.0.0.1:1/cb?a=1", &[("code", "x y"), ("state", "&=")]);
        assert_eq!(url, "http://127.0.0.1:1/cb?a=1&code=x+y&state=%26%3D");
    }
}
