//! The built Worker, started by `tests/worker/launch.mjs`: its tools, its configuration, its bindings.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Process;
use super::front::Front;
use crate::node;

const USERNAME: &str = "admin-of-the-tests";
pub(super) const METRICS_TOKEN: &str = "t0ken-of-the-tests";
const PASSWORD: &str = "Marzipan, 3 words";

/// What a Worker must be given, where a native host would generate it; a ledger that waits only as long as a
/// test likes to; and accounts on this machine.
const GIVEN: [(&str, &str); 7] = [
    (
        "JWT_SECRET",
        "5b0f3c1e9a7d42868e4bd1f0c6a39275e81d7f40ab5c6239d0e7f1846c2b9a53",
    ),
    (
        "ENCRYPTION_KEY",
        "c47a19e05d8b4f6392be7310fd58a6c40e9f2b7186d3ca5f148e60b79d2a3f5c",
    ),
    ("ADMIN_USERNAME", USERNAME),
    ("ADMIN_PASSWORD", PASSWORD),
    ("LEDGER_FLUSH_INTERVAL", "50"),
    (super::PRIVATE, "true"),
    // No caller of a Worker is on its machine.
    ("METRICS_TOKEN", METRICS_TOKEN),
];

/// How the Worker is started, again and again on the same data.
pub(super) struct Launch {
    tools: PathBuf,
    script: PathBuf,
    build: PathBuf,
    data: PathBuf,
    twice: bool,
    bindings: Vec<(String, String)>,
}

impl Launch {
    /// # Panics
    /// If it was not built, or its tools are not there: a test that skips itself proves nothing.
    pub(super) fn new(checkout: &Path, env: Vec<(String, String)>, data: &Path, twice: bool) -> Self {
        let build = checkout.join("build");
        assert!(
            build.join("index.js").exists(),
            "there is no {}; run scripts/build-worker first",
            build.join("index.js").display()
        );
        let mut bindings: Vec<_> = GIVEN
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        for (name, value) in env {
            super::set(&mut bindings, &name, value);
        }
        Self {
            tools: node::tools(checkout),
            script: checkout.join("tests/worker/launch.mjs"),
            build,
            data: data.to_owned(),
            twice,
            bindings,
        }
    }

    pub(super) fn process(&self, mut env: Vec<(String, String)>, home: &Path, log: PathBuf) -> Process {
        // What Miniflare leaves there when it is killed goes with the home.
        env.push(("TMPDIR".into(), home.display().to_string()));
        env.push(("CRS_NODE_TOOLS".into(), self.tools.display().to_string()));
        Process::new(self.tools.join("bin/node"), env, home.into(), log)
            .args(&[
                &self.script.display().to_string(),
                &self.file().display().to_string(),
            ])
            .leading_a_group()
    }

    fn file(&self) -> PathBuf {
        self.data.join("worker.json")
    }

    /// Writes what the script is to read.
    pub(super) fn configure(&self, front: Option<&Front>) {
        let mut bindings: Map<String, Value> = front
            .map(Front::bindings)
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        bindings.extend(
            self.bindings
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into())),
        );
        let config = json!({
            "build": self.build,
            "persist": self.data.join("objects"),
            "announce": self.data.join("server.json"),
            "bindings": bindings,
            "twice": self.twice,
        });
        std::fs::write(self.file(), config.to_string()).expect("a file to write");
    }

    /// The admin's name and password.
    pub(super) fn login(&self) -> (String, String) {
        let of = |wanted: &str| {
            let binding = self.bindings.iter().find(|(name, _)| name == wanted);
            binding.expect("a binding of the login").1.clone()
        };
        (of("ADMIN_USERNAME"), of("ADMIN_PASSWORD"))
    }
}
