//! Masks the account's secrets in a body as it passes.
//!
//! Compatible hosts write errors in too many forms to list, so the whole body is searched. Most chunks do not
//! contain even the first bytes of a secret and pass uncopied. If a chunk ends inside a possible secret, that end
//! is held until the next chunk arrives.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::{SHORTEST, SecretMask, secrets};
use crate::model::account::live::LiveAccount;

pub(in crate::relay) struct StreamMask {
    account: Arc<LiveAccount>,
    /// Created on first use.
    mask: Option<SecretMask>,
    /// Whether the body is an event stream. Other bodies must keep their length.
    events: bool,
    /// The end of the data so far, if it may begin a secret.
    held: BytesMut,
}

impl StreamMask {
    pub(in crate::relay) fn new(account: Arc<LiveAccount>, events: bool) -> Self {
        Self {
            account,
            mask: None,
            events,
            held: BytesMut::new(),
        }
    }

    /// Returns the bytes that may be forwarded now; usually the unchanged chunk.
    pub(in crate::relay) fn pass(&mut self, data: Bytes) -> Bytes {
        if self.held.is_empty() && !self.may_hold_a_secret(&data) {
            return data;
        }
        let data = if self.held.is_empty() {
            data
        } else {
            self.held.extend_from_slice(&data);
            self.held.split().freeze()
        };
        let events = self.events;
        let mask = self.mask();
        let mut data = mask.within(data);
        if events {
            data = mask.escaped_events(data);
        }
        let passes = data.len() - mask.begun_at_the_end(&data);
        self.held.extend_from_slice(&data.split_off(passes));
        data
    }

    /// Returns the held bytes at the end of the body.
    pub(in crate::relay) fn rest(&mut self) -> Bytes {
        let rest = self.held.split().freeze();
        if rest.is_empty() {
            rest
        } else {
            self.mask().raw(rest)
        }
    }

    /// Fast check without false negatives for unencoded secrets.
    fn may_hold_a_secret(&self, data: &[u8]) -> bool {
        let speaks_of_errors = || memmem::find(data, b"error").is_some();
        secrets(&self.account).any(|secret| {
            let secret = secret.as_bytes();
            let head = secret.get(..SHORTEST).unwrap_or(secret);
            memmem::find(data, head).is_some() || ends_within(data, secret)
        }) || (self.events && memmem::find(data, b"\\u00").is_some() && speaks_of_errors())
    }

    fn mask(&mut self) -> &SecretMask {
        self.mask.get_or_insert_with(|| SecretMask::of(&self.account))
    }
}

/// Whether the data ends with a prefix of the secret. Secrets contain no line break.
fn ends_within(data: &[u8], secret: &[u8]) -> bool {
    data.last().is_some_and(|last| *last != b'\n') && begun(data, secret) > 0
}

/// Length of the longest proper prefix of the form at the data's end.
pub(super) fn begun(data: &[u8], form: &[u8]) -> usize {
    let most = data.len().min(form.len().saturating_sub(1));
    let is_begun = |length: &usize| form.get(..*length).is_some_and(|begin| data.ends_with(begin));
    (1..=most).rev().find(is_begun).unwrap_or(0)
}
