//! N6: a service that cannot prove who it is gets nothing, whichever way it fails to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::figure::{exceptions, figure};
use crate::harness::Outcome;
use crate::runtime::{runtime, wait_for};
use crate::stage::Stage;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn certificate(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a name")
}

/// How a server of TLS presents itself.
fn tls(params: &CertificateParams, by: Option<&Authority>, versions: &[&'static SupportedProtocolVersion]) -> Mode {
    let key = KeyPair::generate().expect("a key");
    let certificate = match by {
        Some(authority) => params.signed_by(&key, authority),
        None => params.self_signed(&key),
    };
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions that there are")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate").der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        );
    Mode::Tls(Arc::new(config.expect("a key that fits")))
}

/// What a server does with whoever connects.
#[derive(Clone)]
enum Mode {
    Tls(Arc<ServerConfig>),
    /// Chooses this version, which none of today's clients offers.
    Old([u8; 2]),
    /// Speaks plain HTTP where TLS is due.
    Plain,
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

/// Stands before a Jira and presents itself as it is told to.
struct Front {
    port: u16,
    mode: Arc<Mutex<Mode>>,
    /// How many connections got as far as to tell something.
    told: Arc<AtomicUsize>,
}

impl Front {
    fn before(jira: &str, mode: Mode) -> Self {
        let listener = wait_for(TcpListener::bind("127.0.0.1:0")).expect("there is a free port on loopback");
        let port = listener.local_addr().expect("it has an address").port();
        let (mode, told) = (Arc::new(Mutex::new(mode)), Arc::<AtomicUsize>::default());
        let jira = jira.strip_prefix("http://").expect("plain http").to_owned();
        let front = Self { port, mode: Arc::clone(&mode), told: Arc::clone(&told) };
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mode = mode.lock().expect("nobody panicked in it").clone();
                tokio::spawn(meet(stream, mode, Arc::clone(&told), jira.clone()));
            }
        });
        front
    }

    fn be(&self, mode: Mode) {
        *self.mode.lock().expect("nobody panicked in it") = mode;
    }
}

async fn meet(mut stream: TcpStream, mode: Mode, told: Arc<AtomicUsize>, jira: String) {
    match mode {
        Mode::Tls(config) => {
            // Whoever does not trust it hangs up in the middle.
            let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else { return };
            let mut first = [0; 1];
            if stream.read_exact(&mut first).await.is_err() {
                return;
            }
            told.fetch_add(1, Ordering::SeqCst);
            let Ok(mut inner) = TcpStream::connect(jira).await else { return };
            if inner.write_all(&first).await.is_ok() {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
            }
        }
        Mode::Old(version) => {
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello).await;
            // A ServerHello (RFC 4346, section 7.4.1.3): random, no session, AES128-SHA, no compression.
            let mut body = [&version[..], &[7; 32], &[0, 0x00, 0x2f, 0]].concat();
            body.splice(0..0, [2, 0, 0, body.len() as u8]);
            let record = [&[22], &version[..], &[0, body.len() as u8], &body[..]].concat();
            let _ = stream.write_all(&record).await;
            // After that only an alert (21) may come.
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            told.fetch_add(usize::from(answer.first().is_some_and(|kind| *kind != 21)), Ordering::SeqCst);
        }
        Mode::Plain => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let records = matches!(answer.first(), None | Some(21 | 22));
            told.fetch_add(usize::from(!records), Ordering::SeqCst);
        }
    }
}

#[test]
fn n6_a_service_that_cannot_prove_who_it_is_gets_nothing() {
    let (ours, other) = (authority("ours"), authority("other"));
    let dated = |from: i32, to: i32| {
        let mut params = certificate("localhost");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        tls(&params, Some(&ours), BOTH)
    };
    let (expired, early) = (dated(2000, 2001), dated(4000, 4001));
    let good = tls(&certificate("localhost"), Some(&ours), BOTH);
    let foreign = tls(&certificate("localhost"), Some(&other), BOTH);
    // Somebody whom the authority knows under another name, and who signs for others without being one.
    let leaf: Authority =
        CertifiedIssuer::signed_by(certificate("somebody.test"), KeyPair::generate().expect("a key"), &ours)
            .expect("a certificate");
    let by_leaf = tls(&certificate("localhost"), Some(&leaf), BOTH);

    let stage = Stage::new();
    let front = Front::before(stage.jira.url(), good.clone());
    let site = format!("https://localhost:{}", front.port);
    let account = stage.jira.account("admin");
    let ca = |name: &str, authority: &Authority| stage.host.file(name, authority.pem()).display().to_string();
    let (our_ca, other_ca) = (ca("ours.pem", &ours), ca("other.pem", &other));
    let connect = |name: &str, more: &[&str]| stage.connect_at(name, &site, &account.email, &account.token, more);
    connect("demo", &["--ca", &our_ca]).expect(0);
    assert_eq!(stage.task("To be read"), "DEMO-1");
    let read = |connection: &str| stage.run_as(connection, "get-issue", &json!({"issue": "DEMO-1"}));
    let (mut accepted, mut wrong) = (Vec::new(), Vec::new());
    for (what, mode) in [
        ("TLS 1.2 alone", tls(&certificate("localhost"), Some(&ours), &BOTH[..1])),
        ("TLS 1.3 alone", tls(&certificate("localhost"), Some(&ours), &BOTH[1..])),
    ] {
        front.be(mode);
        wrong.extend(Some(what).filter(|_| read("demo").code != 0).map(|what| format!("{what} does not work")));
    }

    connect("system", &["--no-check"]).expect(0);
    connect("other", &["--ca", &other_ca, "--no-check"]).expect(0);
    let cases: Vec<(&str, &str, Mode)> = vec![
        ("expired", "demo", expired),
        ("not valid yet", "demo", early),
        ("another host's", "demo", tls(&certificate("somebody.test"), Some(&ours), BOTH)),
        ("a host's below", "demo", tls(&certificate("*.localhost"), Some(&ours), BOTH)),
        ("self-signed", "demo", tls(&certificate("localhost"), None, BOTH)),
        ("self-signed, the system's trust", "system", tls(&certificate("localhost"), None, BOTH)),
        ("an authority unknown to the system", "system", good.clone()),
        ("another connection's authority", "other", good.clone()),
        ("another authority", "demo", foreign.clone()),
        ("signed by who is no authority", "demo", by_leaf),
        ("TLS 1.1", "demo", Mode::Old([3, 2])),
        ("TLS 1.0", "demo", Mode::Old([3, 1])),
        ("SSL 3", "demo", Mode::Old([3, 0])),
        ("no TLS", "demo", Mode::Plain),
    ];
    let refused = |what: &str, outcome: &Outcome, accepted: &mut Vec<String>, wrong: &mut Vec<String>| {
        let code = serde_json::from_str::<Value>(&outcome.stdout).unwrap_or_default()["error"]["code"].clone();
        if outcome.code == 0 || front.told.load(Ordering::SeqCst) > 0 {
            accepted.push(what.to_owned());
        } else if code != "jira.tls-failed" {
            wrong.push(format!("{what}: exit {}, {code}", outcome.code));
        }
        front.told.store(0, Ordering::SeqCst);
    };
    front.told.store(0, Ordering::SeqCst);
    let mut tried = cases.len();
    for (what, connection, mode) in cases {
        front.be(mode);
        refused(what, &read(connection), &mut accepted, &mut wrong);
    }

    // The service gets a certificate of another authority, and the connection is told to trust that one: from then on
    // the old one is worth nothing.
    front.be(foreign);
    let edited = stage.host.run(&["connection", "edit", "demo", "--ca", &other_ca]);
    wrong.extend(Some(&edited).filter(|edited| edited.code != 0).map(|edited| format!("not edited: {edited:?}")));
    wrong.extend(Some("the new one does not work".to_owned()).filter(|_| read("demo").code != 0));
    front.be(good);
    front.told.store(0, Ordering::SeqCst);
    refused("an authority that was taken away", &read("demo"), &mut accepted, &mut wrong);
    let given_up = stage.host.run(&["connection", "check", "demo"]);
    tried += 2;
    refused("the same, asked by a health report", &given_up, &mut accepted, &mut Vec::new());
    figure(
        "N6",
        "expired, early, wrong host, self-signed, unknown, taken away, issued by a leaf; TLS 1.1, 1.0, SSL 3, none",
        "0 accepts; a connection may have its own authority",
        format!(
            "{} of {tried} accepted; with the connection's own authority TLS 1.2 and 1.3 work, and another can be put in \
             its place{}",
            accepted.len(),
            exceptions(&[accepted.clone(), wrong.clone()].concat())
        ),
        accepted.is_empty() && wrong.is_empty(),
    );
}
