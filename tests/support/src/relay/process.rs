//! A process with a log file, started again at will, ended by its id, or by that of its group.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How much of a log is shown when something went wrong, in bytes.
const TAIL: usize = 8 * 1024;

/// A program, how to run it, and the process that runs it now.
pub struct Process {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    folder: PathBuf,
    log: PathBuf,
    /// It starts others, and they end with it.
    leads: bool,
    child: Option<Child>,
}

impl Process {
    /// Nothing runs yet. The environment is exactly `env`; standard output and error go to `log`.
    pub fn new(program: PathBuf, env: Vec<(String, String)>, folder: PathBuf, log: PathBuf) -> Self {
        Self {
            program,
            args: Vec::new(),
            env,
            folder,
            log,
            leads: false,
            child: None,
        }
    }

    /// For a program that starts others: it leads a group of processes, which is killed as a whole, and its
    /// standard input stays open for as long as this value is there.
    pub fn leading_a_group(mut self) -> Self {
        self.leads = true;
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|&arg| arg.to_owned()).collect();
        self
    }

    /// The same program in the same folder with the same environment, with other arguments and a log of its own.
    pub fn beside(&self, args: &[&str], log: PathBuf) -> Self {
        Self::new(self.program.clone(), self.env.clone(), self.folder.clone(), log).args(args)
    }

    /// The program with its environment, without its arguments.
    pub fn command(&self) -> Command {
        let program = self
            .program
            .canonicalize()
            .unwrap_or_else(|_| self.program.clone());
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.folder);
        command
    }

    /// Sets a variable for the next start.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.into()));
    }

    /// Starts it, and returns its id.
    pub fn start(&mut self) -> u32 {
        self.kill9();
        let log = || -> File {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.log)
                .expect("a log file to write")
        };
        let mut command = self.command();
        if self.leads {
            command.process_group(0);
        }
        let child = command
            .args(&self.args)
            .stdin(if self.leads { Stdio::piped() } else { Stdio::null() })
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}", self.program.display()));
        let id = child.id();
        self.child = Some(child);
        id
    }

    /// The id of the running process.
    ///
    /// # Panics
    /// If none was started.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("a running process").id()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child
            .as_mut()
            .and_then(|child| child.try_wait().expect("a child to ask after"))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With the end of its log, when it still runs after `limit`.
    pub async fn ends(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} still runs after {limit:?}:\n{}",
                self.program.display(),
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops it where it stands; [`Process::resume`] lets it go on.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.id()).ok();
        id.and_then(Pid::from_raw).expect("a process id")
    }

    /// Ends it at once, if it runs, with the group it leads.
    pub fn kill9(&mut self) {
        if self.leads && self.child.is_some() && self.exited().is_none() {
            // Only while it runs: afterwards the number may be another group's.
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Processor time it has used so far, its own and the kernel's on its behalf, in microseconds.
    pub fn cpu_micros(&self) -> u64 {
        cpu_micros(self.id())
    }

    /// Memory it holds, in KiB.
    pub fn rss_kib(&self) -> u64 {
        rss_kib(self.id())
    }

    /// Files and sockets it holds open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id()))
            .expect("a running process")
            .count()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let mut from = log.len().saturating_sub(TAIL);
        while !log.is_char_boundary(from) {
            from += 1;
        }
        log[from..].to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Processor time of a process and all its threads, ended ones too, in microseconds. The kernel gives it in
/// ticks of 10 ms: measure over many requests.
///
/// # Panics
/// If there is no such process.
pub fn cpu_micros(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a running process");
    // The second field is a name in brackets and may hold anything.
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    let ticks = |n: usize| fields[n].parse::<u64>().expect("ticks");
    (ticks(11) + ticks(12)) * 1_000_000 / rustix::param::clock_ticks_per_second()
}

/// Resident memory of a process, in KiB.
///
/// # Panics
/// If there is no such process.
pub fn rss_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a process with memory");
    line.split_whitespace()
        .nth(1)
        .expect("a figure")
        .parse()
        .expect("a number")
}
