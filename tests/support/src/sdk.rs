//! The real SDKs, run offline: a Python of their own with nothing but the SDK in it. Installed by
//! `scripts/real-clients`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::within;

/// Longest run of a script.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where `scripts/real-clients` puts a program.
///
/// # Panics
/// If it is not there: a test that skips itself proves nothing.
pub(crate) fn installed(name: &str, version: &str, program: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let path = cache
        .expect("HOME is set")
        .join("crs-edge")
        .join(name)
        .join(version)
        .join(program);
    assert!(
        path.exists(),
        "there is no {}; run scripts/real-clients first",
        path.display()
    );
    path
}

/// Runs a script with the newest version of an SDK, and gives what it printed, line by line. It finds
/// `base` and `key` in variables of these names, in capitals, and reaches nothing but this machine.
///
/// # Panics
/// With what it said, when it fails or takes too long.
pub async fn run(package: &str, script: &str, base: &str, key: &str) -> Vec<String> {
    let list = crate::cli::listed();
    let lines = list.lines();
    let version = lines
        .filter_map(|line| line.strip_prefix(package)?.strip_prefix(' '))
        .map(str::trim)
        .next()
        .expect("the SDK is in real-clients.txt");
    let python = installed(package, version, "bin/python");
    let nowhere = "http://127.0.0.1:9";
    let child = Command::new(python)
        .args(["-I", "-c", script])
        .env_clear()
        .envs([
            ("BASE", base),
            ("KEY", key),
            ("LANG", "C.UTF-8"),
            ("HTTP_PROXY", nowhere),
            ("HTTPS_PROXY", nowhere),
            ("NO_PROXY", "127.0.0.1,localhost"),
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(PATIENCE, &format!("the end of a script with {package}"), child)
        .await
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.lines().map(str::to_owned).collect()
}
