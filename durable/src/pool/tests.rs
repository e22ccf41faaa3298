mod binding;
mod choice;
mod errors;
mod explain;
mod health;
mod kinds;
mod origin;
mod probe;
mod quota;
mod refresh;
mod roster;
mod shards;
mod sticky;
mod verdicts;

use super::*;
use crate::rows::ChangedRows;

const TTL: u64 = 60_000;
const T: Millis = 1_000_000_000;
const HOUR: u64 = 3_600_000;

fn account(id: &str) -> AccountPolicy {
    AccountPolicy {
        id: id.into(),
        credential_version: 1,
        revision: 1,
        ..AccountPolicy::default()
    }
}

fn pool(roster: impl IntoIterator<Item = AccountPolicy>) -> Pool {
    let mut pool = Pool::default();
    pool.learns(T, roster);
    pool
}

/// A pool of accounts `a`, `b`, ... all alike.
fn alike(count: u8) -> Pool {
    pool((0..count).map(|index| account(&char::from(b'a' + index).to_string())))
}

fn ask(call: u128) -> Pick {
    Pick {
        family: "opus".into(),
        learned_since: 1,
        ..Pick::of(CallId(call), TTL)
    }
}

fn with_session(call: u128, session: u64) -> Pick {
    Pick {
        session: Some(session),
        ..ask(call)
    }
}

fn only(call: u128, id: &str) -> Pick {
    Pick {
        only: Some(id.into()),
        ..ask(call)
    }
}

fn tried(call: u128, tried: &[&str]) -> Pick {
    Pick {
        tried: tried.iter().map(|id| (*id).to_owned()).collect(),
        ..ask(call)
    }
}

fn throttled(until: Millis) -> Outcome {
    Outcome::Throttled {
        until: Some(until),
        family: None,
        why: "limited".into(),
    }
}

fn guess() -> Outcome {
    Outcome::Throttled {
        until: None,
        family: None,
        why: "429".into(),
    }
}

fn unwell() -> Outcome {
    Outcome::Unwell {
        why: "529".into(),
        until: None,
    }
}

fn denied(until: Option<Millis>) -> Outcome {
    Outcome::Denied {
        why: "401".into(),
        until,
    }
}

/// What a `NobodyLeft` says.
#[derive(Debug, PartialEq)]
struct Nobody {
    skipped: Vec<(AccountId, Skip)>,
    earliest: Option<Millis>,
    busy: bool,
    bound: Option<BindingFailure>,
}

/// What is shown of a cooldown that nobody is proving over; guesses were met by the key without a name.
fn cooling(family: Option<&str>, until: Millis, kind: CooldownKind, why: &str) -> Cooldown {
    Cooldown {
        only: (kind != CooldownKind::Measured).then(String::new),
        family: family.map(str::to_owned),
        until,
        kind,
        why: why.into(),
        probe: None,
    }
}

impl Pool {
    fn say(&mut self, now: Millis, command: Command) -> Reply {
        self.handle(now, command).reply
    }

    fn learns(&mut self, now: Millis, roster: impl IntoIterator<Item = AccountPolicy>) -> ChangedRows {
        self.handle(
            now,
            Command::Learn {
                roster: roster.into_iter().collect(),
            },
        )
        .changes()
    }

    fn asks(&mut self, now: Millis, pick: Pick) -> Reply {
        self.say(now, Command::Pick(pick))
    }

    /// The account the call is given.
    fn given(&mut self, now: Millis, pick: Pick) -> String {
        match self.asks(now, pick) {
            Reply::Picked { account, .. } => account,
            other => panic!("nothing given: {other:?}"),
        }
    }

    fn given_sticky(&mut self, now: Millis, pick: Pick) -> (String, bool) {
        match self.asks(now, pick) {
            Reply::Picked { account, sticky, .. } => (account, sticky),
            other => panic!("nothing given: {other:?}"),
        }
    }

    fn given_past(&mut self, now: Millis, pick: Pick) -> (String, Vec<(AccountId, Skip)>) {
        let (account, trace) = self.explained(now, pick);
        (account, trace.skipped)
    }

    /// The account the call is given, and how that was come to.
    fn explained(&mut self, now: Millis, pick: Pick) -> (String, Trace) {
        let pick = Pick { trace: true, ..pick };
        match self.asks(now, pick) {
            Reply::Picked {
                account,
                trace: Some(trace),
                ..
            } => (account, *trace),
            other => panic!("nothing given: {other:?}"),
        }
    }

    fn nobody(&mut self, now: Millis, pick: Pick) -> Nobody {
        match self.asks(now, pick) {
            Reply::NobodyLeft {
                skipped,
                earliest,
                busy,
                bound,
                ..
            } => Nobody {
                skipped,
                earliest,
                busy,
                bound,
            },
            other => panic!("somebody left: {other:?}"),
        }
    }

    fn reports(&mut self, now: Millis, call: u128, account: &str, outcome: Outcome) -> ChangedRows {
        let served = outcome == Outcome::Finished;
        let report = Report::of(CallId(call), account.into(), outcome);
        self.tells(now, Report { served, ..report })
    }

    fn tells(&mut self, now: Millis, report: Report) -> ChangedRows {
        self.handle(now, Command::Report(report)).changes()
    }

    /// One call that is given the account and comes to that end.
    fn tries(&mut self, now: Millis, call: u128, account: &str, outcome: Outcome) {
        assert_eq!(self.given(now, only(call, account)), account);
        self.reports(now, call, account, outcome);
    }

    fn shows(&mut self, now: Millis, id: &str) -> AccountSnapshot {
        let Reply::Snapshot(snapshot) = self.say(now, Command::Snapshot) else {
            panic!("no snapshot")
        };
        snapshot
            .accounts
            .into_iter()
            .find(|account| account.policy.id == id)
            .unwrap()
    }

    fn sessions(&mut self, now: Millis) -> usize {
        let Reply::Snapshot(snapshot) = self.say(now, Command::Snapshot) else {
            panic!("no snapshot")
        };
        snapshot.sessions
    }

    /// Calls that hold a slot on the account.
    fn holders(&mut self, now: Millis, id: &str) -> Vec<u128> {
        self.shows(now, id)
            .leases
            .into_iter()
            .map(|lease| lease.call.0)
            .collect()
    }
}
