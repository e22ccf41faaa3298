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
//!
//! Every way out but loopback leads to a proxy that refuses and counts ([`ClaudeCode::outside`]), and each
//! run is ended, with all it started, when its time is up.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::proxy::{FakeProxy, Manner};

/// Longest run; the client gives up on a dead provider much later by itself.
const PATIENCE: Duration = Duration::from_mins(2);

/// The versions the tests run, the newest first.
pub fn versions() -> Vec<String> {
    let lines = include_str!("../real-clients.txt").lines();
    lines
        .filter_map(|line| line.strip_prefix("claude-code "))
        .map(|v| v.trim().to_owned())
        .collect()
}

/// Where `scripts/real-clients` puts a version.
fn program(version: &str) -> PathBuf {
    crate::sdk::installed("claude-code", version, "claude")
}

/// One installation of the client, used by one user in one project.
pub struct ClaudeCode {
    program: PathBuf,
    home: TempDir,
    project: TempDir,
    env: Vec<(String, String)>,
    args: Vec<String>,
    limit: Duration,
    outside: FakeProxy,
}

impl ClaudeCode {
    /// `base_url` and `token` are what a user puts into `ANTHROPIC_BASE_URL` and `ANTHROPIC_AUTH_TOKEN`.
    pub async fn new(version: &str, base_url: &str, token: &str) -> Self {
        let outside = FakeProxy::http().await;
        outside.behaves(Manner::Refuses);
        let home = TempDir::new().expect("a home");
        let path = std::env::var("PATH").unwrap_or_default();
        let env = [
            ("PATH", path.as_str()),
            ("HOME", &home.path().display().to_string()),
            ("TERM", "dumb"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("ANTHROPIC_BASE_URL", base_url),
            ("ANTHROPIC_AUTH_TOKEN", token),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("HTTPS_PROXY", &outside.url()),
            ("HTTP_PROXY", &outside.url()),
            ("NO_PROXY", "127.0.0.1,localhost"),
        ];
        let env = env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        Self {
            program: program(version),
            home,
            project: TempDir::new().expect("a project"),
            env,
            args: Vec::new(),
            limit: PATIENCE,
            outside,
        }
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.env.retain(|(n, _)| n != name);
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
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The folder it works in.
    pub fn project(&self) -> &Path {
        self.project.path()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Puts a file into the project and returns its whole path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.project().canonicalize().expect("the project").join(name);
        std::fs::write(&path, content).expect("a file to write");
        path.display().to_string()
    }

    /// `host:port` of everything it wanted to reach beyond this machine.
    pub fn outside(&self) -> Vec<String> {
        self.outside.targets()
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
        let start = Instant::now();
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.project())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program.display()));
        let _group = Group::of(child.id());
        let (mut out, mut err) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let end = tokio::time::timeout(self.limit, async {
            let (_, _, status) = tokio::join!(
                out.read_to_end(&mut stdout),
                err.read_to_end(&mut stderr),
                child.wait()
            );
            status.expect("a child to wait for")
        })
        .await;
        Run {
            code: end.as_ref().ok().and_then(std::process::ExitStatus::code),
            timed_out: end.is_err(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took: start.elapsed(),
        }
    }
}

/// A process group, killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        Self(
            leader
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        )
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails if all of it has ended: then there is nothing to do.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What a run said and how it ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// `None` if it was killed.
    pub code: Option<i32>,
    pub timed_out: bool,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Run {
    /// Checks that it ended well.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// What it printed, without the line break at the end.
    pub fn text(&self) -> &str {
        self.stdout.trim_end()
    }

    /// The lines of `stream-json`.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let lines = self.stdout.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The event that ends `stream-json`.
    #[track_caller]
    pub fn result(&self) -> Value {
        let result = self.events().into_iter().find(|event| event["type"] == "result");
        result.unwrap_or_else(|| panic!("no result: {self:#?}"))
    }
}
