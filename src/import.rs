//! Imports the data of a claude-relay-service (CRS).
//!
//! | module | content |
//! | --- | --- |
//! | [`source`] | the data read: entities as text fields, usage as rows; read by `host::native::crs_redis` and [`export`] |
//! | [`cipher`] | CRS's ciphers, and the proof that a key is right |
//! | [`fields`] | the values of a hash: numbers, times and lists as CRS wrote them, including odd ones |
//! | [`key`], [`account`] | converts CRS's records to ours |
//! | [`usage`] | converts CRS's counters to sums of the ledger, and its records to calls |
//! | [`report`] | the result of a run, for people and scripts |
//! | [`copy`] | one run: rehearsal, copy, or proof |
//!
//! An import never widens access: a record with an unsupported restriction is imported inactive, with the reason
//! in the report. The source is only read.

pub mod account;
pub mod cipher;
pub mod copy;
pub mod export;
pub mod fields;
pub mod key;
pub mod report;
pub mod source;
pub mod usage;
