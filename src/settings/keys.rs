//! Every setting that is a single value: name, meaning, default, and how its text is read.
//!
//! Guarantees: this table is all there is: the file, the environment and `config/ratchet.toml` are
//! held to it. The name of a key's variable is `RATCHET_` and the key in capitals, `.` as `_`.

use std::time::Duration;

use super::{Environment, Error, Place, Settings};
use crate::server::TlsSettings;

/// A single setting.
pub struct Key {
    /// As in the file, with the table's name before a dot.
    pub name: &'static str,
    pub meaning: &'static str,
    /// As TOML.
    pub show: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> Result<(), String>,
}

/// A whole number in a range that its setting makes sense in.
fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("it is a whole number in [{least}, {most}]"))
}

fn size(text: &str, least: u64, most: u64) -> Result<usize, String> {
    number(text, least, most)
        .and_then(|number| usize::try_from(number).map_err(|error| error.to_string()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 1, 86_400).map(Duration::from_secs)
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "it is true or false".to_owned())
}

fn tls_file(settings: &mut Settings, set: impl FnOnce(&mut TlsSettings)) -> Result<(), String> {
    let nowhere = TlsSettings { certificate: "".into(), key: "".into() };
    let mut tls = settings.server.tls.take().unwrap_or(nowhere.clone());
    set(&mut tls);
    settings.server.tls = Some(tls).filter(|tls| *tls != nowhere);
    Ok(())
}

fn quoted(text: impl std::fmt::Display) -> String {
    format!("{:?}", text.to_string())
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
        meaning: "Address and port that clients connect to; port 0 takes any free one.",
        show: |s| quoted(s.listen),
        set: |s, text| {
            s.listen = text.parse().map_err(|_| {
                "it is ADDRESS:PORT, such as 127.0.0.1:9010 or [::]:9010".to_owned()
            })?;
            Ok(())
        },
    },
    Key {
        name: "store",
        meaning: "Where the bytes go: dir:PATH (embedded), s3+http://HOST:PORT or s3+https://HOST.",
        show: |s| match &s.store.choice {
            super::StoreChoice::Dir(path) => quoted(format!("dir:{}", path.display())),
            super::StoreChoice::S3(endpoint) => quoted(format!("s3+{endpoint}")),
        },
        set: |s, text| text.parse().map(|value| s.store.choice = value),
    },
    Key {
        name: "store_region",
        meaning: "Region of an S3 store; empty: from the AWS environment or profile.",
        show: |s| quoted(s.store.s3.region.as_deref().unwrap_or_default()),
        set: |s, text| {
            if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err("it is a region's name, such as eu-central-1, or empty".to_owned());
            }
            s.store.s3.region = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    Key {
        name: "store_addressing",
        meaning: "How buckets of an S3 store are addressed: path or virtual.",
        show: |s| quoted(s.store.s3.addressing),
        set: |s, text| text.parse().map(|value| s.store.s3.addressing = value),
    },
    Key {
        name: "state_bucket",
        meaning: "The bucket of the records; made if missing, never a target. One per group of gateways.",
        show: |s| quoted(&s.upload.state_bucket),
        set: |s, text| {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !(3..=63).contains(&text.len())
                || !text.bytes().all(fits)
                || text.starts_with('-')
                || text.ends_with('-')
            {
                return Err("it is a bucket's name: 3 to 63 of a-z, 0-9 and -".to_owned());
            }
            text.clone_into(&mut s.upload.state_bucket);
            Ok(())
        },
    },
    Key {
        name: "cached_sessions",
        meaning: "Sessions kept in memory; the least recently used go first.",
        show: |s| s.upload.cached_sessions.to_string(),
        set: |s, text| size(text, 1, 1_000_000).map(|value| s.upload.cached_sessions = value),
    },
    Key {
        name: "server.workers",
        meaning: "Threads that serve connections, each with its own connections to the store; 0: one for each core.",
        show: |s| s.server.workers.to_string(),
        set: |s, text| size(text, 0, 1024).map(|value| s.server.workers = value),
    },
    Key {
        name: "server.max_connections",
        meaning: "Connections at a time; more wait in the system's queue.",
        show: |s| s.server.max_connections.to_string(),
        set: |s, text| size(text, 1, 1_000_000).map(|value| s.server.max_connections = value),
    },
    Key {
        name: "server.max_connections_of_peer",
        meaning: "Connections at a time of one address (IPv6: of one network of 64 bits); one more is closed at once.",
        show: |s| s.server.max_peer_connections.to_string(),
        set: |s, text| size(text, 1, 1_000_000).map(|value| s.server.max_peer_connections = value),
    },
    Key {
        name: "server.max_head_bytes",
        meaning: "Bytes of a request's line and header fields together.",
        show: |s| s.server.max_head_bytes.to_string(),
        set: |s, text| size(text, 8192, 1 << 20).map(|value| s.server.max_head_bytes = value),
    },
    seconds_key!(
        "server.head_timeout_s",
        "Seconds from a request's first byte to the end of its head.",
        server.head_timeout
    ),
    seconds_key!(
        "server.idle_timeout_s",
        "Seconds that a connection may rest between requests.",
        server.idle_timeout
    ),
    seconds_key!(
        "server.write_timeout_s",
        "Seconds in which a client may take nothing of its answer.",
        server.write_timeout
    ),
    seconds_key!(
        "server.write_window_s",
        "Seconds of waiting in which a client must take server.write_min_bytes of its answers.",
        server.write_window
    ),
    Key {
        name: "server.write_min_bytes",
        meaning: "Bytes of answers that a client must take per server.write_window_s; 0 turns the rule off but for one that takes nothing.",
        show: |s| s.server.write_min_bytes.to_string(),
        set: |s, text| number(text, 0, 1 << 40).map(|value| s.server.write_min_bytes = value),
    },
    seconds_key!(
        "server.drain_timeout_s",
        "Seconds that requests may go on after SIGTERM.",
        server.drain_timeout
    ),
    Key {
        name: "server.tls_certificate",
        meaning: "PEM file of the certificate chain; with server.tls_key the gateway speaks https. Read again when it changes.",
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
        meaning: "Host below which every name is a bucket (virtual-hosted addressing), such as s3.example.com; empty: none.",
        show: |s| quoted(s.http.domain.as_deref().unwrap_or_default()),
        set: |s, text| {
            let fits =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
            if !text.bytes().all(fits) || text.starts_with('.') || text.ends_with('.') {
                return Err("it is a host's name in lower case, without scheme and port, or empty"
                    .to_owned());
            }
            s.http.domain = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    seconds_key!(
        "request.body_idle_s",
        "Seconds that a client may pause within a body.",
        http.body_idle
    ),
    seconds_key!(
        "request.body_window_s",
        "Seconds of waiting in which a body must bring body_min_bytes.",
        http.body_window
    ),
    Key {
        name: "request.body_min_bytes",
        meaning: "Bytes that a body must bring per body_window_s; 0 turns the rule off but for a body that stands still.",
        show: |s| s.http.body_min_bytes.to_string(),
        set: |s, text| number(text, 0, 1 << 40).map(|value| s.http.body_min_bytes = value),
    },
    Key {
        name: "request.max_at_once",
        meaning: "Requests that are served at once; one more waits for request.queue_s, then it is told to slow down.",
        show: |s| s.http.max_requests.to_string(),
        set: |s, text| size(text, 1, 1 << 20).map(|value| s.http.max_requests = value),
    },
    Key {
        name: "request.max_at_once_of_account",
        meaning: "The same for the requests of one account.",
        show: |s| s.http.max_account_requests.to_string(),
        set: |s, text| size(text, 1, 1 << 20).map(|value| s.http.max_account_requests = value),
    },
    Key {
        name: "request.kept_for_account",
        meaning: "Of the requests of each account, how many are served whatever other accounts do; beside request.max_at_once.",
        show: |s| s.http.kept_account_requests.to_string(),
        set: |s, text| size(text, 0, 1 << 20).map(|value| s.http.kept_account_requests = value),
    },
    Key {
        name: "request.max_sending_of_account",
        meaning: "Downloads of one account that only send and no longer count as request.max_at_once; more of them count.",
        show: |s| s.http.max_account_sending.to_string(),
        set: |s, text| size(text, 0, 1 << 20).map(|value| s.http.max_account_sending = value),
    },
    Key {
        name: "request.max_bytes_per_s_of_account",
        meaning: "Bytes of bodies that one account moves per second through this gateway, in and out together; more goes slower. 0: no limit.",
        show: |s| s.http.max_account_bytes_per_s.unwrap_or_default().to_string(),
        set: |s, text| {
            // So slow that a frame of a body takes minutes, a store would give it up.
            let rate = if text == "0" { None } else { Some(number(text, 64 << 10, 1 << 50)?) };
            s.http.max_account_bytes_per_s = rate;
            Ok(())
        },
    },
    seconds_key!(
        "request.queue_s",
        "Seconds that a request waits for its turn.",
        http.queue_timeout
    ),
    seconds_key!(
        "request.max_skew_s",
        "Seconds that a signature's date may be off.",
        http.max_skew
    ),
    Key {
        name: "uploads.max_open_of_account",
        meaning: "Open uploads of one account: S3 uploads, backups, and aborted uploads that are kept for a successor. One more is refused.",
        show: |s| s.upload.max_open_of_account.to_string(),
        set: |s, text| {
            number(text, 1, 10_000_000).map(|value| s.upload.max_open_of_account = value)
        },
    },
    Key {
        name: "resume.enabled",
        meaning: "Whether S3 uploads that were cut off are carried on by the next upload of the same file.",
        show: |s| s.upload.resume.enabled.to_string(),
        set: |s, text| truth(text).map(|value| s.upload.resume.enabled = value),
    },
    Key {
        name: "resume.by_md5",
        meaning: "Whether a part is also known by its Content-MD5, for clients that name no SHA-256 (rclone, older aws CLIs over https).",
        show: |s| s.upload.resume.by_md5.to_string(),
        set: |s, text| truth(text).map(|value| s.upload.resume.by_md5 = value),
    },
    Key {
        name: "resume.keep_aborted_s",
        meaning: "Seconds that the parts of an S3 upload wait for a successor after its client aborted it.",
        show: |s| s.upload.resume.keep_aborted.as_secs().to_string(),
        set: |s, text| {
            s.upload.resume.keep_aborted =
                number(text, 1, 365 * 86_400).map(Duration::from_secs)?;
            Ok(())
        },
    },
    Key {
        name: "resume.idle_s",
        meaning: "Seconds without a sign of life after which an S3 upload counts as dead.",
        show: |s| s.upload.resume.idle.as_secs().to_string(),
        set: |s, text| {
            s.upload.resume.idle = number(text, 30, 86_400).map(Duration::from_secs)?;
            Ok(())
        },
    },
    Key {
        name: "resume.early_close",
        meaning: "Words in the User-Agent of clients that send without waiting but listen while they do, with commas; \
                  such as rclone/,aws-sdk-go-v2,aws-sdk-rust,object_store/.",
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
        meaning: "Whether this gateway sweeps; of those that share a store, one at a time does.",
        show: |s| s.gc.enabled.to_string(),
        set: |s, text| truth(text).map(|value| s.gc.enabled = value),
    },
    Key {
        name: "gc.expire_after_s",
        meaning: "Seconds without a sign of life after which a session is ended; what is left of closed ones goes after as long again.",
        show: |s| s.gc.expire_after.as_secs().to_string(),
        set: |s, text| {
            s.gc.expire_after = number(text, 1, 3650 * 86_400).map(Duration::from_secs)?;
            Ok(())
        },
    },
    Key {
        name: "gc.every_s",
        meaning: "Seconds from one sweep's end to the next one's beginning, over all gateways.",
        show: |s| s.gc.every.as_secs().to_string(),
        set: |s, text| seconds(text).map(|value| s.gc.every = value),
    },
    Key {
        name: "gc.sessions_per_s",
        meaning: "Sessions that a sweep looks at per second.",
        show: |s| s.gc.sessions_per_s.to_string(),
        set: |s, text| {
            s.gc.sessions_per_s =
                u32::try_from(number(text, 1, 10_000)?).map_err(|error| error.to_string())?;
            Ok(())
        },
    },
    Key {
        name: "log.format",
        meaning: "Log lines on stderr for people (text) or machines (json).",
        show: |s| quoted(s.log.format),
        set: |s, text| text.parse().map(|value| s.log.format = value),
    },
    Key {
        name: "log.level",
        meaning: "error, warn, info, debug, trace, off, or a filter such as info,ratchet::upload=debug.",
        show: |s| quoted(&s.log.level),
        set: |s, text| s.log.set_level(text),
    },
];

/// The name of a key's environment variable.
pub fn variable(key: &str) -> String {
    format!("RATCHET_{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// Sets one key. **Errors**: `UnknownKey`, `Value`.
pub fn set(settings: &mut Settings, name: &str, text: &str, place: &Place) -> Result<(), Error> {
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        return Err(unknown(name, place));
    };
    (key.set)(settings, text).map_err(|fix| Error::Value {
        key: name.to_owned(),
        value: text.to_owned(),
        place: place.clone(),
        fix,
    })
}

/// Sets what the environment says. A variable that is no key is none of ours: orchestrators put
/// `RATCHET_PORT` and the like there for a service of this name.
pub fn apply_environment(environment: &Environment, settings: &mut Settings) -> Result<(), Error> {
    for key in KEYS {
        let name = variable(key.name);
        if let Some(text) = environment.get(&name) {
            set(settings, key.name, text, &Place::Variable(name))?;
        }
    }
    Ok(())
}

/// The nearest key is the likeliest to be meant.
pub fn unknown(name: &str, place: &Place) -> Error {
    let last = name.rsplit('.').next().unwrap_or(name);
    let near = KEYS.iter().find(|key| key.name.ends_with(last) || last.contains(key.name));
    let fix = match near {
        Some(key) => format!("did you mean {:?}? config/ratchet.toml shows every key", key.name),
        None => "remove it; config/ratchet.toml shows every key".to_owned(),
    };
    Error::UnknownKey { key: name.to_owned(), place: place.clone(), fix }
}
