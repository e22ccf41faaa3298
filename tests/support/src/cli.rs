//! A real command-line client, run offline: a home of its own, a project folder of its own, and nothing but
//! this machine in reach.
//!
//! Every way out but loopback leads to a proxy that refuses and counts ([`Cli::outside`]), and each run is
//! ended, with all it started, when its time is up.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::proxy::{FakeProxy, Manner};

/// Longest run; clients give up on a dead provider much later by themselves.
const PATIENCE: Duration = Duration::from_mins(2);

/// The clients that the tests run and their versions: those of this repository, or of the list that
/// `scripts/real-clients --newest` has made.
///
/// # Panics
/// If there is no such list.
pub(crate) fn listed() -> String {
    match std::env::var("CRS_REAL_CLIENTS") {
        Ok(list) => std::fs::read_to_string(&list).unwrap_or_else(|error| panic!("{list}: {error}")),
        Err(_) => include_str!("../real-clients.txt").to_owned(),
    }
}

/// The versions of a client that the tests run, the newest first.
pub(crate) fn versions(client: &str) -> Vec<String> {
    let list = listed();
    list.lines()
        .filter_map(|line| line.strip_prefix(client)?.strip_prefix(' '))
        .map(|v| v.trim().to_owned())
        .collect()
}

/// One installation of a client, used by one user in one project.
pub struct Cli {
    program: PathBuf,
    home: TempDir,
    project: TempDir,
    env: Vec<(String, String)>,
    limit: Duration,
    outside: FakeProxy,
}

impl Cli {
    pub(crate) async fn new(program: PathBuf) -> Self {
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
            ("HTTPS_PROXY", &outside.url()),
            ("HTTP_PROXY", &outside.url()),
            ("NO_PROXY", "127.0.0.1,localhost"),
        ];
        let env = env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        Self {
            program,
            home,
            project: TempDir::new().expect("a project"),
            env,
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

    /// Puts a file of settings into the home, under this path.
    pub(crate) fn settings(&self, path: &str, content: &str) {
        let path = self.home().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder to make");
        std::fs::write(&path, content).expect("a file to write");
    }

    /// Puts a program of this name before all others: `/bin/sh` runs `script`.
    pub(crate) fn command(mut self, name: &str, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = self.home().join("bin");
        std::fs::create_dir_all(&folder).expect("a folder to make");
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a program to write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode to set");
        let before = std::env::var("PATH").unwrap_or_default();
        self = self.env("PATH", &format!("{}:{before}", folder.display()));
        self
    }

    /// `host:port` of everything it wanted to reach beyond this machine.
    pub fn outside(&self) -> Vec<String> {
        self.outside.targets()
    }

    /// Runs it with these arguments, to its end or until its time is up.
    pub async fn run(&self, args: &[&str]) -> Run {
        let start = Instant::now();
        let mut command = Command::new(&self.program);
        command
            .args(args)
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
