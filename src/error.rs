//! Failures: the cause, whose fault it is, and whether a retry can help.
//!
//! A `Failure` is returned to a client. `http::dialect` writes it in the caller's protocol, once.
//! `detail` and `words` are for the operator only and end in the request log.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

pub use crate::model::code::Code;

/// Most of a provider's words that a failure holds, bytes: error bodies of the providers are shorter.
const WORDS_LIMIT: usize = 16 << 10;

/// Most of a provider's words that one entry of a log holds, bytes.
const EXCERPT_LIMIT: usize = 500;

/// A call that ends without the provider's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub status: StatusCode,
    /// The message for the person at the client: the cause, and the next step. Never the provider's raw words.
    pub message: String,
    /// Seconds until trying again makes sense, if that is known.
    pub retry_after: Option<u64>,
    /// `x-should-retry`: Claude Code and the SDKs obey it before anything else.
    pub should_retry: Option<bool>,
    /// For the operator, in our own words: holds nothing of what a provider sent.
    pub detail: Option<String>,
    /// The error behind it, for the log of the process. Its text holds no secret and nothing that a provider sent.
    pub cause: Option<Cause>,
    /// The provider's answer, for the request log only, cut after 16 KiB. Nobody knows whether it was a
    /// provider that sent it, so an API answer shows at most the error fields of its protocol.
    pub words: Option<Bytes>,
}

impl Code {
    /// The status a client sees, unless the provider's own is passed on.
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

    /// Whether the request would fare no better when it is simply sent again.
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

    /// The provider's status instead of the code's own.
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

    /// Copies the beginning of `sent`, so that a large body is not held for it. Secrets must be masked before.
    pub fn with_words(mut self, sent: &[u8]) -> Self {
        self.words = Some(Bytes::copy_from_slice(beginning(sent, WORDS_LIMIT)));
        self
    }

    /// Entry for the request log: the detail, then the beginning of the provider's words.
    pub fn log_entry(&self) -> Option<String> {
        match (&self.detail, &self.words) {
            (Some(detail), Some(words)) => Some(format!("{detail}: {}", excerpt(words))),
            (None, Some(words)) => Some(excerpt(words)),
            (detail, None) => detail.clone(),
        }
    }

    /// The detail is the text of `error`; the error itself stays with the failure, with its own sources.
    pub fn caused_by(mut self, error: impl Error + Send + Sync + 'static) -> Self {
        self.detail = Some(error.to_string());
        self.cause = Some(Cause(Arc::new(error)));
        self
    }

    /// The texts of the errors behind the detail, outermost first, for the log of the process.
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

    /// The store or a machine cannot be reached, for a reason that has no error of its own.
    pub fn relay_unavailable(reason: &str) -> Self {
        Self::relay_away().with_detail(reason)
    }

    /// The store or a machine cannot be reached.
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

/// The error behind a failure.
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

/// The beginning of a provider's words, for the operator.
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
