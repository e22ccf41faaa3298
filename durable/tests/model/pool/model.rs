//! What a pool must answer, worked out from lists.

mod choice;
mod quota;

use crs_durable::pool::{
    AccountError, AccountPolicy, AccountSnapshot, Command, CooldownKind, LeaseSnapshot, Origin, Outcome,
    RefreshResult, Reply, Report, Snapshot,
};
use crs_durable::{CallId, Millis};

use crate::world::{Clock, End, Leases, Table};

const SESSION_TTL_MS: u64 = 3_600_000;
const ORIGIN_TTL_MS: u64 = 7 * 86_400_000;
const MAX_COOLDOWN_MS: u64 = 8 * 86_400_000;
/// How long credentials count as replaced lately.
const LATELY_MS: u64 = 600_000;
const MAX_BACKOFF_MS: u64 = 3_600_000;

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) account: String,
    credentials: u64,
    sticky: bool,
    slot: bool,
    family: String,
    holder: String,
    /// The session it is served for, and in which order it was given.
    session: Option<u64>,
    turn: u64,
    origins: Vec<Origin>,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) policy: AccountPolicy,
    /// The measured ones. Whether a guess puts the account behind others is read from what is shown.
    cooldowns: Vec<(Option<String>, End)>,
    quota: quota::Quota,
    errors: Vec<AccountError>,
    denied: Option<(String, Option<End>)>,
    probe: Option<CallId>,
    election: Option<(CallId, u64, End)>,
    /// Elections so far.
    rounds: u64,
    /// The last round that failed: its number, the version, and the refusal if it was one.
    failed: Option<(u64, u64, Option<String>)>,
    /// Calls that wait for the election's end.
    waiting: std::collections::BTreeSet<CallId>,
    /// When its credentials were replaced.
    replaced: Option<End>,
    /// When it was last chosen, in the order of choices.
    turn: u64,
}

/// Name, account and end.
type Bindings = Vec<(u64, String, Millis)>;

/// The account of what a deleted one made.
const GONE: &str = "(gone)";

fn bind(bindings: &mut Bindings, name: u64, account: &str, until: Millis) {
    bindings.retain(|(other, ..)| *other != name);
    bindings.push((name, account.to_owned(), until));
}

/// The number under which the model keeps an origin that the call has claimed; no origin has such a number.
fn receipt(call: CallId, origin: u64) -> u64 {
    1_000 * (1 + origin) + u64::try_from(call.0).unwrap()
}

pub(crate) struct Model {
    pub(crate) clock: Clock,
    pub(crate) leases: Leases<Held>,
    accounts: Vec<Account>,
    sessions: Bindings,
    origins: Bindings,
    learned: bool,
    stale: bool,
    turn: u64,
    /// What a host keeps of the pool.
    pub(crate) table: Table,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            clock: Clock::new(),
            leases: Leases(vec![]),
            table: Table::default(),
            accounts: vec![],
            sessions: vec![],
            origins: vec![],
            learned: false,
            stale: false,
            turn: 0,
        }
    }
}

impl Model {
    pub(crate) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.policy.id == id)
    }

    fn account_mut(&mut self, id: &str) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.policy.id == id)
    }

    /// Sessions and origins, with their times to live.
    fn bindings(&mut self) -> [(&mut Bindings, u64); 2] {
        [
            (&mut self.sessions, SESSION_TTL_MS),
            (&mut self.origins, ORIGIN_TTL_MS),
        ]
    }

    /// What time does before a command.
    pub(crate) fn begin(&mut self) -> Millis {
        let (now, set_back) = self.clock.now();
        self.leases.begin(now, set_back);
        if set_back {
            for account in &mut self.accounts {
                account
                    .cooldowns
                    .iter_mut()
                    .for_each(|(_, end)| end.set_back(now));
                if let Some((_, Some(end))) = &mut account.denied {
                    end.set_back(now);
                }
                if let Some((.., end)) = &mut account.election {
                    end.set_back(now);
                }
                if let Some(end) = &mut account.replaced {
                    end.set_back(now);
                }
                account.quota.set_back(now);
                account
                    .errors
                    .iter_mut()
                    .for_each(|error| error.at = error.at.min(now));
            }
            for (bindings, ttl) in self.bindings() {
                for (.., until) in bindings {
                    *until = (*until).min(now + ttl);
                }
            }
        }
        for (bindings, _) in self.bindings() {
            bindings.retain(|(.., until)| now < *until);
        }
        now
    }

    pub(crate) fn restarted(&mut self) {
        self.accounts
            .iter_mut()
            .for_each(|account| account.waiting.clear());
    }

    pub(crate) fn death(&mut self) {
        self.leases.0.clear();
        self.accounts
            .iter_mut()
            .for_each(|account| account.election = None);
        self.stale = true;
    }

    /// What must have been answered, and what the pool must be like then. `before` tells who was in
    /// back-off, nothing else.
    pub(crate) fn check(&mut self, now: Millis, before: &Snapshot, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Learn { roster }, Reply::Done) => self.learn(now, roster),
            (Command::Pick(pick), Reply::NeedRoster) => {
                assert!(!self.learned || pick.learned_since > 0, "the old roster must do");
            }
            (Command::Pick(pick), reply) => {
                assert!(self.learned, "nothing was ever learned");
                assert!(!self.stale || pick.learned_since == 0, "the roster is stale");
                self.pick(now, before, pick, reply);
            }
            (Command::Renew { call, ttl_ms }, Reply::Done) => {
                self.leases.renew(&self.clock, now, *call, *ttl_ms);
            }
            (Command::Report(report), Reply::Done) => self.report(now, report),
            (Command::Release { call }, Reply::Done) => _ = self.leases.free(*call),
            (
                Command::BeginRefresh {
                    call,
                    account,
                    seen,
                    ttl_ms,
                    waits,
                    waited_for,
                    refused: false,
                },
                reply,
            ) => {
                let asks = (*call, *seen, *ttl_ms, *waits, *waited_for);
                self.begin_refresh(now, account, asks, reply);
            }
            (
                Command::EndRefresh {
                    call,
                    account,
                    result,
                },
                Reply::Done,
            ) => {
                self.end_refresh(now, *call, account, result);
            }
            (Command::Reset { account }, Reply::Done) => {
                if let Some(account) = self.account_mut(account) {
                    account.cooldowns.clear();
                    account.quota.reset();
                    (account.denied, account.probe, account.election) = (None, None, None);
                    account.failed = None;
                }
            }
            (Command::Flush { account, session }, Reply::Done) => {
                self.sessions.retain(|(one, bound, _)| {
                    account.as_ref().is_some_and(|account| account != bound)
                        || session.is_some_and(|session| session != *one)
                });
            }
            (Command::Claim { call, origin }, Reply::MadeBy { made }) => {
                let receipt = receipt(*call, *origin);
                if let Some(known) = self.origins.iter().position(|(id, ..)| id == origin) {
                    let (_, account, _) = self.origins.remove(known);
                    bind(&mut self.origins, receipt, &account, now + ORIGIN_TTL_MS);
                }
                let known = self.origins.iter().any(|(id, ..)| *id == receipt);
                assert_eq!(made.as_slice(), [known.then_some(true)]);
            }
            (Command::Invalidate, Reply::Done) => self.stale = true,
            (Command::Snapshot, Reply::Snapshot(_)) => {}
            (command, reply) => panic!("{command:?} was answered by {reply:?}"),
        }
    }

    fn learn(&mut self, now: Millis, roster: &[AccountPolicy]) {
        (self.learned, self.stale) = (true, false);
        self.accounts
            .retain(|account| roster.iter().any(|policy| policy.id == account.policy.id));
        for policy in roster {
            if let Some(account) = self.account_mut(&policy.id) {
                if account.policy.credential_version != policy.credential_version {
                    (account.denied, account.probe) = (None, None);
                    account.replaced = Some(End::after(now, LATELY_MS));
                }
                account.policy = policy.clone();
            } else {
                self.accounts.push(Account {
                    policy: policy.clone(),
                    cooldowns: vec![],
                    quota: quota::Quota::default(),
                    errors: vec![],
                    denied: None,
                    probe: None,
                    election: None,
                    rounds: 0,
                    failed: None,
                    waiting: std::collections::BTreeSet::new(),
                    replaced: None,
                    turn: 0,
                });
            }
        }
        let there: Vec<_> = self
            .accounts
            .iter()
            .map(|account| account.policy.id.clone())
            .collect();
        self.leases.0.retain(|lease| there.contains(&lease.what.account));
        self.sessions.retain(|(_, bound, _)| there.contains(bound));
        // An account that comes later is another one, whatever its id.
        for (_, bound, _) in &mut self.origins {
            if !there.contains(bound) {
                GONE.clone_into(bound);
            }
        }
    }

    /// The call was served well.
    fn served(&mut self, now: Millis, held: &Held, made: &[Origin]) {
        if let Some(session) = held.session {
            bind(&mut self.sessions, session, &held.account, now + SESSION_TTL_MS);
        }
        let renewed = made.iter().any(|origin| origin.loose);
        let foreign: Vec<u64> = self
            .origins
            .iter()
            .filter(|(_, bound, _)| *bound != held.account)
            .map(|(id, ..)| *id)
            .collect();
        let own = |origin: &&Origin| !(origin.loose && foreign.contains(&origin.id));
        if renewed {
            let old = |id: u64| held.origins.iter().any(|origin| origin.loose && origin.id == id);
            self.origins.retain(|(id, ..)| !old(*id) || foreign.contains(id));
        }
        let kept = held
            .origins
            .iter()
            .filter(own)
            .filter(|origin| !origin.loose || !renewed);
        for origin in kept.chain(made) {
            bind(&mut self.origins, origin.id, &held.account, now + ORIGIN_TTL_MS);
        }
    }

    fn report(&mut self, now: Millis, report: &Report) {
        let (call, id, outcome) = (report.call, report.account.as_str(), &report.outcome);
        let held = self
            .leases
            .get(call)
            .map(|lease| lease.what.clone())
            .filter(|held| held.account == id);
        let frees = held.is_some() && *outcome != Outcome::Serving;
        if frees {
            self.leases.free(call);
            if let Some(held) = held
                .as_ref()
                .filter(|_| report.served && self.account(id).is_some())
            {
                self.served(now, held, &report.made);
            }
        }
        let Some(account) = self.account_mut(id) else {
            return;
        };
        account.quota.observe(now, &report.quota);
        if frees && account.policy.daily_quota > 0 && report.spent > 0 {
            account
                .quota
                .spend(now, account.policy.utc_offset_minutes, report.spent);
        }
        let lately = account.replaced.is_some_and(|end| now < end.until);
        let replaced = held.map_or(lately, |held| {
            held.credentials != account.policy.credential_version
        });
        let error = match outcome {
            Outcome::Denied { .. } if replaced => None,
            Outcome::Throttled { why, .. }
            | Outcome::Unwell { why, .. }
            | Outcome::Denied { why, .. }
            | Outcome::Refused { why, .. } => Some(why),
            Outcome::Serving | Outcome::Finished | Outcome::Neutral => None,
        };
        if let Some(why) = error {
            account.err(now, call, report.status, why);
        }
        match outcome {
            Outcome::Serving => {
                account.cooldowns.retain(|(_, end)| now < end.until);
                let ended = |(_, end): &(String, Option<End>)| end.is_some_and(|end| end.until <= now);
                if account.denied.as_ref().is_some_and(ended) {
                    (account.denied, account.probe) = (None, None);
                }
            }
            Outcome::Throttled {
                until: Some(until),
                family,
                ..
            } if *until > now => {
                let end = End::after(now, (*until - now).min(MAX_COOLDOWN_MS));
                account.cooldowns.retain(|(_, end)| now < end.until);
                match account.cooldowns.iter_mut().find(|(other, _)| other == family) {
                    Some((_, held)) => *held = held.later(end),
                    None => account.cooldowns.push((family.clone(), end)),
                }
            }
            Outcome::Denied { .. } if replaced => {}
            Outcome::Denied { why, until } => {
                let end = until.map(|until| End {
                    until,
                    span: until.saturating_sub(now),
                });
                account.denied = match (account.denied.take(), end) {
                    (Some((why, None)), Some(_)) => Some((why, None)),
                    (Some((_, Some(held))), Some(end)) => Some((why.clone(), Some(end.later(held)))),
                    (_, end) => Some((why.clone(), end)),
                };
            }
            Outcome::Finished
            | Outcome::Neutral
            | Outcome::Unwell { .. }
            | Outcome::Refused { .. }
            | Outcome::Throttled { .. } => {}
        }
    }

    fn begin_refresh(
        &mut self,
        now: Millis,
        id: &str,
        (call, seen, ttl_ms, waits, waited_for): (CallId, u64, u64, bool, Option<u64>),
        reply: &Reply,
    ) {
        let Some(account) = self.account_mut(id) else {
            assert_eq!(reply, &Reply::NeedRoster);
            return;
        };
        let version = account.policy.credential_version;
        if version > seen {
            assert_eq!(reply, &Reply::RefreshDone { version });
            self.uses(call, id, version);
            return;
        }
        match &account.failed {
            Some((_, of, Some(why))) if *of == seen => {
                assert_eq!(reply, &Reply::RefreshRefused { why: why.clone() });
                return;
            }
            Some((round, _, None)) if waited_for.is_some_and(|waited| waited <= *round) => {
                assert_eq!(reply, &Reply::RefreshFailed);
                return;
            }
            _ => {}
        }
        let end = End::after(now, ttl_ms);
        match account.election {
            Some((other, _, end)) if other != call && now < end.until => {
                let round = account.rounds;
                assert_eq!(
                    reply,
                    &Reply::RefreshBusy {
                        until: end.until,
                        round
                    }
                );
                if waits {
                    account.waiting.insert(call);
                }
            }
            Some((other, of, held)) if other == call && of == seen => {
                assert_eq!(reply, &Reply::RefreshElected);
                account.election = Some((call, seen, held.later(end)));
            }
            _ => {
                assert_eq!(reply, &Reply::RefreshElected);
                account.election = Some((call, seen, end));
                account.rounds += 1;
                account.waiting.remove(&call);
            }
        }
    }

    /// Whoever waits is woken once nobody is at it any more, or the account is gone. Others may be woken.
    pub(crate) fn woken(&mut self, before: &[(String, Vec<CallId>)], wake: &[CallId]) {
        for (id, waiting) in before {
            let runs = self.account(id).is_some_and(|account| account.election.is_some());
            assert!(
                runs || waiting.iter().all(|call| wake.contains(call)),
                "not woken"
            );
        }
        for account in &mut self.accounts {
            account.waiting.retain(|call| !wake.contains(call));
            assert!(account.election.is_some() || account.waiting.is_empty());
        }
    }

    pub(crate) fn waiting(&self) -> Vec<(String, Vec<CallId>)> {
        let waiting = |account: &Account| {
            let calls = account.waiting.iter().copied().collect();
            (account.policy.id.clone(), calls)
        };
        self.accounts.iter().map(waiting).collect()
    }

    fn end_refresh(&mut self, now: Millis, call: CallId, id: &str, result: &RefreshResult) {
        let Some(account) = self.account_mut(id) else {
            return;
        };
        let Some((_, seen, _)) = account.election.filter(|(elected, ..)| *elected == call) else {
            return;
        };
        account.election = None;
        let failed = |refused| Some((account.rounds, seen, refused));
        match result {
            RefreshResult::Refreshed { version } => {
                account.failed = None;
                if *version >= account.policy.credential_version {
                    account.policy.credential_version = *version;
                    account.replaced = Some(End::after(now, LATELY_MS));
                    (account.denied, account.probe) = (None, None);
                }
                self.uses(call, id, *version);
            }
            RefreshResult::Refused { why } if account.policy.credential_version <= seen => {
                account.failed = failed(Some(why.clone()));
                account.denied = Some((why.clone(), None));
                account.err(now, call, None, why);
            }
            RefreshResult::Refused { .. } | RefreshResult::Failed => account.failed = failed(None),
        }
    }

    /// From now on the call uses these credentials.
    fn uses(&mut self, call: CallId, id: &str, version: u64) {
        let own = |lease: &&mut crate::world::Lease<Held>| lease.call == call && lease.what.account == id;
        if let Some(lease) = self.leases.0.iter_mut().find(own) {
            lease.what.credentials = version;
        }
    }

    fn shown_leases(&self, account: &str) -> Vec<LeaseSnapshot> {
        let mut shown: Vec<_> = self
            .leases
            .0
            .iter()
            .filter(|lease| lease.what.account == account)
            .map(|lease| LeaseSnapshot {
                call: lease.call,
                since: lease.since,
                until: lease.end.until,
                holder: lease.what.holder.clone(),
                family: lease.what.family.clone(),
                slot: lease.what.slot,
                sticky: lease.what.sticky,
            })
            .collect();
        shown.sort_by_key(|lease| lease.call);
        shown
    }

    /// What is shown is what the model has.
    pub(crate) fn compare(&self, now: Millis, shown: &Snapshot) {
        assert_eq!(shown.sessions, self.sessions.len());
        assert_eq!(shown.accounts.len(), self.accounts.len());
        let mut holders = Vec::new();
        for (shown, account) in shown.accounts.iter().zip(&self.accounts) {
            let AccountSnapshot {
                policy,
                leases,
                cooldowns,
                backoff_until,
                denied,
                sessions,
                quota,
                spent,
                errors,
                last_used: _,
            } = shown;
            assert_eq!(policy, &account.policy);
            assert_eq!(leases, &self.shown_leases(&policy.id));
            let mut expected: Vec<_> = account
                .cooldowns
                .iter()
                .filter(|(_, end)| now < end.until)
                .map(|(family, end)| (family.clone(), end.until))
                .collect();
            let measured = cooldowns.iter().filter(|one| one.kind == CooldownKind::Measured);
            let mut measured: Vec<_> = measured.map(|one| (one.family.clone(), one.until)).collect();
            expected.sort();
            measured.sort();
            assert_eq!(measured, expected);
            let guesses = || cooldowns.iter().filter(|one| one.kind != CooldownKind::Measured);
            assert!(guesses().all(|one| one.until <= now + MAX_BACKOFF_MS));
            let holds = guesses().map(|one| one.until).filter(|until| now < *until);
            assert_eq!(*backoff_until, holds.max());
            for probe in guesses().filter_map(|one| one.probe) {
                let holder = leases.iter().any(|lease| lease.call == probe);
                assert!(holder, "a probe that holds nothing keeps others away");
            }
            let expected = account
                .denied
                .clone()
                .map(|(why, end)| (why, end.map(|end| end.until)));
            assert_eq!(denied, &expected);
            assert_eq!(
                *sessions,
                self.sessions
                    .iter()
                    .filter(|(_, bound, _)| bound == &policy.id)
                    .count()
            );
            assert_eq!(quota, &account.quota.shown(now));
            assert_eq!(*spent, account.quota.spent(now));
            assert_eq!(errors, &account.errors);
            holders.extend(leases.iter().map(|lease| lease.call));
        }
        let slots = holders.len();
        holders.sort_unstable();
        holders.dedup();
        assert_eq!(holders.len(), slots, "a call holds two slots");
    }
}

impl Account {
    fn err(&mut self, at: Millis, call: CallId, status: Option<u16>, why: &str) {
        let again = self.errors.iter().any(|error| {
            (error.status, error.why.as_str()) == (status, why)
                && (error.call == call || at < error.at + 1_000)
        });
        if !again {
            let why = why.to_owned();
            self.errors.push(AccountError {
                at,
                call,
                status,
                why,
            });
            let more = self.errors.len().saturating_sub(16);
            self.errors.drain(..more);
        }
    }
}
