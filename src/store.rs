//! Backends of `port::store::Store`, and the repositories over it.
//!
//! | backend | where the data is |
//! | --- | --- |
//! | [`memory`] | in the process; gone with it |
//! | `embedded` | in one file beside the relay; natively only |
//! | `tcp` | in a Redis server; natively only |
//! | `upstash` | in a Redis at Upstash, over HTTP |
//!
//! | repository | what it keeps |
//! | --- | --- |
//! | [`api_keys`], [`accounts`], [`groups`], [`admins`], [`settings`] | records, changed by compare-and-set (`record`) |
//! | [`audit`] | who changed what, in the same step as the change |
//! | [`ledger`], [`refusals`] | calls, their sums and rankings; refused calls |
//! | [`guesses`], [`brake`] | brakes on guessed passwords, and on public statistics |
//! | [`sign_ins`] | sign-ins for accounts that have begun |
//! | [`fingerprint`] | the `ENCRYPTION_KEY` that the data belongs to |
//! | [`keys`], [`fresh`] | the names of all keys; copies of what was read a moment ago |
//!
//! The backends share the meaning of the commands (`vocabulary`), what goes over a wire to a Redis of any
//! kind (`redis`), and one suite that every one of them passes (`conformance`).

pub mod accounts;
pub mod admins;
pub mod api_keys;
pub mod audit;
pub mod brake;
#[cfg(all(not(target_arch = "wasm32"), feature = "embedded"))]
pub mod embedded;
pub mod fingerprint;
pub mod fresh;
pub mod groups;
pub mod guesses;
pub mod hold;
#[cfg(not(target_arch = "wasm32"))]
pub mod imports;
pub mod keys;
pub mod ledger;
pub mod memory;
pub mod old_keys;
mod record;
#[cfg(any(target_arch = "wasm32", feature = "redis", feature = "upstash"))]
pub mod redis;
pub mod refusals;
#[cfg(all(not(target_arch = "wasm32"), any(feature = "redis", feature = "upstash")))]
mod scan;
pub mod schema;
pub mod settings;
pub mod sign_ins;
#[cfg(all(not(target_arch = "wasm32"), feature = "redis"))]
pub mod tcp;
#[cfg(any(target_arch = "wasm32", feature = "upstash"))]
pub mod upstash;
mod vocabulary;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod fake;

use bytes::Bytes;
use serde::de::DeserializeOwned;

/// The records that can be read. One that cannot (a newer version wrote it, or a hand) is logged and left
/// out: it must not take the others with it.
fn readable<T: DeserializeOwned>(key: &'static str, entries: Vec<(String, Bytes)>) -> Vec<T> {
    let mut records = Vec::with_capacity(entries.len());
    for (field, text) in entries {
        let place = record::Place::Field { key, field };
        match record::parse(&place, &text) {
            Ok(record) => records.push(record),
            Err(error) => tracing::warn!(%error, "left out a record that cannot be read"),
        }
    }
    records
}
