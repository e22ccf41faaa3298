//! crs-edge: a relay that pools provider accounts behind keys of your own.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`model`] | the nouns: key, account, usage, price |
//! | [`port`] | what the core asks of a host, traits only |
//! | [`store`] | backends of the `Store` port, and the repositories over it |

pub mod model;
pub mod port;
pub mod store;
