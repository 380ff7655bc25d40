use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use http::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::*;
use crate::authorize::Access;
use crate::egress::{Detours, DirectFault, Network, Origin, PinnedOrigin, Policy, Resolver};

/// Every name is this machine.
struct Here;

impl Resolver for Here {
    fn resolve(&self, _: &str) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for a name, from an authority; its port.
async fn serve(authority: &Authority, name: &str, expired: bool) -> u16 {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let (listener, acceptor) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TlsAcceptor::from(Arc::new(config)));
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not trust it hangs up in the middle.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    });
    port
}

/// Sends to a name at a port, trusting these authorities or the system's.
async fn send(url: &str, trusted: Option<&str>, detours: Detours) -> Result<u16, DirectFault> {
    let origins = vec![PinnedOrigin { origin: Origin::parse(url).unwrap(), credential: true }];
    let policy = Policy::new(origins, true).trusting(trusted);
    let access = Access::new(Network::with(Here, detours).unwrap(), policy, "c1");
    let request = Request::post(url).body(Zeroizing::new(b"fake".to_vec())).unwrap();
    access.direct(request).await.map(|answer| answer.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn n6_a_connections_own_authorities_are_trusted_instead_of_the_systems_and_nothing_else_is() {
    let (ours, other) = (authority("ours"), authority("other"));
    let good = serve(&ours, "a.test", false).await;
    let expired = serve(&ours, "a.test", true).await;
    let foreign = serve(&other, "a.test", false).await;
    let url = |name: &str, port: u16| format!("https://{name}:{port}/");
    let both = format!("{}{}", other.pem(), ours.pem());
    for trusted in [ours.pem(), both] {
        assert_eq!(send(&url("a.test", good), Some(&trusted), Detours::default()).await, Ok(204));
    }
    let refused = [
        ("the system does not know the authority", url("a.test", good), None),
        ("another authority", url("a.test", foreign), Some(ours.pem())),
        ("another name", url("b.test", good), Some(ours.pem())),
        ("expired", url("a.test", expired), Some(ours.pem())),
        ("another connection's authority", url("a.test", good), Some(other.pem())),
    ];
    let mut accepted = 0;
    for (what, url, trusted) in &refused {
        let sent = send(url, trusted.as_deref(), Detours::default()).await;
        accepted += usize::from(sent.is_ok());
        let told = sent.unwrap_err();
        assert!(matches!(&told, DirectFault::Unreached(reason) if reason.contains("certificate")), "{what}: {told}");
    }
    println!("FIGURE N6 {} certificates that do not fit, {accepted} accepted", refused.len());
}

#[test]
fn what_holds_no_certificate_is_refused_when_it_is_given() {
    let pem = authority("ours").pem();
    assert_eq!(check_authorities(&format!("a comment\n{pem}{pem}")), Ok(2));
    let key = KeyPair::generate().unwrap().serialize_pem();
    let broken = pem.replace("MII", "AII");
    for bad in ["", "no certificate", &key, &broken, &pem[..pem.len() / 2]] {
        let error = check_authorities(bad).unwrap_err().to_string();
        assert!(error.contains("PEM form") && !error.contains("PRIVATE"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detour_leads_to_this_machine_under_the_real_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let arrived = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 1024];
        let length = stream.read(&mut bytes).await.unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    });
    let detours = || Detours::new(vec![format!("https://*.example.test=http://127.0.0.1:{port}").parse().unwrap()]);
    assert_eq!(send("https://api.example.test/", None, detours()).await, Ok(204));
    let head = arrived.await.unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\n") && head.contains("host: api.example.test\r\n"), "{head}");
}
