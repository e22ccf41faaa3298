//! Parses strings into a `Config`, with one reader per kind of value.

use std::time::Duration;

use http::HeaderValue;

use super::strength::weakness;
use super::{
    Admin, Antigravity, Audit, Backup, Claude, Config, Gemini, Keys, Ledger, Log, Metrics, OpenAi,
    ProviderSockets, Relay, Secrets, Server, Site, StoreChoice,
};
use crate::model::secret::Secret;

/// A source of variables: the environment, a file, a Worker's bindings, a test.
pub trait Vars {
    fn get(&self, name: &str) -> Option<String>;
}

impl<S: std::hash::BuildHasher> Vars for std::collections::HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// All problems with the settings, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// The value of a variable; empty and blank values count as not set, as in a compose file.
pub(super) fn text(vars: &dyn Vars, name: &str) -> Option<String> {
    vars.get(name)
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

pub(super) fn config(vars: &dyn Vars) -> Result<Config, Problems> {
    let mut read = Reader {
        vars,
        problems: Vec::new(),
    };
    let config = Config {
        server: Server {
            host: read.host(),
            port: read.number("PORT", 3000, 0, 65_535) as u16,
            trust_proxy: read.switch("TRUST_PROXY", false),
            max_connections: read.number("MAX_CONNECTIONS", 0, 0, 1_000_000) as usize,
            max_connections_per_address: read.number("MAX_CONNECTIONS_PER_ADDRESS", 512, 0, 1_000_000)
                as usize,
            console_origin: read.origin("CONSOLE_ORIGIN"),
            public_address: read.public_address("PUBLIC_ADDRESS"),
            shutdown_notice: text(vars, "SHUTDOWN_NOTICE")
                .map(|_| read.milliseconds("SHUTDOWN_NOTICE", 3_000, 0, 600_000)),
            shutdown_grace: read.milliseconds("SHUTDOWN_GRACE", 25_000, 0, 3_600_000),
        },
        secrets: Secrets {
            jwt: read.jwt_secret(),
            encryption: read.encryption_key(),
        },
        admin: read.admin(),
        keys: Keys {
            prefix: read.key_prefix(),
        },
        site: Site {
            title: read.or("WEB_TITLE", "crs-edge"),
            utc_offset_minutes: read.utc_offset(),
        },
        log: Log {
            level: read.one_of("LOG_LEVEL", "info", &["error", "warn", "info", "debug", "trace"]),
            json: read.one_of("LOG_FORMAT", "text", &["text", "json"]) == "json",
        },
        relay: Relay {
            max_body: (read.number("REQUEST_MAX_SIZE_MB", 100, 1, 1024) as usize) << 20,
            body_memory: read.body_memory(),
            first_byte: read.milliseconds("REQUEST_TIMEOUT", 600_000, 100, 3_600_000),
            max_attempts: read.number("MAX_ATTEMPTS", 3, 1, 20) as u32,
            attempts_deadline: read.milliseconds("ATTEMPTS_DEADLINE", 120_000, 0, 3_600_000),
            idle: read.milliseconds("STREAM_IDLE_TIMEOUT", 300_000, 100, 3_600_000),
            heartbeat: read.milliseconds("STREAM_PING_INTERVAL", 10_000, 50, 15_000),
            connect: read.milliseconds("CONNECT_TIMEOUT", 10_000, 100, 120_000),
            record_age: read.milliseconds("RECORD_MAX_AGE", 10_000, 1_000, 3_600_000),
            shared_limits: read.switch("SHARED_LIMITS", true),
            pool_shards: read.number("POOL_SHARDS", 1, 1, 64) as usize,
            shared_lease: read.milliseconds("SHARED_LEASE", 60_000, 1_000, 600_000),
            allow_private_upstreams: read.switch(super::ALLOW_PRIVATE_UPSTREAMS, false),
        },
        ledger: Ledger {
            flush: read.milliseconds("LEDGER_FLUSH_INTERVAL", 100, 1, 600_000),
            last_writes: read.milliseconds("LEDGER_LAST_WRITES", 8_000, 1, 600_000),
            request_log_days: read.number("REQUEST_LOG_DAYS", 30, 3, 100) as u32,
        },
        audit: Audit {
            days: read.number("AUDIT_LOG_DAYS", 365, 1, 3_650) as u32,
        },
        store: read.store(),
        backup: Backup {
            dir: text(vars, "BACKUP_DIR"),
            passphrase: super::backup_passphrase(vars),
        },
        claude: Claude {
            api_url: read.base_url("CLAUDE_API_URL", "https://api.anthropic.com", "/v1/messages"),
            oauth_url: read.token_url(
                "CLAUDE_OAUTH_URL",
                "https://platform.claude.com",
                "/v1/oauth/token",
            ),
            oauth_client_id: text(vars, "CLAUDE_OAUTH_CLIENT_ID"),
            oauth_page: read.page("CLAUDE_OAUTH_AUTHORIZE_URL", "https://claude.ai/oauth/authorize"),
            oauth_redirect: read.page(
                "CLAUDE_OAUTH_REDIRECT_URI",
                "https://platform.claude.com/oauth/code/callback",
            ),
        },
        openai: OpenAi {
            api_url: read.base_url("OPENAI_API_URL", "https://api.openai.com", ""),
            websocket: read.switch("CODEX_WEBSOCKET", true),
            provider_sockets: read.provider_sockets(),
            codex_url: read.base_url("CODEX_API_URL", "https://chatgpt.com/backend-api/codex", ""),
            oauth_url: read.token_url("OPENAI_OAUTH_URL", "https://auth.openai.com", "/oauth/token"),
            oauth_client_id: text(vars, "OPENAI_OAUTH_CLIENT_ID"),
            oauth_page: read.page(
                "OPENAI_OAUTH_AUTHORIZE_URL",
                "https://auth.openai.com/oauth/authorize",
            ),
            oauth_redirect: read.page("OPENAI_OAUTH_REDIRECT_URI", "http://localhost:1455/auth/callback"),
            entra_url: read.base_url("ENTRA_URL", "https://login.microsoftonline.com", ""),
            entra_scope: read.entra_scope(),
        },
        gemini: Gemini {
            api_url: read.base_url("GEMINI_API_URL", "https://generativelanguage.googleapis.com", ""),
            code_assist_url: read.base_url("CODE_ASSIST_URL", "https://cloudcode-pa.googleapis.com", ""),
            oauth_url: read.token_url("GOOGLE_OAUTH_URL", "https://oauth2.googleapis.com", "/token"),
            oauth_client_id: text(vars, "GEMINI_OAUTH_CLIENT_ID"),
            oauth_client_secret: text(vars, "GEMINI_OAUTH_CLIENT_SECRET").map(Secret::new),
            oauth_page: read.page(
                "GOOGLE_OAUTH_AUTHORIZE_URL",
                "https://accounts.google.com/o/oauth2/v2/auth",
            ),
            oauth_redirect: read.page(
                "GEMINI_OAUTH_REDIRECT_URI",
                "https://codeassist.google.com/authcode",
            ),
        },
        antigravity: Antigravity {
            api_url: read.base_url("ANTIGRAVITY_API_URL", "https://cloudcode-pa.googleapis.com", ""),
            user_agent: read.user_agent("ANTIGRAVITY_USER_AGENT"),
            oauth_client_id: text(vars, "ANTIGRAVITY_OAUTH_CLIENT_ID"),
            oauth_client_secret: text(vars, "ANTIGRAVITY_OAUTH_CLIENT_SECRET").map(Secret::new),
            oauth_redirect: read.page("ANTIGRAVITY_OAUTH_REDIRECT_URI", "http://localhost:45462"),
        },
        metrics: Metrics {
            token: text(vars, "METRICS_TOKEN").map(Secret::new),
        },
    };
    if read.problems.is_empty() {
        Ok(config)
    } else {
        Err(Problems(read.problems))
    }
}

pub(super) struct Reader<'a> {
    pub(super) vars: &'a dyn Vars,
    problems: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, line: String) {
        self.problems.push(line);
    }

    fn or(&self, name: &str, default: &str) -> String {
        text(self.vars, name).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn number(&mut self, name: &str, default: u64, min: u64, max: u64) -> u64 {
        let Some(value) = text(self.vars, name) else {
            return default;
        };
        match value.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                self.problem(format!(
                    "{name} is not a whole number from {min} to {max}: set it to {default}, or leave it out"
                ));
                default
            }
        }
    }

    fn milliseconds(&mut self, name: &str, default: u64, min: u64, max: u64) -> Duration {
        Duration::from_millis(self.number(name, default, min, max))
    }

    /// An address to listen on, or a host name.
    fn host(&mut self) -> String {
        let host = self.or("HOST", "0.0.0.0");
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let numeric = bare.chars().all(|c| c.is_ascii_digit() || c == '.') || bare.contains(':');
        let named = bare
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
        let good = if numeric {
            bare.parse::<core::net::IpAddr>().is_ok()
        } else {
            named
        };
        if !good {
            self.problem(
                "HOST is not an address to listen on: set it to 0.0.0.0, to 127.0.0.1, or leave it out"
                    .to_owned(),
            );
        }
        host
    }

    pub(super) fn switch(&mut self, name: &str, default: bool) -> bool {
        let Some(value) = text(self.vars, name) else {
            return default;
        };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.problem(format!("{name} is neither true nor false: set it to one of them"));
                default
            }
        }
    }

    fn one_of(&mut self, name: &str, default: &str, choices: &[&str]) -> String {
        let value = self.or(name, default).to_ascii_lowercase();
        if choices.contains(&value.as_str()) {
            return value;
        }
        self.problem(format!(
            "{name} is none of {}: set it to one of them",
            choices.join(", ")
        ));
        default.to_owned()
    }

    fn provider_sockets(&mut self) -> ProviderSockets {
        let choice = self.one_of("OPENAI_WEBSOCKET_UPSTREAM", "auto", &["auto", "true", "false"]);
        match choice.as_str() {
            "true" => ProviderSockets::Anywhere,
            "false" => ProviderSockets::Never,
            _ => ProviderSockets::Known,
        }
    }

    /// Default: four times the largest body. At least one, so that the largest body can be served.
    fn body_memory(&mut self) -> usize {
        let largest = text(self.vars, "REQUEST_MAX_SIZE_MB").and_then(|value| value.parse::<u64>().ok());
        let largest = largest.unwrap_or(100).clamp(1, 1024);
        let megabytes = match text(self.vars, "BODY_MEMORY_MB") {
            Some(_) => self.number("BODY_MEMORY_MB", largest * 4, 1, 65_536),
            None => largest * 4,
        };
        (megabytes.max(largest) as usize) << 20
    }

    fn jwt_secret(&mut self) -> Secret {
        let advice = "set it to 32 random characters or more, for example from `openssl rand -hex 32`";
        let Some(value) = text(self.vars, "JWT_SECRET") else {
            self.problem(format!("JWT_SECRET is missing: {advice}"));
            return Secret::new("");
        };
        if is_sample(&value) {
            self.problem(format!("JWT_SECRET is a published sample: {advice}"));
        } else if value.chars().count() < 32 {
            self.problem(format!(
                "JWT_SECRET has {} characters: {advice}",
                value.chars().count()
            ));
        }
        Secret::new(value)
    }

    /// 32 characters, or the 64 hex digits generated by CRS's setup.
    fn encryption_key(&mut self) -> Secret {
        let advice = "set it to exactly 32 random characters, for example from `openssl rand -hex 16`";
        let Some(value) = text(self.vars, "ENCRYPTION_KEY") else {
            self.problem(format!("ENCRYPTION_KEY is missing: {advice}"));
            return Secret::new("");
        };
        let length = value.chars().count();
        let hex64 = length == 64 && value.chars().all(|c| c.is_ascii_hexdigit());
        if is_sample(&value) {
            self.problem(format!("ENCRYPTION_KEY is a published sample: {advice}"));
        } else if length != 32 && !hex64 {
            self.problem(format!("ENCRYPTION_KEY has {length} characters: {advice}"));
        }
        Secret::new(value)
    }

    fn admin(&mut self) -> Admin {
        let username = text(self.vars, "ADMIN_USERNAME");
        let password = text(self.vars, "ADMIN_PASSWORD");
        if let Some(password) = &password {
            if is_sample(password) {
                self.problem("ADMIN_PASSWORD is a published sample: set a password of your own".to_owned());
            } else if password.chars().count() < 8 {
                self.problem("ADMIN_PASSWORD has fewer than 8 characters: set a longer one".to_owned());
            } else if password.len() <= 1024
                && let Some(advice) = weakness(password, username.as_deref())
            {
                self.problem(format!("ADMIN_PASSWORD is easy to guess: {advice}"));
            }
        }
        if username.as_ref().is_some_and(|name| name.chars().count() > 64) {
            self.problem("ADMIN_USERNAME has more than 64 characters: set a shorter one".to_owned());
        }
        if password.as_ref().is_some_and(|password| password.len() > 1024) {
            self.problem("ADMIN_PASSWORD has more than 1024 bytes: set a shorter one".to_owned());
        }
        // A custom password needs a known user name.
        let username = username.or_else(|| password.as_ref().map(|_| "admin".to_owned()));
        Admin {
            username,
            password: password.map(Secret::new),
            session: self.milliseconds("ADMIN_SESSION_TIMEOUT", 86_400_000, 60_000, 2_592_000_000),
            session_max: self.milliseconds("ADMIN_SESSION_MAX", 604_800_000, 60_000, 7_776_000_000),
        }
    }

    fn key_prefix(&mut self) -> String {
        let prefix = self.or("API_KEY_PREFIX", "cr_");
        let plain = prefix
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !plain || prefix.len() > 16 {
            self.problem(
                "API_KEY_PREFIX is not 1 to 16 letters, digits, `_` or `-`: set it to cr_, or leave it out"
                    .to_owned(),
            );
        }
        prefix
    }

    fn utc_offset(&mut self) -> i32 {
        let Some(value) = text(self.vars, "TIMEZONE_OFFSET") else {
            return 8 * 60;
        };
        match value.parse::<f64>() {
            Ok(hours) if (-12.0..=14.0).contains(&hours) => (hours * 60.0).round() as i32,
            _ => {
                self.problem(
                    "TIMEZONE_OFFSET is not a number of hours from -12 to 14: set it to 0 for UTC".to_owned(),
                );
                0
            }
        }
    }

    fn store(&mut self) -> StoreChoice {
        let named = text(self.vars, "STORE");
        let url = text(self.vars, "REDIS_URL");
        let host = text(self.vars, "REDIS_HOST");
        let rest = self.upstash_vars();
        match named.as_deref() {
            None if url.is_none() && host.is_none() => match rest {
                (None, None) => StoreChoice::Embedded,
                rest => self.upstash(rest),
            },
            Some("embedded") => StoreChoice::Embedded,
            Some("upstash") => self.upstash(rest),
            Some("memory") => StoreChoice::Memory,
            None | Some("redis") => match url {
                Some(url) => self.redis_url(url),
                None => self.redis_parts(host.as_deref().unwrap_or("127.0.0.1")),
            },
            Some(_) => {
                self.problem(
                    "STORE is none of embedded, redis, upstash, memory: set it to one of them, or leave it out"
                        .to_owned(),
                );
                StoreChoice::Embedded
            }
        }
    }

    /// Entra gives applications tokens for `.default` only.
    fn entra_scope(&mut self) -> String {
        let scope = self.or("ENTRA_SCOPE", "https://cognitiveservices.azure.com/.default");
        if !scope.ends_with("/.default") || scope.contains(char::is_whitespace) {
            self.problem(
                "ENTRA_SCOPE does not end with /.default: set it to one like https://cognitiveservices.azure.us/.default, or leave it out"
                    .to_owned(),
            );
        }
        scope
    }

    /// A provider's base URL: http or https, a host, optionally a path. `tail` is removed, because CRS users
    /// include it.
    fn base_url(&mut self, name: &str, default: &str, tail: &str) -> String {
        let value = self.or(name, default);
        match base_url(&value) {
            Some(base) => {
                let bare = base.strip_suffix(tail).unwrap_or(&base);
                // Later paths begin with it.
                if tail.is_empty() {
                    bare
                } else {
                    bare.strip_suffix("/v1").unwrap_or(bare)
                }
                .to_owned()
            }
            None => {
                self.problem(format!(
                    "{name} is not an http or https address: set it to {default}, or leave it out"
                ));
                default.to_owned()
            }
        }
    }

    fn user_agent(&mut self, name: &str) -> Option<HeaderValue> {
        let value = text(self.vars, name)?;
        let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let value = HeaderValue::from_str(&value).ok().filter(|_| plain);
        if value.is_none() {
            self.problem(format!(
                "{name} is not plain text in one line: set it to a product and its version, or leave it out"
            ));
        }
        value
    }

    /// Scheme, host and port, as in browsers' origins.
    fn origin(&mut self, name: &str) -> Option<String> {
        let value = text(self.vars, name)?;
        let origin = base_url(&value).filter(|base| base.matches('/').count() == 2);
        if origin.is_none() {
            self.problem(format!(
                "{name} is not an origin: set it to scheme and host of the console, like https://console.pages.dev"
            ));
        }
        origin
    }

    /// An address of the relay itself.
    fn public_address(&mut self, name: &str) -> Option<String> {
        let value = text(self.vars, name)?;
        let address = base_url(&value);
        if address.is_none() {
            self.problem(format!(
                "{name} is not an http or https address: set it to the one that clients reach the relay by, like https://relay.example.com, or leave it out"
            ));
        }
        address
    }

    /// The address of a web page, byte for byte, because providers compare it exactly.
    fn page(&mut self, name: &str, default: &str) -> String {
        let value = self.or(name, default);
        if base_url(&value).is_none() {
            self.problem(format!(
                "{name} is not the http or https address of a page: set it to one like {default}, or leave it out"
            ));
        }
        value
    }

    /// A token endpoint; a bare host gets the provider's path.
    fn token_url(&mut self, name: &str, default: &str, path: &str) -> String {
        let base = self.base_url(name, default, "");
        let has_path = base.parse::<http::Uri>().is_ok_and(|uri| uri.path().len() > 1);
        if has_path { base } else { format!("{base}{path}") }
    }
}

/// An absolute http(s) address without query, user or trailing slash; `None` if it is invalid.
pub fn base_url(value: &str) -> Option<String> {
    let uri: http::Uri = value.parse().ok()?;
    let scheme = uri
        .scheme_str()
        .filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
        .filter(|authority| port_is_good(authority))?;
    if uri.query().is_some() {
        return None;
    }
    Some(format!(
        "{scheme}://{authority}{}",
        uri.path().trim_end_matches('/')
    ))
}

/// No port, or a valid one.
pub(super) fn port_is_good(authority: &http::uri::Authority) -> bool {
    let text = authority.as_str();
    let after_host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let after_host = after_host.strip_prefix(authority.host()).unwrap_or("");
    after_host.is_empty() || authority.port_u16().is_some_and(|port| port > 0)
}

/// Published secrets: from CRS's files, from ours, from tutorials.
fn is_sample(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let words = [
        "change-",
        "change_",
        "changeme",
        "your-",
        "your_",
        "placeholder",
        "example",
        "sample",
    ];
    let distinct: std::collections::BTreeSet<char> = lower.chars().collect();
    words.iter().any(|word| lower.contains(word))
        || distinct.len() < 4
        || ["password", "12345678", "admin123", "password123"].contains(&lower.as_str())
}
