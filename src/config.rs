//! All settings, read once at start; the only place with names of variables.
//!
//! An invalid value (missing, too short, a published sample, malformed) becomes one line of [`Problems`] that
//! says what to set; it is never replaced by a guess.
//!
//! | module | content |
//! | --- | --- |
//! | `read` | one reader per kind of value |
//! | [`dotenv`] | `.env` files |
//! | `strength` | password strength |
//! | `target` | another store for a command |
//! | `upstash` | address and token of a database at Upstash |
//! | [`crs`] | a claude-relay-service's settings |

pub mod crs;
pub mod dotenv;
mod read;
mod redis;
mod sentinel;
mod strength;
mod target;
mod upstash;

use std::time::Duration;

use crate::model::secret::Secret;

use http::HeaderValue;

pub use crs::CrsSettings;
pub use read::base_url;
pub use read::{Problems, Vars};
pub use sentinel::Sentinels;
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
    /// `MAX_CONNECTIONS`: maximum number of connections; 0: as many as there are file descriptors.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_ADDRESS`: maximum per address or IPv6 /64; 0: unlimited.
    pub max_connections_per_address: usize,
    /// `CONSOLE_ORIGIN`: the only other origin whose pages may call the admin API; scheme, host and port.
    pub console_origin: Option<String>,
    /// `PUBLIC_ADDRESS`: the relay's address for clients, without a trailing slash; shown in the console.
    pub public_address: Option<String>,
    /// `SHUTDOWN_NOTICE`: how long a native process still accepts calls after SIGTERM, while `/health` answers 503.
    /// `None`: depends on whether its limits are shared.
    pub shutdown_notice: Option<Duration>,
    /// `SHUTDOWN_GRACE`: how long running calls may continue after that.
    pub shutdown_grace: Duration,
}

#[derive(Clone, Debug)]
pub struct Secrets {
    /// `JWT_SECRET`, 32 characters or more: signs admin sessions.
    pub jwt: Secret,
    /// `ENCRYPTION_KEY`: all other sub-keys are derived from it.
    pub encryption: Secret,
}

#[derive(Clone, Debug)]
pub struct Admin {
    /// `ADMIN_USERNAME`, `ADMIN_PASSWORD`: adopted if there is no login yet, and whenever they change.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// `ADMIN_SESSION_TIMEOUT`: lifetime of a session's token, which can be renewed.
    pub session: Duration,
    /// `ADMIN_SESSION_MAX`: lifetime of a session including all renewals.
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
    /// `TIMEZONE_OFFSET` (hours east of UTC, fractions allowed), in minutes. Determines when days begin.
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
    /// `BODY_MEMORY_MB`, in bytes: memory for request bodies.
    pub body_memory: usize,
    /// `REQUEST_TIMEOUT`: time limit for a provider's first byte.
    pub first_byte: Duration,
    /// `MAX_ATTEMPTS`: maximum number of accounts tried per call before its first byte.
    pub max_attempts: u32,
    /// `ATTEMPTS_DEADLINE`: no further attempt begins this long after a call's arrival.
    pub attempts_deadline: Duration,
    /// `STREAM_IDLE_TIMEOUT`: maximum silence of a stream.
    pub idle: Duration,
    /// `STREAM_PING_INTERVAL`: interval of heartbeats to the client of a converted stream.
    pub heartbeat: Duration,
    /// `CONNECT_TIMEOUT`: time limit for connecting to a provider.
    pub connect: Duration,
    /// `RECORD_MAX_AGE`: maximum age of cached records if other processes write the same store.
    pub record_age: Duration,
    /// `SHARED_LIMITS`: whether native processes on one Redis share limits and accounts.
    pub shared_limits: bool,
    /// `SHARED_LEASE`: with shared limits, how long the slots of a killed process stay taken.
    pub shared_lease: Duration,
    /// `POOL_SHARDS`: number of shards of each platform's pool, if several processes or isolates share it.
    pub pool_shards: usize,
    /// `ALLOW_PRIVATE_UPSTREAMS`: whether accounts and proxies may be on private networks and this machine.
    pub allow_private_upstreams: bool,
}

impl Relay {
    /// How long a client may leave sent data unread before its connection is closed.
    pub fn write_limit(&self) -> Duration {
        self.idle
    }

    /// Lifetime of a lease before the first byte, when nothing renews it.
    pub fn waiting_ttl(&self) -> Duration {
        self.connect + self.first_byte + self.margin()
    }

    /// Lifetime of a lease between frames.
    ///
    /// Between two frames the provider may be silent, and then the client slow to read.
    pub fn streaming_ttl(&self) -> Duration {
        self.idle + self.write_limit() + self.margin()
    }

    /// Minimum interval between renewals of a lease. Activity of the call renews it; on the edge each renewal is
    /// a message to another machine.
    pub fn renew_every(&self) -> Duration {
        (self.idle / 4).min(Duration::from_mins(1))
    }

    /// A lease must outlive the timeout that ends its call, or its slot would be freed while the call runs. The
    /// margin covers activity just before a renewal was due.
    fn margin(&self) -> Duration {
        self.renew_every() + self.idle.min(Duration::from_secs(30))
    }
}

#[derive(Clone, Debug)]
pub struct Ledger {
    /// `LEDGER_FLUSH_INTERVAL`: how long a settled call may wait for its batch. A killed native process loses the
    /// calls of this time and of one write.
    pub flush: Duration,
    /// `LEDGER_LAST_WRITES`: how long a native process tries at shutdown to write the remaining events.
    pub last_writes: Duration,
    /// `REQUEST_LOG_DAYS`: retention of call records; sums are kept longer.
    pub request_log_days: u32,
}

#[derive(Clone, Debug)]
pub struct Audit {
    /// `AUDIT_LOG_DAYS`: retention of the audit log.
    pub days: u32,
}

/// `STORE`: embedded, redis, upstash or memory. If left out, the variables of Redis and Upstash decide.
#[derive(Clone, Debug)]
pub enum StoreChoice {
    /// The file in `DATA_DIR`.
    Embedded,
    /// `STORE=memory`, lost on exit: for trials.
    Memory,
    Redis(Redis),
    Upstash(Upstash),
}

#[derive(Clone, Debug)]
pub struct Redis {
    /// `REDIS_URL`, with `REDIS_SENTINEL_PASSWORD` if it names sentinels; or built from `REDIS_HOST`, `REDIS_PORT`,
    /// `REDIS_USERNAME`, `REDIS_PASSWORD`, `REDIS_DB`, `REDIS_ENABLE_TLS`. Contains the password.
    pub url: Secret,
    /// The displayable part: `host:port/db`, or `sentinel:port,sentinel:port/mastername/db`.
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
    /// `BACKUP_DIR`: the folder for backups on a native host; `None`: in `DATA_DIR`.
    pub dir: Option<String>,
    /// `BACKUP_PASSPHRASE`: encrypts them.
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
    /// `CLAUDE_OAUTH_REDIRECT_URI`: where that page redirects to.
    pub oauth_redirect: String,
}

#[derive(Clone, Debug)]
pub struct OpenAi {
    /// `OPENAI_API_URL`: for API keys without a base URL of their own.
    pub api_url: String,
    /// `CODEX_WEBSOCKET`: whether Codex may call over a WebSocket.
    pub websocket: bool,
    /// `OPENAI_WEBSOCKET_UPSTREAM`: which providers a client's WebSocket is passed on to as one.
    pub provider_sockets: ProviderSockets,
    /// `CODEX_API_URL`: the base for `/responses`, for ChatGPT accounts.
    pub codex_url: String,
    /// `OPENAI_OAUTH_URL`: the token endpoint.
    pub oauth_url: String,
    /// `OPENAI_OAUTH_CLIENT_ID`: sent with a refresh when set, and needed for a sign-in.
    pub oauth_client_id: Option<String>,
    /// `OPENAI_OAUTH_AUTHORIZE_URL`: the page where a person signs in.
    pub oauth_page: String,
    /// `OPENAI_OAUTH_REDIRECT_URI`: where that page redirects to.
    pub oauth_redirect: String,
    /// `ENTRA_URL`: the base for `/{tenant}/oauth2/v2.0/token`, for Azure's accounts with an Entra application.
    pub entra_url: String,
    /// `ENTRA_SCOPE`: what their tokens are for.
    pub entra_scope: String,
}

/// Which providers are asked over a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderSockets {
    /// Those that are known to offer it.
    Known,
    /// All, also at addresses of the operator's.
    Anywhere,
    Never,
}

#[derive(Clone, Debug)]
pub struct Gemini {
    /// `GEMINI_API_URL`: for API keys without a base URL of their own; without `/v1beta`.
    pub api_url: String,
    /// `CODE_ASSIST_URL`: the base for `/v1internal:...`, for Google accounts.
    pub code_assist_url: String,
    /// `GOOGLE_OAUTH_URL`: the token endpoint.
    pub oauth_url: String,
    /// `GEMINI_OAUTH_CLIENT_ID`, `GEMINI_OAUTH_CLIENT_SECRET`: sent with a refresh when set, and needed for a
    /// sign-in.
    pub oauth_client_id: Option<String>,
    pub oauth_client_secret: Option<Secret>,
    /// `GOOGLE_OAUTH_AUTHORIZE_URL`: the page where a person signs in.
    pub oauth_page: String,
    /// `GEMINI_OAUTH_REDIRECT_URI`: where that page redirects to.
    pub oauth_redirect: String,
}

#[derive(Clone, Debug)]
pub struct Antigravity {
    /// `ANTIGRAVITY_API_URL`: the base for `/v1internal:...`.
    pub api_url: String,
    /// `ANTIGRAVITY_USER_AGENT`: the user agent; default: the relay's.
    pub user_agent: Option<HeaderValue>,
    /// `ANTIGRAVITY_OAUTH_CLIENT_ID`, `ANTIGRAVITY_OAUTH_CLIENT_SECRET`: sent with a refresh when set, and
    /// needed for a sign-in.
    pub oauth_client_id: Option<String>,
    pub oauth_client_secret: Option<Secret>,
    /// `ANTIGRAVITY_OAUTH_REDIRECT_URI`: where Google's page redirects to.
    pub oauth_redirect: String,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    /// `METRICS_TOKEN`: required as a bearer token for `/metrics`; if not set, only callers on this machine are
    /// allowed.
    pub token: Option<Secret>,
}

impl Config {
    /// Reads every setting, collecting all problems instead of stopping at the first.
    pub fn read(vars: &dyn Vars) -> Result<Self, Problems> {
        read::config(vars)
    }

    /// The provider addresses of the settings, or their defaults.
    pub fn provider_urls(&self) -> [&str; 10] {
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
            &openai.entra_url,
            &gemini.api_url,
            &gemini.code_assist_url,
            &gemini.oauth_url,
            &antigravity.api_url,
        ]
    }
}

/// `DATA_DIR`: the native host's folder for the store and generated secrets; read before the other settings.
pub fn data_dir(vars: &dyn Vars) -> String {
    read::text(vars, "DATA_DIR").unwrap_or_else(|| "data".to_owned())
}

/// `BACKUP_PASSPHRASE`, for reading a backup without other settings.
pub fn backup_passphrase(vars: &dyn Vars) -> Option<Secret> {
    read::text(vars, "BACKUP_PASSPHRASE").map(Secret::new)
}

/// Defaults that differ on a Worker: an isolate has 128 MB for all its requests, each read of the store is
/// billed, and the store is only reachable over HTTP.
#[allow(dead_code, reason = "the Worker's")]
pub const EDGE_DEFAULTS: [(&str, &str); 5] = [
    ("REQUEST_MAX_SIZE_MB", "32"),
    ("BODY_MEMORY_MB", "40"),
    ("RECORD_MAX_AGE", "300000"),
    ("LEDGER_FLUSH_INTERVAL", "10000"),
    ("STORE", "upstash"),
];

/// Variables that a native host generates if they are missing.
pub const GENERATED: [&str; 2] = [JWT_SECRET, ENCRYPTION_KEY];

/// Signs admin sessions and login tickets.
pub const JWT_SECRET: &str = "JWT_SECRET";

/// Decrypts stored secrets.
pub const ENCRYPTION_KEY: &str = "ENCRYPTION_KEY";

/// The setting for [`Relay::allow_private_upstreams`], for messages.
pub const ALLOW_PRIVATE_UPSTREAMS: &str = "ALLOW_PRIVATE_UPSTREAMS";

#[cfg(test)]
mod tests;
