//! TLS over real sockets, with a certificate authority that the tests create.

use std::net::SocketAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate for `localhost` and its key into a directory.
fn issue(authority: &Authority, dir: &Path) -> TlsSettings {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, authority)
        .unwrap();
    let files = TlsSettings { certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

/// A server that sends back the first five bytes of every connection.
async fn start_echo_server(tls: Tls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut socket) = tls.accept(socket).await else { return };
                let mut message = [0; 5];
                socket.read_exact(&mut message).await.unwrap();
                socket.write_all(&message).await.unwrap();
                socket.shutdown().await.unwrap();
            });
        }
    });
    address
}

/// Sends `hello` over TLS. Returns the protocol that was negotiated, or the error.
async fn exchange_hello(
    address: SocketAddr,
    authority: &Authority,
) -> Result<Option<Vec<u8>>, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let mut config =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    socket.write_all(b"hello").await?;
    let mut message = Vec::new();
    socket.read_to_end(&mut message).await?;
    assert_eq!(message, b"hello");
    Ok(socket.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn only_http_1_is_offered_and_garbage_ends_only_its_connection() {
    let (home, authority) = (tempfile::tempdir().unwrap(), authority());
    let tls = Tls::open(issue(&authority, home.path()), Clock::system()).unwrap();
    let address = start_echo_server(tls).await;
    TcpStream::connect(address).await.unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(
        exchange_hello(address, &authority).await.unwrap().as_deref(),
        Some(&b"http/1.1"[..])
    );
}

#[tokio::test]
async fn a_changed_certificate_is_used_without_a_restart_unless_unusable() {
    let (home, old, new) = (tempfile::tempdir().unwrap(), authority(), authority());
    let files = issue(&old, home.path());
    let tls = Tls::open(files.clone(), Clock::system()).unwrap();
    let address = start_echo_server(tls.clone()).await;
    assert!(exchange_hello(address, &new).await.is_err());
    let force_check = || tls.0.current.lock().unwrap().checked_at = None;
    std::fs::write(&files.key, "no key").unwrap();
    force_check();
    assert!(exchange_hello(address, &old).await.is_ok(), "the old certificate stays in use");
    issue(&new, home.path());
    force_check();
    assert!(exchange_hello(address, &new).await.is_ok());
}

#[test]
fn the_error_for_an_unusable_file_names_it() {
    let (home, authority) = (tempfile::tempdir().unwrap(), authority());
    let files = issue(&authority, home.path());
    let error_for = |files: TlsSettings| Tls::open(files, Clock::system()).unwrap_err().to_string();
    let absent = TlsSettings { certificate: home.path().join("absent"), ..files.clone() };
    assert!(error_for(absent).contains("absent"));
    let other = home.path().join("other.pem");
    std::fs::write(&other, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(
        error_for(TlsSettings { key: other, ..files })
            .contains("does not belong to the certificate")
    );
}
