//! Taking over the data of a claude-relay-service (CRS).
//!
//! | module | what is there |
//! | --- | --- |
//! | [`source`] | what is read: entities as text fields, usage as rows; `host::native::crs_redis` and [`export`] read |
//! | [`cipher`] | CRS's ciphers, and the proof that a key is the right one |
//! | [`fields`] | the values of a hash: numbers, moments and lists as CRS wrote them, odd ones included |
//! | [`key`], [`account`] | records of CRS as records of ours |
//! | [`usage`] | CRS's counters as sums of the ledger, its records as calls |
//! | [`report`] | what a run found, for people and scripts |
//! | [`copy`] | one run: rehearsal, copy, or proof |
//!
//! Nothing gets wider by being moved: a record of which a restriction has no home here is imported inactive, with the
//! reason in the report. The source is only read.

pub mod account;
pub mod cipher;
pub mod copy;
pub mod export;
pub mod fields;
pub mod key;
pub mod report;
pub mod source;
pub mod usage;
