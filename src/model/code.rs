//! Stable codes of failures. `crate::error` defines their meaning for clients.

use utoipa::ToSchema;

/// Stable codes of failures, for logs, metrics and scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(as = ErrorCode, rename_all = "snake_case")]
pub enum Code {
    /// The request has no key.
    MissingKey,
    /// The request has two different keys.
    AmbiguousKey,
    /// Not a key of this relay, or a deleted one.
    UnknownKey,
    KeyDisabled,
    KeyExpired,
    ServiceNotPermitted,
    ClientNotAllowed,
    ModelRestricted,
    /// A limit on requests, tokens or cost per window.
    RateLimited,
    /// A cost limit per day, week or month, or in total.
    CostLimited,
    /// All concurrency slots of the key are in use.
    ConcurrencyFull,
    InvalidBody,
    BodyTooLarge,
    BodyTooSlow,
    /// Too many request bodies are held in memory.
    BodyMemoryFull,
    NotFound,
    MethodNotAllowed,
    /// No account of the platform is configured or usable, and waiting does not help.
    NoAccount,
    /// All accounts are busy; slots become free by themselves.
    AccountsBusy,
    /// All accounts are rate limited.
    AccountsLimited,
    /// The provider failed on every account tried.
    ProviderFailed,
    ProviderOverloaded,
    ProviderTimeout,
    /// The provider could not be reached, so it did and charged nothing.
    ProviderUnreachable,
    /// The provider closed the connection before the first byte.
    ProviderBroke,
    /// The stream broke off after it had begun.
    StreamBroken,
    /// The stream was silent for too long.
    StreamIdle,
    /// The operator freed the slot of a running stream.
    EndedByOperator,
    /// The provider's refusal, passed on to the client. Its message is in the answer and in the log.
    PassedOn,
    /// The client left, so there is no response. Only the request log has this code.
    ClientLeft,
    /// The call was never settled, because its host is gone. Only the request log has this code.
    CallLost,
    /// Our own store, gate or pool is unavailable.
    RelayUnavailable,
    /// A bug of ours.
    Internal,
}

impl Code {
    /// All codes in the order of their declaration.
    pub const ALL: [Self; 33] = [
        Self::MissingKey,
        Self::AmbiguousKey,
        Self::UnknownKey,
        Self::KeyDisabled,
        Self::KeyExpired,
        Self::ServiceNotPermitted,
        Self::ClientNotAllowed,
        Self::ModelRestricted,
        Self::RateLimited,
        Self::CostLimited,
        Self::ConcurrencyFull,
        Self::InvalidBody,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::BodyMemoryFull,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NoAccount,
        Self::AccountsBusy,
        Self::AccountsLimited,
        Self::ProviderFailed,
        Self::ProviderOverloaded,
        Self::ProviderTimeout,
        Self::ProviderUnreachable,
        Self::ProviderBroke,
        Self::StreamBroken,
        Self::StreamIdle,
        Self::EndedByOperator,
        Self::PassedOn,
        Self::ClientLeft,
        Self::CallLost,
        Self::RelayUnavailable,
        Self::Internal,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::UnknownKey => "unknown_key",
            Self::KeyDisabled => "key_disabled",
            Self::KeyExpired => "key_expired",
            Self::ServiceNotPermitted => "service_not_permitted",
            Self::ClientNotAllowed => "client_not_allowed",
            Self::ModelRestricted => "model_restricted",
            Self::RateLimited => "rate_limited",
            Self::CostLimited => "cost_limited",
            Self::ConcurrencyFull => "concurrency_full",
            Self::InvalidBody => "invalid_body",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyMemoryFull => "body_memory_full",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoAccount => "no_account",
            Self::AccountsBusy => "accounts_busy",
            Self::AccountsLimited => "accounts_limited",
            Self::ProviderFailed => "provider_failed",
            Self::ProviderOverloaded => "provider_overloaded",
            Self::ProviderTimeout => "provider_timeout",
            Self::ProviderUnreachable => "provider_unreachable",
            Self::ProviderBroke => "provider_broke",
            Self::StreamBroken => "stream_broken",
            Self::StreamIdle => "stream_idle",
            Self::EndedByOperator => "ended_by_operator",
            Self::PassedOn => "passed_on",
            Self::ClientLeft => "client_left",
            Self::CallLost => "call_lost",
            Self::RelayUnavailable => "relay_unavailable",
            Self::Internal => "internal",
        }
    }
}

// A new code must be declared before `Internal`, and listed in `ALL`.
const _: () = assert!(Code::ALL.len() == Code::Internal as usize + 1);

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn all_codes_are_listed_once() {
        for (place, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place, "{}", code.name());
        }
    }

    #[test]
    fn the_description_has_the_names_that_are_sent() {
        let described = serde_json::to_value(Code::schema()).unwrap();
        assert_eq!(
            described["enum"],
            serde_json::json!(Code::ALL.map(Code::name).as_slice())
        );
    }
}
