//! Failures: the cause, whose fault it is, and whether a retry can help.
//!
//! A `Failure` is returned to a client. `http::dialect` converts it to the caller's protocol. `detail` and
//! `words` are only for the operator and go to the request log.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

pub use crate::model::code::Code;

/// Maximum size of a provider's answer kept in a failure, bytes; above that of real error bodies.
const WORDS_LIMIT: usize = 16 << 10;

/// Maximum length of a provider's answer in a log entry, bytes.
const EXCERPT_LIMIT: usize = 500;

/// A call that ended without the provider's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub status: StatusCode,
    /// The message for the person at the client: the cause and the next step. Never quotes the provider.
    pub message: String,
    /// Seconds until a retry makes sense, if known.
    pub retry_after: Option<u64>,
    /// `x-should-retry`, which takes precedence in Claude Code and the SDKs.
    pub should_retry: Option<bool>,
    /// For the operator, in our own words; never quotes the provider.
    pub detail: Option<String>,
    /// The underlying error, for the process's log. Its text contains no secret and does not quote the provider.
    pub cause: Option<Cause>,
    /// The provider's answer, for the request log only, cut after 16 KiB. It may not come from a provider, so an
    /// API answer shows at most the error fields of its protocol.
    pub words: Option<Bytes>,
}

impl Code {
    /// The client's status, unless the provider's own is passed on.
    fn status(self) -> StatusCode {
        match self {
            Self::MissingKey
            | Self::AmbiguousKey
            | Self::UnknownKey
            | Self::KeyDisabled
            | Self::KeyExpired => StatusCode::UNAUTHORIZED,
            Self::ServiceNotPermitted | Self::ClientNotAllowed | Self::ModelRestricted => {
                StatusCode::FORBIDDEN
            }
            Self::ConcurrencyFull
            | Self::RateLimited
            | Self::CostLimited
            | Self::AccountsBusy
            | Self::AccountsLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::InvalidBody => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoAccount | Self::RelayUnavailable | Self::EndedByOperator | Self::BodyMemoryFull => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ProviderTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ProviderFailed
            | Self::ProviderOverloaded
            | Self::ProviderUnreachable
            | Self::ProviderBroke
            | Self::StreamBroken
            | Self::StreamIdle
            | Self::PassedOn
            | Self::ClientLeft
            | Self::CallLost => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether resending the same request cannot help.
    fn final_for_client(self) -> bool {
        matches!(
            self,
            Self::MissingKey
                | Self::AmbiguousKey
                | Self::UnknownKey
                | Self::KeyDisabled
                | Self::KeyExpired
                | Self::ServiceNotPermitted
                | Self::ClientNotAllowed
                | Self::ModelRestricted
                | Self::InvalidBody
                | Self::BodyTooLarge
                | Self::NotFound
                | Self::MethodNotAllowed
                | Self::NoAccount
        )
    }
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            retry_after: None,
            should_retry: code.final_for_client().then_some(false),
            detail: None,
            cause: None,
            words: None,
        }
    }

    /// Uses the provider's status in place of the code's own.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Keeps a copy of the beginning of `sent`, so that a large body can be freed. Secrets must be masked before.
    pub fn with_words(mut self, sent: &[u8]) -> Self {
        self.words = Some(Bytes::copy_from_slice(beginning(sent, WORDS_LIMIT)));
        self
    }

    /// The entry for the request log: the detail, then the beginning of the provider's answer.
    pub fn log_entry(&self) -> Option<String> {
        match (&self.detail, &self.words) {
            (Some(detail), Some(words)) => Some(format!("{detail}: {}", excerpt(words))),
            (None, Some(words)) => Some(excerpt(words)),
            (detail, None) => detail.clone(),
        }
    }

    /// Sets the detail to the text of `error`, and keeps the error with its sources.
    pub fn caused_by(mut self, error: impl Error + Send + Sync + 'static) -> Self {
        self.detail = Some(error.to_string());
        self.cause = Some(Cause(Arc::new(error)));
        self
    }

    /// The texts of the underlying errors, outermost first, for the process's log.
    pub fn causes(&self) -> Option<String> {
        let Cause(error) = self.cause.as_ref()?;
        let mut texts: Vec<String> = Vec::new();
        let mut next = error.source();
        while let Some(error) = next {
            texts.push(error.to_string());
            next = error.source();
        }
        (!texts.is_empty()).then(|| texts.join(": "))
    }

    /// The store, a gate or a pool is unreachable, without an underlying error.
    pub fn relay_unavailable(reason: &str) -> Self {
        Self::relay_away().with_detail(reason)
    }

    /// The store, a gate or a pool is unreachable.
    pub fn relay_unreachable(error: impl Error + Send + Sync + 'static) -> Self {
        Self::relay_away().caused_by(error)
    }

    fn relay_away() -> Self {
        Self::new(
            Code::RelayUnavailable,
            "The relay cannot reach its own data right now. Please try again shortly.",
        )
        .retry_after(2)
    }
}

/// The underlying error of a failure.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Cause {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|Cause(error)| &**error as _)
    }
}

/// The beginning of a provider's answer, for the operator.
pub fn excerpt(sent: &[u8]) -> String {
    String::from_utf8_lossy(beginning(sent, EXCERPT_LIMIT)).into_owned()
}

fn beginning(sent: &[u8], limit: usize) -> &[u8] {
    sent.get(..limit).unwrap_or(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_entry_joins_detail_and_words() {
        let failure = || Failure::new(Code::ProviderFailed, "no");
        assert_eq!(failure().log_entry(), None);
        assert_eq!(failure().with_detail("500").log_entry().as_deref(), Some("500"));
        assert_eq!(failure().with_words(b"sent").log_entry().as_deref(), Some("sent"));
        let both = failure().with_detail("500").with_words(b"sent");
        assert_eq!(both.log_entry().as_deref(), Some("500: sent"));
    }

    #[test]
    fn a_failure_keeps_the_errors_behind_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot connect")]
        struct Outer(#[source] Middle);
        #[derive(Debug, thiserror::Error)]
        #[error("tcp connect error")]
        struct Middle(#[source] std::io::Error);

        let refused = std::io::Error::other("connection refused");
        let failure = Failure::new(Code::ProviderUnreachable, "no").caused_by(Outer(Middle(refused)));
        assert_eq!(failure.log_entry().as_deref(), Some("cannot connect"));
        assert_eq!(
            failure.causes().as_deref(),
            Some("tcp connect error: connection refused")
        );
        assert_eq!(failure.source().unwrap().to_string(), "cannot connect");
        assert_eq!(
            Failure::new(Code::ProviderFailed, "no")
                .with_detail("500")
                .causes(),
            None
        );
    }

    #[test]
    fn long_words_are_cut() {
        let failure = Failure::new(Code::ProviderFailed, "no").with_words(&vec![b'x'; 1 << 20]);
        assert_eq!(failure.words.as_ref().unwrap().len(), WORDS_LIMIT);
        assert_eq!(failure.log_entry().unwrap().len(), EXCERPT_LIMIT);
    }
}
