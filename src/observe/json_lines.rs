//! JSON log lines without characters that are unsafe on a terminal.
//!
//! Guarantees: the meaning of a line does not change. The JSON formatter escapes only U+0000 to
//! U+001F (RFC 8259, section 7); this escapes the other unsafe characters.

use std::io::{self, Write};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::escape::escaped_json;

/// Creates writers that escape unsafe characters in JSON lines.
pub(super) struct JsonLines<M>(pub M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for JsonLines<M> {
    type Writer = JsonLineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        JsonLineWriter(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        JsonLineWriter(self.0.make_writer_for(meta))
    }
}

/// Escapes each line and passes it on.
pub(super) struct JsonLineWriter<W>(W);

impl<W: Write> Write for JsonLineWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The formatter writes whole lines, and JSON is UTF-8, so nothing is lost.
        self.0.write_all(escaped_json(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
