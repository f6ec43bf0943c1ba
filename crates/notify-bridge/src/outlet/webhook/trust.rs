//! Whose certificates a webhook's host may have.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where systems keep their certificate authorities, as the proxy looks for them.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Larger is no bundle of certificates.
const LONGEST: u64 = 16 * 1024 * 1024;

/// A checked set of authorities.
pub(super) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The authorities in `file`, or else those of the system.
    ///
    /// # Errors
    /// A sentence: there are none.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, String> {
        let system = || BUNDLES.iter().map(Path::new).find(|path| path.exists());
        let file = file.or_else(system).ok_or_else(|| {
            let places = BUNDLES.join(", ");
            format!(
                "the system has no certificate authorities ({places}): name a file with ca_file"
            )
        })?;
        let mut text = Vec::new();
        let read = File::open(file).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
        read.map_err(|e| format!("ca_file {}: {e}", file.display()))?;
        let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
        let mut roots = RootCertStore::empty();
        // Bundles have old certificates that no parser takes; the others serve.
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            let file = file.display();
            return Err(format!("ca_file {file} has no certificate in PEM form"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS cannot be set up: {e}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Puts TLS on a connection: the certificate must be good for `host`.
    ///
    /// # Errors
    /// A sentence.
    pub(super) async fn wrap(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "has a name that no certificate has".to_owned())?;
        let connected = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
        connected.await.map_err(|e| format!("TLS: {e}"))
    }
}
