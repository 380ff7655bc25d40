//! What the core asks of whatever runs it.

use std::fmt;

/// The way out: network, time and chance. Over WASI in the component, scripted in tests.
pub trait Host {
    /// Sends the requests side by side and waits for all of them. The answers stand in the order of the requests.
    fn send(&mut self, requests: Vec<Request>) -> Vec<Result<Response, SendError>>;
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// 64 random bits.
    fn random(&mut self) -> u64;
}

/// An HTTP request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// The absolute URL, with everything in it that has to be encoded already encoded.
    pub url: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; none sends no body.
    pub body: Option<Vec<u8>>,
    /// How many bytes of answer are read at most.
    pub limit: usize,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method, self.url, self.body.as_ref().map_or(0, Vec::len))
    }
}

/// The answer to a request, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case; one that came twice is here twice.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a header.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer. The cases up to [`SendError::Tls`] mean that the request never left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request could not be built; the text says which part.
    #[error("the request could not be built: {0}")]
    Invalid(String),
    /// The host's egress rules refused it.
    #[error("the host refused the request")]
    Denied,
    /// The name could not be resolved.
    #[error("the name of the server could not be resolved")]
    Dns,
    /// Nothing listens there, or no way leads there.
    #[error("the server refused the connection")]
    Refused,
    /// The time of the call was used up before it could be sent.
    #[error("no time was left to send the request")]
    NoTime,
    /// No trusted encrypted connection came about.
    #[error("no trusted TLS connection came about")]
    Tls,
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
    /// The connection broke, or the answer was not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The body of the answer broke off.
    #[error("the answer with status {status} broke off")]
    Truncated {
        /// The status that came before it broke off.
        status: u16,
    },
    /// The body of the answer is larger than [`Request::limit`], or than the runtime lets through.
    #[error("the answer is larger than may be read")]
    TooLarge {
        /// The status of the answer, where it is known.
        status: Option<u16>,
    },
}

impl SendError {
    /// Whether the request certainly never reached the server.
    pub fn never_left(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Denied | Self::Dns | Self::Refused | Self::NoTime | Self::Tls)
    }
}
