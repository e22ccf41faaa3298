//! The nouns: valid by construction, serialisable, without I/O.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`account`], [`group`], [`key`] | records that the admin changes |
//! | [`usage`], [`charge`], [`price`], [`money`] | what calls use and cost |
//! | [`name`] | names of models, and which mean the same model |
//! | [`trace`], [`code`] | how a call was served; stable names of failures |
//! | [`address`] | the network that an address belongs to |
//! | [`query`], [`percent`] | text of addresses, encoded and decoded |
//! | [`calendar`], [`time`] | days and months of the operator; moments as ISO 8601 |
//! | [`id`], [`secret`], [`text`] | ids of records; strings that are never logged; text that is safe to show |

pub mod account;
pub mod address;
pub mod backup;
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
