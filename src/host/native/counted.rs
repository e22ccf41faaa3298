//! Counts allocations for the benchmark. A build with the feature `count-allocations` exports them in `/metrics`, in
//! the place of the units that the edge platform bills.

use std::alloc::System;
use std::sync::Arc;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::port::billed::{Billed, Service};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Counted;

/// The units of this host.
#[allow(clippy::unnecessary_wraps, reason = "programs that do not count have none")]
pub(super) fn units() -> Option<Arc<dyn Billed>> {
    Some(Arc::new(Counted))
}

impl Billed for Counted {
    fn services(&self) -> Vec<Service> {
        let counted = COUNTED.stats();
        let allocations = counted.allocations + counted.reallocations;
        [
            ("allocations", allocations),
            ("allocated_bytes", counted.bytes_allocated),
        ]
        .map(|(name, units)| Service {
            name,
            units: units as u64,
            monthly_micro_usd: 0,
        })
        .into()
    }
}
