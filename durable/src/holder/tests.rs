//! A holder in memory, with a clock moved by hand.

use std::sync::Arc;

use futures_channel::oneshot::Receiver;

use super::*;
use crate::gate::{Admit, Command, Gate, KeyPolicy, QueuePolicy, Reply, Service};
use crate::rows::{Row, RowMachine as _};

const T: Millis = 1_000_000;
const TTL: u64 = 60_000;

fn policy(slots: u32) -> Command {
    let policy = KeyPolicy {
        id: "k".into(),
        version: 1,
        active: true,
        concurrency_limit: slots,
        queue: QueuePolicy {
            size: 9,
            timeout_ms: 30_000,
        },
        ..KeyPolicy::default()
    };
    Command::Learn {
        policy: Some(Arc::new(policy)),
    }
}

fn ask(call: u128) -> Command {
    Command::Admit(Admit {
        call: CallId(call),
        service: Service::Claude,
        model: None,
        canonical: None,
        opus: false,
        client: None,
        slot: true,
        estimate: None,
        ttl_ms: TTL,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        or_services: Vec::new(),
        by_routes: false,
        granted: false,
    })
}

fn settle(call: u128) -> Command {
    Command::Settle {
        call: CallId(call),
        event: None,
        usage: None,
    }
}

impl Holder<Memory<Gate>> {
    fn say(&mut self, now: Millis, command: Command) -> Stepped<Reply, Command> {
        let Ok(stepped) = self.step(now, command);
        stepped
    }

    fn wait_of(&mut self, now: Millis, call: u128) -> Wait<Command> {
        self.say(now, ask(call)).wait.expect("it must wait")
    }
}

fn is_woken(woken: &mut Receiver<()>) -> bool {
    woken.try_recv().is_err()
}

fn holder() -> Holder<Memory<Gate>> {
    let mut holder = Holder::new(Memory::default());
    holder.say(T, policy(1));
    holder
}

#[test]
fn a_freed_slot_wakes_the_first_waiting_call() {
    let mut holder = holder();
    assert!(matches!(holder.say(T, ask(1)).reply, Reply::Granted { .. }));
    let mut first = holder.wait_of(T, 2);
    let _second = holder.wait_of(T, 3);
    assert_eq!(first.at_most, Duration::from_secs(30));
    assert!(!is_woken(&mut first.woken));
    holder.say(T + 1, settle(1));
    assert!(is_woken(&mut first.woken));
    assert!(matches!(
        holder.say(T + 1, first.again).reply,
        Reply::Granted { .. }
    ));
}

/// The first call's client leaves after its wake-up, so nobody asks for the slot: the other call must.
#[test]
fn a_call_that_waits_asks_when_an_offer_ends() {
    let mut holder = holder();
    holder.say(T, ask(1));
    let first = holder.wait_of(T, 2);
    let mut second = holder.wait_of(T, 3);
    drop(first);
    let freed = holder.say(T + 1, settle(1));
    let ends = freed.wake_at.expect("the offer ends");
    assert!(
        is_woken(&mut second.woken),
        "it asks now, for a timer that is soon enough"
    );
    let again = holder
        .say(T + 2, second.again)
        .wait
        .expect("the slot is another's");
    assert_eq!(again.at_most, Duration::from_millis(ends - (T + 2)));
    assert!(matches!(
        holder.say(ends, again.again).reply,
        Reply::Granted { .. }
    ));
}

#[test]
fn rows_of_calls_are_not_written() {
    let mut holder = holder();
    assert!(holder.home.take_unsaved().is_some(), "the record");
    holder.say(T, ask(1));
    let unsaved = holder.home.take_unsaved().map(|unsaved| unsaved.rows);
    let names: Vec<Row> = unsaved.into_iter().flatten().map(|(row, _)| row).collect();
    assert!(names.iter().all(|row| *row == Row::Head), "{names:?}");
    assert!(!holder.home.is_idle(), "a call runs");
    holder.say(T, settle(1));
    let all = holder.home.everything();
    assert_eq!(all.rows.len(), 1);
    assert!(holder.home.is_idle());
    let rows = all.rows.into_iter().filter_map(|(row, text)| Some((row, text?)));
    let read = Memory::of_rows(Gate::from_rows(rows));
    assert!(read.is_idle());
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let mut holder = holder();
    let first = holder.home.take_unsaved().expect("the record");
    assert_eq!(holder.home.take_unsaved(), None);
    holder.home.not_written(first);
    assert!(holder.home.take_unsaved().is_some());
    assert_eq!(holder.home.take_unsaved(), None);
}

#[test]
fn another_form_goes_when_the_rows_are_written() {
    let mut gate = Gate::default();
    gate.handle(T, policy(1));
    let mut home = Memory::of_other_form(gate);
    let unsaved = home.take_unsaved().expect("all of it");
    assert!(unsaved.anew);
    assert_eq!(unsaved.rows.len(), 1);
    home.not_written(unsaved);
    assert!(home.take_unsaved().expect("again").anew);
    assert_eq!(home.take_unsaved(), None);
}

#[test]
fn the_rows_go_with_their_key() {
    let mut holder = holder();
    holder.home.take_unsaved();
    holder.say(T + 60_000, Command::Learn { policy: None });
    let gone = Unsaved {
        anew: true,
        rows: Vec::new(),
    };
    assert!(!holder.home.is_idle());
    assert_eq!(holder.home.take_unsaved(), Some(gone));
    assert_eq!(holder.home.take_unsaved(), None);
    assert!(holder.home.is_idle());
    assert!(holder.home.ask(|gate| gate.rows().len() == 1));
}
