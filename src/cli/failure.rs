//! Why a command failed, and its exit code.

/// The exit code for wrong arguments and settings.
pub(super) const USAGE: u8 = 2;

/// Each contains one or more lines for people, without secrets.
#[derive(Debug)]
pub(super) enum Failure {
    /// Tried, and refused.
    Failed(String),
    /// An argument or a setting must be changed.
    Usage(String),
    /// No such record.
    Missing(String),
    /// The command ran, but its result is negative and already printed.
    Negative(String),
    /// Neither a server nor a store is available.
    Away(String),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Negative(_) => 1,
            Self::Usage(_) => USAGE,
            Self::Missing(_) => 3,
            Self::Away(_) => 4,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Failed(text)
            | Self::Negative(text)
            | Self::Usage(text)
            | Self::Missing(text)
            | Self::Away(text) => text,
        }
    }
}
