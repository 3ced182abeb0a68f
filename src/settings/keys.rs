//! Every setting that is a single value: its name and meaning, and how it is parsed and shown.
//!
//! Guarantees: the file, the environment and `config/ratchet.toml` have exactly the keys of this
//! table, and accounts. A key's environment variable is `RATCHET_` and the key in capitals, with
//! `_` for `.`.

use std::path::Path;
use std::time::Duration;

use super::similar::similar;
use super::values::{boolean, number, quoted, seconds, size, tls_file};
use super::{Environment, Error, Loaded, Origin, PREFIX, Settings};

/// A single setting.
pub struct Key {
    /// The key in the file, with the name of its table and a dot in front.
    pub name: &'static str,
    /// The comment above the key in `config/ratchet.toml`.
    pub meaning: &'static str,
    /// The value in TOML.
    pub show: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> Result<(), String>,
}

macro_rules! seconds_key {
    ($name:literal, $meaning:literal, $($field:ident).+) => {
        Key {
            name: $name,
            meaning: $meaning,
            show: |s| s.$($field).+.as_secs().to_string(),
            set: |s, text| seconds(text).map(|value| s.$($field).+ = value),
        }
    };
}

pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        meaning: "Address and port to listen on; port 0: any free port.",
        show: |s| quoted(s.listen),
        set: |s, text| {
            s.listen = text.parse().map_err(|_| {
                "it must be ADDRESS:PORT, such as 127.0.0.1:9010 or [::]:9010".to_owned()
            })?;
            Ok(())
        },
    },
    Key {
        name: "store",
        meaning: "The store: dir:PATH (embedded), s3+http://HOST:PORT or s3+https://HOST.",
        show: |s| match &s.store.choice {
            super::StoreChoice::Dir(path) => quoted(format!("dir:{}", path.display())),
            super::StoreChoice::S3(endpoint) => quoted(format!("s3+{endpoint}")),
        },
        set: |s, text| text.parse().map(|value| s.store.choice = value),
    },
    Key {
        name: "store_region",
        meaning: "Region of the S3 store; empty: from the AWS environment or profile.",
        show: |s| quoted(s.store.s3.region.as_deref().unwrap_or_default()),
        set: |s, text| {
            if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err("it must be a region name, such as eu-central-1, or empty".to_owned());
            }
            s.store.s3.region = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    Key {
        name: "store_addressing",
        meaning: "How buckets of the S3 store are addressed: path (path-style) or virtual (virtual-hosted).",
        show: |s| quoted(s.store.s3.addressing),
        set: |s, text| text.parse().map(|value| s.store.s3.addressing = value),
    },
    Key {
        name: "state_bucket",
        meaning: "Bucket of the upload state; created if it is missing, not accessible to clients. Gateways that work together use the same one.",
        show: |s| quoted(&s.upload.state_bucket),
        set: |s, text| {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !(3..=63).contains(&text.len())
                || !text.bytes().all(fits)
                || text.starts_with('-')
                || text.ends_with('-')
            {
                return Err("it must be a bucket name: 3 to 63 of a-z, 0-9 and -".to_owned());
            }
            s.upload.state_bucket = text.into();
            Ok(())
        },
    },
    Key {
        name: "content_targets",
        meaning: "Buckets, or prefixes (BUCKET/PREFIX), whose multipart uploads an S3 store keeps as blobs that objects share; with commas between them; * is any bucket. Empty: none.",
        show: |s| quoted(&s.upload.content_targets),
        set: |s, text| text.parse().map(|value| s.upload.content_targets = value),
    },
    Key {
        name: "cached_sessions",
        meaning: "Upload sessions cached in memory; the least recently used are evicted first.",
        show: |s| s.upload.cached_sessions.to_string(),
        set: |s, text| size(text, 1, 1_000_000).map(|value| s.upload.cached_sessions = value),
    },
    Key {
        name: "server.workers",
        meaning: "Threads that serve connections, each with its own connections to the store; 0: one per core.",
        show: |s| s.server.workers.to_string(),
        set: |s, text| size(text, 0, 1024).map(|value| s.server.workers = value),
    },
    Key {
        name: "server.max_connections",
        meaning: "Maximum number of open connections; further ones wait in the system's accept queue.",
        show: |s| s.server.max_connections.to_string(),
        set: |s, text| size(text, 1, 1_000_000).map(|value| s.server.max_connections = value),
    },
    Key {
        name: "server.max_connections_of_peer",
        meaning: "Maximum number of open connections from one address (IPv6: one /64 network); further ones are closed immediately.",
        show: |s| s.server.max_peer_connections.to_string(),
        set: |s, text| size(text, 1, 1_000_000).map(|value| s.server.max_peer_connections = value),
    },
    Key {
        name: "server.max_head_bytes",
        meaning: "Maximum size of a request's head: request line and header fields together, in bytes.",
        show: |s| s.server.max_head_bytes.to_string(),
        set: |s, text| size(text, 8192, 1 << 20).map(|value| s.server.max_head_bytes = value),
    },
    seconds_key!(
        "server.head_timeout_s",
        "Time limit in seconds from a request's first byte to the end of its head.",
        server.head_timeout
    ),
    seconds_key!(
        "server.idle_timeout_s",
        "Seconds after which a connection without a request is closed.",
        server.idle_timeout
    ),
    seconds_key!(
        "server.write_timeout_s",
        "Seconds after which a client that reads nothing of its response is disconnected.",
        server.write_timeout
    ),
    seconds_key!(
        "server.write_window_s",
        "Seconds of waiting for a client in which it must read server.write_min_bytes of its responses.",
        server.write_window
    ),
    Key {
        name: "server.write_min_bytes",
        meaning: "Bytes of responses that a client must read per server.write_window_s; 0: only server.write_timeout_s applies.",
        show: |s| s.server.write_min_bytes.to_string(),
        set: |s, text| number(text, 0, 1 << 40).map(|value| s.server.write_min_bytes = value),
    },
    seconds_key!(
        "server.drain_timeout_s",
        "Seconds that requests in flight may continue after SIGTERM or SIGINT.",
        server.drain_timeout
    ),
    Key {
        name: "server.tls_certificate",
        meaning: "PEM file of the certificate chain; together with server.tls_key it enables HTTPS. Reloaded when it changes.",
        show: |s| {
            quoted(
                s.server
                    .tls
                    .as_ref()
                    .map_or("", |tls| tls.certificate.to_str().unwrap_or_default()),
            )
        },
        set: |s, text| tls_file(s, |tls| tls.certificate = text.into()),
    },
    Key {
        name: "server.tls_key",
        meaning: "PEM file of the certificate's private key.",
        show: |s| {
            quoted(s.server.tls.as_ref().map_or("", |tls| tls.key.to_str().unwrap_or_default()))
        },
        set: |s, text| tls_file(s, |tls| tls.key = text.into()),
    },
    Key {
        name: "server.domain",
        meaning: "Host name for virtual-hosted addressing, such as s3.example.com: each name below it is a bucket; empty: path-style addressing only.",
        show: |s| quoted(s.web.domain.as_deref().unwrap_or_default()),
        set: |s, text| {
            let fits =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
            if !text.bytes().all(fits) || text.starts_with('.') || text.ends_with('.') {
                return Err(
                    "it must be a host name in lower case, without scheme and port, or empty"
                        .to_owned(),
                );
            }
            s.web.domain = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    seconds_key!(
        "request.body_idle_s",
        "Seconds after which a request body that makes no progress is cut off.",
        web.body_idle
    ),
    seconds_key!(
        "request.body_window_s",
        "Seconds of waiting for a request body in which it must deliver request.body_min_bytes.",
        web.body_window
    ),
    Key {
        name: "request.body_min_bytes",
        meaning: "Bytes that a request body must deliver per request.body_window_s; 0: only request.body_idle_s applies.",
        show: |s| s.web.body_min_bytes.to_string(),
        set: |s, text| number(text, 0, 1 << 40).map(|value| s.web.body_min_bytes = value),
    },
    Key {
        name: "request.max_at_once",
        meaning: "Maximum number of concurrent requests; further ones wait for request.queue_s, then get 503.",
        show: |s| s.web.max_requests.to_string(),
        set: |s, text| size(text, 1, 1 << 20).map(|value| s.web.max_requests = value),
    },
    Key {
        name: "request.max_at_once_of_account",
        meaning: "Maximum number of concurrent requests of one account; further ones wait and get 503 likewise.",
        show: |s| s.web.max_account_requests.to_string(),
        set: |s, text| size(text, 1, 1 << 20).map(|value| s.web.max_account_requests = value),
    },
    Key {
        name: "request.kept_for_account",
        meaning: "Concurrent requests reserved for each account, in addition to request.max_at_once; other accounts cannot use them.",
        show: |s| s.web.kept_account_requests.to_string(),
        set: |s, text| size(text, 0, 1 << 20).map(|value| s.web.kept_account_requests = value),
    },
    Key {
        name: "request.max_sending_of_account",
        meaning: "Downloads of one account that only send their body and then do not count towards request.max_at_once; further ones do count.",
        show: |s| s.web.max_account_sending.to_string(),
        set: |s, text| size(text, 0, 1 << 20).map(|value| s.web.max_account_sending = value),
    },
    Key {
        name: "request.max_bytes_per_s_of_account",
        meaning: "Bytes of bodies per second for one account at this gateway, in and out together; more is slowed down. 0: no limit.",
        show: |s| s.web.max_account_bytes_per_s.unwrap_or_default().to_string(),
        set: |s, text| {
            // At lower rates one frame of a body takes minutes, and the store would time out.
            let rate = if text == "0" { None } else { Some(number(text, 64 << 10, 1 << 50)?) };
            s.web.max_account_bytes_per_s = rate;
            Ok(())
        },
    },
    seconds_key!(
        "request.queue_s",
        "Seconds that a request over a limit waits before it gets 503.",
        web.queue_timeout
    ),
    seconds_key!(
        "request.max_skew_s",
        "Maximum difference in seconds between a signature's date and the gateway's clock.",
        web.max_skew
    ),
    Key {
        name: "request.region",
        meaning: "Region that signatures must name, such as eu-central-1, and that buckets say they are in; empty: signatures may name any, and buckets are in us-east-1.",
        show: |s| quoted(s.web.region.as_deref().unwrap_or_default()),
        set: |s, text| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if text.len() > 64 || !text.bytes().all(fits) {
                return Err(
                    "it must be a region of letters, digits, '-' and '_', or empty".to_owned()
                );
            }
            s.web.region = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    Key {
        name: "request.signature_v2",
        meaning: "Whether signature version 2 is accepted in the Authorization header; it signs no body. In URLs and forms it always is.",
        show: |s| s.web.signature_v2.to_string(),
        set: |s, text| boolean(text).map(|value| s.web.signature_v2 = value),
    },
    Key {
        name: "uploads.max_open_of_account",
        meaning: "Maximum number of open uploads of one account: S3 uploads, backups, and aborted uploads that are kept for a successor. Further ones are refused.",
        show: |s| s.upload.max_open_of_account.to_string(),
        set: |s, text| {
            number(text, 1, 10_000_000).map(|value| s.upload.max_open_of_account = value)
        },
    },
    Key {
        name: "resume.enabled",
        meaning: "Whether an interrupted S3 upload is resumed by the next upload to the same key.",
        show: |s| s.upload.resume.enabled.to_string(),
        set: |s, text| boolean(text).map(|value| s.upload.resume.enabled = value),
    },
    Key {
        name: "resume.by_md5",
        meaning: "Whether a part that is already stored is also recognised by its Content-MD5, for clients that send no SHA-256 (rclone, older AWS CLIs over HTTPS).",
        show: |s| s.upload.resume.by_md5.to_string(),
        set: |s, text| boolean(text).map(|value| s.upload.resume.by_md5 = value),
    },
    Key {
        name: "resume.keep_aborted_s",
        meaning: "Seconds that the parts of an S3 upload are kept for a successor after its client aborted it.",
        show: |s| s.upload.resume.keep_aborted.as_secs().to_string(),
        set: |s, text| {
            s.upload.resume.keep_aborted =
                number(text, 1, 365 * 86_400).map(Duration::from_secs)?;
            Ok(())
        },
    },
    Key {
        name: "resume.idle_s",
        meaning: "Seconds without activity after which an S3 upload counts as abandoned and can be resumed by another.",
        show: |s| s.upload.resume.idle.as_secs().to_string(),
        set: |s, text| {
            s.upload.resume.idle = number(text, 30, 86_400).map(Duration::from_secs)?;
            Ok(())
        },
    },
    Key {
        name: "resume.known_parts",
        meaning: "Parts of complete objects that are remembered by their digest (about 80 bytes each), so that the same bytes \
                  are copied inside the store and not sent again; 0: none.",
        show: |s| s.upload.resume.known_parts.to_string(),
        set: |s, text| {
            s.upload.resume.known_parts = size(text, 0, 100_000_000)?;
            Ok(())
        },
    },
    Key {
        name: "resume.early_close",
        meaning: "Comma-separated words in the User-Agent of clients that send a body without waiting for 100 Continue but \
                  notice an early response, such as rclone/,aws-sdk-go-v2,aws-sdk-rust,object_store/.",
        show: |s| quoted(s.s3.early_close.join(",")),
        set: |s, text| {
            s.s3.early_close = text
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect();
            Ok(())
        },
    },
    Key {
        name: "gc.enabled",
        meaning: "Whether this gateway removes abandoned uploads; of the gateways that share a store, one at a time does.",
        show: |s| s.gc.enabled.to_string(),
        set: |s, text| boolean(text).map(|value| s.gc.enabled = value),
    },
    Key {
        name: "gc.expire_after_s",
        meaning: "Seconds without activity after which an upload session is ended; the documents of closed sessions are removed after the same time.",
        show: |s| s.gc.expire_after.as_secs().to_string(),
        set: |s, text| {
            s.gc.expire_after = number(text, 1, 3650 * 86_400).map(Duration::from_secs)?;
            Ok(())
        },
    },
    Key {
        name: "gc.every_s",
        meaning: "Seconds from the end of a sweep to the start of the next, over all gateways.",
        show: |s| s.gc.every.as_secs().to_string(),
        set: |s, text| seconds(text).map(|value| s.gc.every = value),
    },
    Key {
        name: "gc.sessions_per_s",
        meaning: "Maximum number of sessions that a sweep examines per second.",
        show: |s| s.gc.sessions_per_s.to_string(),
        set: |s, text| {
            s.gc.sessions_per_s =
                u32::try_from(number(text, 1, 10_000)?).map_err(|error| error.to_string())?;
            Ok(())
        },
    },
    Key {
        name: "log.format",
        meaning: "Format of the log lines on stderr: text or json.",
        show: |s| quoted(s.log.format),
        set: |s, text| text.parse().map(|value| s.log.format = value),
    },
    Key {
        name: "log.level",
        meaning: "Log level: error, warn, info, debug, trace, off, or a filter such as info,ratchet::upload=debug.",
        show: |s| quoted(&s.log.level),
        set: |s, text| s.log.set_level(text),
    },
    Key {
        name: "log.access",
        meaning: "File that gets a line for every request; empty: stderr has them at debug, and refused ones as warnings.",
        show: |s| quoted(s.log.access.as_deref().unwrap_or(Path::new("")).display()),
        set: |s, text| s.log.set_access(text),
    },
];

/// The name of a key's environment variable.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// Sets one key to the value in `text`. **Errors**: `UnknownKey`, `Value`.
pub fn set(settings: &mut Settings, name: &str, text: &str, origin: &Origin) -> Result<(), Error> {
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        return Err(unknown_key(name, origin));
    };
    (key.set)(settings, text).map_err(|fix| Error::Value {
        key: name.to_owned(),
        value: text.to_owned(),
        origin: origin.clone(),
        fix,
    })
}

/// Sets every key whose variable is in the environment.
pub fn apply_environment(environment: &Environment, loaded: &mut Loaded) {
    for key in KEYS {
        let name = variable(key.name);
        if let Some(text) = environment.get(&name) {
            loaded.set(key.name, text, &Origin::Variable(name));
        }
    }
}

/// The error for an unknown key, with a similar key as a suggestion.
pub fn unknown_key(name: &str, origin: &Origin) -> Error {
    let last = name.rsplit('.').next().unwrap_or(name);
    let known = || KEYS.iter().map(|key| key.name);
    // Or it stands in another table than it should.
    let elsewhere = || known().find(|known| known.ends_with(last) || last.contains(known));
    let fix = match similar(name, known()).or_else(elsewhere) {
        Some(key) => format!("did you mean {key:?}? config/ratchet.toml shows every key"),
        None => "remove it; config/ratchet.toml shows every key".to_owned(),
    };
    Error::UnknownKey { key: name.to_owned(), origin: origin.clone(), fix }
}
