//! Maps each variable of a CRS to a setting of this relay, or explains why there is none.

use serde::Serialize;

/// What becomes of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", content = "what", rename_all = "camelCase")]
pub enum Fate {
    /// It has the same meaning here.
    Same,
    /// It has another meaning here.
    Differs(String),
    /// Another setting replaces it.
    Moved(String),
    /// It is not needed.
    Needless,
    /// This relay has no such feature.
    Lost(String),
    /// This relay refuses this value.
    Refused(String),
}

/// Names with explanations. A text may contain several names, separated by spaces.
const SAME: &str = "PORT HOST TRUST_PROXY API_KEY_PREFIX ADMIN_SESSION_TIMEOUT WEB_TITLE REQUEST_MAX_SIZE_MB \
     ADMIN_USERNAME ADMIN_PASSWORD GEMINI_OAUTH_CLIENT_ID GEMINI_OAUTH_CLIENT_SECRET GEMINI_OAUTH_REDIRECT_URI \
     ANTIGRAVITY_OAUTH_CLIENT_ID ANTIGRAVITY_OAUTH_CLIENT_SECRET ANTIGRAVITY_OAUTH_REDIRECT_URI \
     ANTIGRAVITY_USER_AGENT";

const DIFFERS: &[(&str, &str)] = &[
    (
        "REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_DB REDIS_ENABLE_TLS",
        "it names the database of the CRS, which this relay does not use as its own: take it out for the embedded \
         store, or name another database, and give this one to `crs import --redis`",
    ),
    (
        "TIMEZONE_OFFSET",
        "0 is UTC here, and fractions count; CRS takes 0, a fraction's rest or nothing for 8 or for whole hours",
    ),
    (
        "REQUEST_TIMEOUT",
        "it is the time to the first byte here, see STREAM_IDLE_TIMEOUT for the rest",
    ),
    (
        "CLAUDE_API_URL ANTIGRAVITY_API_URL",
        "only its scheme, host and path count; a query is refused",
    ),
];

const MOVED: &[(&str, &str)] = &[
    (
        "ENABLE_CORS",
        "name the origin of a console that is served elsewhere in CONSOLE_ORIGIN",
    ),
    (
        "DEFAULT_PROXY_TIMEOUT",
        "set CONNECT_TIMEOUT, which is of every connection to a provider",
    ),
    (
        "CLAUDE_DEDICATED_ACCOUNT_FALLBACK",
        "each key says so itself (bindingFallback), and `crs import` sets it",
    ),
    (
        "GOOGLE_CLOUD_PROJECT",
        "each Gemini account has its own project (tenant)",
    ),
    (
        "OPENAI_PROXY_CONFIG",
        "each account has its own proxy: set it for the OpenAI accounts",
    ),
    (
        "STICKY_SESSION_TTL_HOURS STICKY_SESSION_RENEWAL_THRESHOLD_MINUTES",
        "a conversation stays on its account as long as the provider keeps its cache; there is nothing to set",
    ),
    (
        "LOG_MAX_SIZE LOG_MAX_FILES",
        "the log goes to standard output: let the system rotate it",
    ),
    (
        "HTTPS_ENABLED HTTPS_CERT HTTPS_KEY",
        "put a reverse proxy in front for TLS",
    ),
];

const NEEDLESS: &str = "NODE_ENV DEFAULT_TOKEN_LIMIT TOKEN_USAGE_RETENTION HEALTH_CHECK_INTERVAL HOT_RELOAD \
     WEB_SESSION_SECRET WEB_DESCRIPTION WEB_LOGO_URL ALLOW_CUSTOM_CLIENTS MAX_PROXY_RETRIES CLEANUP_INTERVAL \
     METRICS_WINDOW SYSTEM_TIMEZONE CLEAR_CONCURRENCY_QUEUES_ON_STARTUP CONCURRENCY_MAX_LIFETIME_MINUTES \
     PROXY_KEEP_ALIVE PROXY_MAX_SOCKETS PROXY_MAX_FREE_SOCKETS CLAUDE_API_VERSION CLAUDE_BETA_HEADER DEBUG \
     DEBUG_HTTP_TRAFFIC ANTHROPIC_DEBUG_REQUEST_DUMP ANTHROPIC_DEBUG_RESPONSE_DUMP ANTHROPIC_DEBUG_TOOLS_DUMP \
     ANTIGRAVITY_DEBUG_UPSTREAM_REQUEST_DUMP ANTIGRAVITY_DEBUG_UPSTREAM_RESPONSE_DUMP DUMP_MAX_FILE_SIZE_BYTES \
     PRICE_MIRROR_REPO PRICE_MIRROR_BRANCH PRICE_MIRROR_BASE_URL PRICE_MIRROR_FILENAME PRICE_MIRROR_HASH_FILENAME \
     PRICE_MIRROR_JSON_URL PRICE_MIRROR_HASH_URL BIND_HOST";

const LOST: &[(&str, &str)] = &[
    (
        "LDAP_ENABLED LDAP_URL LDAP_BIND_DN LDAP_BIND_PASSWORD LDAP_SEARCH_BASE LDAP_SEARCH_FILTER \
         USER_MANAGEMENT_ENABLED DEFAULT_USER_ROLE USER_SESSION_TIMEOUT MAX_API_KEYS_PER_USER \
         ALLOW_USER_DELETE_API_KEYS",
        "users of their own (LDAP) have no home here",
    ),
    (
        "WEBHOOK_ENABLED WEBHOOK_URLS WEBHOOK_TIMEOUT WEBHOOK_RETRIES",
        "notices by webhook have no home here: watch /health and /metrics",
    ),
    (
        "CLAUDE_CODE_USE_BEDROCK AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN ANTHROPIC_MODEL \
         ANTHROPIC_SMALL_FAST_MODEL ANTHROPIC_SMALL_FAST_MODEL_AWS_REGION CLAUDE_CODE_MAX_OUTPUT_TOKENS \
         MAX_THINKING_TOKENS DISABLE_PROMPT_CACHING",
        "Bedrock has no home here",
    ),
    (
        "CLAUDE_OVERLOAD_HANDLING_MINUTES CLAUDE_CONSOLE_BLOCKED_HANDLING_MINUTES CLAUDE_5H_WARNING_MAX_NOTIFICATIONS \
         UNSTABLE_ERROR_TYPES UNSTABLE_ERROR_KEYWORDS",
        "how long an account rests is worked out from what the provider says",
    ),
    (
        "USER_MESSAGE_QUEUE_ENABLED USER_MESSAGE_QUEUE_DELAY_MS USER_MESSAGE_QUEUE_TIMEOUT_MS USER_MESSAGE_QUEUE_LOCK_TTL_MS",
        "the queue for messages of users has no home here",
    ),
    (
        "PROXY_USE_IPV4 BILLING_EVENTS_ENABLED BALANCE_SCRIPT_ENABLED ACCOUNT_TEST_SCHEDULER_ENABLED \
         SYSTEM_PROMPT_THRESHOLD ANTHROPIC_TOOL_ERROR_CONTINUE QUOTA_CARD_LIMITS_ENABLED",
        "it has no home here",
    ),
];

/// What becomes of the CRS variable `name`; `None` if CRS has no such variable.
pub fn fate(name: &str, value: &str) -> Option<Fate> {
    let is_in = |names: &str| names.split_whitespace().any(|one| one == name);
    let say = |table: &[(&str, &str)]| {
        let found = table.iter().find(|(names, _)| is_in(names));
        found.map(|(_, what)| (*what).to_owned())
    };
    if let Some(refused) = refused(name, value) {
        return Some(Fate::Refused(refused));
    }
    if is_in(SAME) || is_in("JWT_SECRET ENCRYPTION_KEY LOG_LEVEL") {
        return Some(Fate::Same);
    }
    if is_in(NEEDLESS) {
        return Some(Fate::Needless);
    }
    say(DIFFERS)
        .map(Fate::Differs)
        .or_else(|| say(MOVED).map(Fate::Moved))
        .or_else(|| say(LOST).map(Fate::Lost))
}

/// Values accepted by CRS but not by this relay.
fn refused(name: &str, value: &str) -> Option<String> {
    let hex = value.chars().all(|c| c.is_ascii_hexdigit());
    let length = value.chars().count();
    if name == "ENCRYPTION_KEY" && length != 32 && !(length == 64 && hex) {
        return Some(
            "leave it out or set one of 32 characters: the old one stays with the old keys, `crs import --env` takes it"
                .to_owned(),
        );
    }
    if name == "JWT_SECRET" && length < 32 {
        return Some("set one of 32 characters or more, or leave it out".to_owned());
    }
    if name == "LOG_LEVEL" && matches!(value, "http" | "verbose" | "silly") {
        return Some("set it to debug, info, warn or error".to_owned());
    }
    None
}

/// Names known only to CRS, reported by `check-config`.
pub fn only_of_crs() -> impl Iterator<Item = &'static str> {
    let said = MOVED.iter().chain(LOST).map(|(names, _)| *names);
    said.chain([NEEDLESS]).flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_has_a_fate_and_one_only() {
        let lists = [SAME, NEEDLESS].into_iter();
        let said = DIFFERS.iter().chain(MOVED).chain(LOST).map(|(names, _)| *names);
        let mut all: Vec<&str> = lists.chain(said).flat_map(str::split_whitespace).collect();
        for name in &all {
            assert!(fate(name, "5").is_some(), "{name}");
        }
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(fate("PATH", "x"), None);
    }

    #[test]
    fn values_that_this_relay_does_not_take_are_named() {
        assert!(matches!(
            fate("ENCRYPTION_KEY", &"x".repeat(40)),
            Some(Fate::Refused(_))
        ));
        assert_eq!(fate("ENCRYPTION_KEY", &"a".repeat(64)), Some(Fate::Same));
        assert_eq!(fate("ENCRYPTION_KEY", &"x".repeat(32)), Some(Fate::Same));
        assert!(matches!(fate("LOG_LEVEL", "http"), Some(Fate::Refused(_))));
        assert_eq!(fate("LOG_LEVEL", "info"), Some(Fate::Same));
        assert!(matches!(fate("REDIS_HOST", "redis"), Some(Fate::Differs(_))));
        assert!(only_of_crs().any(|name| name == "LDAP_URL"));
        assert!(!only_of_crs().any(|name| name == "PORT"));
    }
}
