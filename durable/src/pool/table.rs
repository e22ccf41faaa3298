//! The pool as rows of a table. Numbers, counts and turns are derived from the accounts and leases.

use serde::{Deserialize, Serialize};

use super::{Account, Hold, Number, Pool};
use crate::CallId;
use crate::freshness::Freshness;
use crate::lease::Lease;
use crate::rows::{self, Row, RowMachine};
use crate::time::Present;

/// The parts of a pool that exist once.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    present: Present,
    freshness: Freshness,
    last_number: Number,
}

impl RowMachine for Pool {
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
            Row::Elsewhere(session) => self.elsewhere.binding(session).as_ref().and_then(rows::text),
            Row::Event(_) | Row::Ended(_) | Row::Kept(_) | Row::Waiter(_) => None,
        }
    }

    fn rows(&self) -> Vec<Row> {
        std::iter::once(Row::Head)
            .chain(self.accounts.keys().copied().map(Row::Account))
            .chain(self.errors.keys().copied().map(Row::Errors))
            .chain(self.leases.calls().map(Row::Lease))
            .chain(self.sessions.names().map(Row::Session))
            .chain(self.origins.names().map(Row::Origin))
            .chain(self.elsewhere.names().map(Row::Elsewhere))
            .collect()
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
                    // Rows from before bindings had owners have none. They end within the hour.
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
                Row::Elsewhere(session) => {
                    if let Some(binding) = rows::read(&text) {
                        pool.elsewhere.restore(session, binding);
                    }
                }
                Row::Errors(number) => {
                    if let Some(errors) = rows::read(&text) {
                        pool.errors.insert(number, errors);
                    }
                }
                Row::Event(_) | Row::Ended(_) | Row::Kept(_) | Row::Waiter(_) => {}
            }
        }
        pool.count();
        pool
    }

    fn put(&mut self, row: Row, text: Option<&str>, woken: &mut Vec<CallId>) {
        match row {
            Row::Head => {
                let head: Head = text.and_then(rows::read).unwrap_or_default();
                (self.present, self.freshness) = (head.present, head.freshness);
                self.last_number = self.last_number.max(head.last_number);
            }
            Row::Account(number) => self.put_account(number, text.and_then(rows::read), woken),
            Row::Errors(number) => match text.and_then(rows::read) {
                Some(errors) => _ = self.errors.insert(number, errors),
                None => _ = self.errors.remove(&number),
            },
            Row::Lease(call) => {
                self.unhold(call);
                if let Some(lease) = text.and_then(rows::read::<Lease<Hold>>) {
                    self.turn = self.turn.max(lease.what.turn);
                    self.hold(call, lease);
                }
            }
            Row::Session(session) => match text.and_then(rows::read) {
                Some(binding) => self.sessions.restore(session, binding),
                None => _ = self.sessions.drop(session),
            },
            Row::Origin(origin) => match text.and_then(rows::read) {
                Some(binding) => self.origins.restore(origin, binding),
                None => _ = self.origins.drop(origin),
            },
            Row::Elsewhere(session) => match text.and_then(rows::read) {
                Some(binding) => self.elsewhere.restore(session, binding),
                None => _ = self.elsewhere.drop(session),
            },
            Row::Event(_) | Row::Ended(_) | Row::Kept(_) | Row::Waiter(_) => {}
        }
    }
}

impl Pool {
    /// The number of held slots is counted from the leases, and the list of calls that wait for a refresh is not
    /// persisted.
    fn put_account(&mut self, number: Number, account: Option<Account>, woken: &mut Vec<CallId>) {
        let before = self.accounts.remove(&number);
        let held = before.as_ref().map(|before| before.held);
        let Some(mut account) = account else {
            if let Some(mut before) = before {
                woken.extend(before.renewals.wake());
                let id = &before.policy.id;
                if self.numbers.get(id) == Some(&number) {
                    self.numbers.remove(id);
                }
            }
            return;
        };
        account.held = held.unwrap_or_else(|| {
            let on_it = |what: &Hold| what.account == number && what.slot;
            let held = self.leases.iter().filter(|(_, lease)| on_it(&lease.what));
            u32::try_from(held.count()).unwrap_or(u32::MAX)
        });
        if let Some(before) = before {
            let same = before.policy == account.policy;
            woken.extend(account.renewals.follow(before.renewals, same));
        }
        self.restore(number, account);
    }

    fn restore(&mut self, number: Number, account: Account) {
        self.last_number = self.last_number.max(number);
        self.turn = self.turn.max(account.turn);
        self.numbers.insert(account.policy.id.clone(), number);
        self.accounts.insert(number, account);
    }

    /// Counts slots from the leases. Removes entries of accounts that do not exist, except for the objects they made:
    /// see `Pool::learn`.
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
