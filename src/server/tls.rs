//! TLS with a certificate chain and its key from files.
//!
//! Guarantees: files that change are read again without a restart, and an unusable pair leaves the
//! old one in use; only HTTP/1.1 is offered (docs/architecture.md#http11-only); the key is never
//! printed. Source: RFC 8446, RFC 7301.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clock::Clock;

/// The files are checked for changes at most this often.
const MIN_RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM: the server's certificate first, then the intermediate certificates.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why a certificate and key cannot be used. Names files, never their content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} has no readable certificate", .0.display())]
    Certificate(PathBuf),
    #[error("{} has no readable private key", .0.display())]
    Key(PathBuf),
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Pair { certificate: PathBuf, key: PathBuf },
}

/// Accepts TLS connections with the newest usable certificate. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: TlsSettings,
    clock: Clock,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// The modification times of its files.
    modified: Option<(SystemTime, SystemTime)>,
    /// When the files were last checked; None: check at the next handshake.
    checked_at: Option<Duration>,
}

impl Tls {
    /// Reads the files. Blocks. **Errors**: the files are unusable.
    pub fn open(files: TlsSettings, clock: Clock) -> Result<Self, TlsError> {
        let current = Current {
            acceptor: acceptor(&files)?,
            modified: modification_times(&files),
            checked_at: Some(clock.monotonic()),
        };
        Ok(Self(Arc::new(Inner { files, clock, current: Mutex::new(current) })))
    }

    /// Performs the handshake. **Errors**: of the client or its connection, which end only that
    /// connection.
    pub async fn accept(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.newest_acceptor();
        acceptor.accept(socket).await
    }

    fn newest_acceptor(&self) -> TlsAcceptor {
        let Inner { files, clock, current } = &*self.0;
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.monotonic();
        if current.checked_at.is_none_or(|at| now.saturating_sub(at) >= MIN_RELOAD_INTERVAL) {
            current.checked_at = Some(now);
            let modified = modification_times(files);
            if modified != current.modified {
                match acceptor(files) {
                    Ok(acceptor) => {
                        tracing::info!(certificate = %files.certificate.display(), "the certificate was reloaded");
                        (current.acceptor, current.modified) = (acceptor, modified);
                    }
                    // Perhaps only one of the two files is replaced so far: they are checked again
                    // later.
                    Err(error) => tracing::warn!(%error, "the old certificate stays in use"),
                }
            }
        }
        current.acceptor.clone()
    }
}

fn modification_times(files: &TlsSettings) -> Option<(SystemTime, SystemTime)> {
    let time = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    Some((time(&files.certificate)?, time(&files.key)?))
}

fn acceptor(files: &TlsSettings) -> Result<TlsAcceptor, TlsError> {
    let TlsSettings { certificate, key } = files;
    let no_certificate = || TlsError::Certificate(certificate.clone());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|_| no_certificate())?;
    if chain.is_empty() {
        return Err(no_certificate());
    }
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|_| TlsError::Key(key.clone()))?;
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|_| no_certificate())?
            .with_no_client_auth()
            .with_single_cert(chain, private_key);
    let mismatch = |_| TlsError::Pair { certificate: certificate.clone(), key: key.clone() };
    let mut config = config.map_err(mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
