//! Clients that reach the gateway by way of a proxy, as the environment says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::client::text;
use crate::support::process::{Gateway, KEY, PROGRAM, client, copy};

/// A small proxy: it makes tunnels to one gateway, whatever its name, and forwards to it what is
/// not CONNECT.
struct Proxy {
    address: SocketAddr,
    /// The head of the first request of each connection.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn to(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, seen) = (client.unwrap(), Arc::clone(&seen));
                std::thread::spawn(move || pass_on(client, gateway, &seen));
            }
        });
        Self { address, heads }
    }

    fn url(&self) -> String {
        format!("http://user:p%40ss@{}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn pass_on(mut client: TcpStream, gateway: SocketAddr, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            return;
        }
    }
    let mut server = TcpStream::connect(gateway).unwrap();
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    } else {
        server.write_all(head.as_bytes()).unwrap();
    }
    seen.lock().unwrap().push(head);
    server.write_all(reader.buffer()).unwrap();
    copy(client.try_clone().unwrap(), server.try_clone().unwrap(), None);
    copy(server, client, None);
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// `user` and `p@ss`.
const AUTHORIZATION: &str = "proxy-authorization: Basic dXNlcjpwQHNz";

#[test]
fn https_is_tunnelled_and_the_proxy_finds_the_gateway() {
    let home = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["gateway.invalid".to_owned()]).unwrap();
    let (certificate, key_file) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    std::fs::write(&certificate, key.cert.pem()).unwrap();
    std::fs::write(&key_file, key.signing_key.serialize_pem()).unwrap();
    let mut serve = Command::new(PROGRAM);
    let store = format!("dir:{}", home.path().join("store").display());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--store", &store]).stderr(Stdio::null());
    serve.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    serve.env("RATCHET_SERVER_TLS_CERTIFICATE", &certificate);
    serve.env("RATCHET_SERVER_TLS_KEY", &key_file);
    let gateway = Gateway::spawn(serve);
    let address: SocketAddr = gateway.url.strip_prefix("https://").unwrap().parse().unwrap();
    let proxy = Proxy::to(address);
    let file = home.path().join("file");
    std::fs::write(&file, b"through a tunnel").unwrap();
    // Only the proxy can know this name.
    let url = "https://gateway.invalid:9443";
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let mut command = client(url, &["backup", text(&file), "s3://bucket/key"]);
        command.env(variable, proxy.url()).env("AWS_CA_BUNDLE", &certificate);
        succeeded(&command.output().unwrap());
    }
    let heads = proxy.heads();
    assert!(heads.len() >= 3, "{heads:?}");
    for head in heads {
        assert!(head.starts_with("CONNECT gateway.invalid:9443 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains(&AUTHORIZATION.to_lowercase()), "{head}");
    }
}

#[test]
fn http_is_forwarded_unless_the_host_needs_no_proxy() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let proxy = Proxy::to(gateway.address());
    let file = home.path().join("file");
    std::fs::write(&file, b"forwarded").unwrap();
    let backup = ["backup", text(&file), "s3://bucket/key"];
    succeeded(
        &client("http://gateway.invalid", &backup).env("HTTP_PROXY", proxy.url()).output().unwrap(),
    );
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in &heads {
        assert!(head.contains(" http://gateway.invalid/"), "{head}");
        assert!(head.to_lowercase().contains(&AUTHORIZATION.to_lowercase()), "{head}");
    }
    // What is excepted goes straight to the gateway.
    let mut direct = gateway.client(&["cat", "s3://bucket/key"]);
    direct.env("HTTP_PROXY", proxy.url()).env("NO_PROXY", "example.org,127.0.0.0/8");
    assert_eq!(direct.output().unwrap().stdout, b"forwarded");
    assert_eq!(proxy.heads().len(), heads.len());
}

#[test]
fn a_proxy_that_is_away_or_of_no_kind_is_named() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = |proxy: &str| {
        let mut command = gateway.client(&["ls", "--retry-for", "0"]);
        let output = command.env("ALL_PROXY", proxy).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run(&format!("http://user:secret@{closed}"));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains(&format!("the proxy http://{closed}/")), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
    let (code, stderr) = run(&format!("socks5://{closed}"));
    assert_eq!((code, stderr.contains("socks5://")), (Some(3), true), "{stderr}");
    let (code, stderr) = run(&format!("https://{closed}"));
    assert_eq!((code, stderr.contains("not supported")), (Some(2), true), "{stderr}");
}
