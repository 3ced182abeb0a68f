//! The tables that `tests/layers.rs` holds the sources to. To change a rule, change a row here and
//! say why.

/// A room, and the rooms that it may name. `settings` in every row means the room's own part of it,
/// see [`SETTINGS`].
pub const ROOMS: &[(&str, &[&str])] = &[
    // Leaves.
    ("clock", &[]),
    ("digest", &[]),
    ("retry", &[]),
    ("metric_names", &[]),
    // For whoever prints or logs what others wrote.
    ("escape", &[]),
    // Shared by those who listen and those who connect.
    ("tcp", &[]),
    // Shared by those who send and those who serve: one limit of bytes per second.
    ("rate_limit", &["clock"]),
    ("api", &[]),
    ("sigv4", &[]),
    // Its secrets are those that signatures are verified with.
    ("accounts", &["sigv4"]),
    // For whoever has a body going by: the frames of all of them are hashed together.
    ("digest/batch", &["digest"]),
    // For whoever passes a body on and must hold its end back until it is verified.
    ("digest/verified", &["digest", "digest/batch"]),
    // The ground: bytes and records.
    (
        "store",
        &["clock", "digest", "digest/batch", "digest/verified", "metric_names", "sigv4", "tcp"],
    ),
    ("upload", &["store", "clock", "digest", "digest/verified", "retry", "metric_names"]),
    // An object is put with its client's checksum, so it must have the word for it.
    ("object", &["store", "upload", "clock", "digest", "metric_names"]),
    ("gc", &["store", "upload", "clock", "metric_names"]),
    // The doors.
    (
        "web",
        &["accounts", "clock", "digest", "digest/verified", "metric_names", "rate_limit", "sigv4"],
    ),
    ("front", &["front/envelope", "front/chunk", "front/s3", "web", "clock"]),
    // What every front plugs into; it names none of them.
    ("front/envelope", &["upload", "object", "web", "accounts", "clock", "metric_names"]),
    // Listings encode names as S3 does where it signs them.
    (
        "front/s3",
        &[
            "front/envelope",
            "upload",
            "object",
            "web",
            "accounts",
            "digest",
            "clock",
            "metric_names",
            "sigv4",
        ],
    ),
    (
        "front/chunk",
        &["front/envelope", "upload", "object", "web", "accounts", "digest", "metric_names", "api"],
    ),
    ("server", &["clock", "metric_names"]),
    // The other end of the wire.
    (
        "client",
        &[
            "api",
            "digest",
            "escape",
            "retry",
            "clock",
            "metric_names",
            "rate_limit",
            "sigv4",
            "tcp",
        ],
    ),
    // What puts the parts together.
    ("settings", &["metric_names"]),
    ("observe", &["escape", "metric_names"]),
    (
        "app",
        &[
            "settings",
            "observe",
            "accounts",
            "clock",
            "front",
            "gc",
            "web",
            "metric_names",
            "object",
            "retry",
            "server",
            "sigv4",
            "store",
            "tcp",
            "upload",
        ],
    ),
    ("cli", &["app", "settings", "observe", "client", "escape"]),
    ("main", &["cli", "app", "settings", "observe", "client"]),
];

/// Rooms that may also name `…::Settings` (any item whose name ends so) of every other room.
pub const SETTINGS: &[&str] = &["settings", "observe"];

/// What tests of any room may name besides its row: stores to run on, a clock to turn, and a port
/// to listen on.
pub const IN_TESTS: &[&str] = &["store", "clock", "tcp"];

/// Values in, values out: no `async`, no clock, no effects.
pub const PURE: &[&str] = &[
    "digest/checksum",
    "digest/chunk",
    "digest/multibuffer",
    "digest/sha256",
    "digest/whole",
    "escape",
    "retry",
    "api",
    "sigv4",
    "upload/plan",
    "upload/manifest",
    "upload/codec",
];

/// Outside crates (`*` ends a prefix) with the only rooms or files that may name them.
pub const OWNERS: &[(&str, &[&str])] = &[
    ("aws_sdk_s3", &["store/aws"]),
    ("aws_config", &["store/aws"]),
    ("aws_smithy*", &["store/aws"]),
    ("quick_xml", &["front/s3", "store/aws"]),
    ("redb", &["store/dir"]),
    ("hyper", &["server", "front", "client", "store/aws"]),
    ("hyper_util", &["server", "client", "store/aws", "tcp"]),
    ("tower_service", &["tcp"]),
    ("clap", &["cli", "main"]),
    ("indicatif", &["client", "cli"]),
    ("tokio_rustls", &["server"]),
    ("rustls", &["server", "client", "store/aws"]),
    ("toml", &["settings"]),
    ("getrandom", &["clock"]),
    ("fastrand", &["clock"]),
];

/// Ends of paths that only `clock` may name, in tests too.
pub const CLOCK_ONLY: &[&[&str]] = &[
    &["SystemTime", "now"],
    &["Instant", "now"],
    &["time", "sleep"],
    &["time", "sleep_until"],
    &["thread", "sleep"],
];

/// A file or directory is called by the noun it holds or the verb it does.
pub const VAGUE_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "types", "misc"];

pub const MAX_PRODUCTION_LINES: usize = 450;

/// The default width of `rustfmt`, which leaves comments as they are.
pub const MAX_WIDTH: usize = 100;
