//! A failure of the connection, and what it means for callers.

use redis::{ErrorKind, RedisError};

use super::KIND;
use crate::port::store::StoreError;

#[derive(Clone)]
pub(super) struct Trouble {
    /// The server answered with a refusal.
    refused: bool,
    reason: String,
}

impl Trouble {
    /// A later attempt may succeed.
    pub(super) fn passing(reason: String) -> Trouble {
        Trouble {
            refused: false,
            reason,
        }
    }

    /// Something is set wrong.
    pub(super) fn lasting(reason: String) -> Trouble {
        Trouble {
            refused: true,
            reason,
        }
    }

    pub(super) fn from(error: &RedisError) -> Trouble {
        let refused = matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::Extension
        ) || matches!(
            error.kind(),
            ErrorKind::Server(redis::ServerErrorKind::ResponseError)
        );
        Trouble {
            refused,
            reason: error.to_string(),
        }
    }

    /// Says which server it is about.
    pub(super) fn at(mut self, server: &str) -> Trouble {
        self.reason = format!("{server}: {}", self.reason);
        self
    }

    pub(super) fn error(&self) -> StoreError {
        let reason = self.reason.clone();
        if self.refused {
            StoreError::Failed { kind: KIND, reason }
        } else {
            StoreError::Away { kind: KIND, reason }
        }
    }
}
