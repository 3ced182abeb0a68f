//! TLS of the connections to the gateway.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::client::{Endpoint, Error, Result};

/// TLS that trusts the certificates of `AWS_CA_BUNDLE` or else of this machine. The machine's are
/// read for an `https:` endpoint only, so that `http:` works on a machine that has none.
pub(super) fn tls_config(endpoint: &Endpoint) -> Result<rustls::ClientConfig> {
    let unusable = |what: String| {
        Error::WrongUse(format!("the trusted certificates for TLS cannot be used: {what}"))
    };
    let mut roots = rustls::RootCertStore::empty();
    if let Some(bundle) = &endpoint.ca_bundle {
        let certificates = CertificateDer::pem_file_iter(bundle)
            .map_err(|_| unusable(format!("AWS_CA_BUNDLE names {}", bundle.display())))?;
        roots.add_parsable_certificates(certificates.flatten());
    } else if endpoint.url.starts_with("https:") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .map_err(|error| unusable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Whether this failure to connect comes again however often it is tried: the certificate is not
/// trusted, or the other side does not speak TLS.
pub(super) fn is_final(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        // `io::Error` gives the cause of its inner error as its own, and hides the inner error.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .or_else(|| cause.downcast_ref::<rustls::Error>());
        matches!(
            tls,
            Some(
                rustls::Error::InvalidCertificate(_)
                    | rustls::Error::InvalidMessage(
                        rustls::InvalidMessage::InvalidContentType
                            | rustls::InvalidMessage::UnknownProtocolVersion
                    )
            )
        )
    })
}
