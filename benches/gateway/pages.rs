//! Memory for the pages of files, touched before anything is counted.
//!
//! A virtual machine may give free memory back to its host within seconds, and whoever writes a
//! file next pays for each page again: 2.7 s of CPU per GiB were measured where a page cache that
//! stayed took 0.27. That says nothing of a gateway, and falls on whoever comes first.

use std::io::{self, Write};

use crate::load::BODIES;

/// A little more than any run writes.
const PARTS: u64 = 160;

/// Touches as much memory as a run takes for files, and sets it free for it.
pub fn touch() -> io::Result<()> {
    let mut file = tempfile::tempfile()?;
    (0..PARTS).try_for_each(|number| file.write_all(BODIES.part(number).0))
}
