//! TLS towards services, by the operating system's trusted certificates or by those of one connection.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::fault::ConnectFault;

/// Why a text holds no certificate authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate authorities cannot be used: {0}; give one or several certificates in PEM form")]
pub struct AuthoritiesError(String);

impl AuthoritiesError {
    /// The reason alone.
    pub(crate) fn reason(&self) -> &str {
        &self.0
    }
}

/// The settings of all TLS connections. The certificates are read when the first one is made: some hundred files,
/// which a process that calls no https origin has no use for.
pub(crate) struct Tls {
    begun: ConfigBuilder<ClientConfig, WantsVerifier>,
    system: Arc<OnceLock<Made>>,
    /// Those of one connection, instead of the system's.
    authorities: Option<Arc<str>>,
    own: OnceLock<Made>,
}

type Made = Result<Arc<ClientConfig>, String>;

impl Tls {
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let begun = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
        Ok(Self { begun, system: Arc::default(), authorities: None, own: OnceLock::new() })
    }

    /// The same where these authorities (PEM), if any, are trusted instead of the system's.
    pub(crate) fn trusting(&self, authorities: Option<&Arc<str>>) -> Self {
        let (begun, system) = (self.begun.clone(), Arc::clone(&self.system));
        Self { begun, system, authorities: authorities.cloned(), own: OnceLock::new() }
    }

    /// The settings; reads the certificates the first time, which blocks.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, ConnectFault> {
        if let Some(authorities) = &self.authorities {
            let made = self.own.get_or_init(|| {
                let roots = roots(authorities).map_err(|error| error.to_string())?;
                Ok(finish(self.begun.clone().with_root_certificates(roots).with_no_client_auth()))
            });
            return made.clone().map_err(ConnectFault::Tls);
        }
        let made = self.system.get_or_init(|| {
            let verified = self.begun.clone().with_platform_verifier().map_err(|error| error.to_string())?;
            Ok(finish(verified.with_no_client_auth()))
        });
        made.clone().map_err(|why| {
            ConnectFault::Tls(format!("{why}; check that the machine has a store of trusted certificates"))
        })
    }
}

fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Checks that a text holds certificate authorities (PEM), and answers how many.
pub fn check_authorities(pem: &str) -> Result<usize, AuthoritiesError> {
    roots(pem).map(|roots| roots.len())
}

fn roots(pem: &str) -> Result<RootCertStore, AuthoritiesError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| AuthoritiesError(error.to_string()))?;
        roots.add(certificate).map_err(|error| AuthoritiesError(error.to_string()))?;
    }
    if roots.is_empty() { Err(AuthoritiesError("there is no certificate in them".into())) } else { Ok(roots) }
}

#[cfg(test)]
#[path = "tls_test.rs"]
mod tests;
