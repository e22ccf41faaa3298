//! Where a relay runs.

use std::fmt;

/// The places that one suite of tests is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The native host inside the test's process, with its store in memory.
    InProcess,
    /// The program with its embedded store, as it comes.
    Embedded,
    /// The program with a Redis of its own.
    Redis,
    /// Three processes of the program on one Redis; calls go to them in turn.
    Cluster,
    /// The Worker in Miniflare, with Redis behind a front that speaks like Upstash.
    Worker,
}

impl Host {
    pub const ALL: [Self; 5] = [
        Self::InProcess,
        Self::Embedded,
        Self::Redis,
        Self::Cluster,
        Self::Worker,
    ];

    /// As modules of tests are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in_process",
            Self::Embedded => "embedded",
            Self::Redis => "redis",
            Self::Cluster => "cluster",
            Self::Worker => "worker",
        }
    }

    /// What `/health` calls its store.
    pub fn store(self) -> &'static str {
        match self {
            Self::InProcess => "memory",
            Self::Embedded => "embedded",
            Self::Redis | Self::Cluster => "redis",
            Self::Worker => "upstash",
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
