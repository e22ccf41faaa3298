//! Everything a request may touch: a plain struct of ports and what is built on them.

use std::sync::Arc;

use crate::config::Config;
use crate::port::clock::Clock;
use crate::port::gates::Gates;
use crate::port::random::Random;
use crate::port::store::Store;
use crate::port::tasks::Tasks;
use crate::port::upstream::Upstream;

/// Cheap to clone; one per process or isolate.
pub type App = Arc<Parts>;

/// What a host supplies.
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub upstream: Arc<dyn Upstream>,
    pub gates: Arc<dyn Gates>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Arc<dyn Tasks>,
    pub random: Arc<dyn Random>,
}

pub struct Parts {
    pub config: Config,
    pub ports: Ports,
}
