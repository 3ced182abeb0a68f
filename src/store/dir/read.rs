//! Reading an object's bytes out of its files.
//!
//! Guarantees: one file open and one read buffer per body, whatever its length.

use std::io::SeekFrom;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::super::{Body, BodyError};
use super::files::Files;
use super::rows::{Content, FileRef};

/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;

/// A stretch of one file.
struct Stretch {
    file: FileRef,
    first: u64,
    end: u64,
}

struct Reader {
    files: Arc<Files>,
    /// In reverse order, so that the next one is popped.
    stretches: Vec<Stretch>,
    open: Option<(tokio::fs::File, u64)>,
}

/// The bytes `[first, end)` of an object.
pub(super) fn body(files: Arc<Files>, content: Content, first: u64, end: u64) -> Body {
    let refs = match content {
        Content::Inline(bytes) => {
            let (first, end) = (first as usize, end as usize);
            return Bytes::from(bytes).slice(first..end).into();
        }
        Content::Files(refs) => refs,
    };
    let mut at = 0;
    let mut stretches = Vec::new();
    for file in refs {
        let (from, to) = (first.max(at), end.min(at + file.len_bytes));
        let start = at;
        at += file.len_bytes;
        if from < to {
            stretches.push(Stretch { file, first: from - start, end: to - start });
        }
    }
    stretches.reverse();
    let reader = Reader { files, stretches, open: None };
    let frames = stream::try_unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Ok::<_, BodyError>(frame.map(|frame| (frame, reader)))
    });
    Body::new(end - first, frames)
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let (file, left) = match &mut self.open {
            Some(open) => open,
            None => {
                let Some(stretch) = self.stretches.pop() else { return Ok(None) };
                let mut file = self.files.read(&stretch.file.id).await?;
                file.set_max_buf_size(READ_BYTES);
                file.seek(SeekFrom::Start(stretch.first)).await?;
                self.open.insert((file, stretch.end - stretch.first))
            }
        };
        let most = READ_BYTES.min(usize::try_from(*left).unwrap_or(READ_BYTES));
        let mut buffer = BytesMut::with_capacity(most);
        let read = (&mut *file).take(most as u64).read_buf(&mut buffer).await?;
        if read == 0 {
            return Err(format!("a file ends {left} bytes too early").into());
        }
        *left -= read as u64;
        if *left == 0 {
            self.open = None;
        }
        Ok(Some(buffer.freeze()))
    }
}
