//! The text of `config/ratchet.toml`: every setting with its default, its meaning and its variable,
//! commented out.
//!
//! Guarantees: made from the table of keys, so it cannot lie; a test holds the file to it.

use std::fmt::Write;

use super::{Settings, keys};

const INTRODUCTION: &str = "\
# Every setting of `ratchet serve`, with its default. Take away the first # of a line to change it.
# Each can also be set by the environment variable that is named with it. Flags win over variables
# over this file.
";

const ACCOUNTS: &str = "
# Accounts, their access keys and their grants. Without any, the embedded store makes a key for
# itself, and a gateway in front of an S3 store does not start. RATCHET_ACCESS_KEY_ID and
# RATCHET_SECRET_ACCESS_KEY make one root account. Accounts, and the files of their secrets, are
# read again while the gateway runs; all else here at its next start.
#[[account]]
# 1 to 64 of a-z, 0-9 and -.
#name = \"backups\"
# true: admin on everything, without grants.
#root = false

#[[account.key]]
#id = \"BACKUPS1\"
# At least 16 characters. Or secret_file = \"PATH\", its first line; a relative path starts at this file.
#secret = \"change-me-change-me\"

#[[account.grant]]
# A bucket, or \"*\" for every one.
#bucket = \"my-bucket\"
# Only keys that begin so.
#prefix = \"\"
# read, write (and read), or admin (and make the bucket).
#access = \"write\"
";

/// The reference file.
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
    text + ACCOUNTS
}
