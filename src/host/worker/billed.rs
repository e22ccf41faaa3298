//! Counts the units that the platform bills in this isolate, for `/metrics`.
//!
//! Durable Objects report with each answer what they wrote since the last one. Prices are as of November 2026, in
//! micro-USD per million units, ignoring a plan's monthly fee and included units.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::EdgeClock;
use crate::port::billed::{self, Service};
use crate::port::clock::Clock as _;
use crate::store::upstash::Commands;

const WORKER_REQUESTS: u64 = 300_000;
const OBJECT_REQUESTS: u64 = 150_000;
const OBJECT_ROWS: u64 = 1_000_000;
const STORE_COMMANDS: u64 = 2_000_000;

/// Minimum time for a meaningful rate, microseconds.
const SHORTEST: u64 = 60_000_000;

const MONTH: u64 = 30 * 86_400 * 1_000_000;

#[derive(Default)]
pub(super) struct Billed {
    clock: EdgeClock,
    requests: AtomicU64,
    object_calls: AtomicU64,
    rows: AtomicU64,
    /// Commands that Durable Objects sent on their own connections.
    commands: AtomicU64,
    own_commands: OnceLock<Commands>,
}

impl Billed {
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn object_call(&self) {
        self.object_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn by_object(&self, rows: u64, commands: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
    }

    pub(super) fn count_commands_of(&self, commands: Commands) {
        let _ = self.own_commands.set(commands);
    }
}

impl billed::Billed for Billed {
    fn services(&self) -> Vec<Service> {
        let commands = self.own_commands.get().map_or(0, Commands::count);
        let elapsed = self.clock.ticks().max(SHORTEST);
        let service = |name, units: u64, price: u64| Service {
            name,
            units,
            monthly_micro_usd: (u128::from(units) * u128::from(price) * u128::from(MONTH)
                / u128::from(elapsed)
                / 1_000_000) as u64,
        };
        vec![
            service(
                "worker_requests",
                self.requests.load(Ordering::Relaxed),
                WORKER_REQUESTS,
            ),
            service(
                "object_requests",
                self.object_calls.load(Ordering::Relaxed),
                OBJECT_REQUESTS,
            ),
            service(
                "object_rows_written",
                self.rows.load(Ordering::Relaxed),
                OBJECT_ROWS,
            ),
            service(
                "store_commands",
                commands + self.commands.load(Ordering::Relaxed),
                STORE_COMMANDS,
            ),
        ]
    }
}
