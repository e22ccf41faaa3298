//! The units billed by the host's platform.

/// A service that is billed by the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// A stable name for metrics.
    pub name: &'static str,
    /// Number of units used by this process or isolate since its start.
    pub units: u64,
    /// Monthly cost at the present rate, beyond a plan's included units, in millionths of a dollar.
    pub monthly_micro_usd: u64,
}

pub trait Billed: Send + Sync {
    fn services(&self) -> Vec<Service>;
}
