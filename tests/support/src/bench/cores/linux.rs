//! Threads and processes stay on the cores of the thread that starts them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two sides; none if everything runs everywhere.
pub(in crate::bench) struct Cores(Option<(CpuSet, CpuSet)>);

impl Cores {
    pub(in crate::bench) fn all() -> Self {
        Self(None)
    }

    /// The last core for targets, the others for the load and the provider.
    pub(in crate::bench) fn apart() -> Self {
        let Ok(mut others) = sched_getaffinity(None) else {
            return Self(None);
        };
        let last = (0..CpuSet::MAX_CPU).rev().find(|&core| others.is_set(core));
        let Some(last) = last.filter(|_| others.count() > 1) else {
            return Self(None);
        };
        others.unset(last);
        let mut target = CpuSet::new();
        target.set(last);
        let cores = Self(Some((target, others)));
        cores.to_others();
        cores
    }

    /// What is started from here on is a target.
    pub(in crate::bench) fn to_target(&self) {
        if let Some((target, _)) = &self.0 {
            move_to(target);
        }
    }

    pub(in crate::bench) fn to_others(&self) {
        if let Some((_, others)) = &self.0 {
            move_to(others);
        }
    }
}

fn move_to(cores: &CpuSet) {
    // Where it is not allowed, everything runs everywhere.
    let _ = sched_setaffinity(None, cores);
}
