//! Every setting, read once at start: the only place where names of variables appear.
//!
//! A value that is missing, short, a published sample or malformed is one line of [`Problems`] that says
//! what to set; nothing is guessed in its place.
//!
//! | module | what it has |
//! | --- | --- |
//! | `read` | a reader per kind of value |
//! | [`dotenv`] | `.env` files |
//! | `strength` | how easy a password is to guess |
//! | `target` | a command's other store |
//! | `upstash` | the address and token of a database at Upstash |
//! | [`crs`] | a claude-relay-service's settings |

pub mod crs;
pub mod dotenv;
mod read;
mod strength;
mod target;
mod upstash;

use std::time::Duration;

use crate::model::secret::Secret;

use http::HeaderValue;

pub use crs::CrsSettings;
pub use read::base_url;
pub use read::{Problems, Vars};
pub use strength::weakness;
pub use target::{Aimed, NEW_ENCRYPTION_KEY, next_secrets, store_at};

/// The strings a configuration is built from.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub secrets: Secrets,
    pub admin: Admin,
    pub keys: Keys,
    pub site: Site,
    pub log: Log,
    pub relay: Relay,
    pub ledger: Ledger,
    pub audit: Audit,
    pub store: StoreChoice,
    pub backup: Backup,
    pub claude: Claude,
    pub openai: OpenAi,
    pub gemini: Gemini,
    pub antigravity: Antigravity,
    pub metrics: Metrics,
}

#[derive(Clone, Debug)]
pub struct Server {
    /// `HOST`: address to listen on.
    pub host: String,
    /// `PORT`; 0 lets the system choose.
    pub port: u16,
    /// `TRUST_PROXY`: whether the last `x-forwarded-for` entry names the client.
    pub trust_proxy: bool,
    /// `MAX_CONNECTIONS`: connections at once; 0: as many as there are descriptors for.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_ADDRESS`: of them from one address or IPv6 /64; 0: no limit.
    pub max_connections_per_address: usize,
    /// `CONSOLE_ORIGIN`: the one other origin whose pages may call the admin API; scheme, host and port.
    pub console_origin: Option<String>,
    /// `PUBLIC_ADDRESS`: the address by which clients reach the relay, without a trailing slash, for what the console
    /// hands out.
    pub public_address: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Secrets {
    /// `JWT_SECRET`, 32 characters or more: signs admin sessions.
    pub jwt: Secret,
    /// `ENCRYPTION_KEY`: every other sub-key is derived from it.
    pub encryption: Secret,
}

#[derive(Clone, Debug)]
pub struct Admin {
    /// `ADMIN_USERNAME`, `ADMIN_PASSWORD`: used when there is no login yet, and whenever they change.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// `ADMIN_SESSION_TIMEOUT`: how long a session's token is good; it may be prolonged.
    pub session: Duration,
    /// `ADMIN_SESSION_MAX`: how long after its login a session ends, however often it was prolonged.
    pub session_max: Duration,
}

#[derive(Clone, Debug)]
pub struct Keys {
    /// `API_KEY_PREFIX`.
    pub prefix: String,
}

#[derive(Clone, Debug)]
pub struct Site {
    /// `WEB_TITLE`: the site's name until the operator sets one.
    pub title: String,
    /// `TIMEZONE_OFFSET` (hours east of UTC, fractions allowed), in minutes. Rules where a day begins.
    pub utc_offset_minutes: i32,
}

#[derive(Clone, Debug)]
pub struct Log {
    /// `LOG_LEVEL`: error, warn, info, debug, trace.
    pub level: String,
    /// `LOG_FORMAT`: text or json.
    pub json: bool,
}

#[derive(Clone, Debug)]
pub struct Relay {
    /// `REQUEST_MAX_SIZE_MB`, in bytes.
    pub max_body: usize,
    /// `BODY_MEMORY_MB`, in bytes: what request bodies may hold at once.
    pub body_memory: usize,
    /// `REQUEST_TIMEOUT`: how long a provider may take to its first byte.
    pub first_byte: Duration,
    /// `MAX_ATTEMPTS`: accounts that one call may try before its first byte.
    pub max_attempts: u32,
    /// `ATTEMPTS_DEADLINE`: no further attempt begins this long after a call's arrival. The client waits for all
    /// of them together.
    pub attempts_deadline: Duration,
    /// `STREAM_IDLE_TIMEOUT`: how long a stream may be silent.
    pub idle: Duration,
    /// `STREAM_PING_INTERVAL`: how long the client of a converted stream may hear nothing.
    pub heartbeat: Duration,
    /// `CONNECT_TIMEOUT`: bound on reaching a provider.
    pub connect: Duration,
    /// `RECORD_MAX_AGE`: how long a record is used before it is read again, where others write the same
    /// store.
    pub record_age: Duration,
    /// `ALLOW_PRIVATE_UPSTREAMS`: whether accounts and proxies may be on private networks and this machine.
    pub allow_private_upstreams: bool,
}

impl Relay {
    /// How long a client may take nothing of what is sent to it before its connection is cut.
    pub fn write_limit(&self) -> Duration {
        self.idle
    }

    /// How long a lease must last before the first byte, when nothing renews it.
    pub fn waiting_ttl(&self) -> Duration {
        self.connect + self.first_byte + self.margin()
    }

    /// How long a lease must last from frame to frame.
    ///
    /// Between two frames the provider may be silent, and then the client slow to take what came.
    pub fn streaming_ttl(&self) -> Duration {
        self.idle + self.write_limit() + self.margin()
    }

    /// Leases are renewed by what happens to their calls, at most this often: on the edge each renewal is a
    /// message to another machine.
    pub fn renew_every(&self) -> Duration {
        (self.idle / 4).min(Duration::from_mins(1))
    }

    /// A lease outlives the time-out that ends its call, or it would be freed while the call runs; and what
    /// happened last may have come just before a renewal was due.
    fn margin(&self) -> Duration {
        self.renew_every() + self.idle.min(Duration::from_secs(30))
    }
}

#[derive(Clone, Debug)]
pub struct Ledger {
    /// `LEDGER_FLUSH_INTERVAL`: how long a settled call may wait for others before it is written. Natively a
    /// process that is killed loses the calls of this long, and of one write.
    pub flush: Duration,
    /// `LEDGER_LAST_WRITES`: how long a native process that ends tries to write what the store does not take.
    pub last_writes: Duration,
    /// `REQUEST_LOG_DAYS`: how long the record of a single call is kept; its sums are kept longer.
    pub request_log_days: u32,
}

#[derive(Clone, Debug)]
pub struct Audit {
    /// `AUDIT_LOG_DAYS`: how long entries of the audit log are kept.
    pub days: u32,
}

/// `STORE`: embedded, redis, upstash or memory; left out, the variables of Redis and Upstash decide.
#[derive(Clone, Debug)]
pub enum StoreChoice {
    /// The file in `DATA_DIR`.
    Embedded,
    /// Nothing survives a restart (`STORE=memory`): for trials.
    Memory,
    Redis(Redis),
    Upstash(Upstash),
}

#[derive(Clone, Debug)]
pub struct Redis {
    /// `REDIS_URL`, or one made of `REDIS_HOST`, `REDIS_PORT`, `REDIS_USERNAME`, `REDIS_PASSWORD`,
    /// `REDIS_DB`, `REDIS_ENABLE_TLS`. Holds the password.
    pub url: Secret,
    /// The part of it that may be shown: `host:port/db`.
    pub shown: String,
}

#[derive(Clone, Debug)]
pub struct Upstash {
    /// `UPSTASH_REDIS_REST_URL`: https, or http to this machine.
    pub url: String,
    /// `UPSTASH_REDIS_REST_TOKEN`: sent as a bearer token.
    pub token: Secret,
    /// The address without its scheme, for messages.
    pub shown: String,
}

#[derive(Clone, Debug)]
pub struct Backup {
    /// `BACKUP_DIR`: where a native host keeps the backups it makes; `None`: in `DATA_DIR`.
    pub dir: Option<String>,
    /// `BACKUP_PASSPHRASE`: seals them.
    pub passphrase: Option<Secret>,
}

#[derive(Clone, Debug)]
pub struct Claude {
    /// `CLAUDE_API_URL`: scheme and host, without `/v1/messages`.
    pub api_url: String,
    /// `CLAUDE_OAUTH_URL`: the token endpoint.
    pub oauth_url: String,
    /// `CLAUDE_OAUTH_CLIENT_ID`: sent with a refresh when set, and needed for a sign-in.
    pub oauth_client_id: Option<String>,
    /// `CLAUDE_OAUTH_AUTHORIZE_URL`: the page where a person signs in.
    pub oauth_page: String,
    /// `CLAUDE_OAUTH_REDIRECT_URI`: where that page leads back to.
    pub oauth_redirect: String,
}

#[derive(Clone, Debug)]
pub struct OpenAi {
    /// `OPENAI_API_URL`: for API keys without a base URL of their own.
    pub api_url: String,
    /// `CODEX_API_URL`: what `/responses` is put after, for accounts of ChatGPT.
    pub codex_url: String,
    /// `OPENAI_OAUTH_URL`: the token endpoint.
    pub oauth_url: String,
    /// `OPENAI_OAUTH_CLIENT_ID`: sent with a refresh when set, and needed for a sign-in.
    pub oauth_client_id: Option<String>,
    /// `OPENAI_OAUTH_AUTHORIZE_URL`: the page where a person signs in.
    pub oauth_page: String,
    /// `OPENAI_OAUTH_REDIRECT_URI`: where that page leads back to.
    pub oauth_redirect: String,
}

#[derive(Clone, Debug)]
pub struct Gemini {
    /// `GEMINI_API_URL`: for API keys without a base URL of their own; without `/v1beta`.
    pub api_url: String,
    /// `CODE_ASSIST_URL`: what `/v1internal:...` is put after, for Google accounts.
    pub code_assist_url: String,
    /// `GOOGLE_OAUTH_URL`: the token endpoint.
    pub oauth_url: String,
    /// `GEMINI_OAUTH_CLIENT_ID`, `GEMINI_OAUTH_CLIENT_SECRET`: sent with a refresh when set, and needed for a
    /// sign-in.
    pub oauth_client_id: Option<String>,
    pub oauth_client_secret: Option<Secret>,
    /// `GOOGLE_OAUTH_AUTHORIZE_URL`: the page where a person signs in.
    pub oauth_page: String,
    /// `GEMINI_OAUTH_REDIRECT_URI`: where that page leads back to.
    pub oauth_redirect: String,
}

#[derive(Clone, Debug)]
pub struct Antigravity {
    /// `ANTIGRAVITY_API_URL`: what `/v1internal:...` is put after.
    pub api_url: String,
    /// `ANTIGRAVITY_USER_AGENT`: who calls; unset, it is the relay.
    pub user_agent: Option<HeaderValue>,
    /// `ANTIGRAVITY_OAUTH_CLIENT_ID`, `ANTIGRAVITY_OAUTH_CLIENT_SECRET`: sent with a refresh when set, and
    /// needed for a sign-in.
    pub oauth_client_id: Option<String>,
    pub oauth_client_secret: Option<Secret>,
    /// `ANTIGRAVITY_OAUTH_REDIRECT_URI`: where Google's page leads back to.
    pub oauth_redirect: String,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    /// `METRICS_TOKEN`: when set, `/metrics` asks for it as a bearer token; when not, it answers callers on this
    /// machine only.
    pub token: Option<Secret>,
}

impl Config {
    /// Reads every setting, collecting all problems instead of stopping at the first.
    pub fn read(vars: &dyn Vars) -> Result<Self, Problems> {
        read::config(vars)
    }

    /// The addresses of providers that the settings name, or their defaults.
    pub fn provider_urls(&self) -> [&str; 9] {
        let Self {
            claude,
            openai,
            gemini,
            antigravity,
            ..
        } = self;
        [
            &claude.api_url,
            &claude.oauth_url,
            &openai.api_url,
            &openai.codex_url,
            &openai.oauth_url,
            &gemini.api_url,
            &gemini.code_assist_url,
            &gemini.oauth_url,
            &antigravity.api_url,
        ]
    }
}

/// `DATA_DIR`: where a native host keeps its store and generated secrets; read before the rest.
pub fn data_dir(vars: &dyn Vars) -> String {
    read::text(vars, "DATA_DIR").unwrap_or_else(|| "data".to_owned())
}

/// `BACKUP_PASSPHRASE`, for who reads a backup without other settings.
pub fn backup_passphrase(vars: &dyn Vars) -> Option<Secret> {
    read::text(vars, "BACKUP_PASSPHRASE").map(Secret::new)
}

/// Defaults of a Worker where those of a native host do not fit: an isolate has
/// 128 MB for all its requests, each look at the store is billed, and a store is reached over HTTP or not at all.
#[allow(dead_code, reason = "the Worker's")]
pub const EDGE_DEFAULTS: [(&str, &str); 5] = [
    ("REQUEST_MAX_SIZE_MB", "32"),
    ("BODY_MEMORY_MB", "40"),
    ("RECORD_MAX_AGE", "300000"),
    ("LEDGER_FLUSH_INTERVAL", "10000"),
    ("STORE", "upstash"),
];

/// Variables that a native host generates once when they are missing.
pub const GENERATED: [&str; 2] = [JWT_SECRET, ENCRYPTION_KEY];

/// The one of them that signs admin sessions and login tickets.
pub const JWT_SECRET: &str = "JWT_SECRET";

/// The one of them that opens what is stored already.
pub const ENCRYPTION_KEY: &str = "ENCRYPTION_KEY";

/// The setting behind [`Relay::allow_private_upstreams`], for messages.
pub const ALLOW_PRIVATE_UPSTREAMS: &str = "ALLOW_PRIVATE_UPSTREAMS";

#[cfg(test)]
mod tests;
