//! Every key name of the store, in one table.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `crs:fingerprint` | string | fingerprint of the `ENCRYPTION_KEY` the data was written with |
//! | `crs:schema` | string | version of all this, and a rebuilding that is not finished, JSON; see `store::schema` |
//! | `crs:earlier-keys` | string | sub-keys of replaced `ENCRYPTION_KEY`s, sealed; see `secrets::earlier` |
//! | `crs:hold` | string, expires | who reads the store as a whole just now; see `store::hold` |
//! | `backups:schedule` | string | when backups are made, JSON |
//! | `apikeys` | hash | id of a client key -> its record, JSON |
//! | `apikeys:by-hash` | hash | hash of a client key, hex -> its id; deleted keys are not in it |
//! | `accounts` | hash | id of an account -> its record, JSON with sealed secrets |
//! | `account-groups` | hash | id of an account group -> its record, JSON |
//! | `admin` | string | the admin's login, JSON with the password's PHC string |
//! | `admin:sessions` | sorted set, expires | id of a session by when it was seen last, ms |
//! | `admin:session:<session>` | string, expires | when and where a session began, JSON; not one that ended |
//! | `admin:ended:<session>` | string, expires | a session that was logged out before its end |
//! | `admin:ticket:<id>` | string, expires | a login ticket that was used |
//! | `login:source:<keyed hash>` | string, expires | failed logins of an address or a session, JSON |
//! | `login:site:<keyed hash>:<window>` | string, expires | login attempts of strangers of one network |
//! | `login:strangers:<window>` | string, expires | login attempts of all strangers |
//! | `login:known` | hash | keyed hash of an address that logged in -> when it did last, ms; bounded |
//! | `sign-in:<id>` | string, expires | a sign-in at a provider that was begun, JSON sealed as a whole |
//! | `machine:{<machine>}` | hash | rows of a gate (`gate:<hash of a client key>`) or pool (`pool:<platform>`), JSON; if processes share it, `@` is its version; see `store::home` |
//! | `gate:<hash>`, `pool:<platform>` | string | a gate or pool as an earlier version wrote it, JSON |
//! | `gates:holding` | sorted set | hash of a key's gate with leases, by the time of the check for lost calls |
//! | `machine:{<machine>}:versions` | hash, expires | number of a version -> its name, and the rows that it changed |
//! | `oem:settings` | string | the site's name and icon, JSON with CRS's names |
//! | `import:old-keys` | string | what imported client keys were hashed with, sealed; JSON |
//! | `import:old-keys:marks` | string | marks of the hashes of imported client keys, base64 |
//! | `import:records` | hash | `<kind>:<id>` of an imported record -> digests of what it came from and of what was written |
//! | `import:sums:<bucket>` | hash, expires | `<scope>` -> the sums that were imported, in the order of the metrics |
//! | `audit:<month>` | sorted set, expires | entries of the audit log, JSON, by their time in ms |
//! | `prices` | string | the operator's own prices, JSON |
//! | `routes` | string | the model routes for all keys, JSON |
//! | `ledger:batch:<batch>` | string, expires | a batch of events that is written |
//! | `ledger:requests:<day>` | hash, expires | id of a call -> its event, JSON |
//! | `ledger:requests:<day>:index` | sorted set, expires | id of a call by its time in ms |
//! | `ledger:sums:<bucket>` | hash, expires | `<metric>:<scope>` -> sum; see `store::ledger` |
//! | `ledger:rank:<bucket>:<kind>` | sorted set, expires | keys, accounts or models by cost in micro-USD |
//! | `ledger:failures:<bucket>` | sorted set, expires | error codes by how many calls ended so |
//! | `ledger:last-used:<kind>` | sorted set | keys or accounts by the time of their last call in ms |
//! | `refusals:<day>` | hash, expires | `KEY:CODE:count` -> refused calls, `KEY:CODE:last` -> the last one, JSON (with a bar for each colon; KEY is an id); `-` for no key |
//! | `refusals:batch:<batch>` | string, expires | a batch of refusals that is written |
//!
//! A `<bucket>` is `hour:2026-01-31:09`, `day:2026-01-31`, `month:2026-01` or `all`, in the operator's time
//! zone; `all` does not expire. A `<kind>` is `keys`, `accounts`, `models`, `models-of:<key>`, `keys-of:<account>` or
//! `accounts-of:<key>`.

use std::fmt::Display;

use crate::model::calendar::Day;

pub const FINGERPRINT: &str = "crs:fingerprint";
pub const SCHEMA: &str = "crs:schema";
pub const HOLD: &str = "crs:hold";
pub const BACKUP_SCHEDULE: &str = "backups:schedule";
pub const API_KEYS: &str = "apikeys";
pub const API_KEYS_BY_HASH: &str = "apikeys:by-hash";
pub const ACCOUNTS: &str = "accounts";
pub const ACCOUNT_GROUPS: &str = "account-groups";
pub const ADMIN: &str = "admin";
pub const ADMIN_SESSIONS: &str = "admin:sessions";
pub const LOGIN_KNOWN: &str = "login:known";
pub const OLD_KEYS: &str = "import:old-keys";
pub const OLD_KEY_MARKS: &str = "import:old-keys:marks";
pub const IMPORTED_RECORDS: &str = "import:records";
pub const OEM_SETTINGS: &str = "oem:settings";
pub const PRICES: &str = "prices";
pub const ROUTES: &str = "routes";

pub fn listed_session(id: &str) -> String {
    format!("admin:session:{id}")
}

pub fn ended_session(id: &str) -> String {
    format!("admin:ended:{id}")
}

/// `month`: in UTC.
pub fn audit(month: crate::model::calendar::Month) -> String {
    format!("audit:{month}")
}

pub fn used_ticket(id: &str) -> String {
    format!("admin:ticket:{id}")
}

/// `label`: a keyed hash of an address or a session.
pub fn login_source(label: &str) -> String {
    format!("login:source:{label}")
}

/// `label`: a keyed hash of a network; `window`: number of the time window.
pub fn login_site(label: &str, window: u64) -> String {
    format!("login:site:{label}:{window}")
}

pub fn login_strangers(window: u64) -> String {
    format!("login:strangers:{window}")
}

pub fn sign_in(id: &str) -> String {
    format!("sign-in:{id}")
}

/// A gate or pool. Both of its keys have the same hash slot in a cluster.
pub fn machine(name: &str) -> String {
    format!("machine:{{{name}}}")
}

pub fn machine_versions(name: &str) -> String {
    format!("machine:{{{name}}}:versions")
}

/// Gates with leases, by the time at which another process checks them for lost calls.
pub const HOLDING_GATES: &str = "gates:holding";

/// The field with the version of a machine that processes share.
pub const MACHINE_VERSION: &str = "@";

/// The hex of the key's hash in the key of a gate's rows.
pub fn gate_of_machine(key: &str) -> Option<&str> {
    key.strip_prefix("machine:{gate:")?.strip_suffix('}')
}

pub fn ledger_batch(batch: &str) -> String {
    format!("ledger:batch:{batch}")
}

/// Prefix of the keys of the log of calls.
pub const LEDGER_REQUESTS: &str = "ledger:requests:";

/// Suffix of the keys of its index.
pub const INDEX: &str = ":index";

pub fn ledger_requests(day: Day) -> String {
    format!("{LEDGER_REQUESTS}{day}")
}

pub fn ledger_requests_index(day: Day) -> String {
    format!("{LEDGER_REQUESTS}{day}{INDEX}")
}

/// `bucket`: its label.
pub fn ledger_sums(bucket: impl Display) -> String {
    format!("ledger:sums:{bucket}")
}

/// `bucket`: its label.
pub fn imported_sums(bucket: impl Display) -> String {
    format!("import:sums:{bucket}")
}

pub fn ledger_rank(bucket: impl Display, kind: impl Display) -> String {
    format!("ledger:rank:{bucket}:{kind}")
}

pub fn ledger_failures(bucket: impl Display) -> String {
    format!("ledger:failures:{bucket}")
}

pub fn ledger_last_used(kind: &str) -> String {
    format!("ledger:last-used:{kind}")
}

/// `day`: in the operator's time zone.
pub fn refusals(day: Day) -> String {
    format!("refusals:{day}")
}

pub fn refusals_batch(batch: &str) -> String {
    format!("refusals:batch:{batch}")
}
