//! No sequence of requests by one key, whatever the provider answers to them, makes another key's ordinary
//! request fail while an account that would serve it exists.
//!
//! What the provider says of an account itself (refused credentials, a measured limit, a known statement)
//! is not among the answers here: after it the account would not serve. All else may follow a request.

use std::collections::BTreeSet;

use crs_durable::pool::{AccountPolicy, Command, Outcome, Pick, Pool, RefreshResult, Reply, Report};
use crs_durable::{CallId, Machine, Millis};
use proptest::prelude::*;

use super::acts::ACCOUNTS;
/// Accounts that one client request may try (the default of `MAX_ATTEMPTS`).
const ATTEMPTS: usize = 3;

const START: Millis = 1_000_000;

/// What an account does to the ordinary request of another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Good,
    /// It fails everybody, and the pool does not know yet.
    Broken,
    /// It fails everybody, and two keys have met that just before.
    KnownBroken,
    /// The provider has said so of the account itself.
    Denied,
}

/// What follows a request of the one key.
#[derive(Clone, Debug)]
enum Answer {
    Outcome(Outcome),
    /// The client leaves, and only the end of the lease is heard of.
    Nothing,
}

#[derive(Clone, Debug)]
struct Act {
    pass_ms: u64,
    family: String,
    slot: bool,
    session: Option<u64>,
    /// What each attempt meets.
    answers: Vec<Answer>,
    restart: bool,
}

fn answers() -> impl Strategy<Value = Answer> {
    let family = prop::option::of(Just("opus".to_owned()));
    prop_oneof![
        4 => (0..5_u64).prop_map(|request| Answer::Outcome(Outcome::Refused { why: "403".into(), request })),
        3 => prop::option::of(0..10_000_000_u64)
            .prop_map(|until| Answer::Outcome(Outcome::Unwell { why: "500".into(), until })),
        2 => family.prop_map(|family| Answer::Outcome(Outcome::Throttled {
            until: None,
            family,
            why: "429".into(),
        })),
        2 => Just(Answer::Outcome(Outcome::Neutral)),
        1 => Just(Answer::Outcome(Outcome::Finished)),
        1 => Just(Answer::Nothing),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    (
        prop_oneof![5 => 0..500_u64, 2 => 0..30_000_u64, 1 => 0..2_000_000_u64],
        prop_oneof![3 => Just("opus"), 1 => Just("haiku")],
        prop::bool::weighted(0.9),
        prop::option::of(0..2_u64),
        prop::collection::vec(answers(), 1..=ATTEMPTS),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(pass_ms, family, slot, session, answers, restart)| Act {
            pass_ms,
            family: family.to_owned(),
            slot,
            session,
            answers,
            restart,
        })
}

/// At least one is good, and no more are broken without anybody's knowing than a request has attempts to
/// spare.
fn natures() -> impl Strategy<Value = Vec<Nature>> {
    let one = prop_oneof![
        3 => Just(Nature::Good),
        2 => Just(Nature::Broken),
        2 => Just(Nature::KnownBroken),
        1 => Just(Nature::Denied),
    ];
    prop::collection::vec(one, 1..=ACCOUNTS.len()).prop_map(|mut natures| {
        let mut unknown = 0;
        for nature in &mut natures {
            unknown += usize::from(*nature == Nature::Broken);
            if unknown >= ATTEMPTS {
                *nature = Nature::Denied;
            }
        }
        if !natures.contains(&Nature::Good) {
            natures[0] = Nature::Good;
        }
        natures
    })
}

struct Relay {
    pool: Pool,
    now: Millis,
    calls: u128,
}

impl Relay {
    fn new(natures: &[Nature], priorities: &[u32]) -> Self {
        let mut relay = Self {
            pool: Pool::default(),
            now: START,
            calls: 0,
        };
        let account = |(index, _): (usize, &Nature)| AccountPolicy {
            id: ACCOUNTS[index].to_owned(),
            credential_version: 1,
            priority: priorities[index],
            ..AccountPolicy::default()
        };
        let roster = natures.iter().enumerate().map(account).collect();
        relay.say(Command::Learn { roster });
        relay
    }

    fn say(&mut self, command: Command) -> Reply {
        self.pool.handle(self.now, command).reply
    }

    fn pick(&mut self, holder: &str, act: &Act, tried: &BTreeSet<String>) -> Option<String> {
        self.calls += 1;
        let pick = Pick {
            family: act.family.clone(),
            session: act
                .session
                .map(|session| session + u64::from(holder == "other") * 100),
            slot: act.slot,
            holder: holder.to_owned(),
            tried: tried.iter().cloned().collect(),
            ..Pick::of(CallId(self.calls), 30_000)
        };
        match self.say(Command::Pick(pick)) {
            Reply::Picked { account, .. } => Some(account),
            Reply::NobodyLeft { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    fn report(&mut self, account: &str, outcome: Outcome) {
        let call = CallId(self.calls);
        self.say(Command::Report(Report::of(call, account.to_owned(), outcome)));
    }

    /// One client request of the one key, whatever its attempts meet.
    fn misbehave(&mut self, act: &Act) {
        self.now += act.pass_ms;
        let mut tried = BTreeSet::new();
        for answer in &act.answers {
            let Some(account) = self.pick("one", act, &tried) else {
                break;
            };
            if let Answer::Outcome(outcome) = answer {
                self.report(&account, outcome.clone());
            }
            tried.insert(account);
        }
        if act.restart {
            let kept = serde_json::to_string(&self.pool).unwrap();
            self.pool = serde_json::from_str(&kept).unwrap();
        }
    }

    /// An ordinary request of another key, as the relay makes attempts for it.
    fn is_served(&mut self, natures: &[Nature], family: &str) -> bool {
        let act = Act {
            pass_ms: 0,
            family: family.to_owned(),
            slot: true,
            session: None,
            answers: Vec::new(),
            restart: false,
        };
        let mut tried = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let Some(account) = self.pick("other", &act, &tried) else {
                return false;
            };
            let index = ACCOUNTS.iter().position(|id| *id == account).unwrap();
            if natures[index] == Nature::Good {
                self.report(&account, Outcome::Serving);
                self.report(&account, Outcome::Finished);
                return true;
            }
            let why = "500".to_owned();
            self.report(&account, Outcome::Unwell { why, until: None });
            tried.insert(account);
        }
        false
    }

    /// What the pool has learned of the accounts before.
    fn know(&mut self, natures: &[Nature], family: &str) {
        for (index, nature) in natures.iter().enumerate() {
            let id = ACCOUNTS[index];
            let outcome = match nature {
                Nature::Good | Nature::Broken => continue,
                Nature::KnownBroken => Outcome::Unwell {
                    why: "500".into(),
                    until: None,
                },
                Nature::Denied => Outcome::Denied {
                    why: "This organization has been disabled".into(),
                    until: None,
                },
            };
            for holder in ["second", "third"] {
                self.calls += 1;
                let pick = Pick {
                    family: family.to_owned(),
                    holder: holder.to_owned(),
                    only: Some(id.to_owned()),
                    ..Pick::of(CallId(self.calls), 30_000)
                };
                self.say(Command::Pick(pick));
                self.report(id, outcome.clone());
            }
        }
    }
}

/// What follows a 401 that a call has met.
#[derive(Clone, Copy, Debug)]
enum Renewal {
    Well,
    /// The token endpoint had a bad moment.
    Failed,
    /// Another process renewed the credentials, and the pool reads so.
    Elsewhere,
}

fn renewals() -> impl Strategy<Value = Vec<(u64, Renewal, bool)>> {
    let one = prop_oneof![
        6 => Just(Renewal::Well),
        1 => Just(Renewal::Failed),
        1 => Just(Renewal::Elsewhere),
    ];
    prop::collection::vec((0..120_000_u64, one, prop::bool::weighted(0.05)), 1..400)
}

proptest! {
    /// A provider answers every odd request with 401, whatever the token: the account's credentials are renewed
    /// for that reason a bounded number of times, not with each.
    #[test]
    fn refusals_alone_renew_credentials_at_a_bounded_rate(acts in renewals()) {
        let mut relay = Relay::new(&[Nature::Good], &[1]);
        let mut version = 1;
        let (mut renewed, mut failed) = (Vec::new(), Vec::new());
        for (pass_ms, renewal, restart) in acts {
            relay.now += pass_ms;
            relay.calls += 1;
            let begin = Command::BeginRefresh {
                call: CallId(relay.calls),
                account: ACCOUNTS[0].to_owned(),
                seen: version,
                ttl_ms: 40_000,
                waits: true,
                waited_for: None,
                refused: true,
            };
            match relay.say(begin) {
                Reply::RefreshElected => {
                    let result = match renewal {
                        Renewal::Well => {
                            version += 1;
                            renewed.push(relay.now);
                            RefreshResult::Refreshed { version }
                        }
                        Renewal::Failed => {
                            failed.push(relay.now);
                            RefreshResult::Failed
                        }
                        Renewal::Elsewhere => {
                            version += 1;
                            renewed.push(relay.now);
                            let policy = AccountPolicy {
                                id: ACCOUNTS[0].to_owned(),
                                credential_version: version,
                                priority: 1,
                                ..AccountPolicy::default()
                            };
                            relay.say(Command::Learn { roster: vec![policy] });
                            RefreshResult::Refreshed { version }
                        }
                    };
                    let account = ACCOUNTS[0].to_owned();
                    let call = CallId(relay.calls);
                    relay.say(Command::EndRefresh { call, account, result });
                }
                Reply::RefreshTooSoon { at } => prop_assert!(at > relay.now),
                other => prop_assert!(false, "{other:?}"),
            }
            if restart {
                let kept = serde_json::to_string(&relay.pool).unwrap();
                relay.pool = serde_json::from_str(&kept).unwrap();
            }
        }
        // 10, 20, 40 ... minutes, at most 4 hours.
        for (n, pair) in renewed.windows(2).enumerate() {
            let least = (600_000_u64 << n.min(16)).min(14_400_000);
            prop_assert!(pair[1] - pair[0] >= least, "{renewed:?}");
        }
        // The first one after a good one may be tried again at once; then 1, 2, 4, 8, 16, 30, 30 s.
        prop_assert!(failed.windows(3).all(|few| few[2] - few[0] >= 1_000), "{failed:?}");
        prop_assert!(failed.windows(9).all(|many| many[8] - many[0] >= 91_000), "{failed:?}");
        // Nothing of it keeps the account from others.
        prop_assert!(relay.is_served(&[Nature::Good], "opus"));
    }

    #[test]
    fn one_keys_requests_never_make_anothers_fail(
        natures in natures(),
        priorities in prop::collection::vec(0..3_u32, ACCOUNTS.len()),
        acts in prop::collection::vec(acts(), 0..60),
        family in prop_oneof![Just("opus"), Just("haiku")],
    ) {
        let mut relay = Relay::new(&natures, &priorities);
        for act in &acts {
            relay.misbehave(act);
        }
        // What is known to be broken was met a moment ago: else nobody would know it.
        relay.know(&natures, family);
        prop_assert!(relay.is_served(&natures, family), "{natures:?}");
    }

    /// The other key works all along, and each of its requests is served.
    #[test]
    fn nor_while_another_key_goes_on_working(
        natures in natures().prop_filter("no more than the pool learns at once", |natures| {
            natures.iter().all(|nature| !matches!(nature, Nature::KnownBroken))
        }),
        acts in prop::collection::vec(acts(), 1..40),
    ) {
        let mut relay = Relay::new(&natures, &[1; ACCOUNTS.len()]);
        relay.know(&natures, "opus");
        for act in &acts {
            relay.misbehave(act);
            prop_assert!(relay.is_served(&natures, &act.family), "{natures:?}");
        }
    }
}
