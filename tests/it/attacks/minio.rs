//! A MinIO process of a test's own, where `minio` is on the PATH.
//! Source: BACKENDS.md, *Start*.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;

use crate::gateway::{Key, head_of_now, last_exchange};

/// Its root key: the gateway has it too, so that what is refused is refused by the gateway.
pub const ROOT: Key = ("minio-root", "minio-root-secret");
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The process; killed on drop.
pub struct Minio {
    child: Child,
    pub address: SocketAddr,
}

impl Minio {
    /// A server on an empty directory, ready; None where the program is not there.
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
        while !minio.answers().await {
            assert!(minio.child.try_wait().unwrap().is_none(), "MinIO ended before it was ready");
            assert!(clock.monotonic() < READY_WITHIN, "MinIO is not ready");
            clock.pause(Duration::from_millis(50)).await;
        }
        Some(minio)
    }

    async fn answers(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
            && last_exchange(
                self.address,
                "GET /minio/health/ready HTTP/1.1\r\nhost: x\r\n\r\n",
                b"",
            )
            .await
            .status
                == 200
    }

    /// Whether its administration answers to its root, so that a refusal through the gateway means
    /// something.
    pub async fn is_administered_directly(&self) -> bool {
        let head = head_of_now(self.address, ROOT, ("GET", "/minio/admin/v3/info"), &[], 0);
        last_exchange(self.address, &head, b"").await.status == 200
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        // It may be dead already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
