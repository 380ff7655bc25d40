use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::test_clock::TestClock;

struct Waited {
    address: SocketAddr,
    clock: Arc<TestClock>,
    answer: tokio::task::JoinHandle<Result<Secret, CallbackError>>,
}

/// A callback that waits for the answer to an address with the state `s1`.
async fn waiting() -> Waited {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let callback = Callback::bind(&Url::parse(&format!("http://{free}/callback")).unwrap()).await.unwrap();
    let clock = TestClock::shared();
    let shared: SharedClock = clock.clone();
    let opened = Url::parse("https://id.example.test/authorize?client_id=c&state=s1").unwrap();
    let answer = tokio::spawn(async move { callback.answer(&opened, &shared).await });
    Waited { address: free, clock, answer }
}

impl Waited {
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let host = self.address;
        stream
            .write_all(format!("{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn the_awaited_answer_is_taken_once_and_the_page_runs_nothing() {
    let waited = waiting().await;
    let page = waited.ask("GET /callback?code=abc&state=s1").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("go back to the terminal"), "{page}");
    assert!(!page.contains("<script") && page.contains("default-src 'none'") && page.contains("no-store"), "{page}");
    assert_eq!(waited.answer.await.unwrap().unwrap().expose(), "code=abc&state=s1");
    assert!(TcpStream::connect(waited.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_is_not_the_awaited_answer_changes_nothing() {
    let waited = waiting().await;
    for (request, status) in [
        ("GET /", "404"),
        ("GET /callback/more?code=abc&state=s1", "404"),
        ("POST /callback?code=abc&state=s1", "404"),
        ("GET /callback?code=abc&state=other", "400"),
        ("GET /callback?code=abc", "400"),
        ("GET /callback?code=abc&state=s1&state=other", "400"),
        ("GET /callback?code=abc&code=other&state=s1", "400"),
        ("GET /callback", "400"),
        ("GET /favicon.ico", "404"),
    ] {
        let page = waited.ask(request).await;
        assert!(page.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {page}");
    }
    let mut stream = TcpStream::connect(waited.address).await.unwrap();
    let request =
        "GET /callback?code=abc&state=s1 HTTP/1.1\r\nhost: attacker.example.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "another name for this machine: {answer}");
    assert!(!waited.answer.is_finished());
    waited.ask("GET /callback?error=access_denied&state=s1").await;
    assert!(waited.answer.await.unwrap().unwrap().expose().contains("access_denied"));
}

#[tokio::test]
async fn after_ten_minutes_nobody_waits_any_more() {
    let waited = waiting().await;
    waited.ask("GET /").await;
    waited.clock.advance(PATIENCE);
    assert!(matches!(waited.answer.await.unwrap(), Err(CallbackError::Late)));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Callback::bind(&Url::parse(&format!("http://{address}/callback")).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
