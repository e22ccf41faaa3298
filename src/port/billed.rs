//! The units that the host's platform bills, where it bills.

/// One thing that is billed by the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Stable, for metrics.
    pub name: &'static str,
    /// Used by this process or isolate since it started.
    pub units: u64,
    /// The cost of a month at that rate beyond what a plan includes, in millionths of a dollar.
    pub monthly_micro_usd: u64,
}

pub trait Billed: Send + Sync {
    fn services(&self) -> Vec<Service>;
}
