//! The text of `config/ratchet.toml`: every setting with its meaning, environment variable and
//! default, commented out.
//!
//! Guarantees: generated from the table of keys; a test compares the file with it.

use std::fmt::Write;

use super::{Settings, keys};

const INTRODUCTION: &str = "\
# Every setting of `ratchet serve`, with its default. Remove the # in front of a line to change it.
# Each setting can also be set by the environment variable that is named above it. Flags override
# variables, variables override this file.
";

const ACCOUNTS: &str = "
# Accounts, their access keys and their grants. Without an account, a gateway with the embedded
# store creates an access key, and a gateway in front of an S3 store does not start.
# RATCHET_ACCESS_KEY_ID and RATCHET_SECRET_ACCESS_KEY add one root account. Accounts, and the files
# of their secrets, are reloaded while the gateway runs; all other settings take effect at its next
# start.
#[[account]]
# 1 to 64 of a-z, 0-9 and -.
#name = \"backups\"
# true: admin access to everything, without grants.
#root = false

#[[account.key]]
#id = \"BACKUPS1\"
# At least 16 characters. Or secret_file = \"PATH\" for the first line of a file; a relative path is
# relative to the directory of this file.
#secret = \"change-me-change-me\"

#[[account.grant]]
# A bucket, or \"*\" for every bucket.
#bucket = \"my-bucket\"
# Only keys with this prefix.
#prefix = \"\"
# read, write (includes read), or admin (includes write and creating the bucket).
#access = \"write\"
";

const CORS: &str = "
# Rules for pages of other origins (CORS), beside those that PutBucketCors gives a bucket; see
# docs/operations.md#pages-of-other-origins. The first rule that allows a request counts.
# RATCHET_CORS_ORIGINS adds one rule for every bucket, with these defaults; its origins are
# separated by commas.
#[[cors]]
# A bucket, or \"*\" for every bucket.
#bucket = \"*\"
# Origins of the pages, each with at most one *.
#origins = [\"https://app.example.com\"]
#methods = [\"GET\", \"PUT\", \"POST\", \"DELETE\", \"HEAD\"]
# Headers that a page may send, each with at most one *.
#headers = [\"*\"]
# Headers of responses that a page may read, each with at most one *. Default: ETag, x-amz-*, and
# those that describe the body.
#expose = [\"ETag\", \"x-amz-*\"]
# How long a browser may keep the answer to a preflight.
#max_age_s = 3600
";

/// The text of the file.
pub fn reference() -> String {
    const CANNOT_FAIL: &str = "writing to a String cannot fail";
    let defaults = Settings::default();
    let (mut text, mut table) = (INTRODUCTION.to_owned(), "");
    for key in keys::KEYS {
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != table {
            write!(text, "\n#[{section}]\n").expect(CANNOT_FAIL);
            table = section;
        }
        let (variable, value) = (keys::variable(key.name), (key.show)(&defaults));
        write!(text, "\n# {}\n# {variable}\n#{name} = {value}\n", key.meaning).expect(CANNOT_FAIL);
    }
    text + ACCOUNTS + CORS
}
