//! TLS in front of the protocol: a certificate chain and its key, from files.
//!
//! Guarantees: files that change are read again, without a restart, and a pair that cannot be used
//! leaves the old one in place; only HTTP/1.1 is offered (h2 would cost the early answer,
//! CLIENTS.md rule 7); the key is never printed. Source: RFC 8446, RFC 7301.

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

/// How often the files are looked at, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Where the pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM: the server's certificate first, then those that lead to a root.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why a pair cannot be used. Names files, never their content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} holds no certificate that can be read", .0.display())]
    Certificate(PathBuf),
    #[error("{} holds no private key that can be read", .0.display())]
    Key(PathBuf),
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Pair { certificate: PathBuf, key: PathBuf },
}

/// Shakes hands, with the newest usable pair. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: TlsSettings,
    clock: Clock,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// When the files that it was made of were written.
    written: Option<(SystemTime, SystemTime)>,
    /// None: look at the next handshake.
    looked_at: Option<Duration>,
}

impl Tls {
    /// Reads the pair. Blocks.
    pub fn open(files: TlsSettings, clock: Clock) -> Result<Self, TlsError> {
        let current = Current {
            acceptor: acceptor(&files)?,
            written: written(&files),
            looked_at: Some(clock.monotonic()),
        };
        Ok(Self(Arc::new(Inner { files, clock, current: Mutex::new(current) })))
    }

    /// Shakes hands. **Errors**: the client's, which end its connection only.
    pub async fn accept(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.newest();
        acceptor.accept(socket).await
    }

    fn newest(&self) -> TlsAcceptor {
        let Inner { files, clock, current } = &*self.0;
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.monotonic();
        if current.looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK_AGAIN) {
            current.looked_at = Some(now);
            let written = written(files);
            if written != current.written {
                match acceptor(files) {
                    Ok(acceptor) => {
                        tracing::info!(certificate = %files.certificate.display(), "the certificate was read again");
                        (current.acceptor, current.written) = (acceptor, written);
                    }
                    // Perhaps only one of the two was replaced so far: looked at again in a second.
                    Err(error) => tracing::warn!(%error, "the old certificate stays in use"),
                }
            }
        }
        current.acceptor.clone()
    }
}

fn written(files: &TlsSettings) -> Option<(SystemTime, SystemTime)> {
    let time = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    Some((time(&files.certificate)?, time(&files.key)?))
}

fn acceptor(files: &TlsSettings) -> Result<TlsAcceptor, TlsError> {
    let TlsSettings { certificate, key } = files;
    let unreadable = || TlsError::Certificate(certificate.clone());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|_| unreadable())?;
    if chain.is_empty() {
        return Err(unreadable());
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|_| TlsError::Key(key.clone()))?;
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|_| unreadable())?
            .with_no_client_auth()
            .with_single_cert(chain, secret);
    let pair = |_| TlsError::Pair { certificate: certificate.clone(), key: key.clone() };
    let mut config = config.map_err(pair)?;
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
