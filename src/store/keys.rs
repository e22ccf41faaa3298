//! Every key name of the store, in one table.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `crs:fingerprint` | string | fingerprint of the `ENCRYPTION_KEY` the data was written with |
//! | `apikeys` | hash | id of a client key -> its record, JSON |
//! | `apikeys:by-hash` | hash | hash of a client key, hex -> its id; deleted keys are not in it |
//! | `accounts` | hash | id of an account -> its record, JSON with sealed secrets |
//! | `admin` | string | the admin's login, JSON with the password's PHC string |
//! | `admin:ended:<session>` | string, expires | a session that was logged out before its end |
//! | `login:<account or address>:<keyed hash>:<window>` | string, expires | login attempts in a window |
//! | `pool:<platform>` | string | what a pool must not forget over a restart, JSON |
//! | `oem:settings` | string | the site's name and icon, JSON with CRS's names |

pub const FINGERPRINT: &str = "crs:fingerprint";
pub const API_KEYS: &str = "apikeys";
pub const API_KEYS_BY_HASH: &str = "apikeys:by-hash";
pub const ACCOUNTS: &str = "accounts";
pub const ADMIN: &str = "admin";
pub const OEM_SETTINGS: &str = "oem:settings";

pub fn ended_session(id: &str) -> String {
    format!("admin:ended:{id}")
}

/// `whose`: `account` or `address`; `label`: a keyed hash of it; `window`: number of the time window.
pub fn login_attempts(whose: &str, label: &str, window: u64) -> String {
    format!("login:{whose}:{label}:{window}")
}

pub fn pool(platform: crate::model::account::Platform) -> String {
    format!("pool:{}", platform.name())
}
