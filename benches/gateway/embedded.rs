//! The embedded store compared with the bare machine: plain writes with fsync, hashes, and plain
//! reads of the same bytes.
//!
//! Guarantees: each round measures everything one after the other, on the same file system, with as
//! many threads as the gateway has clients; before a read, all pages of the files are dropped from
//! the cache; before a measurement, all released files are removed, as that occupies the disk too.
//! The result is the median ratio.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use md5::Digest;
use ratchet::digest::Sha256;
use rustix::fs::{Advice, fadvise};

use crate::contestant::ratchet;
use crate::load::{self, Amount, BODIES, LARGE_PARTS, Op, PART, Target};
use crate::pages;
use crate::table::{median, verdict};
use crate::upload::{BUCKET, Setup};

/// Chunks of a round, and how many are in flight at the same time.
const CHUNKS: u64 = 128;
const CONCURRENCY: usize = 8;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where the store and the plain file are created; default: a temporary directory.
    #[arg(long)]
    directory: Option<PathBuf>,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    ratchet: PathBuf,
}

/// Seconds per GiB of one round.
struct Round {
    write: f64,
    /// A synced file for each chunk: the minimum for a store that stores each chunk in a file.
    files: f64,
    sha256: f64,
    sha256_and_md5: f64,
    read: f64,
    chunks: f64,
    parts: f64,
    download: f64,
}

pub fn run(args: &Args) -> io::Result<()> {
    let mut home = tempfile::Builder::new();
    home.prefix("ratchet-bench.");
    let home = match &args.directory {
        Some(directory) => home.tempdir_in(directory)?,
        None => home.tempdir()?,
    };
    let store = home.path().join("store");
    let gateway = ratchet(&args.ratchet, &format!("dir:{}", store.display()))?;
    let mut setup = Setup::new(&gateway.host);
    setup.create_objects()?;
    let mut rounds = Vec::new();
    for number in 0..=args.rounds {
        let round = round(number, home.path(), &store, &gateway.host)?;
        // The first round is the warm-up.
        if number > 0 {
            rounds.push(round);
        }
    }
    let value = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect()).unwrap_or(0.0);
    println!(
        "| embedded store, {CONCURRENCY} at a time | at most | measured | |\n| --- | ---: | ---: | --- |"
    );
    let seconds: [(&str, f64); 8] = [
        ("writing plainly, with fsync", value(&|round| round.write)),
        ("writing files of 8 MiB, each with fsync", value(&|round| round.files)),
        ("SHA-256", value(&|round| round.sha256)),
        ("SHA-256 and MD5", value(&|round| round.sha256_and_md5)),
        ("reading plainly", value(&|round| round.read)),
        ("chunks of 8 MiB", value(&|round| round.chunks)),
        ("parts of 8 MiB", value(&|round| round.parts)),
        ("download", value(&|round| round.download)),
    ];
    for (what, seconds) in seconds {
        println!("| {what} | {}", verdict(seconds, None, " s/GiB"));
    }
    let chunks = value(&|round| round.chunks / round.write.max(round.sha256));
    let parts = value(&|round| round.parts / round.write.max(round.sha256_and_md5));
    let chunks_by_files = value(&|round| round.chunks / round.files);
    let parts_by_files = value(&|round| round.parts / round.files);
    let download = value(&|round| round.download / round.read);
    println!("| chunks / the slower of writing and SHA-256 | {}", verdict(chunks, Some(1.25), ""));
    println!(
        "| parts / the slower of writing and SHA-256 with MD5 | {}",
        verdict(parts, Some(1.25), "")
    );
    println!("| chunks / writing files of 8 MiB | {}", verdict(chunks_by_files, None, ""));
    println!("| parts / writing files of 8 MiB | {}", verdict(parts_by_files, None, ""));
    println!("| download / reading plainly | {}", verdict(download, Some(1.25), ""));
    Ok(())
}

fn round(number: usize, home: &Path, store: &Path, host: &str) -> io::Result<Round> {
    let mut setup = Setup::new(host);
    let plain = home.join("plain");
    let file_count = count_files(store)?;
    pages::touch()?;
    let write = timed(|| write_plain_file(&plain))?;
    let sha256 = timed(|| {
        in_parallel(|_, bytes| {
            std::hint::black_box(Sha256::of(bytes));
            Ok(())
        })
    })?;
    let sha256_and_md5 = timed(|| {
        in_parallel(|_, bytes| {
            std::hint::black_box(Sha256::of(bytes));
            std::hint::black_box(md5::Md5::digest(bytes));
            Ok(())
        })
    })?;
    pages::touch()?;
    let files = timed(|| write_files(home))?;
    (0..CHUNKS).try_for_each(|number| fs::remove_file(chunk_file(home, number)))?;
    let key = format!("embedded-{number}");
    let amount = Amount { connections: CONCURRENCY, requests: CHUNKS, max_duration: Duration::MAX };
    let backup = setup.backup(&format!("{key}-chunks"), CHUNKS)?;
    pages::touch()?;
    let chunks =
        load::run(&Target { host, bucket: BUCKET, upload: &backup }, Op::Chunk, amount, 0)?.seconds;
    setup.abort_backup(&backup)?;
    wait_for_removal(store, file_count)?;
    let upload = setup.create_upload(&key)?;
    pages::touch()?;
    let parts =
        load::run(&Target { host, bucket: BUCKET, upload: &upload }, Op::Upload, amount, 0)?
            .seconds;
    setup.discard(&upload)?;
    wait_for_removal(store, file_count)?;
    drop_from_cache(&plain)?;
    let read = timed(|| read_plain_file(&plain))?;
    drop_from_cache(store)?;
    // The same number of bytes: the object has LARGE_PARTS parts.
    let amount = Amount { requests: CHUNKS / LARGE_PARTS, ..amount };
    let download =
        load::run(&Target { host, bucket: BUCKET, upload: "" }, Op::Download, amount, 0)?.seconds;
    fs::remove_file(&plain)?;
    Ok(Round { write, files, sha256, sha256_and_md5, read, chunks, parts, download })
}

fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

fn write_plain_file(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    (0..CHUNKS).try_for_each(|number| file.write_all(BODIES.part(number).0))?;
    file.sync_all()
}

fn write_files(home: &Path) -> io::Result<()> {
    in_parallel(|number, bytes| {
        let mut file = File::create(chunk_file(home, number))?;
        file.write_all(bytes)?;
        file.sync_all()
    })
}

fn chunk_file(home: &Path, number: u64) -> PathBuf {
    home.join(format!("chunk-{number}"))
}

/// Does the work for each chunk's number and bytes.
fn in_parallel(work: impl Fn(u64, &[u8]) -> io::Result<()> + Sync) -> io::Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let share = |first| {
            move || {
                (first..CHUNKS).step_by(CONCURRENCY).try_for_each(|at| work(at, BODIES.part(at).0))
            }
        };
        let threads: Vec<_> =
            (0..CONCURRENCY as u64).map(|first| scope.spawn(share(first))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("the work does not panic"))
    })
}

fn read_plain_file(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; PART];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// The number of files in a directory and the directories below it.
fn count_files(directory: &Path) -> io::Result<usize> {
    fs::read_dir(directory)?.try_fold(0, |files, entry| {
        let entry = entry?;
        Ok(files + if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 })
    })
}

/// Waits until the store has removed all released files, which it does after its response.
fn wait_for_removal(store: &Path, files: usize) -> io::Result<()> {
    while count_files(store)? > files {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Drops the pages of a file, or of all files in a directory, from the cache.
fn drop_from_cache(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| drop_from_cache(&entry?.path()));
    }
    let file = match File::open(path) {
        // A file of the store that was moved or removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed).map_err(io::Error::from)
}
