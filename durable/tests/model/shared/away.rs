//! Commands that only the home can answer.

use crs_durable::gate::{Command, Gate, KeyPolicy, Reply};
use crs_durable::shared::{NextAction, Outcome, Request, Shared};
use crs_durable::{CallId, Millis};

use super::home::Home;
use crate::world::{START, ask};

const TTL: u64 = 1_000;
const TICKET: u64 = 7;

struct Copy {
    gate: Shared<Gate>,
    names: u128,
}

impl Copy {
    fn new(names: u128) -> Self {
        let gate = Shared::default();
        Self { gate, names }
    }

    fn begin(&mut self, now: Millis) -> NextAction<Gate> {
        self.names += 1;
        self.gate.begin(now, self.names)
    }

    fn request(&mut self, now: Millis, command: Command) -> Request {
        self.gate.submit(TICKET, command);
        match self.begin(now) {
            NextAction::Send(request) => request,
            NextAction::Nothing | NextAction::Decided(_) => panic!("a request"),
        }
    }

    /// The reply to the command, by a home that answers.
    fn say(&mut self, home: &mut Home, now: Millis, command: Command) -> Reply {
        let mut request = self.request(now, command);
        loop {
            let mut outcome = self.gate.answered(now, home.step(&request));
            if let Some(answer) = outcome.answers.pop() {
                return answer.reply;
            }
            let NextAction::Send(next) = self.begin(now) else {
                panic!("a request");
            };
            request = next;
        }
    }
}

fn failed(outcome: &Outcome<Gate>) {
    assert_eq!(
        (outcome.answers.len(), outcome.failed.as_slice()),
        (0, [TICKET].as_slice())
    );
}

#[test]
fn a_copy_that_is_cut_off_gives_no_events_of_calls_that_it_takes_for_lost() {
    let mut home = Home::new(9);
    let (mut serving, mut cut_off) = (Copy::new(0), Copy::new(1_000));
    let policy = KeyPolicy {
        active: true,
        ..KeyPolicy::default()
    };
    let learn = Command::Learn {
        policy: Some(policy.into()),
    };
    serving.say(&mut home, START, learn);
    let mut admit = ask(CallId(1), TTL);
    admit.note = Some("note".into());
    serving.say(&mut home, START, Command::Admit(admit));
    cut_off.say(&mut home, START, Command::Snapshot);
    // The call renews its lease, but not in the sight of the other copy.
    let renew = Command::Renew {
        call: CallId(1),
        ttl_ms: 3_600_000,
        note: None,
    };
    serving.say(&mut home, START + TTL / 2, renew);

    // It is cut off while it asks, and the lease ends as far as it knows. Later the event is due there.
    let cut = START + 2 * TTL;
    cut_off.request(cut, Command::TakeBatch);
    failed(&cut_off.gate.unanswered(cut));
    let later = START + 600_000;
    cut_off.gate.submit(TICKET, Command::TakeBatch);
    let NextAction::Decided(outcome) = cut_off.begin(later) else {
        panic!("the copy decides");
    };
    failed(&outcome);

    // The home is there again, before it has what the copy decided meanwhile.
    let probe = cut_off.gate.probe().unwrap();
    cut_off.gate.answered(later, home.step(&probe));
    assert_eq!(
        cut_off.say(&mut home, later, Command::TakeBatch),
        Reply::Batch(None)
    );
    // In the end the call is lost indeed.
    let end = START + 2 * 3_600_000;
    assert_eq!(
        cut_off.say(&mut home, end, Command::TakeBatch),
        Reply::Batch(None)
    );
    let end = end + 3_600_000;
    let Reply::Batch(Some(batch)) = cut_off.say(&mut home, end, Command::TakeBatch) else {
        panic!("its event");
    };
    assert_eq!(batch.entries.len(), 1);
}
