//! TLS of the receiver: a certificate of its own, and, where asked for, one of each client.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::SetupError;

const CERTIFICATE: &str = "alerts.tls.certificate";
const KEY: &str = "alerts.tls.key";
const CLIENT_CA: &str = "alerts.tls.client_ca";

/// A usable TLS configuration.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(super) config: Arc<ServerConfig>,
    /// Clients must show a certificate.
    pub(super) mutual: bool,
}

impl Tls {
    /// Reads the certificate chain and the key, both PEM. With `client_ca` only clients get in that show a certificate
    /// signed by one of its authorities.
    ///
    /// # Errors
    /// A file that cannot be read, holds something else, or does not fit the others.
    pub fn load(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, SetupError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(CERTIFICATE, certificate)?;
        let text = read(KEY, key)?;
        let secret = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|error| content(KEY, key, format!("holds no private key in PEM form ({error})")))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| content(CERTIFICATE, certificate, format!("cannot be used: {error}")))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(CLIENT_CA, path)? {
                    roots.add(authority).map_err(|error| {
                        content(CLIENT_CA, path, format!("holds a bad certificate: {error}"))
                    })?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| content(CLIENT_CA, path, format!("cannot be used: {error}")))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, secret).map_err(|error| {
            let problem = format!("does not fit the key in {}: {error}", key.display());
            content(CERTIFICATE, certificate, problem)
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), mutual: client_ca.is_some() })
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let text = read(key, path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(content(key, path, "holds no certificate in PEM form".to_owned())),
        Err(error) => Err(content(key, path, format!("holds no certificate in PEM form ({error})"))),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, SetupError> {
    fs::read(path).map_err(|source| SetupError::Read { key, path: PathBuf::from(path), source })
}

fn content(key: &'static str, path: &Path, problem: String) -> SetupError {
    SetupError::Content { key, path: PathBuf::from(path), problem }
}
