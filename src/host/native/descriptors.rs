//! The number of files and sockets that the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any relay needs, and the most that Linux allows by default (`fs.nr_open`).
const ENOUGH: u64 = 1 << 20;

/// Raises the soft limit as far as the hard one allows, and returns the result. The soft limit is low by default
/// (1,024) for the sake of programs that use `select`.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(ENOUGH);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if wanted <= current {
        return current;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, limit = current, "the limit on open files cannot be raised");
            current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_as_high_as_it_may_be() {
        let raised = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(ENOUGH), raised);
        assert!(raised >= limit.maximum.unwrap_or(ENOUGH).min(ENOUGH));
        assert_eq!(raise(), raised);
    }
}
