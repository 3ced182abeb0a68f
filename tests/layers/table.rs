//! The tables that `tests/layers.rs` checks the sources against. To change a rule, change a row
//! here and give the reason in the commit.

/// A name, and what is allowed for it.
pub type Rows = &'static [(&'static str, &'static [&'static str])];

/// Each room, and the rooms that it may name.
pub const ROOMS: Rows = &[
    // Rooms that name no other.
    ("clock", &[]),
    ("hex", &[]),
    // Counters and histograms of every room that has some.
    ("measure", &[]),
    ("digest", &["hex"]),
    ("retry", &[]),
    ("header_names", &[]),
    // Buckets, keys, accounts and backups as types.
    ("names", &[]),
    // Makes text of clients and servers safe to print and to log.
    ("escape", &[]),
    // Sockets of servers and of HTTP clients.
    ("tcp", &[]),
    // Limits bytes per second, both for the client and for the gateway.
    ("rate_limit", &["clock"]),
    ("api", &[]),
    ("sigv4", &["hex"]),
    // Its secrets have the type with which `sigv4` verifies signatures.
    ("accounts", &["names", "sigv4"]),
    // Hashes frames of several bodies together; used wherever a body is streamed.
    ("digest/batch", &["digest"]),
    // For whoever passes a body on and must hold its end back until it is verified.
    ("digest/verified", &["digest", "digest/batch"]),
    // Storage: objects, and the records of uploads.
    (
        "store",
        &[
            "names",
            "clock",
            "digest",
            "digest/batch",
            "digest/verified",
            "hex",
            "header_names",
            "measure",
            "sigv4",
            "tcp",
        ],
    ),
    // Objects that share the blobs they are made of, on any store.
    ("content", &["names", "records", "store", "clock", "digest", "hex"]),
    // Documents and their compare-and-swap, for every room that keeps state in the store.
    ("records", &["names", "store", "clock", "digest", "retry"]),
    (
        "upload",
        &["names", "store", "records", "clock", "digest", "digest/verified", "hex", "measure"],
    ),
    // `digest`: a PUT passes the client's checksum on to the store.
    // `records`: the settings of buckets.
    // `header_names`: it decides which headers an S3 server is given.
    ("object", &["names", "store", "records", "upload", "digest", "header_names"]),
    ("gc", &["names", "content", "records", "upload", "clock", "measure"]),
    // HTTP.
    (
        "web",
        &[
            "names",
            "accounts",
            "clock",
            "digest",
            "digest/verified",
            "header_names",
            "hex",
            "measure",
            // The target of the lines of requests.
            "observe",
            "rate_limit",
            "sigv4",
        ],
    ),
    ("front", &["front/envelope", "front/chunk", "front/s3", "web", "clock"]),
    // What every front plugs into; it names none of them.
    ("front/envelope", &["upload", "object", "web", "accounts", "clock", "header_names"]),
    // Listings encode names as S3 does where it signs them.
    (
        "front/s3",
        &[
            "names",
            "front/envelope",
            "upload",
            "object",
            "web",
            "accounts",
            "digest",
            "clock",
            "header_names",
            "sigv4",
        ],
    ),
    (
        "front/chunk",
        &[
            "names",
            "front/envelope",
            "upload",
            "object",
            "web",
            "accounts",
            "digest",
            "header_names",
            "api",
            "escape",
        ],
    ),
    ("server", &["clock", "measure"]),
    // The command-line client, which talks to a gateway over HTTP only.
    (
        "client",
        &[
            "api",
            "digest",
            "digest/batch",
            "escape",
            "retry",
            "clock",
            "rate_limit",
            "sigv4",
            "tcp",
        ],
    ),
    // Configuration and start-up.
    ("settings", &[]),
    ("observe", &["escape"]),
    (
        "app",
        &[
            "settings", "accounts", "clock", "content", "front", "gc", "web", "object", "server",
            "sigv4", "store", "tcp", "upload",
        ],
    ),
    // `clock`: a command that is interrupted gets a moment to end by itself.
    ("cli", &["app", "settings", "observe", "client", "escape", "clock"]),
    ("main", &["cli"]),
];

/// Rooms that may also name the settings of every other room: items whose name ends in `Settings`.
pub const SETTINGS: &[&str] = &["settings", "observe"];

/// Rooms that the tests of every room may name besides its row: a store to run on, a clock that the
/// test advances, and a port to listen on.
pub const IN_TESTS: &[&str] = &["store", "clock", "tcp"];

/// Rooms and files that hold pure functions: no `async`, no clock, no side effects.
pub const PURE: &[&str] = &[
    "digest/algorithm",
    "digest/checksum",
    "digest/chunk",
    "digest/multibuffer",
    "digest/sha256",
    "digest/whole",
    "client/progress/human",
    "client/progress/rate",
    "client/progress/tally",
    "client/progress/text",
    "escape",
    "hex",
    "retry",
    "api",
    "sigv4",
    "settings/similar",
    "records/frame",
    "records/stamp",
    "object/cors",
    "upload/plan",
    "upload/manifest",
    "upload/segment",
    "upload/object_checksum",
    "upload/codec",
    "upload/layout",
];

/// Outside crates (a trailing `*` matches any suffix), each with the only rooms that may name it.
pub const OWNERS: Rows = &[
    ("aws_sdk_s3", &["store/aws"]),
    ("aws_config", &["store/aws"]),
    ("aws_smithy*", &["store/aws"]),
    // `client`: listings and errors of S3.
    ("quick_xml", &["front/s3", "store/aws", "client"]),
    ("redb", &["store/dir"]),
    ("xxhash_rust", &["digest"]),
    // `client`: tells what is no HTTP, and what a connection through a proxy is to the HTTP client.
    ("hyper", &["server", "front", "store/aws", "client"]),
    ("hyper_util", &["server", "client", "store/aws", "tcp"]),
    ("tower_service", &["tcp", "client"]),
    ("clap*", &["cli"]),
    ("tokio_rustls", &["server"]),
    ("rustls", &["server", "client", "store/aws"]),
    // Its error type, which rustls hides.
    ("webpki", &["client"]),
    ("toml", &["settings"]),
    ("ignore", &["client"]),
    ("jiff", &["clock"]),
    ("getrandom", &["clock"]),
    ("fastrand", &["clock"]),
];

/// Paths that only `clock` may name, in tests too; a path matches if it ends so.
pub const CLOCK_ONLY: &[&[&str]] = &[
    &["SystemTime", "now"],
    &["Instant", "now"],
    &["time", "sleep"],
    &["time", "sleep_until"],
    &["thread", "sleep"],
];

/// Names that say nothing: a file is named for the noun it holds or the verb it does.
pub const VAGUE_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "types", "misc"];

pub const MAX_PRODUCTION_LINES: usize = 450;

/// The default width of `rustfmt`, which does not wrap comments.
pub const MAX_WIDTH: usize = 100;
