//! What the host's platform bills for, where it bills.

/// One thing that is billed by the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Stable, for metrics.
    pub name: &'static str,
    /// Used by this process or isolate since it started.
    pub units: u64,
    /// What a month at that rate would cost beyond what a plan includes, in millionths of a dollar.
    pub monthly_micro_usd: u64,
}

pub trait Billed: Send + Sync {
    fn services(&self) -> Vec<Service>;
}
