//! The messages between a process and the home.

use std::fmt;

use crate::CallId;
use crate::rows::Row;

/// A state of the home: its number, and a unique name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 0: the home is empty.
    pub number: u64,
    pub name: u128,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.number == 0 {
            return Ok(());
        }
        write!(f, "{}:{:032x}", self.number, self.name)
    }
}

impl std::str::FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (number, name) = text.split_once(':').ok_or(())?;
        Ok(Self {
            number: number.parse().map_err(|_| ())?,
            name: u128::from_str_radix(name, 16).map_err(|_| ())?,
        })
    }
}

/// One atomic step at the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The copy's version. If the home has another one, it changes nothing.
    pub base: Version,
    /// The version after the step; `None`: only compares the versions.
    pub next: Option<Version>,
    /// For an empty home: the last versions from before it lost its rows.
    pub before: Vec<Version>,
    pub rows: Vec<(Row, Option<String>)>,
    /// Calls, of any process, that must ask again.
    pub wake: Vec<CallId>,
    /// Every process with waiting calls must look.
    pub news: bool,
    /// The home may drop these rows after a while without loss.
    pub over: bool,
}

/// The home's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It had that version, and has accepted the rows.
    Yes,
    /// It has a newer version.
    Changed {
        version: Version,
        /// The rows that changed since, with their current texts.
        rows: Vec<(Row, Option<String>)>,
        /// The versions since then.
        log: Vec<Version>,
    },
    /// It does not know that version (any more): its whole content.
    Whole {
        version: Version,
        rows: Vec<(Row, String)>,
        /// Its newest versions.
        log: Vec<Version>,
        /// Its versions from before it lost its rows.
        before: Vec<Version>,
    },
}
