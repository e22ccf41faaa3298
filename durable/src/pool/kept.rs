//! The pool as rows of a table. Numbers, counts and turns are worked out from the accounts and leases.

use serde::{Deserialize, Serialize};

use super::{Account, Number, Pool};
use crate::freshness::Freshness;
use crate::rows::{self, Kept, Row};
use crate::time::Present;

/// What a pool has one of.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    present: Present,
    freshness: Freshness,
    last_number: Number,
}

impl Kept for Pool {
    fn row(&self, row: Row) -> Option<String> {
        match row {
            Row::Head => rows::text(&Head {
                present: self.present.clone(),
                freshness: self.freshness.clone(),
                last_number: self.last_number,
            }),
            Row::Lease(call) => self.leases.get(call).and_then(rows::text),
            Row::Account(number) => self.accounts.get(&number).and_then(rows::text),
            Row::Errors(number) => self.errors.get(&number).and_then(rows::text),
            Row::Session(session) => self.sessions.binding(session).as_ref().and_then(rows::text),
            Row::Origin(origin) => self.origins.binding(origin).as_ref().and_then(rows::text),
            Row::Event(_) | Row::Ended(_) | Row::Waiter(_) => None,
        }
    }

    fn from_rows(all: impl IntoIterator<Item = (Row, String)>) -> Self {
        let mut pool = Self::default();
        for (row, text) in all {
            match row {
                Row::Head => {
                    let head: Head = rows::read(&text).unwrap_or_default();
                    (pool.present, pool.freshness) = (head.present, head.freshness);
                    pool.last_number = pool.last_number.max(head.last_number);
                }
                Row::Account(number) => {
                    if let Some(account) = rows::read::<Account>(&text) {
                        pool.restore(number, account);
                    }
                }
                Row::Lease(call) => {
                    if let Some(lease) = rows::read(&text) {
                        pool.leases.put(call, lease);
                    }
                }
                Row::Session(session) => {
                    // Before bindings had owners there was none in the row. It ends within the hour.
                    let unowned = || rows::read(&text).map(|(account, until)| (account, until, 0));
                    if let Some(binding) = rows::read(&text).or_else(unowned) {
                        pool.sessions.restore(session, binding);
                    }
                }
                Row::Origin(origin) => {
                    if let Some(binding) = rows::read(&text) {
                        pool.origins.restore(origin, binding);
                    }
                }
                Row::Errors(number) => {
                    if let Some(errors) = rows::read(&text) {
                        pool.errors.insert(number, errors);
                    }
                }
                Row::Event(_) | Row::Ended(_) | Row::Waiter(_) => {}
            }
        }
        pool.count();
        pool
    }
}

impl Pool {
    fn restore(&mut self, number: Number, account: Account) {
        self.last_number = self.last_number.max(number);
        self.turn = self.turn.max(account.turn);
        self.numbers.insert(account.policy.id.clone(), number);
        self.accounts.insert(number, account);
    }

    /// What is held, from the leases that are there. What belongs to an account that is not there goes, but for
    /// what it made: see `Pool::learn`.
    fn count(&mut self) {
        for account in self.accounts.values_mut() {
            account.held = 0;
        }
        let accounts = &self.accounts;
        self.errors.retain(|number, _| accounts.contains_key(number));
        self.leases
            .take_where(|lease| !accounts.contains_key(&lease.what.account));
        self.sessions
            .drop_accounts(|number| !accounts.contains_key(&number));
        for (call, lease) in self.leases.iter() {
            if lease.what.session.is_some() {
                self.serving.insert(super::served_by(call, &lease.what));
            }
            self.turn = self.turn.max(lease.what.turn);
            if let Some(account) = self.accounts.get_mut(&lease.what.account) {
                account.held = account.held.saturating_add(u32::from(lease.what.slot));
            }
        }
    }
}
