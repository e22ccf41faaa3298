//! Random histories: many calls, lost replies, clients that vanish, restarts, clocks that jump both
//! ways. After every step each machine is compared with a plain model of it (lists, no indices, no
//! laziness) and held to the crate's invariants.
//!
//! `PROPTEST_CASES` sets how many histories are tried; without it, 256 of each kind.

#[cfg(test)]
mod events;
#[cfg(test)]
mod freshness;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod world;
