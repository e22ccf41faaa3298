//! Returns the memory of large bodies to the system after use.
//!
//! glibc maps large blocks separately and unmaps them when they are freed, but each freed one raises the size
//! threshold for that, up to 32 MiB. From then on bodies come from heaps that never shrink: after sixty-four calls of
//! 20 MB a relay held 220 MB, and holds 40 MB with a fixed threshold. The threshold can only be fixed in the
//! environment of a process, or by unsafe code, so the program restarts itself with it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::config::Vars;

/// Blocks of this size are mapped separately, and this much free memory is kept at the end of a heap.
const FIXED: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "524288"),
    ("MALLOC_TRIM_THRESHOLD_", "524288"),
];

/// Variables by which an operator overrides this.
const OTHERS: [&str; 3] = ["GLIBC_TUNABLES", "MALLOC_TOP_PAD_", "LD_PRELOAD"];

/// Restarts this program, in this process, with the allocator's sizes fixed. Returns if they are fixed already, if
/// the operator has configured the allocator, or if it fails: then the relay only holds more memory.
pub fn fix_sizes(environment: &dyn Vars, arguments: impl Iterator<Item = OsString>) {
    if is_set(environment) {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = arguments;
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let _ = command.args(arguments).envs(FIXED).exec();
}

fn is_set(environment: &dyn Vars) -> bool {
    let names = FIXED.iter().map(|(name, _)| *name).chain(OTHERS);
    names.into_iter().any(|name| environment.get(name).is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_is_done_once_and_not_against_the_operator() {
        let with = |names: &[&str]| -> HashMap<String, String> {
            names
                .iter()
                .map(|name| ((*name).to_owned(), "1".to_owned()))
                .collect()
        };
        assert!(!is_set(&with(&["PORT"])));
        for name in [
            "MALLOC_MMAP_THRESHOLD_",
            "MALLOC_TRIM_THRESHOLD_",
            "GLIBC_TUNABLES",
        ] {
            assert!(is_set(&with(&[name])), "{name}");
        }
    }
}
