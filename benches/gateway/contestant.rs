//! The programs that are compared, and how each is started: in front of a null backend of its own,
//! or on a directory.
//!
//! For a program that is not available there is a reason, and the run continues without it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Process, free_host};
use crate::wire::KEY;

/// The names, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Name {
    /// The null backend itself.
    Direct,
    Nginx,
    /// In front of the null backend.
    Ratchet,
    /// On a directory.
    RatchetDir,
    /// The program of `--before`, in front of the null backend.
    Before,
    /// The program of `--before`, on a directory.
    BeforeDir,
    S3sProxy,
    Rclone,
}

impl Name {
    pub const ALL: [Self; 8] = [
        Self::Direct,
        Self::Nginx,
        Self::Ratchet,
        Self::RatchetDir,
        Self::Before,
        Self::BeforeDir,
        Self::S3sProxy,
        Self::Rclone,
    ];

    pub fn text(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Ratchet => "ratchet",
            Self::RatchetDir => "ratchet-dir",
            Self::Before => "before",
            Self::BeforeDir => "before-dir",
            Self::S3sProxy => "s3s-proxy",
            Self::Rclone => "rclone",
        }
    }

    /// Whether it implements the chunk API.
    pub fn is_ratchet(self) -> bool {
        matches!(self, Self::Ratchet | Self::RatchetDir | Self::Before | Self::BeforeDir)
    }
}

/// Where the programs are.
pub struct Programs {
    pub ratchet: PathBuf,
    pub before: Option<PathBuf>,
}

impl Programs {
    fn of(&self, name: Name) -> io::Result<&Path> {
        if matches!(name, Name::Before | Name::BeforeDir) {
            return self.before.as_deref().ok_or_else(|| missing("--before names no program"));
        }
        Ok(&self.ratchet)
    }
}

/// A running contestant. Fields are dropped in order: the server before its backend and directory.
pub struct Contestant {
    pub name: Name,
    pub server: Process,
    _backend: Option<Process>,
    _directory: TempDir,
}

/// Starts a contestant. **Errors**: the reason why it cannot take part.
pub fn start(name: Name, programs: &Programs) -> io::Result<Contestant> {
    let directory = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
    let forwards = !matches!(name, Name::Direct | Name::RatchetDir | Name::BeforeDir);
    let backend = if forwards { Some(null(0)?) } else { None };
    let store = backend.as_ref().map_or_else(String::new, |backend| backend.host.clone());
    let server = match name {
        Name::Direct => null(0)?,
        Name::Nginx => nginx(&store, directory.path())?,
        Name::Ratchet | Name::Before => ratchet(programs.of(name)?, &format!("s3+http://{store}"))?,
        Name::RatchetDir | Name::BeforeDir => ratchet(
            programs.of(name)?,
            &format!("dir:{}", directory.path().join("store").display()),
        )?,
        Name::S3sProxy => s3s_proxy(&store)?,
        Name::Rclone => rclone(&store, directory.path())?,
    };
    Ok(Contestant { name, server, _backend: backend, _directory: directory })
}

/// This program as a null backend.
pub fn null(delay_ms: u64) -> io::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["null-s3", "--delay-ms", &delay_ms.to_string()]);
    Process::ready(command)
}

/// A gateway on a store that accepts any key.
pub fn ratchet(program: &Path, store: &str) -> io::Result<Process> {
    ratchet_with(program, store, KEY)
}

/// A gateway on a store that accepts this key.
pub fn ratchet_with(
    program: &Path,
    store: &str,
    (id, secret): (&str, &str),
) -> io::Result<Process> {
    let mut command = Command::new(program);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--store", store])
        .envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)])
        .envs([
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
        ])
        .env("RATCHET_LOG_LEVEL", "warn");
    Process::ready(command)
}

/// Lets a client find the gateway, and its key.
pub fn at_gateway(client: &mut Command, host: &str) {
    let endpoint = format!("http://{host}");
    client.envs([("AWS_ENDPOINT_URL_S3", &endpoint), ("S3_ENDPOINT_URL", &endpoint)]).envs([
        ("AWS_ACCESS_KEY_ID", KEY.0),
        ("AWS_SECRET_ACCESS_KEY", KEY.1),
        ("AWS_REGION", "us-east-1"),
    ]);
}

/// The first of the paths that exists.
fn first_existing(paths: &[&str], what: &str) -> io::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = paths.iter().map(|path| root.join(path)).find(|path| path.exists());
    path.ok_or_else(|| missing(&format!("{what} is not installed; scripts/bench.sh installs it")))
}

fn missing(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, why.to_owned())
}

fn nginx(store: &str, home: &Path) -> io::Result<Process> {
    let program = first_existing(&["target/debian/usr/sbin/nginx", "/usr/sbin/nginx"], "nginx")?;
    let host = free_host()?;
    let home = home.display();
    // Unbuffered in both directions, with buffers as large as the other contestants'.
    let configuration = format!(
        "daemon off; worker_processes 2; pid {home}/pid; error_log {home}/error.log;
         events {{ worker_connections 1024; }}
         http {{
           access_log off; client_max_body_size 0; client_body_buffer_size 256k; keepalive_requests 1000000000;
           client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
           uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
           upstream store {{ server {store}; keepalive 64; keepalive_requests 1000000000; }}
           server {{
             listen {host};
             location / {{
               proxy_pass http://store; proxy_http_version 1.1; proxy_set_header Connection \"\";
               proxy_set_header Host $http_host; proxy_request_buffering off; proxy_buffering off;
               proxy_buffer_size 256k; proxy_buffers 4 256k; proxy_busy_buffers_size 512k;
             }}
           }}
         }}"
    );
    let file = format!("{home}/nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut command = Command::new(program);
    command.args(["-c", &file, "-e", &format!("{home}/error.log")]).stderr(Stdio::null());
    Process::listening(command, &host)
}

fn s3s_proxy(store: &str) -> io::Result<Process> {
    let program = first_existing(&["target/bench-tools/bin/s3s-proxy"], "s3s-proxy")?;
    let host = free_host()?;
    let (address, port) = host.split_once(':').unwrap_or((&host, "0"));
    let mut command = Command::new(program);
    command
        .args(["--host", address, "--port", port, "--endpoint-url", &format!("http://{store}")])
        .envs([
            ("AWS_ACCESS_KEY_ID", KEY.0),
            ("AWS_SECRET_ACCESS_KEY", KEY.1),
            ("AWS_REGION", "us-east-1"),
        ])
        .env("RUST_LOG", "error")
        .stderr(Stdio::null());
    Process::listening(command, &host)
}

fn rclone(store: &str, home: &Path) -> io::Result<Process> {
    let program = first_existing(&[".venv/bin/rclone"], "rclone")?;
    let host = free_host()?;
    let remote = format!(
        ":s3,provider=Other,force_path_style=true,endpoint='http://{store}',region=us-east-1,access_key_id={},secret_access_key={}:",
        KEY.0, KEY.1
    );
    let mut command = Command::new(program);
    command
        .args([
            "serve",
            "s3",
            &remote,
            "--addr",
            &host,
            "--auth-key",
            &format!("{},{}", KEY.0, KEY.1),
        ])
        .args(["--config", "/dev/null", "--cache-dir"])
        .arg(home)
        .stderr(Stdio::null());
    Process::listening(command, &host)
}
