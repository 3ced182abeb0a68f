//! Any bytes over a socket, to a whole gateway on a store in memory: it must respond or close the
//! connection, and serve the next one.
#![no_main]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, mpsc};

use libfuzzer_sys::fuzz_target;
use ratchet::accounts::{AccountSettings, KeySettings};
use ratchet::app;
use ratchet::clock::Clock;
use ratchet::settings::Settings;
use ratchet::store::memory::Memory;

static GATEWAY: LazyLock<SocketAddr> = LazyLock::new(|| {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut settings =
            Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::default() };
        let key = KeySettings {
            id: "AKFUZZ".to_owned(),
            secret: "secret-of-the-fuzzer".to_owned().into(),
        };
        let account = AccountSettings {
            name: "root".to_owned(),
            root: true,
            keys: vec![key],
            grants: Vec::new(),
        };
        settings.accounts.accounts.push(account);
        let clock = Clock::system();
        let store = Arc::new(Memory::new(clock.clone()));
        let ready = move |ready: app::Ready| tx.send(ready.address).expect("the receiver exists");
        runtime
            .block_on(app::run_on(store, settings, clock, ready, std::future::pending()))
            .expect("it serves");
    });
    rx.recv().expect("it starts")
});

fuzz_target!(|data: &[u8]| {
    let mut socket = TcpStream::connect(*GATEWAY).expect("it accepts");
    // The gateway may close the connection before it has read everything.
    if socket.write_all(data).is_ok() {
        socket.shutdown(Shutdown::Write).ok();
    }
    let mut response = Vec::new();
    if socket.read_to_end(&mut response).is_ok() {
        assert!(response.is_empty() || response.starts_with(b"HTTP/1."));
    }
});
