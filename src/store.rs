//! Backends of `port::store::Store`, and the repositories on top of them.
//!
//! | backend | storage |
//! | --- | --- |
//! | [`memory`] | process memory; lost on exit |
//! | `embedded` | one file beside the relay; native only |
//! | `tcp` | a Redis server; native only |
//! | `upstash` | a Redis at Upstash, over HTTP |
//!
//! | repository | content |
//! | --- | --- |
//! | [`api_keys`], [`accounts`], [`groups`], [`admins`], [`settings`] | records, changed by compare-and-set (`record`) |
//! | [`audit`] | the audit log, written atomically with each change |
//! | [`ledger`], [`refusals`] | calls with their sums and rankings; refused calls |
//! | [`guesses`], [`brake`] | rate limits for password guesses and for public statistics |
//! | [`sign_ins`] | unfinished sign-ins for accounts |
//! | [`fingerprint`] | the fingerprint of the `ENCRYPTION_KEY` that the data was written with |
//! | `home` | rows of gates and pools shared by processes; native only |
//! | [`keys`], [`fresh`] | all key names; short-lived caches |
//!
//! The backends share the semantics of commands (`vocabulary`), the Redis wire format (`redis`), and one test
//! suite (`conformance`).

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
#[cfg(all(not(target_arch = "wasm32"), any(feature = "redis", feature = "upstash")))]
pub mod home;
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

/// Parses records and skips unreadable ones (from a newer version, or edited by hand), which are logged. One bad
/// record must not hide the others.
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
