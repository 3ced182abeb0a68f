//! TLS of the connections to the gateway.
//!
//! Guarantees: what curl and the AWS tools accept is accepted: also a certificate that is its own
//! authority, if exactly this certificate is trusted. A failure that comes again however often it
//! is tried says what to do.

use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::proxy::Connector;
use crate::client::{Endpoint, Error, Result};

/// TLS that trusts the certificates of `--ca`, `AWS_CA_BUNDLE` or else of this machine. The
/// machine's are read for an `https:` endpoint only, so that `http:` works on a machine that has
/// none.
pub(super) fn tls_config(endpoint: &Endpoint) -> Result<rustls::ClientConfig> {
    let unusable = |what: String| {
        Error::WrongUse(format!("the trusted certificates for TLS cannot be used: {what}"))
    };
    let trusted = match &endpoint.ca_bundle {
        Some(bundle) => certificates_of(bundle).map_err(unusable)?,
        None if is_tls(&endpoint.url) => rustls_native_certs::load_native_certs().certs,
        None => Vec::new(),
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    if roots.is_empty() {
        return Ok(config.with_root_certificates(roots).with_no_client_auth());
    }
    let verifier = Verifier::new(roots, trusted, provider).map_err(unusable)?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config.with_no_client_auth())
}

fn is_tls(url: &str) -> bool {
    url.starts_with("https:")
}

/// The certificates in a PEM file, at least one.
fn certificates_of(bundle: &Path) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let bytes = std::fs::read(bundle).map_err(|error| format!("{}: {error}", bundle.display()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes).flatten().collect();
    if certificates.is_empty() {
        return Err(format!("{} has no certificate in PEM", bundle.display()));
    }
    Ok(certificates)
}

/// Verifies as webpki does, and accepts a trusted certificate that is its own authority.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(
        roots: rustls::RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> std::result::Result<Self, String> {
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self { webpki: webpki.build().map_err(|error| error.to_string())?, trusted })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // webpki found this after it had checked the dates. The chain ends where it begins,
            // at a certificate that the user trusts, so only the name is left to check.
            Err(error) if is_own_authority(&error) && self.trusted.contains(end_entity) => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because it may sign others.
fn is_own_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    let cause = other.0.downcast_ref::<webpki::Error>();
    matches!(cause, Some(webpki::Error::CaUsedAsEndEntity))
}

/// The error for a failure to connect that comes again however often it is tried: the certificate
/// is not trusted, or the other side does not speak TLS.
pub(super) fn final_error(url: &str, error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let source = rustls_error(error)?;
    let what = if let rustls::Error::InvalidCertificate(error) = source {
        certificate_advice(url, error)
    } else if speaks_something_else(source) {
        let plain = url.replacen("https:", "http:", 1);
        format!("{url} does not speak TLS; if it speaks plain HTTP, write {plain}")
    } else {
        return None;
    };
    Some(Error::Tls { what, source: Some(source.clone()) })
}

/// The error of rustls among the causes.
fn rustls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // `io::Error` gives the cause of its inner error as its own, and hides the inner error, which
    // may be an `io::Error` too.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let inner = inner.map(|inner| inner as &(dyn std::error::Error + 'static));
    inner.and_then(rustls_error).or_else(|| error.source().and_then(rustls_error))
}

fn speaks_something_else(error: &rustls::Error) -> bool {
    use rustls::InvalidMessage::{InvalidContentType, UnknownProtocolVersion};
    matches!(error, rustls::Error::InvalidMessage(InvalidContentType | UnknownProtocolVersion))
}

fn certificate_advice(url: &str, error: &CertificateError) -> String {
    use CertificateError as C;
    if matches!(error, C::NotValidForName | C::NotValidForNameContext { .. }) {
        return format!(
            "the certificate of {url} is for another name; use a name that is in it, or make one \
             with this name as subjectAltName"
        );
    }
    let is_date = matches!(
        error,
        C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. }
    );
    if is_date {
        return format!(
            "the certificate of {url} is not valid today; renew it, or correct this machine's clock"
        );
    }
    format!(
        "the certificate of {url} is not trusted; name the authority that signed it, or the \
         certificate itself if none did, with --ca FILE or AWS_CA_BUNDLE"
    )
}

/// The error for a plain request to what speaks TLS.
pub(super) fn needs_tls(url: &str) -> Error {
    let tls = url.replacen("http:", "https:", 1);
    Error::Tls { what: format!("{url} speaks TLS, not plain HTTP; write {tls}"), source: None }
}

/// Whether what listens at an `http:` address responds to the beginning of a TLS handshake.
/// Source: RFC 8446 §5.1, the type and version of a record.
pub(super) async fn speaks_tls(endpoint: &Endpoint, connector: &Connector) -> bool {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const MAJOR_VERSION: u8 = 3;
    let first = first_of_handshake(endpoint, connector).await;
    matches!(first, Some([ALERT | HANDSHAKE, MAJOR_VERSION]))
}

async fn first_of_handshake(endpoint: &Endpoint, connector: &Connector) -> Option<[u8; 2]> {
    let uri: http::Uri = endpoint.url.parse().ok().filter(|_| !is_tls(&endpoint.url))?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let config = Arc::new(tls_config(endpoint).ok()?);
    let name = ServerName::try_from(host).ok()?;
    let mut handshake = rustls::ClientConnection::new(config, name).ok()?;
    let mut hello = Vec::new();
    handshake.write_tls(&mut hello).ok()?;
    let mut socket = TokioIo::new(connector.to_gateway(uri).await?);
    socket.write_all(&hello).await.ok()?;
    let mut first = [0; 2];
    socket.read_exact(&mut first).await.ok()?;
    Some(first)
}
