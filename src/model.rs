//! The nouns: valid by construction, serialisable, without I/O.

pub mod account;
pub mod address;
pub mod calendar;
pub mod charge;
pub mod code;
pub mod group;
pub mod id;
pub mod key;
pub mod money;
pub mod name;
pub mod percent;
pub mod price;
pub mod query;
pub mod secret;
pub mod text;
pub mod time;
pub mod trace;
pub mod usage;
