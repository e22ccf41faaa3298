//! Why a command did not do what it was asked, and the exit code that says so.

/// The exit code for wrong arguments and settings.
pub(super) const USAGE: u8 = 2;

/// Each holds one line, or several, for people. No secret.
#[derive(Debug)]
pub(super) enum Failure {
    /// Tried, and refused.
    Failed(String),
    /// An argument or a setting has to be changed.
    Usage(String),
    /// No such record.
    Missing(String),
    /// Done, and what was found is bad; the result is printed already.
    Told(String),
    /// Neither server nor store.
    Away(String),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Told(_) => 1,
            Self::Usage(_) => USAGE,
            Self::Missing(_) => 3,
            Self::Away(_) => 4,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Failed(text)
            | Self::Told(text)
            | Self::Usage(text)
            | Self::Missing(text)
            | Self::Away(text) => text,
        }
    }
}
