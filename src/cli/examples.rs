//! What stands at the end of the help of each command: examples, and the variables that it reads.
//!
//! Guarantees: each line that begins with `ratchet` is a valid command line; a test parses them.

/// Examples of a command that asks a gateway.
macro_rules! of_client {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "\n\n\
             Variables:\n\
             \x20 AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL      the gateway\n\
             \x20 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY   its access key\n\
             \x20 AWS_SESSION_TOKEN                          a token that belongs to the key\n\
             \x20 AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE   or a profile\n\
             \x20 AWS_REGION, AWS_DEFAULT_REGION             the region that is signed for\n\
             \x20 AWS_CA_BUNDLE                              trusted certificates, for https\n\
             \x20 HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY   proxies, as in curl"
        )
    };
}

/// Examples of a command that works on the store of a gateway.
macro_rules! of_gateway {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "\n\n\
             Variables:\n\
             \x20 RATCHET_CONFIG                             the settings file\n\
             \x20 RATCHET_STORE, RATCHET_LISTEN, …           any setting, as --print-config shows\n\
             \x20 RATCHET_ACCESS_KEY_ID, RATCHET_SECRET_ACCESS_KEY   one root account\n\
             \x20 RATCHET_CORS_ORIGINS                       pages that may use the gateway\n\
             \x20 AWS_ACCESS_KEY_ID, AWS_PROFILE, …          the key of an S3 store"
        )
    };
}

pub const SERVE: &str = of_gateway!(
    "  ratchet serve\n\
     \x20 ratchet serve --listen 0.0.0.0:9010 --store dir:/srv/ratchet\n\
     \x20 ratchet serve --config /etc/ratchet.toml"
);
pub const BACKUP: &str = of_client!(
    "  ratchet backup disk.img s3://backups/disk.img\n\
     \x20 ratchet backup --exclude '*.tmp' --exclude-from list ~/photos s3://backups/photos/\n\
     \x20 ratchet backup --delete --dry-run ~/photos s3://backups/photos/\n\
     \x20 ratchet backup notes.txt ~/photos s3://backups/home/\n\
     \x20 ratchet backup --limit-rate 08:00=5M,22:00=off disk.img s3://backups/disk.img\n\
     \x20 ratchet backup --stdin-from-command 'pg_dump shop' s3://backups/shop.sql"
);
pub const RESTORE: &str = of_client!(
    "  ratchet restore s3://backups/disk.img disk.img\n\
     \x20 ratchet restore --range -1048576 s3://backups/disk.img tail.bin\n\
     \x20 ratchet restore --include '*.jpg' s3://backups/photos/ ~/photos\n\
     \x20 ratchet restore --delete s3://backups/photos/ ~/photos"
);
pub const CAT: &str = of_client!(
    "  ratchet cat s3://backups/notes.txt\n\
     \x20 ratchet cat --range 100- s3://backups/notes.txt\n\
     \x20 ratchet cat s3://backups/shop.sql | psql shop"
);
pub const LS: &str = of_client!(
    "  ratchet ls\n\
     \x20 ratchet ls s3://backups/photos/\n\
     \x20 ratchet --json ls --all s3://backups/disk.img"
);
pub const DU: &str = of_client!(
    "  ratchet du s3://backups\n\
     \x20 ratchet du --all s3://backups/disks/\n\
     \x20 ratchet du --shared-with s3://backups/disks/tuesday.img s3://backups/disks/"
);
pub const STATUS: &str = of_client!("  ratchet status s3://backups/disk.img");
pub const VERIFY: &str = of_client!(
    "  ratchet verify s3://backups/disk.img\n\
     \x20 ratchet verify --repair disk.img s3://backups/disk.img\n\
     \x20 ratchet verify --limit-rate 5M --exclude '/cache/' s3://backups/photos/"
);
pub const ABORT: &str = of_client!("  ratchet abort s3://backups/disk.img");
pub const RM: &str = of_client!(
    "  ratchet rm s3://backups/disk.img\n\
     \x20 ratchet rm --recursive --dry-run s3://backups/photos/\n\
     \x20 ratchet rm --recursive s3://backups/photos/"
);
pub const MATERIALIZE: &str = of_client!(
    "  ratchet materialize s3://backups/disk.img\n\
     \x20 ratchet materialize s3://backups/2026/"
);
pub const MB: &str = of_client!("  ratchet mb s3://backups");
pub const GC: &str = of_gateway!(
    "  ratchet gc --dry-run\n\
     \x20 ratchet gc --store s3+http://minio.example:9000"
);
pub const DOCTOR: &str = of_gateway!(
    "  ratchet doctor --store s3+http://minio.example:9000\n\
     \x20 ratchet doctor --endpoint http://127.0.0.1:9010"
);
pub const SNAPSHOT: &str = "Examples:\n  ratchet snapshot /srv/ratchet /srv/snapshots/today";
pub const CHECK: &str = of_gateway!(
    "  ratchet check --store dir:/srv/ratchet\n\
     \x20 ratchet check --store dir:/srv/ratchet --rebuild"
);
pub const CONFIG: &str = of_gateway!(
    "  ratchet config check --config /etc/ratchet.toml\n\
     \x20 ratchet config show"
);
pub const COMPLETIONS: &str = "Examples:\n  \
    ratchet completions bash > /etc/bash_completion.d/ratchet\n  \
    ratchet completions zsh > /usr/local/share/zsh/site-functions/_ratchet\n  \
    ratchet completions fish > ~/.config/fish/completions/ratchet.fish";
pub const MAN: &str = "Examples:\n  \
    ratchet man > ratchet.1\n  \
    ratchet man /usr/local/share/man/man1";
