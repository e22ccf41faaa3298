//! Limits how often strangers may ask for statistics. Kept in memory per process or isolate: it protects the
//! store and the gates, and an answer is cheap.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::port::clock::Millis;

/// Maximum number of remembered sources. The least recently used half is forgotten.
const MOST: usize = 8_192;

/// The caller, or the key that is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An IPv4 address, or the first 64 bits of an IPv6 address, as used by one household or machine. `None` if
    /// unknown.
    Address(Option<u64>),
    /// A key, by its hash.
    Key(String),
}

impl Source {
    pub fn address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        }))
    }

    /// The burst size, and the interval for one more call in milliseconds.
    fn rule(&self) -> (u64, u64) {
        match self {
            Self::Address(_) => (60, 1_000),
            Self::Key(_) => (30, 2_000),
        }
    }
}

#[derive(Default)]
pub struct Brake(Mutex<Generations>);

/// The time at which each source has its full burst again.
#[derive(Default)]
struct Generations {
    young: HashMap<Source, Millis>,
    old: HashMap<Source, Millis>,
}

impl Brake {
    /// Takes `weight` calls from the source's budget. Fails with the milliseconds until they are available.
    pub fn take(&self, source: Source, weight: u64, now: Millis) -> Result<(), Millis> {
        let (burst, every) = source.rule();
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sources
            .old
            .remove(&source)
            .or_else(|| sources.young.get(&source).copied());
        // If the clock jumped back, nobody must wait longer than the rule says.
        let free_at = known.unwrap_or(now).clamp(now, now + burst * every);
        let taken = free_at + weight.min(burst) * every;
        let wait = taken.saturating_sub(now + burst * every);
        let kept = if wait == 0 { taken } else { free_at };
        sources.young.insert(source, kept);
        if sources.young.len() >= MOST / 2 {
            sources.old = std::mem::take(&mut sources.young);
        }
        if wait == 0 { Ok(()) } else { Err(wait) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000_000;

    fn address(text: &str) -> Source {
        Source::address(Some(text.parse().unwrap()))
    }

    #[test]
    fn a_source_has_its_calls_and_then_one_after_the_other() {
        let brake = Brake::default();
        let take = |text: &str, now| brake.take(address(text), 1, now);
        for _ in 0..60 {
            assert_eq!(take("1.2.3.4", NOW), Ok(()));
        }
        assert_eq!(take("1.2.3.4", NOW), Err(1_000));
        assert_eq!(take("::ffff:1.2.3.4", NOW + 400), Err(600));
        assert_eq!(take("1.2.3.5", NOW), Ok(()));
        assert_eq!(take("1.2.3.4", NOW + 1_000), Ok(()));
        assert_eq!(take("1.2.3.4", NOW + 1_000), Err(1_000));
        // Refused calls are not counted, and a clock that jumps back shuts nobody out for long.
        assert_eq!(take("1.2.3.4", 0), Err(1_000));
        assert_eq!(take("1.2.3.4", NOW + 60_000 + 1_000), Ok(()));
        // One network of IPv6 is one source.
        for host in 0..60 {
            assert_eq!(take(&format!("2001:db8::{host}"), NOW), Ok(()));
        }
        assert!(take("2001:db8::ffff", NOW).is_err());
        assert_eq!(take("2001:db8:0:1::1", NOW), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_who_asks_often_is_remembered() {
        let brake = Brake::default();
        for _ in 0..60 {
            brake.take(address("9.9.9.9"), 1, NOW).unwrap();
        }
        for number in 0..100_000_u32 {
            brake
                .take(Source::Address(Some(u64::from(number))), 1, NOW)
                .unwrap();
            if number % 1_000 == 0 {
                assert!(brake.take(address("9.9.9.9"), 1, NOW).is_err());
            }
        }
        let held = brake.0.lock().unwrap();
        assert!(held.young.len() + held.old.len() <= MOST);
    }
}
