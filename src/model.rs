//! The data types: valid by construction, serialisable, without I/O.
//!
//! | module | content |
//! | --- | --- |
//! | [`account`], [`group`], [`key`] | records that the admin changes |
//! | [`usage`], [`charge`], [`price`], [`money`] | usage and cost of calls |
//! | [`name`], [`route`] | names of models and their equivalence; the operator's model routes |
//! | [`trace`], [`code`] | how a call was served; stable codes of failures |
//! | [`client`] | known clients |
//! | [`address`] | the network of an address |
//! | [`query`], [`percent`] | encoding of URLs |
//! | [`calendar`], [`time`] | days and months in the operator's time zone; ISO 8601 times |
//! | [`id`], [`secret`], [`text`] | ids of records; strings that are never logged; displayable text |

pub mod account;
pub mod address;
pub mod backup;
pub mod calendar;
pub mod charge;
pub mod client;
pub mod code;
pub mod group;
pub mod id;
pub mod key;
pub mod money;
pub mod name;
pub mod percent;
pub mod price;
pub mod query;
pub mod route;
pub mod secret;
pub mod text;
pub mod time;
pub mod trace;
pub mod usage;
