use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Answers with a public address on every odd question and with a loopback one on every even.
struct Rebinding(AtomicUsize);

impl Resolver for Rebinding {
    fn resolve(&self, _: &str) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        let turn = self.0.fetch_add(1, Ordering::SeqCst);
        let address = if turn.is_multiple_of(2) { "203.0.114.1" } else { "127.0.0.1" };
        Box::pin(async move { Ok(vec![address.parse().unwrap()]) })
    }
}

fn checked(resolver: impl Resolver, allow_private: bool) -> CheckedTcp {
    CheckedTcp { resolver: Arc::new(resolver), allow_private }
}

#[tokio::test]
async fn n2_a_name_that_changes_between_check_and_connect_never_leads_inside() {
    let resolver = Rebinding(AtomicUsize::new(0));
    let tcp = checked(resolver, false);
    let uri: Uri = "https://rebinding.test/".parse().unwrap();
    let mut inside = 0;
    for _ in 0..1000 {
        // What `permitted` gives is what is connected to: there is no second question.
        if let Ok(addresses) = tcp.permitted(&uri).await {
            inside += addresses.iter().filter(|address| reserved(address.ip()).is_some()).count();
        }
    }
    println!("FIGURE N2 1000 resolutions, {inside} private connects");
    assert_eq!(inside, 0);
}

#[tokio::test]
async fn addresses_written_in_the_url_are_checked_too() {
    let tcp = checked(Rebinding(AtomicUsize::new(0)), false);
    for url in ["http://127.0.0.1:1/", "http://[::1]:1/", "http://[::ffff:10.0.0.1]/", "https://169.254.169.254/"] {
        let found = tcp.permitted(&url.parse().unwrap()).await;
        assert!(matches!(found, Err(ConnectFault::Prohibited { .. })), "{url}");
    }
}

#[tokio::test]
async fn the_operators_word_for_a_connection_opens_private_addresses() {
    let tcp = checked(Rebinding(AtomicUsize::new(0)), true);
    let found = tcp.permitted(&"http://10.0.0.5:8080/".parse().unwrap()).await.unwrap();
    assert_eq!(found, ["10.0.0.5:8080".parse().unwrap()]);
}
