//! The real Claude Code, run offline: a home of its own, a project folder of its own, one base URL, and
//! nothing else in reach. Installed by `scripts/real-clients`.
//!
//! ```no_run
//! # async fn example(relay: crs_support::relay::Relay, key: String) {
//! use crs_support::claude_code::{ClaudeCode, versions};
//!
//! for version in versions() {
//!     let claude = ClaudeCode::new(&version, &relay.api(), &key).await;
//!     let run = claude.print("hi").await.good();
//!     assert!(run.text().contains("world"));
//! }
//! # }
//! ```

use std::ops::Deref;
use std::path::PathBuf;

use crate::cli::Cli;
pub use crate::cli::Run;

/// The versions the tests run, the newest first.
pub fn versions() -> Vec<String> {
    crate::cli::versions("claude-code")
}

/// Where `scripts/real-clients` puts a version.
fn program(version: &str) -> PathBuf {
    crate::sdk::installed("claude-code", version, "claude")
}

/// One installation of the client, used by one user in one project.
pub struct ClaudeCode {
    cli: Cli,
    args: Vec<String>,
}

impl Deref for ClaudeCode {
    type Target = Cli;

    fn deref(&self) -> &Cli {
        &self.cli
    }
}

impl ClaudeCode {
    /// `base_url` and `token` are what a user puts into `ANTHROPIC_BASE_URL` and `ANTHROPIC_AUTH_TOKEN`.
    pub async fn new(version: &str, base_url: &str, token: &str) -> Self {
        let mut cli = Cli::new(program(version)).await;
        for (name, value) in [
            ("ANTHROPIC_BASE_URL", base_url),
            ("ANTHROPIC_AUTH_TOKEN", token),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
        ] {
            cli = cli.env(name, value);
        }
        Self {
            cli,
            args: Vec::new(),
        }
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.cli = self.cli.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.cli = self.cli.without_env(name);
        self
    }

    /// Passes these arguments to every run.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    pub fn model(self, model: &str) -> Self {
        self.args(&["--model", model])
    }

    /// Lets it use these tools without asking, such as `Read` or `Bash(cat:*)`.
    pub fn allowed_tools(self, tools: &[&str]) -> Self {
        self.args(&["--allowedTools", &tools.join(",")])
    }

    /// Ends each run after this time.
    pub fn limit(mut self, limit: std::time::Duration) -> Self {
        self.cli = self.cli.limit(limit);
        self
    }

    /// `claude -p PROMPT`.
    pub async fn print(&self, prompt: &str) -> Run {
        self.run(&["-p", prompt]).await
    }

    /// `claude -p PROMPT --output-format stream-json`, one event a line.
    pub async fn stream_json(&self, prompt: &str) -> Run {
        let options = [
            "--output-format",
            "stream-json",
            "--verbose",
            "--include-partial-messages",
        ];
        self.run(&[&["-p", prompt][..], &options].concat()).await
    }

    /// Goes on with the last conversation of this project.
    pub async fn go_on(&self, prompt: &str) -> Run {
        self.run(&["--continue", "-p", prompt]).await
    }

    /// Runs it with these arguments, to its end or until its time is up.
    pub async fn run(&self, args: &[&str]) -> Run {
        let all: Vec<&str> = args
            .iter()
            .copied()
            .chain(self.args.iter().map(String::as_str))
            .collect();
        self.cli.run(&all).await
    }
}
