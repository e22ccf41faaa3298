//! A user who pastes what the console shows: blocks of settings files go into the home, blocks for a terminal into
//! bash, where `claude`, `codex` and `gemini` are the real clients with a prompt.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::cli::{Cli, Run, versions};
use crate::{node, sdk};

/// What `admin-spa/scripts/blocks.ts` prints of one client.
#[derive(Debug, Deserialize)]
pub struct Connection {
    pub id: String,
    /// What starts it in a terminal.
    pub command: Option<String>,
    /// What a tool's own form asks for.
    pub form: Option<Form>,
    /// Blocks whose variables are set for one terminal.
    pub session: Vec<Block>,
    /// Blocks whose variables last.
    pub lasting: Vec<Block>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    pub base_url: String,
    pub key: String,
    pub model: String,
}

#[derive(Debug, Deserialize)]
pub struct Block {
    /// Below `~/`.
    pub path: Option<String>,
    pub language: String,
    pub text: String,
}

/// The blocks of every client, as the console makes them.
///
/// # Panics
/// With what it said, when the script fails.
pub fn connections(checkout: &Path, address: &str, key: &str) -> Vec<Connection> {
    let said = Command::new(node::tools(checkout).join("bin/node"))
        .arg(checkout.join("admin-spa/scripts/blocks.ts"))
        .args([address, key])
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).expect("a list of clients")
}

/// A terminal of a user with all clients.
pub struct Terminal(Cli);

impl Terminal {
    pub async fn new(checkout: &Path, prompt: &str) -> Self {
        let newest = |client: &str| versions(client).remove(0);
        let program = |client: &str, path: &str| {
            sdk::installed(client, &newest(client), path)
                .display()
                .to_string()
        };
        let claude = program("claude-code", "claude");
        let codex = program("codex", "bin/codex");
        let gemini = program("gemini-cli", "bundle/gemini.js");
        let node = node::tools(checkout).join("bin/node");
        let cli = Cli::new("/bin/bash".into())
            .await
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .env("GEMINI_CLI_TRUST_WORKSPACE", "true")
            .command("claude", &format!("exec '{claude}' -p '{prompt}'"))
            .command(
                "codex",
                &format!(
                    "exec '{codex}' exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox --color never '{prompt}'"
                ),
            )
            .command(
                "gemini",
                &format!("exec '{}' '{gemini}' -m gemini-2.5-pro -p '{prompt}'", node.display()),
            );
        Self(cli)
    }

    /// Pastes the blocks in their order; what the last one for the terminal said. Shells read `~/.bashrc` before.
    ///
    /// # Panics
    /// If there is no block for the terminal, and no `command`.
    pub async fn paste(&self, blocks: &[Block], command: Option<&str>) -> Run {
        let mut last = None;
        for block in blocks {
            match &block.path {
                Some(path) => {
                    let below = path.strip_prefix("~/").expect("a path in the home");
                    self.0.settings(below, &block.text);
                }
                None => last = Some(block.text.as_str()),
            }
        }
        let text = last.or(command).expect("something for the terminal");
        let script = format!("[ ! -e ~/.bashrc ] || . ~/.bashrc\n{text}");
        self.0.run(&["-c", &script]).await
    }
}
