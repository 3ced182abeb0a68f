//! What takes the body of a response while it comes.

use bytes::{Bytes, BytesMut};

use crate::client::Result;

/// Takes the body of a successful response. **Errors**: end the request for good.
pub(in crate::client) trait Receive: Send {
    /// An attempt begins: what came before does not count.
    fn begin(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// The next bytes.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;
}

impl Receive for BytesMut {
    async fn begin(&mut self) -> Result<()> {
        self.clear();
        Ok(())
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        self.extend_from_slice(&bytes);
        Ok(())
    }
}
