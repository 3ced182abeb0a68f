//! Who sends a request, and what that sender may do.
//!
//! Guarantees: it is the only way to ask about rights; what no grant covers is not allowed. It does
//! not know how the sender proved who they are: that is the caller's business. Pure.

use std::sync::Arc;

use super::{Access, Account};
use crate::names::{AccountName, Bucket};

/// The sender of a request: an account with its grants. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    account: Arc<Account>,
}

impl Identity {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account }
    }

    /// The account that owns what the sender creates.
    pub fn account_name(&self) -> &AccountName {
        &self.account.name
    }

    /// Whether the sender may do anything at all in the bucket.
    pub fn sees(&self, bucket: &Bucket) -> bool {
        self.account.sees(bucket)
    }

    /// Whether the sender has this access to the key or, with an empty key, to the whole bucket.
    pub fn allows(&self, access: Access, bucket: &Bucket, key: &str) -> bool {
        self.account.allows(access, bucket, key)
    }
}
