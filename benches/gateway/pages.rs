//! Allocates memory for the page cache before a measurement.
//!
//! Where a virtual machine gives free memory back to its host, the next writer pays for each page
//! again (docs/decisions/0022-how-benchmarks-are-made-comparable.md).

use std::io::{self, Write};

use crate::load::BODIES;

/// A little more than any run writes.
const PARTS: u64 = 160;

/// Writes a temporary file of the size that a run needs, so that its pages are free for the run.
pub fn touch() -> io::Result<()> {
    let mut file = tempfile::tempfile()?;
    (0..PARTS).try_for_each(|number| file.write_all(BODIES.part(number).0))
}
