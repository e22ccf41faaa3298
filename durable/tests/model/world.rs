//! What both models need: time that jumps, and leases kept in a list.

use std::collections::BTreeMap;

use crs_durable::gate::{Admit, Service};
use crs_durable::holder::HeldMachine;
use crs_durable::rows::{Row, RowMachine};
use crs_durable::{CallId, Millis};
use proptest::prelude::*;

/// A reading at most this far behind the latest was overtaken by it; time stands still for it.
pub(crate) const JITTER_MS: u64 = 1_000;

pub(crate) const START: Millis = 1_800_000_000_000;
pub(crate) const MAX_TTL: u64 = 60_000;

/// A call that takes a slot and is not restricted in any way.
pub(crate) fn ask(call: CallId, ttl_ms: u64) -> Admit {
    Admit {
        call,
        service: Service::Claude,
        model: None,
        canonical: None,
        opus: false,
        client: None,
        slot: true,
        estimate: None,
        ttl_ms,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        or_services: Vec::new(),
        by_routes: false,
        granted: false,
    }
}

/// How the clock moves before a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Move {
    /// Time passes.
    Pass(u64),
    /// The clock is set forward; no time passes.
    Ahead(u64),
    /// The clock is set back; no time passes.
    Back(u64),
}

pub(crate) fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        12 => Just(Move::Pass(0)),
        8 => (1..2_000_u64).prop_map(Move::Pass),
        6 => (2_000..MAX_TTL * 2).prop_map(Move::Pass),
        1 => (MAX_TTL..8_000_000).prop_map(Move::Pass),
        1 => (1..1_000_000_000_u64).prop_map(Move::Ahead),
        2 => (1..=JITTER_MS).prop_map(Move::Back),
        1 => (1..MAX_TTL * 2).prop_map(Move::Back),
        1 => (1..1_000_000_000_u64).prop_map(Move::Back),
    ]
}

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// What the host reads.
    pub(crate) reading: Millis,
    /// Time that really passed.
    pub(crate) passed: u64,
    /// How far the clock was set back, all in all.
    pub(crate) back: u64,
    latest: Millis,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            reading: START,
            passed: 0,
            back: 0,
            latest: 0,
        }
    }

    pub(crate) fn moves(&mut self, step: Move) {
        match step {
            Move::Pass(by) => {
                self.passed += by;
                self.reading += by;
            }
            Move::Ahead(by) => self.reading += by,
            Move::Back(by) => {
                self.back += by;
                self.reading -= by;
            }
        }
    }

    /// What a machine takes for now, and whether it finds the clock set back.
    pub(crate) fn now(&mut self) -> (Millis, bool) {
        let behind = self.latest.saturating_sub(self.reading);
        if (1..=JITTER_MS).contains(&behind) {
            return (self.latest, false);
        }
        self.latest = self.reading;
        (self.reading, behind > 0)
    }
}

/// An end that a clock set back cannot push away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) until: Millis,
    pub(crate) span: u64,
}

impl End {
    pub(crate) fn after(now: Millis, span: u64) -> Self {
        Self {
            until: now + span,
            span,
        }
    }

    pub(crate) fn later(self, other: Self) -> Self {
        if other.until > self.until { other } else { self }
    }

    pub(crate) fn set_back(&mut self, now: Millis) {
        self.until = self.until.min(now + self.span);
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Lease<T> {
    pub(crate) call: CallId,
    pub(crate) since: Millis,
    pub(crate) end: End,
    pub(crate) what: T,
    /// `Clock::passed` and `Clock::back` when it was last extended.
    at: (u64, u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Leases<T>(pub(crate) Vec<Lease<T>>);

impl<T> Leases<T> {
    /// Gives the leases that have ended.
    pub(crate) fn begin(&mut self, now: Millis, set_back: bool) -> Vec<Lease<T>> {
        if set_back {
            for lease in &mut self.0 {
                lease.end.set_back(now);
                lease.since = lease.since.min(now);
            }
        }
        self.0.extract_if(.., |lease| lease.end.until <= now).collect()
    }

    pub(crate) fn get(&self, call: CallId) -> Option<&Lease<T>> {
        self.0.iter().find(|lease| lease.call == call)
    }

    pub(crate) fn put(&mut self, clock: &Clock, now: Millis, call: CallId, ttl_ms: u64, what: T) {
        self.put_unswept(clock, now, call, ttl_ms, what);
        self.0.retain(|lease| now < lease.end.until);
    }

    /// It may have ended already: the next step finds that out.
    pub(crate) fn put_unswept(&mut self, clock: &Clock, now: Millis, call: CallId, ttl_ms: u64, what: T) {
        assert!(self.get(call).is_none());
        let at = (clock.passed, clock.back);
        self.0.push(Lease {
            call,
            since: now,
            end: End::after(now, ttl_ms),
            what,
            at,
        });
    }

    pub(crate) fn renew(&mut self, clock: &Clock, now: Millis, call: CallId, ttl_ms: u64) -> bool {
        let Some(lease) = self.0.iter_mut().find(|lease| lease.call == call) else {
            return false;
        };
        let end = End::after(now, ttl_ms);
        if end.until > lease.end.until {
            (lease.end, lease.at) = (end, (clock.passed, clock.back));
        }
        true
    }

    pub(crate) fn free(&mut self, call: CallId) -> Option<Lease<T>> {
        let index = self.0.iter().position(|lease| lease.call == call)?;
        Some(self.0.remove(index))
    }

    /// Invariant 4: a lease outlives its TTL by no more than the clock was set back, and what time may
    /// have stood still.
    pub(crate) fn none_outlives_its_ttl(&self, clock: &Clock) {
        for lease in &self.0 {
            let (passed, back) = (clock.passed - lease.at.0, clock.back - lease.at.1);
            assert!(
                passed < lease.end.span + back + JITTER_MS,
                "a lease outlived its TTL by more than the jump"
            );
        }
    }
}

/// What a host keeps of a machine that is kept as rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(BTreeMap<Row, String>);

impl Table {
    /// Writes the rows a step touched. All others must be what they were.
    pub(crate) fn write<M: RowMachine>(&mut self, machine: &M, touched: &[Row]) {
        for row in touched {
            match machine.row(*row) {
                Some(text) => _ = self.0.insert(*row, text),
                None => _ = self.0.remove(row),
            }
        }
        for (row, text) in &self.0 {
            let now = machine.row(*row).expect("a row that is still there");
            assert_eq!(told(text), told(&now), "untold: {row}");
        }
    }

    /// What is left of it when the calls of all leases are over.
    pub(crate) fn of<M: RowMachine>(machine: &M, before: &Self) -> Self {
        let rows = before.0.keys();
        Self(rows.filter_map(|row| Some((*row, machine.row(*row)?))).collect())
    }

    /// The machine after the death of a process that writes no rows of calls.
    pub(crate) fn resumed<M: HeldMachine>(&self, now: &M) -> M {
        let lasting = self.0.iter().filter(|(row, _)| !row.is_of_call());
        Self(lasting.map(|(row, text)| (*row, text.clone())).collect())
            .read(now)
            .resumed()
    }

    /// The machine as a host finds it again, but for what is not kept at once: the latest reading of the
    /// clock, and a session's renewal by less than a minute.
    pub(crate) fn read<M: RowMachine>(&self, now: &M) -> M {
        let mut rows = self.0.clone();
        rows.extend(now.row(Row::Head).map(|head| (Row::Head, head)));
        let untold = |row: &&Row| matches!(row, Row::Session(_) | Row::Origin(_));
        rows.extend(
            self.0
                .keys()
                .filter(untold)
                .filter_map(|row| Some((*row, now.row(*row)?))),
        );
        // Whatever their order.
        M::from_rows(rows.into_iter().rev())
    }
}

/// A row without what changes with every reading of the clock and every renewal that need not be kept.
fn told(text: &str) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("present");
        fields.remove("held");
    }
    if value.is_array() {
        // A session: its account, and an end that may be behind.
        value[1] = serde_json::Value::Null;
    }
    value
}
