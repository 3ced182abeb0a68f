//! A MinIO process that belongs to one test, if `minio` is on the PATH. Source:
//! docs/backends.md#minio.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::sigv4::Payload;

use super::request::{AccessKey, signed_head};
use super::response::exchange_and_close;

/// The root key of the server. The gateway uses it too, so that every refusal is the gateway's own.
pub const ROOT: AccessKey = ("minio-root", "minio-root-secret");
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The process; killed on drop.
pub struct Minio {
    child: Child,
    pub address: SocketAddr,
}

impl Minio {
    /// Starts a server on an empty directory and waits until it is ready. `None` if there is no
    /// program `minio`.
    pub async fn start(data: &Path) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("minio");
        command.arg("server").arg(data).args(["--address", &address.to_string(), "--quiet"]);
        command.envs([
            ("MINIO_ROOT_USER", ROOT.0),
            ("MINIO_ROOT_PASSWORD", ROOT.1),
            ("MINIO_UPDATE", "off"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            println!("SKIP on MinIO: no program minio on the PATH");
            return None;
        };
        let mut minio = Self { child, address };
        let clock = Clock::system();
        while !minio.is_ready().await {
            assert!(minio.child.try_wait().unwrap().is_none(), "MinIO ended before it was ready");
            assert!(clock.monotonic() < READY_WITHIN, "MinIO is not ready");
            clock.pause(Duration::from_millis(50)).await;
        }
        Some(minio)
    }

    async fn is_ready(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
            && exchange_and_close(
                self.address,
                "GET /minio/health/ready HTTP/1.1\r\nhost: x\r\n\r\n",
                b"",
            )
            .await
            .status
                == 200
    }

    /// Whether the administration API accepts the root key directly. Only then does a refusal
    /// through the gateway prove anything.
    pub async fn is_administered_directly(&self) -> bool {
        let request = ("GET", "/minio/admin/v3/info");
        let head = signed_head(self.address, ROOT, request, &[], Payload::Unsigned, 0);
        exchange_and_close(self.address, &head, b"").await.status == 200
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        // The process may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
