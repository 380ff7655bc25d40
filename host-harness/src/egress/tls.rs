//! TLS towards services, by the operating system's trusted certificates.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::fault::ConnectFault;

/// The settings of all TLS connections. The certificates are read when the first one is made: some hundred files,
/// which a process that calls no https origin has no use for.
pub(crate) struct Tls {
    begun: ConfigBuilder<ClientConfig, WantsVerifier>,
    done: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let begun = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
        Ok(Self { begun, done: OnceLock::new() })
    }

    /// The settings; reads the certificates the first time, which blocks.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, ConnectFault> {
        let made = self.done.get_or_init(|| {
            let verified = self.begun.clone().with_platform_verifier().map_err(|error| error.to_string())?;
            let mut config = verified.with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        });
        made.clone().map_err(|why| {
            ConnectFault::Tls(format!("{why}; check that the machine has a store of trusted certificates"))
        })
    }
}
