//! Reads what people hand to commands: JSON, pairs, secrets.

use std::fs::File;
use std::io::{BufRead as _, Read};
use std::path::Path;

use serde_json::Value;

use crate::host::{HostError, Secrets};
use crate::vault::Secret;

/// The largest secret, in bytes.
const LARGEST_SECRET: u64 = 64 << 10;
/// The largest file of certificate authorities, in bytes.
const LARGEST_AUTHORITIES: u64 = 1 << 20;
/// The largest of everything else, in bytes: more than any call or delivery may bring.
const LARGEST: u64 = 32 << 20;

fn unreadable(what: &str, error: &std::io::Error) -> HostError {
    HostError::bad_input("file", format!("{what} cannot be read: {error}"), "Name a file that you may read.")
}

/// Reads what may have no end: no more than one byte beyond what is allowed. None where there is more.
fn bounded(source: impl Read, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// What a file (or stdin, where none is named) holds; none where that is more than allowed.
fn read_within(path: Option<&Path>, most: u64) -> Result<Option<Vec<u8>>, HostError> {
    match path {
        Some(path) => File::open(path)
            .and_then(|file| bounded(file, most))
            .map_err(|error| unreadable(&path.display().to_string(), &error)),
        None => bounded(std::io::stdin().lock(), most).map_err(|error| unreadable("stdin", &error)),
    }
}

/// The same, where more than any command takes is an error.
fn whole(path: Option<&Path>) -> Result<Vec<u8>, HostError> {
    read_within(path, LARGEST)?.ok_or_else(|| {
        let what = path.map_or_else(|| "stdin".to_owned(), |path| path.display().to_string());
        let message = format!("{what} holds more than {} MiB", LARGEST >> 20);
        HostError::bad_input("input-size", message, "Check that it is the right file.")
    })
}

/// A file's content.
pub(super) fn file(path: &Path) -> Result<Vec<u8>, HostError> {
    whole(Some(path))
}

/// JSON given as `JSON`, `@FILE` or `-` (stdin).
pub(super) fn json(flag: &str, given: &str) -> Result<Value, HostError> {
    let bytes = match given.strip_prefix('@') {
        Some(path) => file(Path::new(path))?,
        None if given == "-" => whole(None)?,
        None => given.as_bytes().to_vec(),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        HostError::bad_input(
            "json",
            format!("{flag} is not JSON: {error}"),
            format!("Give JSON, @FILE or - for stdin: {flag} '{{\"key\": \"value\"}}'."),
        )
    })
}

/// A `key=value` pair.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is no key=value")),
    }
}

/// Where a secret is read from. The text of a wrong argument is not repeated: it may be the secret.
#[derive(Debug, Clone)]
struct SecretSource {
    key: String,
    /// None for stdin.
    path: Option<std::path::PathBuf>,
}

/// A `key=@FILE` or `key=-` pair.
fn secret_source(text: &str) -> Result<SecretSource, String> {
    let (key, place) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write key=@FILE or key=-")?;
    let path = match place.strip_prefix('@') {
        Some(path) if !path.is_empty() => Some(path.into()),
        None if place == "-" => None,
        _ => {
            return Err(
                "a secret is read from a file (key=@FILE) or from stdin (key=-), never from the arguments".into()
            );
        }
    };
    Ok(SecretSource { key: key.to_owned(), path })
}

/// Reads secrets, each from its place, as they are: what came along when they were copied is taken off by the host.
pub(super) fn secrets(sources: &[String]) -> Result<Secrets, HostError> {
    let sources: Vec<SecretSource> =
        sources.iter().map(|text| secret_source(text)).collect::<Result<_, _>>().map_err(|reason| {
            HostError::bad_input("secret", reason, "Write --secret key=@FILE, or --secret key=- and pipe it in.")
        })?;
    if sources.iter().filter(|one| one.path.is_none()).count() > 1 {
        let remedy = "Give the others as key=@FILE.";
        return Err(HostError::bad_input("stdin-twice", "only one secret can come from stdin", remedy));
    }
    let mut read = Vec::new();
    for source in &sources {
        let key = &source.key;
        let bytes = read_within(source.path.as_deref(), LARGEST_SECRET)?.ok_or_else(|| {
            let message = format!("the secret `{key}` is larger than {} KiB", LARGEST_SECRET >> 10);
            HostError::bad_input("secret-size", message, "Check that it is the right file.")
        })?;
        let text = String::from_utf8(bytes).map_err(|_| {
            HostError::bad_input(
                "secret-text",
                format!("the secret `{key}` is no text"),
                "Check that it is the right file.",
            )
        })?;
        read.push((key.clone(), Secret::new(text)));
    }
    Ok(read)
}

/// One line that is typed or piped in.
pub(super) fn line() -> Result<String, HostError> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(LARGEST_SECRET).read_line(&mut line);
    read.map_err(|error| HostError::bad_input("stdin", error.to_string(), "Pipe it in."))?;
    Ok(line)
}

/// Reads the certificate authorities of `--ca FILE`.
pub(super) fn authorities(path: &Path) -> Result<String, HostError> {
    let remedy = "Give a PEM file with the certificates of the authorities.";
    let bytes = read_within(Some(path), LARGEST_AUTHORITIES)?.ok_or_else(|| {
        let message = format!("{} is larger than {} MiB", path.display(), LARGEST_AUTHORITIES >> 20);
        HostError::bad_input("authorities", message, remedy)
    })?;
    String::from_utf8(bytes)
        .map_err(|_| HostError::bad_input("authorities", format!("{} is no text", path.display()), remedy))
}

/// Headers as people capture them: a JSON object of names and values, a JSON list of pairs, or lines `Name: value`.
pub(super) fn headers(bytes: &[u8]) -> Result<Vec<(String, String)>, HostError> {
    let wrong = |reason: &str| {
        HostError::bad_input(
            "headers",
            format!("the headers cannot be read: {reason}"),
            "Give a JSON object {\"name\": \"value\"}, a JSON list [[\"name\", \"value\"]], or lines `Name: value`.",
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("they are no text"))?;
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(members)) => {
            let mut headers = Vec::new();
            for (name, value) in members {
                match value {
                    Value::String(value) => headers.push((name, value)),
                    Value::Array(values) => {
                        for value in values {
                            let value = value.as_str().ok_or_else(|| wrong("a value is no text"))?;
                            headers.push((name.clone(), value.to_owned()));
                        }
                    }
                    _ => return Err(wrong("a value is no text")),
                }
            }
            Ok(headers)
        }
        Ok(Value::Array(pairs)) => pairs
            .iter()
            .map(|pair| match pair.as_array().map(Vec::as_slice) {
                Some([Value::String(name), Value::String(value)]) => Ok((name.clone(), value.clone())),
                _ => Err(wrong("an entry is no pair of texts")),
            })
            .collect(),
        Ok(_) => Err(wrong("this JSON is neither an object nor a list")),
        Err(_) => text
            .lines()
            .filter(|line| !line.trim().is_empty() && !is_start_line(line))
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or_else(|| wrong("a line has no colon"))?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect(),
    }
}

fn is_start_line(line: &str) -> bool {
    line.starts_with("HTTP/") || line.trim_end().ends_with(" HTTP/1.1") || line.trim_end().ends_with(" HTTP/1.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_comes_from_the_arguments_and_is_not_repeated() {
        for text in ["token=canary", "token=", "canary", "token=@", "=@file"] {
            let error = secret_source(text).unwrap_err();
            assert!(!error.contains("canary"));
        }
        assert!(secret_source("token=@file").is_ok());
        assert!(secret_source("token=-").is_ok());
    }

    #[test]
    fn secrets_are_read_as_they_are_and_one_at_most_from_stdin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, " abc \r\n").unwrap();
        let from_file = format!("token=@{}", path.display());
        assert_eq!(secrets(std::slice::from_ref(&from_file)).unwrap()[0].1.expose(), " abc \r\n");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(secrets(&[from_file]).is_err());
        assert!(secrets(&["a=-".into(), "b=-".into()]).is_err());
        assert!(!secrets(&["token=canary".into()]).unwrap_err().to_json().to_string().contains("canary"));
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_is_refused_by_its_size() {
        let told = |error: HostError| (error.to_json()["code"].clone(), error.to_string());
        let (code, message) = told(secrets(&["token=@/dev/zero".into()]).unwrap_err());
        assert_eq!((code, message.as_str()), ("host.secret-size".into(), "the secret `token` is larger than 64 KiB"));
        let (code, message) = told(authorities(Path::new("/dev/zero")).unwrap_err());
        assert_eq!((code, message.as_str()), ("host.authorities".into(), "/dev/zero is larger than 1 MiB"));
        let (code, message) = told(json("--input", "@/dev/zero").unwrap_err());
        assert_eq!((code, message.as_str()), ("host.input-size".into(), "/dev/zero holds more than 32 MiB"));
    }

    #[test]
    fn what_is_as_large_as_allowed_is_read_whole() {
        assert_eq!(bounded(&b"four"[..], 4).unwrap().unwrap(), b"four");
        assert!(bounded(&b"fives"[..], 4).unwrap().is_none());
    }

    #[test]
    fn headers_are_read_in_every_usual_form() {
        let expected = vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x: y".to_owned())];
        let forms = [
            "{\"A\": \"1\", \"B\": \"x: y\"}",
            "[[\"A\", \"1\"], [\"B\", \"x: y\"]]",
            "POST /x HTTP/1.1\r\nA: 1\r\nB: x: y\r\n\r\n",
        ];
        for form in forms {
            assert_eq!(headers(form.as_bytes()).unwrap(), expected, "{form}");
        }
        for bad in ["3", "[1]", "{\"A\": 1}", "no colon"] {
            assert!(headers(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
