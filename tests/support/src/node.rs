//! Node and the packages of `tests/worker/package.json`, where `scripts/node-tools` has put them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder: `bin/node` is the program, `node_modules` has the packages.
///
/// # Panics
/// If they are not there: a test that skips itself proves nothing.
pub fn tools(checkout: &Path) -> PathBuf {
    if let Some(tools) = std::env::var_os("CRS_NODE_TOOLS") {
        return tools.into();
    }
    let said = Command::new(checkout.join("scripts/node-tools"))
        .arg("--installed")
        .stdin(Stdio::null())
        .output()
        .expect("scripts/node-tools runs");
    let folder = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    assert!(
        said.status.success() && !folder.is_empty(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    folder.into()
}
