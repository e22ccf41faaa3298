//! Machines that several processes share: the copies of [`Shared`] around one home.
//!
//! Without faults the replies are those of one machine that is given the same commands in the order in which the
//! home took them ([`serial`]). With faults (lost requests and replies, requests that arrive late, a home that is
//! away, forgets, or begins empty, processes that die) every granted call is held until it is settled, and what
//! was used is counted once ([`faults`]).

mod away;
mod faults;
mod home;
mod serial;
