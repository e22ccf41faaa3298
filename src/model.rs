//! The nouns: valid by construction, serialisable, without I/O.

pub mod account;
pub mod key;
pub mod price;
pub mod usage;
