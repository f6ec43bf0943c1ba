//! TLS to a parent: its certificate must be good for the host that the settings name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Trouble, Wire};
use crate::text_file;
use agentnet_policy::Host;

/// Where systems keep their certificate authorities. The variables that move it are not looked at:
/// they would be a way round the settings (THREATS W91).
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Larger is no bundle of certificates.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Why there is nothing to check a certificate with.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The system has no bundle in any of the usual places.
    #[error(
        "the system has no certificate authorities ({}): name a file of them with upstream_ca_file",
        BUNDLES.join(", ")
    )]
    NoBundle,
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no certificate in the file.
    #[error("{} has no certificate in PEM form", .0.display())]
    Empty(PathBuf),
    /// No cipher suite is left, which no build of ours has.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// Whose certificates are taken. Clones are the same.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    file: PathBuf,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").field(&self.file).finish()
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Eq for Trust {}

impl Trust {
    /// The authorities in `file`, or else those of the system.
    ///
    /// # Errors
    /// When there are none.
    pub fn load(file: Option<&Path>) -> Result<Self, TrustError> {
        let system = || BUNDLES.iter().map(Path::new).find(|path| path.exists());
        let file = file.or_else(system).ok_or(TrustError::NoBundle)?;
        let unreadable = |source| TrustError::Unreadable {
            path: file.to_owned(),
            source,
        };
        let text = text_file::bytes(file, MAX_BYTES).map_err(unreadable)?;
        let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
        let mut roots = RootCertStore::empty();
        // Bundles have old certificates that no parser takes; the others serve.
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(TrustError::Empty(file.to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            file: file.to_owned(),
        })
    }

    /// Puts TLS on a connection to `host`.
    pub(super) async fn wrap<S: Wire>(
        &self,
        stream: S,
        host: &Host,
    ) -> Result<TlsStream<S>, Trouble> {
        let name = match host {
            Host::Ip(address) => ServerName::IpAddress((*address).into()),
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned())
                .map_err(|_| Trouble::Down("has a name that no certificate has".to_owned()))?,
        };
        TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await
            .map_err(|error| Trouble::Down(format!("did not complete the TLS handshake: {error}")))
    }
}
