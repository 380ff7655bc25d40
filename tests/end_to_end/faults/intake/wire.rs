//! HTTP over a connection of a test's own, kept open: as cheap for the sender as can be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to a receiver.
pub(super) struct Wire {
    source: BufReader<TcpStream>,
    sink: TcpStream,
}

impl Wire {
    /// Connects to the place of a URL `http://ADDRESS/…`.
    pub(super) fn to(url: &str) -> Self {
        let sink = TcpStream::connect(place(url).0).expect("the receiver listens");
        sink.set_nodelay(true).expect("a socket option");
        sink.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket option");
        Self { source: BufReader::new(sink.try_clone().expect("a second handle")), sink }
    }

    /// Sends bytes as they are. `false` where the other side is gone.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.sink.write_all(bytes).is_ok()
    }

    /// Reads one answer: its status, and its headers in lower case; none where the connection ended.
    pub(super) fn answer(&mut self) -> Option<(u16, String)> {
        let (mut line, mut head) = (String::new(), String::new());
        self.source.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        loop {
            let mut line = String::new();
            self.source.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line.trim_end().is_empty() {
                break;
            }
            head.push_str(&line.to_lowercase());
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.source.read_exact(&mut body).ok()?;
        Some((status, head))
    }
}

/// The address and the path of a URL `http://ADDRESS/PATH`.
pub(super) fn place(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not a plain URL: {url}"));
    let at = rest.find('/').unwrap_or(rest.len());
    (&rest[..at], &rest[at..])
}

/// One whole request.
pub(super) fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let (address, path) = place(url);
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}
