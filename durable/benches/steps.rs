//! CPU time of a pool's steps, without any I/O: `scripts/bench --machines`.
//!
//! A call takes two steps: it picks an account and reports the end. Both are measured in one process, and in a process
//! that shares the pool with another one: there the home is a table in memory, and only the holder's part counts.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints a table, and an impossible answer ends it"
)]

#[path = "../tests/model/shared/home.rs"]
mod home;

use std::time::{Duration, Instant};

use crs_durable::pool::{self, AccountPolicy, Pick, Pool, Report};
use crs_durable::shared::{NextAction, Shared};
use crs_durable::{CallId, Machine as _, Millis};

use home::Home;

const START: Millis = 1_800_000_000_000;
/// Measured calls.
const CALLS: u64 = 2_000;
/// The length of the home's log, as in the script.
const LOG: usize = 1_024;

fn main() {
    println!("microseconds of CPU per step of a pool: median and p99 of {CALLS} calls");
    println!(
        "{:>8} {:>8}  {:>16} {:>16} {:>16} {:>16} {:>12}",
        "accounts", "sessions", "pick", "report", "pick, shared", "report, shared", "first use"
    );
    for (accounts, sessions) in [
        (2, 0),
        (2, 50_000),
        (300, 0),
        (300, 1_000),
        (300, 50_000),
        (3_000, 50_000),
    ] {
        let size = Size { accounts, sessions };
        let [pick, report] = in_one_process(size);
        let ([shared_pick, shared_report], first) = in_two_processes(size);
        println!(
            "{accounts:>8} {sessions:>8}  {pick:>16} {report:>16} {shared_pick:>16} {shared_report:>16} {first:>9} ms"
        );
    }
}

#[derive(Clone, Copy)]
struct Size {
    accounts: usize,
    sessions: u64,
}

fn roster(size: Size) -> pool::Command {
    let account = |number: usize| AccountPolicy {
        id: format!("account-{number}"),
        max_concurrency: 1_000,
        credential_version: 1,
        ..AccountPolicy::default()
    };
    pool::Command::Learn {
        roster: (0..size.accounts).map(account).collect(),
    }
}

/// The pick of a call. Half of the measured calls continue a session.
fn pick(size: Size, number: u64) -> pool::Command {
    let mut pick = Pick::of(CallId(number.into()), 60_000);
    pick.learned_since = 1;
    pick.trace = true;
    pick.session = if number <= size.sessions {
        Some(number)
    } else if number.is_multiple_of(2) && size.sessions > 0 {
        Some(1 + number * 7_919 % size.sessions)
    } else {
        (size.sessions > 0).then_some(1_000_000 + number)
    };
    pool::Command::Pick(pick)
}

fn report(number: u64, account: String) -> pool::Command {
    let mut report = Report::of(CallId(number.into()), account, pool::Outcome::Finished);
    report.served = true;
    pool::Command::Report(report)
}

/// Median and p99 in microseconds.
fn figures(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6;
    format!("{:.1} / {:.1}", at(50), at(99))
}

fn in_one_process(size: Size) -> [String; 2] {
    let mut pool = Pool::default();
    pool.handle(START, roster(size));
    let mut times = [Vec::new(), Vec::new()];
    for number in 1..=size.sessions + CALLS {
        let now = START + number;
        let command = pick(size, number);
        let begin = Instant::now();
        let step = pool.handle(now, command);
        let picked = begin.elapsed();
        let pool::Reply::Picked { account, .. } = step.reply else {
            panic!("an account is free")
        };
        let command = report(number, account);
        let begin = Instant::now();
        pool.handle(now, command);
        if number > size.sessions {
            times[0].push(picked);
            times[1].push(begin.elapsed());
        }
    }
    times.map(|mut times| figures(&mut times))
}

/// One of the processes, with the CPU time of its step.
struct Process {
    pool: Shared<Pool>,
    spent: Duration,
}

impl Process {
    fn timed<T>(&mut self, work: impl FnOnce(&mut Shared<Pool>) -> T) -> T {
        let begin = Instant::now();
        let result = work(&mut self.pool);
        self.spent += begin.elapsed();
        result
    }

    /// Runs the command to its reply, with its time.
    fn run(&mut self, home: &mut Home, now: Millis, step: &mut u128, command: pool::Command) -> pool::Reply {
        self.spent = Duration::ZERO;
        self.timed(|pool| pool.submit(0, command));
        loop {
            *step += 1;
            let name = *step;
            let action = self.timed(|pool| pool.begin(now, name));
            let NextAction::Send(request) = action else {
                panic!("the home is available")
            };
            let answer = home.step(&request);
            let outcome = self.timed(|pool| pool.answered(now, answer));
            if let Some(answered) = outcome.answers.into_iter().next() {
                return answered.reply;
            }
        }
    }
}

/// The figures, and the milliseconds of a third process's first step.
fn in_two_processes(size: Size) -> ([String; 2], String) {
    let new = || Process {
        pool: Shared::default(),
        spent: Duration::ZERO,
    };
    let (mut home, mut step) = (Home::new(LOG), 0);
    let mut processes = [new(), new()];
    processes[0].run(&mut home, START, &mut step, roster(size));
    let mut times = [Vec::new(), Vec::new()];
    for number in 1..=size.sessions + CALLS {
        let now = START + number;
        // The sessions come from one process; the measured calls take turns, so that each step meets a change.
        let at = if number > size.sessions {
            number as usize % 2
        } else {
            0
        };
        let process = &mut processes[at];
        let reply = process.run(&mut home, now, &mut step, pick(size, number));
        let picked = process.spent;
        let pool::Reply::Picked { account, .. } = reply else {
            panic!("an account is free: {reply:?}")
        };
        process.run(&mut home, now, &mut step, report(number, account));
        // The second process reads everything at its first step.
        if number > size.sessions + 2 {
            times[0].push(picked);
            times[1].push(process.spent);
        }
    }
    let mut third = new();
    let now = START + size.sessions + CALLS + 1;
    third.run(&mut home, now, &mut step, pick(size, size.sessions + CALLS + 1));
    let first = format!("{:.1}", third.spent.as_secs_f64() * 1e3);
    (times.map(|mut times| figures(&mut times)), first)
}
